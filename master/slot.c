#include "master/slot.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/* ---- sockets ---- */

static unsigned addresses_of(const struct conf *conf)
{
    unsigned count = 0;

    for (unsigned i = 0; i < conf->listener_count; i++)
        count += conf->listeners[i].address_count;
    return count;
}

static int bind_address(struct slots *slots, const struct listener_config *listener, struct sock_address *address,
                        char *why, size_t why_size)
{
    int *fds = &slots->fds[slots->fd_count];

    if (sock_listen(address, (int)listener->backlog, fds, slots->count) < 0) {
        snprintf(why, why_size, "cannot listen on %s (%s): %s", address->text, listener->name, strerror(errno));
        return -1;
    }
    slots->fd_count += slots->count;
    for (unsigned i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->all[i];
        /* Workers share the one socket of a unix address: there is no SO_REUSEPORT for those. */
        int fd = fds[i] >= 0 ? fds[i] : fds[0];
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): init_slot() has seen to it */
        slot->sockets[slot->env.socket_count++] = (struct worker_socket){.fd = fd, .listener = listener};
    }
    log_notice("listening on %s (%s)", address->text, listener->name);
    return 0;
}

static int init_slot(struct slots *slots, unsigned index, const struct conf *conf)
{
    struct slot *slot = &slots->all[index];

    slot->channel = -1;
    slot->sockets = reallocarray(NULL, addresses_of(conf), sizeof(*slot->sockets));
    slot->env = (struct worker_env){.slot = index,
                                    .channel = -1,
                                    .stats = &slots->blocks[index],
                                    .sockets = slot->sockets,
                                    .max_sessions = conf->max_sessions,
                                    .linger_timeout_ms = conf->linger_timeout_ms};
    return slot->sockets ? 0 : -1;
}

int slots_init(struct slots *slots, struct conf *conf, char *why, size_t why_size)
{
    *slots = (struct slots){.count = conf->workers, .drain_ms = conf->drain_timeout_ms};
    slots->all = calloc(slots->count, sizeof(*slots->all));
    slots->blocks = stats_map(slots->count);
    slots->fds = reallocarray(NULL, slots->count * (size_t)addresses_of(conf), sizeof(*slots->fds));
    bool failed = !slots->all || !slots->blocks || !slots->fds;
    for (unsigned i = 0; i < slots->count && !failed; i++)
        failed = init_slot(slots, i, conf) < 0;
    if (failed) {
        snprintf(why, why_size, "out of memory for %u workers", slots->count);
        return -1;
    }
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++)
            if (bind_address(slots, &conf->listeners[i], &conf->listeners[i].addresses[j], why, why_size) < 0)
                return -1;
    return 0;
}

void slots_fini(struct slots *slots)
{
    for (unsigned i = 0; i < slots->fd_count; i++)
        if (slots->fds[i] >= 0)
            close(slots->fds[i]);
    for (unsigned i = 0; slots->all && i < slots->count; i++) {
        if (slots->all[i].channel >= 0)
            close(slots->all[i].channel);
        free(slots->all[i].sockets);
    }
    free(slots->fds);
    free(slots->all);
    *slots = (struct slots){0};
}

void slots_unlink(const struct conf *conf)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++)
            if (conf->listeners[i].addresses[j].any.sa_family == AF_UNIX)
                unlink(conf->listeners[i].addresses[j].local.sun_path);
}

/* ---- processes ---- */

_Noreturn static void run_child(struct slots *slots, struct slot *slot, int channel)
{
    slots->in_child();
    for (unsigned i = 0; i < slots->count; i++)
        if (slots->all[i].channel >= 0)
            close(slots->all[i].channel);
    slot->env.channel = channel;
    exit(worker_run(&slot->env));
}

/* Returns 0, or -1 with errno. */
static int spawn(struct slots *slots, struct slot *slot)
{
    int ends[2];

    if (channel_open(ends) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        errno = error;
        return -1;
    }
    if (pid == 0) {
        close(ends[0]);
        run_child(slots, slot, ends[1]);
    }
    close(ends[1]);
    slot->pid = pid;
    slot->channel = ends[0];
    return 0;
}

/* To a worker that is dying, and will be reaped, or that does not read, and will be killed, it makes no difference. */
static void tell(const struct slot *slot, enum channel_type type, uint32_t value)
{
    if (slot->channel >= 0 && channel_send(slot->channel, type, value) == CHANNEL_BROKEN)
        log_error("worker %u: control pipe: %s", slot->env.slot, strerror(errno));
}

void slots_reopen_log(const struct slots *slots)
{
    for (unsigned i = 0; i < slots->count; i++)
        tell(&slots->all[i], CHANNEL_REOPEN_LOG, 0);
}

void slot_handle(struct slots *slots, struct slot *slot, enum supervisor_event event, bool own_fault)
{
    uint64_t now_ms = clock_now_ms();
    unsigned number = slot->env.slot;

    switch (supervisor_handle(&slot->supervised, event, own_fault, now_ms)) {
    case SUPERVISOR_ACT_NONE: break;
    case SUPERVISOR_ACT_SPAWN:
        if (spawn(slots, slot) < 0) {
            log_error("cannot start worker %u: %s", number, strerror(errno));
            slot_handle(slots, slot, SUPERVISOR_EVENT_DIED, true);
        }
        break;
    case SUPERVISOR_ACT_WAIT:
        log_warn("worker %u will be started again in %u ms", number, (unsigned)(slot->supervised.retry_ms - now_ms));
        break;
    case SUPERVISOR_ACT_DRAIN: tell(slot, CHANNEL_STOP, slots->drain_ms); break;
    case SUPERVISOR_ACT_TELL_DOWN: log_error("worker %u stays down: it asked not to be started again", number); break;
    case SUPERVISOR_ACT_BUG:
        log_fatal("worker %u: event %d cannot happen in state %s", number, event,
                  supervisor_state_name(slot->supervised.state));
    }
}

static void log_death(const struct slot *slot, int status)
{
    double seconds = (double)(clock_now_ms() - slot->supervised.started_ms) / 1000;
    unsigned number = slot->env.slot;
    int pid = (int)slot->pid;

    if (WIFSIGNALED(status))
        log_error("worker %u (pid %d) killed by SIG%s after %.3f s%s", number, pid, sigabbrev_np(WTERMSIG(status)),
                  seconds, WCOREDUMP(status) ? ", core dumped" : "");
    else
        log_write(WEXITSTATUS(status) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
                  "worker %u (pid %d) exited with code %d after %.3f s", number, pid, WEXITSTATUS(status), seconds);
}

static void forget_process(struct slot *slot)
{
    stats_fold(&slot->total, slot->env.stats);
    if (slot->channel >= 0)
        close(slot->channel);
    slot->channel = -1;
    slot->pid = 0;
}

void slots_reaped(struct slots *slots, pid_t pid, int status)
{
    for (unsigned i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->all[i];
        if (slot->pid != pid)
            continue;
        bool killed = WIFSIGNALED(status);
        bool own_fault = killed ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0;
        bool wanted = slot->supervised.state == SUPERVISOR_STOPPING;
        log_death(slot, status);
        forget_process(slot);
        if (!killed && WEXITSTATUS(status) == WORKER_EXIT_STAY_DOWN) {
            slot_handle(slots, slot, SUPERVISOR_EVENT_GAVE_UP, true);
            return;
        }
        if (!wanted)
            ++*(killed ? &slot->respawns_signal : &slot->respawns_exit);
        slot_handle(slots, slot, SUPERVISOR_EVENT_DIED, own_fault);
        return;
    }
}

int slots_retry(struct slots *slots, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;

    for (unsigned i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->all[i];
        if (slot->supervised.state == SUPERVISOR_BACKOFF && slot->supervised.retry_ms <= now_ms)
            slot_handle(slots, slot, SUPERVISOR_EVENT_RETRY, false);
        if (slot->supervised.state == SUPERVISOR_BACKOFF && slot->supervised.retry_ms < next_ms)
            next_ms = slot->supervised.retry_ms;
    }
    if (next_ms == UINT64_MAX)
        return -1;
    return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

unsigned slots_alive(const struct slots *slots)
{
    unsigned count = 0;

    for (unsigned i = 0; i < slots->count; i++)
        count += slots->all[i].pid > 0;
    return count;
}
