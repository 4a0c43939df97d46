#include "master/slot.h"
#include "common/clock.h"
#include "common/container_of.h"
#include "common/log.h"
#include "common/stats_count.h"
#include "common/stats_number.h"
#include "master/placement.h"
#include "master/process.h"
#include "master/shared.h"
#include "master/slot_words.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/string.h>

/* ---- roles ---- */

struct role {
    const char *name;
    int (*run)(const struct worker_env *env);
};

static const struct role worker = {.name = "worker", .run = worker_run};

/* ---- life ---- */

struct slot *slot_new(unsigned id, unsigned generation, const struct pool *pool, enum stats_respawn reason)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (!slot)
        return NULL;
    slot->role = &worker;
    slot->id = id;
    slot->generation = generation;
    slot->pool = pool;
    slot->conf = pool->conf;
    slot->operates = pool->config->operates;
    slot->patience = (struct supervisor_patience){.adopt_after_ms = pool->config->adopt_after_ms,
                                                  .watchdog_ms = pool->config->watchdog_timeout_ms,
                                                  .drain_ms = pool->config->drain_timeout_ms};
    strlcpy(slot->pool_name, pool->config->name, sizeof(slot->pool_name));
    snprintf(slot->name, sizeof(slot->name), "%s%s%s %u", pool->index ? slot->pool_name : "", pool->index ? " " : "",
             worker.name, id);
    slot->channel = -1;
    slot->reason = reason;
    return slot;
}

void slot_close_channel(struct slot *slot)
{
    if (slot->channel >= 0)
        close(slot->channel);
    slot->channel = -1;
}

void slot_free(struct slot *slot)
{
    if (!slot)
        return;
    slot_close_channel(slot);
    inbox_close(&slot->inbox);
    free(slot);
}

/* ---- processes ---- */

/* The queues of the slot, in the order of the configuration. NULL when out of memory. */
static struct worker_socket *sockets_of(const struct slot_context *context, const struct slot *slot, unsigned *count)
{
    unsigned addresses = 0;

    for (unsigned i = 0; i < slot->conf->listener_count; i++)
        addresses += slot->conf->listeners[i].address_count;
    struct worker_socket *sockets = calloc(addresses, sizeof(*sockets));
    *count = 0;
    for (unsigned i = 0; sockets && i < slot->conf->listener_count; i++) {
        const struct listener_config *listener = &slot->conf->listeners[i];
        if (listener->pool != slot->pool->index)
            continue;
        for (unsigned j = 0; j < listener->address_count; j++) {
            const struct endpoint *endpoint = endpoints_find(context->endpoints, &listener->addresses[j]);
            bool shared = endpoint->queues[slot->id] < 0; /* a unix socket: there is one for all */
            sockets[(*count)++] = (struct worker_socket){.fd = endpoint->queues[shared ? 0 : slot->id],
                                                         .listener = listener};
        }
    }
    return sockets;
}

bool slot_are_siblings(const struct slot *slot, const struct slot *other)
{
    return slot != other && strcmp(slot->pool_name, other->pool_name) == 0;
}

/* Copies of the inboxes of the siblings that there are already, for the worker. NULL with errno. */
static int *copy_siblings(const struct slot *slot, unsigned *count)
{
    const struct inbox *inbox;
    unsigned all = 1;

    *count = 0;
    TAILQ_FOREACH(inbox, &inboxes, link)
        all++;
    int *copies = calloc(all, sizeof(*copies));
    TAILQ_FOREACH(inbox, &inboxes, link) {
        if (!copies || slot->inbox.number == 0 || !slot_are_siblings(slot, container_of(inbox, struct slot, inbox)))
            continue;
        copies[*count] = fcntl(inbox->writer, F_DUPFD_CLOEXEC, 0);
        if (copies[*count] < 0) {
            free(copies);
            return NULL;
        }
        ++*count;
    }
    return copies;
}

/* What the child needs is on our stack, of which it has a copy. */
struct child {
    const struct slot_context *context;
    const struct slot *slot;
};

static int run_child(void *user, int channel)
{
    const struct child *child = user;
    const struct slot *slot = child->slot;
    const struct slot_context *context = child->context;
    struct worker_env env = {.slot = slot->id,
                             .name = slot->name,
                             .channel = channel,
                             .stats = stats_enter(context->stats, slot->block),
                             .max_sessions = slot->pool->config->max_sessions,
                             .linger_timeout_ms = slot->conf->linger_timeout_ms,
                             .drain_spread_ms = slot->conf->drain_spread_ms,
                             .busy_poll_us = slot->conf->busy_poll_us,
                             .disabled = slot->conf->disabled,
                             .conf_text = slot->operates ? conf_text(slot->conf) : NULL};
    struct worker_socket *sockets = sockets_of(context, slot, &env.socket_count);
    int *siblings = copy_siblings(slot, &env.sibling_count);

    if (slot->inbox.number)
        env.inbox = fcntl(slot->inbox.reader, F_DUPFD_CLOEXEC, 0);
    if (!env.stats || !sockets || !siblings || env.inbox < 0) {
        log_error("%s cannot start: %s", slot->name, strerror(errno));
        free(sockets);
        free(siblings);
        return EXIT_FAILURE;
    }
    context->in_child();
    shared_leave(slot->pool_name);
    log_set_role(slot->name);
    placement_apply(slot->pool->config, slot->id);
    log_set_level((enum log_level)slot->conf->log_level);
    endpoints_close_others(context->endpoints, sockets, env.socket_count);
    env.sockets = sockets;
    env.siblings = siblings;
    int code = slot->role->run(&env);
    free((char *)env.conf_text);
    free(siblings);
    free(sockets);
    return code;
}

/* Returns 0, or -1 with errno. */
static int spawn(const struct slot_context *context, struct slot *slot)
{
    struct child child = {.context = context, .slot = slot};

    if (inbox_is_shut(&slot->inbox))
        inbox_close(&slot->inbox);
    if (slot->pool->config->publishes && slot->inbox.number == 0 && inbox_open(&slot->inbox) < 0)
        return -1;
    int number = stats_number(context->stats, slot->pool_name, slot->id);
    slot->block = number < 0 ? NULL : stats_take(context->stats, (unsigned)number, getpid());
    if (!slot->block)
        return -1;
    slot->number = (unsigned)number;
    slot->serial = stats_serial(context->stats, slot->block);
    slot->siblings_known = inbox_newest();
    pid_t pid = process_start(run_child, &child, &slot->channel);
    if (pid < 0)
        return -1;
    slot->pid = pid;
    stats_set_pid(context->stats, slot->block, pid);
    return 0;
}

/* Reset what is known of a process: nothing of it holds for the next one. */
static void forget_process(struct slot *slot)
{
    slot->turns_seen = 0;
    slot->ready_ms = 0;
    memset(&slot->words, 0, sizeof(slot->words));
    memset(slot->assigned, 0, sizeof(slot->assigned));
    slot->told_disabled = slot->conf->disabled;
    slot->told_log_level = slot->conf->log_level;
    slot->assigned_count = slot->adopts_sent = slot->adopts_missed = slot->shutdowns = 0;
    slot->adopt_again_ms = slot->closed_ms = 0;
    slot->left = slot->operator_asks = slot->replace_due = slot->suspect = slot->expelled = false;
}

static void start(struct slot_context *context, struct slot *slot)
{
    forget_process(slot);
    endpoints_reopen(context->endpoints, slot->conf, slot->pool->index, slot->id);
    if (spawn(context, slot) == 0) {
        if (slot->reason != RESPAWN_none)
            stats_count(&context->stats->totals[slot->number].respawns[slot->reason], 1);
        return;
    }
    log_error("cannot start %s: %s", slot->name, strerror(errno));
    if (slot->block)
        stats_fold(context->stats, slot->block);
    slot->block = NULL;
    slot_handle(context, slot, SUPERVISOR_EVENT_CRASHED);
}

/* ---- what the supervisor says ---- */

static void log_silence(const struct slot_context *context, const struct slot *slot, const char *then)
{
    log_warn("%s (pid %d) is silent for %u ms: %s", slot->name, (int)slot->pid,
             (unsigned)(context->now_ms - slot->supervised.beat_ms), then);
}

static void end(const struct slot_context *context, const struct slot *slot, int signo)
{
    if (slot->supervised.state == SUPERVISOR_ABORTED)
        log_silence(context, slot, "sending SIGABRT");
    else if (slot->supervised.state == SUPERVISOR_KILLED && !slot->expelled)
        log_silence(context, slot, "sending SIGKILL");
    kill(slot->pid, signo);
}

/* Whether siblings adopt the accept queues of a silent worker, for the log. */
static const char *adopters_text(const struct slot *slot)
{
    return slot->pool && slot->pool->running > 1 ? "its siblings adopt its accept queues"
                                                 : "no sibling runs to adopt its accept queues";
}

void slot_handle(struct slot_context *context, struct slot *slot, enum supervisor_event event)
{
    const char *name = slot->name;
    enum supervisor_state before = slot->supervised.state;

    switch (supervisor_handle(&slot->supervised, event, &slot->patience, context->now_ms)) {
    case SUPERVISOR_ACT_NONE: break;
    case SUPERVISOR_ACT_SPAWN: start(context, slot); break;
    case SUPERVISOR_ACT_WAIT:
        log_warn("%s will be started again in %u ms", name, (unsigned)(slot->supervised.due_ms - context->now_ms));
        break;
    case SUPERVISOR_ACT_LOG_SILENT: log_silence(context, slot, adopters_text(slot)); break;
    case SUPERVISOR_ACT_LOG_AWAKE:
        log_notice("%s (pid %d) beats again: its accept queues are its own", name, (int)slot->pid);
        break;
    case SUPERVISOR_ACT_ABORT: end(context, slot, SIGABRT); break;
    case SUPERVISOR_ACT_KILL: end(context, slot, SIGKILL); break;
    case SUPERVISOR_ACT_DRAIN: slot_send_drain(context, slot); break;
    case SUPERVISOR_ACT_LOG_DOWN: log_error("%s stays down: it asked not to be started again", name); break;
    case SUPERVISOR_ACT_BUG:
        log_fatal("%s: event %d cannot happen in state %s", name, event, supervisor_state_name(before));
    }
}

void slot_hurry(struct slot_context *context, struct slot *slot)
{
    if (slot->supervised.state == SUPERVISOR_STOPPING)
        slot_send_drain(context, slot);
}

void slot_expel(struct slot_context *context, struct slot *slot, const char *what)
{
    log_error("%s (pid %d) %s: it is killed", slot->name, (int)slot->pid, what);
    slot->expelled = true;
    slot_close_channel(slot); /* nothing it says counts any more */
    slot_handle(context, slot, SUPERVISOR_EVENT_ERROR);
}

/* A process that exits closes its control pipe a moment before; one that goes on without it cannot be controlled. */
static void check_process(struct slot_context *context, struct slot *slot)
{
    const char *error = slot->block ? stats_error(slot->block, slot->number, getpid()) : NULL;

    if (!slot->pid || slot->expelled)
        return;
    if (!error && slot->closed_ms && clock_now_ms() - slot->closed_ms >= SUPERVISOR_GRACE_MS)
        error = "has closed its control pipe";
    if (error)
        slot_expel(context, slot, error);
}

void slot_check_counters(struct slot_context *context, struct slot *slot)
{
    const char *error = slot->block ? stats_counters_error(context->stats, slot->block) : NULL;

    if (error && slot->suspect && !slot->expelled)
        slot_expel(context, slot, error);
    slot->suspect = error;
}

void slot_tick(struct slot_context *context, struct slot *slot)
{
    uint64_t turns = slot->block ? stats_read(&slot->block->turns) : 0;

    if (slot->block && turns != slot->turns_seen) {
        slot->turns_seen = turns;
        slot_handle(context, slot, SUPERVISOR_EVENT_BEAT);
    }
    slot_send_words(context, slot);
    check_process(context, slot);
    if (slot->supervised.state == SUPERVISOR_EMPTY || slot->supervised.due_ms > context->now_ms)
        return;
    if (slot->supervised.state == SUPERVISOR_STOPPING)
        log_error("%s (pid %d) did not stop in time and is killed", slot->name, (int)slot->pid);
    slot_handle(context, slot, SUPERVISOR_EVENT_DUE);
}

/* ---- death ---- */

static void log_death(const struct slot_context *context, const struct slot *slot, const int *status)
{
    double seconds = (double)(context->now_ms - slot->supervised.started_ms) / 1000;
    const char *name = slot->name;

    if (!status)
        log_error("%s (pid %d) is gone after %.3f s, and nobody knows how", name, (int)slot->pid, seconds);
    else if (WIFSIGNALED(*status))
        log_error("%s (pid %d) killed by SIG%s after %.3f s%s", name, (int)slot->pid, sigabbrev_np(WTERMSIG(*status)),
                  seconds, WCOREDUMP(*status) ? ", core dumped" : "");
    else
        log_write(WEXITSTATUS(*status) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
                  "%s (pid %d) exited with code %d after %.3f s", name, (int)slot->pid, WEXITSTATUS(*status), seconds);
}

/* Check for the last time what the dead worker has written. */
static void check_legacy(const struct slot_context *context, const struct slot *slot)
{
    const char *error = stats_error(slot->block, slot->number, getpid());

    if (!error)
        error = stats_counters_error(context->stats, slot->block);
    if (error && !slot->expelled)
        log_error("%s (pid %d) %s", slot->name, (int)slot->pid, error);
}

static bool hung(const struct slot *slot)
{
    return slot->supervised.state == SUPERVISOR_ABORTED || slot->supervised.state == SUPERVISOR_KILLED;
}

/* SIGKILL comes from the OOM killer or an operator: it is no crash, and neither is exit code 0. */
static enum supervisor_event event_of(const int *status)
{
    if (!status)
        return SUPERVISOR_EVENT_CRASHED;
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == WORKER_EXIT_STAY_DOWN)
        return SUPERVISOR_EVENT_GAVE_UP;
    bool crashed = WIFSIGNALED(*status) ? WTERMSIG(*status) != SIGKILL : WEXITSTATUS(*status) != 0;
    return crashed ? SUPERVISOR_EVENT_CRASHED : SUPERVISOR_EVENT_DIED;
}

static enum stats_respawn reason_of(const struct slot *slot, const int *status)
{
    if (hung(slot) && !slot->expelled)
        return RESPAWN_hang;
    return status && WIFSIGNALED(*status) ? RESPAWN_signal : RESPAWN_exit;
}

void slot_reaped(struct slot_context *context, struct slot *slot, const int *status)
{
    enum supervisor_event event = event_of(status);

    log_death(context, slot, status);
    check_legacy(context, slot);
    stats_fold(context->stats, slot->block);
    slot->block = NULL;
    slot->ready_ms = 0;
    slot->replace_due = false; /* what is started now replaces it */
    slot_close_channel(slot);
    slot->pid = 0;
    if (event == SUPERVISOR_EVENT_GAVE_UP)
        inbox_close(&slot->inbox); /* nobody will read what siblings publish */
    else
        slot->reason = reason_of(slot, status);
    slot_handle(context, slot, event);
}
