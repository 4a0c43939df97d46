#include "master/slot.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/* ---- roles ---- */

struct role {
    const char *name;
    int (*run)(const struct worker_env *env);
};

static const struct role worker = {.name = "worker", .run = worker_run};

/* ---- life ---- */

struct slot *slot_new(unsigned number, unsigned generation, const struct conf *conf, enum stats_respawn why)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (!slot)
        return NULL;
    slot->role = &worker;
    slot->number = number;
    slot->generation = generation;
    slot->conf = conf;
    slot->channel = -1;
    slot->why = why;
    return slot;
}

void slot_free(struct slot *slot)
{
    if (slot && slot->channel >= 0)
        close(slot->channel);
    free(slot);
}

/* ---- processes ---- */

/* The queues of `number`, in the order of the configuration. */
static struct worker_socket *sockets_of(const struct slot_world *world, const struct slot *slot, unsigned *count)
{
    struct worker_socket *sockets = NULL;

    *count = 0;
    for (unsigned i = 0; i < slot->conf->listener_count; i++) {
        const struct listener_config *listener = &slot->conf->listeners[i];
        sockets = reallocarray(sockets, *count + listener->address_count, sizeof(*sockets));
        if (!sockets)
            log_fatal("out of memory");
        for (unsigned j = 0; j < listener->address_count; j++) {
            const struct endpoint *endpoint = endpoints_find(world->endpoints, &listener->addresses[j]);
            bool shared = endpoint->queues[slot->number] < 0; /* a unix socket: there is one for all */
            sockets[(*count)++] = (struct worker_socket){.fd = endpoint->queues[shared ? 0 : slot->number],
                                                         .listener = listener};
        }
    }
    return sockets;
}

_Noreturn static void run_child(const struct slot_world *world, struct slot *slot, int channel)
{
    struct worker_env env = {.slot = slot->number,
                             .channel = channel,
                             .stats = slot->block,
                             .max_sessions = slot->conf->max_sessions,
                             .linger_timeout_ms = slot->conf->linger_timeout_ms,
                             .drain_spread_ms = slot->conf->drain_spread_ms,
                             .busy_poll_us = slot->conf->busy_poll_us};
    struct worker_socket *sockets = sockets_of(world, slot, &env.socket_count);

    slot->block->pid = getpid(); /* should the master die before it has written it */
    world->in_child();
    log_set_level((enum log_level)slot->conf->log_level);
    endpoints_close_others(world->endpoints, sockets, env.socket_count);
    env.sockets = sockets;
    int code = slot->role->run(&env);
    free(sockets);
    exit(code);
}

static void leave_child(struct slot *slot)
{
    close(slot->channel);
    slot->channel = -1;
    slot->pid = 0;
}

/* Returns 0, or -1 with errno. */
static int spawn(struct slot_world *world, struct slot *slot)
{
    int ends[2];

    slot->block = stats_take(world->stats, slot->number, getpid());
    if (!slot->block)
        return -1;
    if (channel_open(ends) < 0)
        return -1;
    slot->channel = ends[0];
    slot->pid = fork();
    if (slot->pid == 0)
        run_child(world, slot, ends[1]);
    int error = errno;
    close(ends[1]);
    errno = error;
    if (slot->pid < 0) {
        leave_child(slot);
        errno = error;
        return -1;
    }
    slot->block->pid = slot->pid;
    return 0;
}

static void start(struct slot_world *world, struct slot *slot)
{
    slot->turns_seen = 0;
    slot->ready_ms = 0;
    memset(slot->told, 0, sizeof(slot->told));
    slot->told_count = 0;
    slot->adopt_again_ms = 0;
    endpoints_reopen(world->endpoints, slot->conf, slot->number);
    if (spawn(world, slot) == 0) {
        if (slot->why != RESPAWN_none)
            stats_count(&world->stats->books[slot->number].respawns[slot->why], 1);
        return;
    }
    log_error("cannot start %s %u: %s", slot->role->name, slot->number, strerror(errno));
    if (slot->block)
        stats_fold(world->stats, slot->block);
    slot->block = NULL;
    slot_handle(world, slot, SUPERVISOR_EVENT_DIED, true);
}

enum channel_result slot_tell(const struct slot *slot, enum channel_type type, uint32_t value)
{
    enum channel_result result = CHANNEL_CLOSED;

    if (slot->channel >= 0)
        result = channel_send(slot->channel, type, value);
    if (result == CHANNEL_BROKEN)
        log_error("%s %u: control pipe: %s", slot->role->name, slot->number, strerror(errno));
    return result;
}

static void tell_drain(const struct slot_world *world, struct slot *slot)
{
    enum channel_type type = world->for_good ? CHANNEL_STOP : CHANNEL_DRAIN;

    slot->untold = slot_tell(slot, type, world->patience.drain_ms) == CHANNEL_AGAIN;
}

static void tell_silent(const struct slot_world *world, const struct slot *slot, const char *then)
{
    uint64_t seen_ms = slot->ready_ms ? slot->supervised.beat_ms : slot->supervised.started_ms;

    log_warn("%s %u (pid %d) is silent for %u ms: %s", slot->role->name, slot->number, (int)slot->pid,
             (unsigned)(world->now_ms - seen_ms), then);
}

static void end(const struct slot_world *world, const struct slot *slot, int number)
{
    if (slot->supervised.state == SUPERVISOR_ABORTED)
        tell_silent(world, slot, "sending SIGABRT");
    else if (slot->supervised.state == SUPERVISOR_KILLED)
        tell_silent(world, slot, "sending SIGKILL");
    kill(slot->pid, number);
}

/* Who is there to adopt the accept queues of a worker that is silent. */
static const char *adopters_text(const struct slot_world *world)
{
    return world->running > 1 ? "its siblings adopt its accept queues" : "no sibling runs to adopt its accept queues";
}

void slot_handle(struct slot_world *world, struct slot *slot, enum supervisor_event event, bool own_fault)
{
    const char *name = slot->role->name;
    enum supervisor_state before = slot->supervised.state;

    switch (supervisor_handle(&slot->supervised, event, own_fault, &world->patience, world->now_ms)) {
    case SUPERVISOR_ACT_NONE: break;
    case SUPERVISOR_ACT_SPAWN: start(world, slot); break;
    case SUPERVISOR_ACT_WAIT:
        log_warn("%s %u will be started again in %u ms", name, slot->number,
                 (unsigned)(slot->supervised.due_ms - world->now_ms));
        break;
    case SUPERVISOR_ACT_TELL_SILENT: tell_silent(world, slot, adopters_text(world)); break;
    case SUPERVISOR_ACT_TELL_AWAKE:
        log_notice("%s %u (pid %d) beats again: its accept queues are its own", name, slot->number, (int)slot->pid);
        break;
    case SUPERVISOR_ACT_ABORT: end(world, slot, SIGABRT); break;
    case SUPERVISOR_ACT_KILL: end(world, slot, SIGKILL); break;
    case SUPERVISOR_ACT_DRAIN: tell_drain(world, slot); break;
    case SUPERVISOR_ACT_TELL_DOWN:
        log_error("%s %u stays down: it asked not to be started again", name, slot->number);
        break;
    case SUPERVISOR_ACT_BUG:
        log_fatal("%s %u: event %d cannot happen in state %s", name, slot->number, event,
                  supervisor_state_name(before));
    }
}

void slot_hurry(struct slot_world *world, struct slot *slot)
{
    if (slot->supervised.state == SUPERVISOR_STOPPING)
        tell_drain(world, slot);
}

void slot_tick(struct slot_world *world, struct slot *slot)
{
    uint64_t turns = slot->block ? stats_read(&slot->block->turns) : 0;

    if (slot->block && turns != slot->turns_seen) {
        slot->turns_seen = turns;
        slot_handle(world, slot, SUPERVISOR_EVENT_BEAT, false);
    }
    if (slot->untold)
        tell_drain(world, slot);
    if (slot->supervised.state == SUPERVISOR_EMPTY || slot->supervised.due_ms > world->now_ms)
        return;
    if (slot->supervised.state == SUPERVISOR_STOPPING)
        log_error("%s %u (pid %d) did not stop in time and is killed", slot->role->name, slot->number, (int)slot->pid);
    slot_handle(world, slot, SUPERVISOR_EVENT_DUE, false);
}

static void log_death(const struct slot_world *world, const struct slot *slot, int status)
{
    double seconds = (double)(world->now_ms - slot->supervised.started_ms) / 1000;

    if (WIFSIGNALED(status))
        log_error("%s %u (pid %d) killed by SIG%s after %.3f s%s", slot->role->name, slot->number, (int)slot->pid,
                  sigabbrev_np(WTERMSIG(status)), seconds, WCOREDUMP(status) ? ", core dumped" : "");
    else
        log_write(WEXITSTATUS(status) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
                  "%s %u (pid %d) exited with code %d after %.3f s", slot->role->name, slot->number, (int)slot->pid,
                  WEXITSTATUS(status), seconds);
}

static bool hung(const struct slot *slot)
{
    return slot->supervised.state == SUPERVISOR_ABORTED || slot->supervised.state == SUPERVISOR_KILLED;
}

void slot_reaped(struct slot_world *world, struct slot *slot, int status)
{
    bool killed = WIFSIGNALED(status);
    bool own_fault = hung(slot) || (killed ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0);

    log_death(world, slot, status);
    stats_fold(world->stats, slot->block);
    slot->block = NULL;
    slot->ready_ms = 0;
    if (slot->channel >= 0)
        close(slot->channel);
    slot->channel = -1;
    slot->pid = 0;
    if (!killed && WEXITSTATUS(status) == WORKER_EXIT_STAY_DOWN) {
        slot_handle(world, slot, SUPERVISOR_EVENT_GAVE_UP, true);
        return;
    }
    slot->why = hung(slot) ? RESPAWN_hang : killed ? RESPAWN_signal : RESPAWN_exit;
    slot_handle(world, slot, SUPERVISOR_EVENT_DIED, own_fault);
}
