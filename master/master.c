#include "master/master.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/report.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/* A worker closes what is left at drain_timeout by itself; one that does not exit soon after is killed. */
enum { STOP_GRACE_MS = 1000 };

/* ---- stopping ---- */

static void kill_all(struct master *master)
{
    master->phase = MASTER_KILLING;
    for (unsigned i = 0; i < master->slots.count; i++)
        if (master->slots.all[i].pid > 0)
            kill(master->slots.all[i].pid, SIGKILL);
}

static void stop(struct master *master, const char *why)
{
    if (master->phase != MASTER_SERVING) {
        log_notice("stopping at once: %s", why);
        kill_all(master);
        return;
    }
    log_notice("stopping: %s; sessions may finish for %u ms", why, master->conf->drain_timeout_ms);
    master->phase = MASTER_STOPPING;
    master->kill_ms = clock_now_ms() + master->conf->drain_timeout_ms + STOP_GRACE_MS;
    for (unsigned i = 0; i < master->slots.count; i++)
        slot_handle(&master->slots, &master->slots.all[i], SUPERVISOR_EVENT_STOP, false);
}

static void stop_at_once(struct master *master, const char *why)
{
    for (unsigned i = 0; i < master->slots.count; i++)
        slot_handle(&master->slots, &master->slots.all[i], SUPERVISOR_EVENT_STOP, false);
    log_notice("stopping at once: %s", why);
    kill_all(master);
}

/* ---- signals ---- */

static void reap(struct master *master)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        slots_reaped(&master->slots, pid, status);
}

static void write_stats_file(const struct master *master)
{
    const char *path = master->conf->stats_file;

    if (path[0] == '\0')
        return;
    if (report_file(master, path) < 0)
        log_error("cannot write statistics to %s: %s", path, strerror(errno));
    else
        log_notice("statistics written to %s", path);
}

static void handle_signal(struct master *master, const struct signalfd_siginfo *info)
{
    switch (info->ssi_signo) {
    case SIGCHLD: reap(master); break;
    case SIGTERM: stop(master, "SIGTERM"); break;
    case SIGINT: stop(master, "SIGINT"); break;
    case SIGQUIT: stop_at_once(master, "SIGQUIT"); break;
    case SIGUSR1:
        report_log(master);
        write_stats_file(master);
        break;
    case SIGHUP:
        if (log_reopen() < 0)
            log_error("cannot reopen the log: %s", strerror(errno));
        else
            log_notice("log reopened");
        slots_reopen_log(&master->slots);
        break;
    default: log_info("%s is ignored", strsignal((int)info->ssi_signo));
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info))
        handle_signal(master, &info);
}

/* ---- what workers say ---- */

static void tell_started(struct master *master, bool ready)
{
    if (master->started)
        master->started(ready);
    master->started = NULL;
}

static void worker_is_ready(struct master *master, struct slot *slot)
{
    unsigned ready = 0;

    slot_handle(&master->slots, slot, SUPERVISOR_EVENT_READY, false);
    if (slot->supervised.state != SUPERVISOR_RUNNING)
        return;
    log_notice("worker %u (pid %d) ready after %u ms", slot->env.slot, (int)slot->pid,
               (unsigned)(clock_now_ms() - slot->supervised.started_ms));
    for (unsigned i = 0; i < master->slots.count; i++)
        ready += master->slots.all[i].supervised.state == SUPERVISOR_RUNNING;
    if (ready == master->slots.count && !master->was_ready) {
        master->was_ready = true;
        log_notice("ready: %u workers, %u listeners", ready, master->conf->listener_count);
        tell_started(master, true);
    }
}

/* Returns false when there is nothing more to read now. */
static bool hear(struct master *master, struct slot *slot)
{
    struct channel_message message;

    if (slot->channel < 0)
        return false;
    switch (channel_receive(slot->channel, &message)) {
    case CHANNEL_AGAIN: return false;
    case CHANNEL_OK: break;
    case CHANNEL_CLOSED: /* SIGCHLD tells the rest */
        close(slot->channel);
        slot->channel = -1;
        return false;
    case CHANNEL_BROKEN: log_fatal("worker %u: control pipe: %s", slot->env.slot, strerror(errno));
    }
    if (message.type == CHANNEL_READY)
        worker_is_ready(master, slot);
    else if (message.type != CHANNEL_SHUTDOWN)
        log_fatal("unexpected %s from worker %u", channel_name(message.type), slot->env.slot);
    else if (master->phase == MASTER_SERVING)
        stop(master, "a client asked for it");
    return true;
}

/* ---- the loop ---- */

/* Milliseconds until something is to be done without being asked; -1: nothing. */
static int time_left(struct master *master)
{
    uint64_t now_ms = clock_now_ms();
    int wait = slots_retry(&master->slots, now_ms);

    if (master->phase != MASTER_STOPPING)
        return wait;
    if (master->kill_ms <= now_ms) {
        log_error("%u workers did not stop in time and are killed", slots_alive(&master->slots));
        kill_all(master);
        return -1;
    }
    int left = (int)(master->kill_ms - now_ms);
    return wait < 0 || left < wait ? left : wait;
}

static bool all_down(const struct slots *slots)
{
    for (unsigned i = 0; i < slots->count; i++)
        if (slots->all[i].supervised.state != SUPERVISOR_DOWN)
            return false;
    return true;
}

static void wait_and_handle(struct master *master, struct pollfd *fds)
{
    unsigned count = master->slots.count;

    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = master->slots.all[i].channel, .events = POLLIN};
    fds[count] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    if (poll(fds, count + 1, time_left(master)) < 0 && errno != EINTR)
        log_fatal("poll: %s", strerror(errno));
    /* What a worker said comes before its death. */
    for (unsigned i = 0; i < count; i++)
        if (fds[i].revents)
            while (hear(master, &master->slots.all[i]))
                ;
    if (fds[count].revents)
        read_signals(master);
}

int master_run(struct master *master)
{
    struct pollfd *fds = reallocarray(NULL, master->slots.count + 1, sizeof(*fds));
    int code = EXIT_SUCCESS;

    if (!fds)
        log_fatal("out of memory");
    master->started_ms = clock_now_ms();
    for (unsigned i = 0; i < master->slots.count; i++)
        slot_handle(&master->slots, &master->slots.all[i], SUPERVISOR_EVENT_START, false);
    while (master->phase == MASTER_SERVING || slots_alive(&master->slots) > 0) {
        wait_and_handle(master, fds);
        if (master->phase == MASTER_SERVING && all_down(&master->slots)) {
            log_error("no worker can run: stopping");
            code = EXIT_FAILURE;
            break;
        }
    }
    write_stats_file(master); /* the final totals */
    tell_started(master, false);
    free(fds);
    log_notice("stopped");
    return code;
}
