#include "master/master.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
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

enum { TICK_MS = 50 }; /* how often heartbeats are looked at, at least */

/* ---- slots ---- */

void master_handle(struct master *master, struct slot *slot, enum supervisor_event event)
{
    slot_handle(&master->world, slot, event);
}

void master_each_slot(struct master *master, void (*visit)(struct master *master, struct slot *slot))
{
    struct generation *const generations[] = {master->current, master->next};
    struct slot *slot, *next;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; generations[i] && j < generations[i]->count; j++)
            visit(master, generations[i]->slots[j]);
    LIST_FOREACH_SAFE(slot, &master->leaving, link, next)
    visit(master, slot);
}

/* Free those that have gone, and say when they were the last of their generation. */
static void bury(struct master *master)
{
    struct slot *slot, *next, *other;

    LIST_FOREACH_SAFE(slot, &master->leaving, link, next)
    {
        unsigned generation = slot->generation;
        bool last = generation < master->current->number;
        if (slot->supervised.state != SUPERVISOR_EMPTY)
            continue;
        LIST_REMOVE(slot, link);
        slot_free(slot);
        LIST_FOREACH(other, &master->leaving, link)
        last &= other->generation != generation;
        if (last)
            log_notice("generation %u is gone", generation);
    }
}

/* ---- stopping ---- */

static bool is_done(const struct master *master)
{
    if (master_is_serving(master) || !LIST_EMPTY(&master->leaving) || master->next)
        return false;
    if (handover_has_handed_over(master->upgrade.state))
        return true;
    return !handover_awaits_end(master->upgrade.state) && !upgrade_has_orphans(master);
}

static void kill_slot(struct master *master, struct slot *slot)
{
    master_handle(master, slot, SUPERVISOR_EVENT_KILL);
}

void master_stop_at_once(struct master *master, const char *why)
{
    log_notice("stopping at once: %s", why);
    upgrade_stop(master, true);
    if (master->phase == MASTER_SERVING && handover_is_in_charge(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=stopping at once: %s", why);
    if (master->next)
        generation_give_up_next(master, "the server stops");
    if (!handover_has_handed_over(master->upgrade.state))
        master->phase = MASTER_KILLING;
    master->stop_ms = clock_now_ms();
    generation_retire_all(master);
    master_each_slot(master, kill_slot);
}

static void hurry_slot(struct master *master, struct slot *slot)
{
    slot_hurry(&master->world, slot);
}

void master_hurry(struct master *master)
{
    master_each_slot(master, hurry_slot);
}

static void give_in(struct master *master, const char *why)
{
    if (master->next)
        generation_give_up_next(master, "the server stops");
    log_notice("stopping: %s; sessions may finish for %u ms", why, master->world.patience.drain_ms);
    master->phase = MASTER_STOPPING;
    master->stop_ms = clock_now_ms();
    master->world.for_good = handover_is_in_charge(master->upgrade.state);
    generation_retire_all(master);
    master_hurry(master);
}

static void stop(struct master *master, const char *why)
{
    if (!master_is_serving(master)) {
        master_stop_at_once(master, why);
        return;
    }
    upgrade_stop(master, false);
    if (handover_is_in_charge(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=stopping: %s", why);
    give_in(master, why);
}

/* No worker can run. A predecessor that still drains serves again, and so does not hear of a stop. */
static void break_down(struct master *master)
{
    log_error("no worker can run: stopping");
    if (handover_may_reload(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=no worker can run");
    upgrade_break_down(master);
    give_in(master, "no worker can run");
}

/* Ctrl-C reaches both masters while one takes over from the other; the sessions of the predecessor drain already. */
static void interrupt(struct master *master)
{
    if (master->upgrade.state == HANDOVER_HANDED_OVER)
        log_notice("SIGINT: this master drains already; SIGTERM ends that");
    else
        stop(master, "SIGINT");
}

void master_shut_down(struct master *master)
{
    if (!upgrade_pass_shutdown(master) && master_is_serving(master))
        stop(master, "a client asked for it");
}

/* ---- signals ---- */

static void write_stats_file(struct master *master)
{
    const struct conf *conf = &master->current->conf;
    char why[512];

    if (conf->stats_file[0] == '\0')
        return;
    if (report_file(master, conf->stats_file, why, sizeof(why)) < 0)
        log_error("cannot write statistics: %s", why);
    else
        log_notice("statistics written to %s", conf->stats_file);
}

static void tell_reopen(struct master *master, struct slot *slot)
{
    slot_tell_reopen_log(&master->world, slot);
}

static void reopen_logs(struct master *master)
{
    if (log_reopen() < 0)
        log_error("cannot reopen the log: %s", strerror(errno));
    else
        log_notice("log reopened");
    if (master_is_serving(master))
        endpoints_check_files(&master->endpoints);
    master_each_slot(master, tell_reopen);
}

static void hang_up(struct master *master, const struct signalfd_siginfo *info)
{
    if (!guardian_has_reached_all(info))
        upgrade_pass_hup(master);
    reload_request(master);
}

static void handle_signal(struct master *master, const struct signalfd_siginfo *info)
{
    if (guardian_repeats(&master->guardian, info)) {
        log_info("SIG%s: once for the process group and once from the guardian", sigabbrev_np((int)info->ssi_signo));
        return;
    }
    if (info->ssi_signo == SIGHUP)
        reopen_logs(master);
    if (handover_has_handed_over(master->upgrade.state))
        workers_reap(master); /* whoever has just died cannot be told anything; this master may serve again */
    if (info->ssi_signo != SIGCHLD && upgrade_pass_signal(master, info))
        return;
    switch (info->ssi_signo) {
    case SIGCHLD: workers_reap(master); break;
    case SIGTERM: stop(master, "SIGTERM"); break;
    case SIGINT: interrupt(master); break;
    case SIGQUIT: master_stop_at_once(master, "SIGQUIT"); break;
    case SIGUSR1:
        report_log(master);
        write_stats_file(master);
        break;
    case SIGHUP: hang_up(master, info); break;
    case SIGUSR2: upgrade_start(master); break;
    case SIGTTIN: generation_resize(master, 1); break;
    case SIGTTOU: generation_resize(master, -1); break;
    default: log_info("%s is ignored", strsignal((int)info->ssi_signo));
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info))
        handle_signal(master, &info);
}

/* ---- the start ---- */

static void tell_started(struct master *master, bool ready)
{
    if (master->started)
        master->started(ready);
    master->started = NULL;
}

/* The server has started when every worker is READY, or stays down. */
static void check_started(struct master *master)
{
    const struct generation *current = master->current;
    unsigned ready = 0, down = 0;

    for (unsigned i = 0; i < current->count && !master->was_ready; i++) {
        ready += current->slots[i]->supervised.state == SUPERVISOR_RUNNING;
        down += current->slots[i]->supervised.state == SUPERVISOR_DOWN;
    }
    if (ready == 0)
        return;
    master->was_ready = ready + down == current->wanted;
    upgrade_tell_ready(master, ready, master->was_ready);
    if (!master->was_ready)
        return;
    log_notice("ready: %u workers, %u listeners", ready, current->conf.listener_count);
    tell_started(master, true);
    if (handover_is_in_charge(master->upgrade.state))
        notify("READY=1\nSTATUS=%u workers", ready);
}

/* ---- the loop ---- */

/* Who has a control pipe has a process and so one of the blocks for them: no memory can be short when one is added. */
enum { POLLED_MAX = 2 + STATS_PROCESSES_MAX };

static struct {
    struct pollfd fds[POLLED_MAX];
    struct slot *slots[POLLED_MAX];
    unsigned count;
} polled;

static void poll_fd(int fd, struct slot *slot)
{
    if (polled.count == POLLED_MAX)
        log_fatal("more control pipes than there can be processes");
    polled.slots[polled.count] = slot;
    polled.fds[polled.count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void poll_slot(struct master *master, struct slot *slot)
{
    (void)master;
    if (slot->channel >= 0)
        poll_fd(slot->channel, slot);
}

static unsigned count_running(const struct generation *generation)
{
    unsigned running = 0;

    for (unsigned i = 0; i < generation->count; i++)
        running += generation->slots[i]->supervised.state == SUPERVISOR_RUNNING;
    return running;
}

/* Should poll() fail, everything is looked at: nothing that is read here blocks. */
static void wait_for_events(int patience_ms)
{
    static struct log_limit limit;

    if (poll(polled.fds, polled.count, patience_ms) >= 0)
        return;
    if (errno != EINTR) {
        log_limited(&limit, 1, LOG_LEVEL_ERROR, "poll: %s", strerror(errno));
        nanosleep(&(struct timespec){.tv_nsec = patience_ms * 1000000L}, NULL);
    }
    for (unsigned i = 0; i < polled.count; i++)
        polled.fds[i].revents = polled.fds[i].fd < 0 ? 0 : POLLIN;
}

static void tick_slot(struct master *master, struct slot *slot)
{
    slot_tick(&master->world, slot);
}

static int tick_ms(const struct master *master)
{
    uint32_t quarter = master->world.patience.adopt_after_ms / 4;

    return quarter < TICK_MS ? (int)quarter : TICK_MS;
}

static void wait_and_hear(struct master *master)
{
    bool more = generation_start_some(master, master->current) | generation_start_some(master, master->next);
    int tick = more ? 0 : tick_ms(master);

    polled.count = 0;
    poll_fd(master->signal_fd, NULL);
    poll_fd(upgrade_poll_fd(master), NULL);
    master_each_slot(master, poll_slot);
    wait_for_events(tick);
    master->world.now_ms = supervisor_clock_now(&master->clock, clock_now_ms(), (uint32_t)tick);
    /* What a worker said comes before its death, and slots stay where they are until they are buried. */
    for (unsigned i = 2; i < polled.count; i++)
        if (polled.fds[i].revents)
            workers_receive(master, polled.slots[i]);
    if (polled.fds[1].revents)
        upgrade_hear(master);
    if (polled.fds[0].revents)
        read_signals(master);
}

static void notify_alive(struct master *master)
{
    static uint64_t next_ms;
    uint64_t period_ms = notify_watchdog_ms();

    if (period_ms == 0 || master->world.now_ms < next_ms || handover_has_handed_over(master->upgrade.state))
        return;
    next_ms = master->world.now_ms + period_ms - (period_ms / 2 > TICK_MS ? TICK_MS : 0);
    notify("WATCHDOG=1");
}

static bool all_down(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->count; i++)
        if (generation->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return false;
    return generation->count == generation->wanted;
}

int master_run(struct master *master)
{
    bool is_candidate = handover_is_candidate(master->upgrade.state);
    int code = EXIT_SUCCESS;

    master->started_ms = clock_now_ms();
    report_start(master);
    master->world.now_ms = supervisor_clock_now(&master->clock, master->started_ms, 0);
    generation_apply_patience(master);
    generation_start(master, master->current, is_candidate ? RESPAWN_upgrade : RESPAWN_none);
    while (!is_done(master)) {
        wait_and_hear(master);
        workers_check(master);
        check_started(master);
        master->world.running = count_running(master->current);
        master_each_slot(master, tick_slot);
        generation_retry_replacements(master);
        generation_check_next(master);
        reload_tick(master);
        upgrade_tick(master);
        adopt_settle(master);
        bury(master);
        notify_alive(master);
        if (master_is_serving(master) && all_down(master->current)) {
            break_down(master);
            code = EXIT_FAILURE;
        }
    }
    if (handover_is_in_charge(master->upgrade.state))
        write_stats_file(master); /* the final totals */
    tell_started(master, false);
    if (!handover_has_handed_over(master->upgrade.state) || !master->guardian.stays)
        log_notice("stopped");
    else if (handover_has_successor(master->upgrade.state))
        log_notice("drained: this process stays as the guardian of pid %d", (int)master->upgrade.pid);
    return handover_has_handed_over(master->upgrade.state) ? master->guardian.code : code;
}
