#include "master/master.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/adopt.h"
#include "master/candidate.h"
#include "master/queue_table.h"
#include "master/readiness.h"
#include "master/reading.h"
#include "master/report.h"
#include "master/resize.h"
#include "master/rollout.h"
#include "master/siblings.h"
#include "master/slot_words.h"
#include "master/state.h"
#include "master/workers.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/stdlib.h>

enum {
    TICK_MS = 50, /* how often heartbeats are looked at, at least */
    EXTEND_EACH_MS = 1000,
    EXTEND_BY_US = 10 * 1000 * 1000,
};

/* ---- stopping ---- */

static bool is_done(const struct master *master)
{
    if (master_is_serving(master) || !LIST_EMPTY(&master->fleet.leaving) || master->fleet.next)
        return false;
    if (handover_has_handed_over(master->upgrade.state))
        return true;
    return !handover_awaits_end(master->upgrade.state) &&
           !workers_have_orphans(master->fleet.context.stats, master->stop_ms, master->phase == MASTER_KILLING);
}

static void stop_at_once(struct master *master, const char *reason)
{
    log_notice("stopping at once: %s", reason);
    upgrade_stop(master, true);
    if (master_is_serving(master) && handover_is_in_charge(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=stopping at once: %s", reason);
    rollout_give_up(&master->fleet, "the server stops");
    if (!handover_has_handed_over(master->upgrade.state))
        master->phase = MASTER_KILLING;
    master->stop_ms = clock_now_ms();
    fleet_retire_all(&master->fleet, master->fleet.current);
    fleet_kill(&master->fleet);
}

static uint32_t longest_drain_ms(const struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;
    uint32_t longest_ms = 0;

    for (unsigned i = 0; i < conf->pool_count; i++)
        if (conf->pools[i].listener_count > 0 && conf->pools[i].drain_timeout_ms > longest_ms)
            longest_ms = conf->pools[i].drain_timeout_ms;
    return longest_ms;
}

static void begin_stop(struct master *master, const char *reason)
{
    master->fleet.context.for_good = handover_is_in_charge(master->upgrade.state);
    rollout_give_up(&master->fleet, "the server stops");
    log_notice("stopping: %s; sessions may finish for %u ms", reason, longest_drain_ms(master));
    master->phase = MASTER_STOPPING;
    master->stop_ms = clock_now_ms();
    fleet_retire_all(&master->fleet, master->fleet.current);
    fleet_hurry(&master->fleet);
}

static void stop_gracefully(struct master *master, const char *reason)
{
    upgrade_stop(master, false);
    if (handover_is_in_charge(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=stopping: %s", reason);
    begin_stop(master, reason);
}

/* Serve as before until those who send clients here have noticed. What is about to change the server is given up. */
static void stop_soon(struct master *master, const char *reason, uint32_t delay_ms)
{
    upgrade_stop(master, false);
    reload_give_up(master, "the server stops");
    log_notice("stopping in %u ms: %s", delay_ms, reason);
    notify("STOPPING=1\nSTATUS=stopping in %u ms: %s", delay_ms, reason);
    master->phase = MASTER_STOPPING_SOON;
    master->stop_reason = reason;
    master->stop_ms = clock_now_ms() + delay_ms;
}

/* How long the stop is to be delayed: nobody has been sent to a server that was not ready yet, or is not in charge. */
static uint32_t stop_delay_ms(const struct master *master)
{
    bool is_ready = master->phase == MASTER_SERVING && master->was_ready &&
                    handover_is_in_charge(master->upgrade.state);

    return is_ready ? master->fleet.current->conf.stop_delay_ms : 0;
}

static void stop(struct master *master, const char *reason)
{
    const uint32_t delay_ms = stop_delay_ms(master);

    if (!master_is_serving(master))
        stop_at_once(master, reason);
    else if (delay_ms > 0)
        stop_soon(master, reason, delay_ms);
    else
        stop_gracefully(master, reason);
}

static void check_delayed_stop(struct master *master)
{
    if (master->phase == MASTER_STOPPING_SOON && clock_now_ms() >= master->stop_ms)
        stop_gracefully(master, master->stop_reason);
}

/* No worker can run. A predecessor that still drains is sent no STOPPING, so that it serves again. */
static void break_down(struct master *master)
{
    log_error("no worker can run: stopping");
    if (handover_may_reload(master->upgrade.state))
        notify("STOPPING=1\nSTATUS=no worker can run");
    upgrade_break_down(master);
    begin_stop(master, "no worker can run");
}

/* Ctrl-C reaches both masters while one takes over from the other; the sessions of the predecessor drain already. */
static void interrupt(struct master *master)
{
    if (master->upgrade.state == HANDOVER_HANDED_OVER)
        log_notice("SIGINT: this master drains already; SIGTERM ends that");
    else
        stop(master, "SIGINT");
}

/* A client stops the server, but hurries nobody. */
static void shut_down(struct master *master)
{
    if (!upgrade_pass_shutdown(&master->upgrade) && master_is_serving(master) && master->phase != MASTER_STOPPING_SOON)
        stop(master, "a client asked for it");
}

/* ---- signals ---- */

static void write_stats_file(struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;
    char error[512];

    if (conf->stats_file[0] == '\0')
        return;
    if (report_file(master, conf->stats_file, error, sizeof(error)) < 0)
        log_error("cannot write statistics: %s", error);
    else
        log_notice("statistics written to %s", conf->stats_file);
}

static void send_reopen(struct fleet *fleet, struct slot *slot)
{
    slot_send_reopen_log(&fleet->context, slot);
}

static void reopen_logs(struct master *master)
{
    if (log_reopen() < 0)
        log_error("cannot reopen the log: %s", strerror(errno));
    else
        log_notice("log reopened");
    if (master_is_serving(master))
        endpoints_check_files(&master->fleet.endpoints);
    fleet_each_slot(&master->fleet, send_reopen);
}

static void carry_out_requests(struct master *master)
{
    unsigned requests = master->requests;

    master->requests = 0;
    if (requests & MASTER_SHUT_DOWN)
        shut_down(master);
    if (requests & MASTER_STOP_AT_ONCE)
        stop_at_once(master, "the master in charge does");
    if (requests & MASTER_STOP)
        stop(master, "an operator asked for it");
    if (requests & MASTER_RELOAD) {
        reopen_logs(master);
        reload_request(master);
    }
    if (requests & MASTER_UPGRADE)
        upgrade_start(master);
}

static void handle_sighup(struct master *master, const struct signalfd_siginfo *info)
{
    if (!guardian_has_reached_all(info))
        upgrade_pass_hup(&master->upgrade);
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
        workers_reap(
            master); /* the successor may just have died: then this master serves again, and the signal is its own */
    if (info->ssi_signo != SIGCHLD && upgrade_pass_signal(master, info))
        return;
    switch (info->ssi_signo) {
    case SIGCHLD: workers_reap(master); break;
    case SIGTERM: stop(master, "SIGTERM"); break;
    case SIGINT: interrupt(master); break;
    case SIGQUIT: stop_at_once(master, "SIGQUIT"); break;
    case SIGUSR1:
        report_log(master);
        write_stats_file(master);
        break;
    case SIGHUP: handle_sighup(master, info); break;
    case SIGUSR2: upgrade_start(master); break;
    case SIGTTIN: resize_by(&master->fleet, 1, master_is_busy(master)); break;
    case SIGTTOU: resize_by(&master->fleet, -1, master_is_busy(master)); break;
    default: log_info("%s is ignored", strsignal((int)info->ssi_signo));
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        handle_signal(master, &info);
        carry_out_requests(master);
    }
}

/* ---- the start ---- */

static void report_started(struct master *master, bool ready)
{
    if (master->started)
        master->started(ready);
    master->started = NULL;
}

/* A binary in which a pool cannot run that may run in ours takes over nothing. */
static void fail_candidate(struct master *master, const struct pool *pool)
{
    char text[POOL_NAME_SIZE + 32];

    snprintf(text, sizeof(text), "the pool %s cannot run", pool->config->name);
    log_error("%s", text);
    candidate_fail(&master->upgrade, text);
    exit(EXIT_FAILURE); /* the workers finish what they can, as those of any master that is gone */
}

/* The server has started when every worker is READY, or stays down, in all pools that can run. */
static void check_started(struct master *master)
{
    const struct generation *current = master->fleet.current;

    if (master->was_ready)
        return;
    const struct readiness readiness = readiness_of(current);
    if (readiness.cannot && current->pool_count > 1 && handover_is_candidate(master->upgrade.state))
        fail_candidate(master, readiness.cannot);
    if (readiness.others && (readiness.ready > 0 || master->fleet.singles_wait))
        upgrade_report_others_ready(master);
    if (readiness.ready == 0)
        return;
    master->was_ready = readiness.all;
    candidate_report_ready(&master->upgrade, readiness.ready, master->was_ready);
    if (!master->was_ready)
        return;
    if (readiness.cannot)
        log_warn("ready without the pool %s", readiness.cannot->config->name);
    log_notice("ready: %u workers, %u listeners", readiness.ready, current->conf.listener_count);
    report_started(master, true);
    if (handover_is_in_charge(master->upgrade.state))
        notify("READY=1\nSTATUS=%u workers", readiness.ready);
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

static void poll_slot(struct fleet *fleet, struct slot *slot)
{
    (void)fleet;
    if (slot->channel >= 0)
        poll_fd(slot->channel, slot);
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

static void tick_slot(struct fleet *fleet, struct slot *slot)
{
    slot_tick(&fleet->context, slot);
}

static int tick_ms(const struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;
    uint32_t tick = TICK_MS;

    for (unsigned i = 0; i < conf->pool_count; i++)
        if (conf->pools[i].adopt_after_ms / 4 < tick)
            tick = conf->pools[i].adopt_after_ms / 4;
    return (int)tick;
}

static void wait_and_receive(struct master *master)
{
    struct fleet *fleet = &master->fleet;
    bool more = fleet_start_some(fleet, fleet->current) == FLEET_MORE;
    more |= rollout_start_some(fleet) == FLEET_MORE;
    int tick = more ? 0 : tick_ms(master);

    polled.count = 0;
    poll_fd(master->signal_fd, NULL);
    poll_fd(upgrade_poll_fd(&master->upgrade), NULL);
    fleet_each_slot(&master->fleet, poll_slot);
    wait_for_events(tick);
    master->fleet.context.now_ms = supervisor_clock_now(&master->clock, clock_now_ms(), (uint32_t)tick);
    /* Messages of a worker come before its death, and no slot is freed before all have been read. */
    for (unsigned i = 2; i < polled.count; i++)
        if (polled.fds[i].revents) {
            workers_receive(master, polled.slots[i]);
            carry_out_requests(master);
        }
    if (polled.fds[1].revents)
        upgrade_receive(master);
    carry_out_requests(master);
    if (polled.fds[0].revents)
        read_signals(master);
}

/* Ask the service manager for more time, as long as workers that start beat. */
static void notify_starting(const struct master *master)
{
    static uint64_t next_ms;

    if (master->was_ready || master->fleet.context.now_ms < next_ms || !handover_is_in_charge(master->upgrade.state) ||
        !fleet_is_starting(&master->fleet, master->fleet.current))
        return;
    next_ms = master->fleet.context.now_ms + EXTEND_EACH_MS;
    notify("EXTEND_TIMEOUT_USEC=%u", EXTEND_BY_US);
}

static void notify_alive(struct master *master)
{
    static uint64_t next_ms;
    uint64_t period_ms = notify_watchdog_ms();

    if (period_ms == 0 || master->fleet.context.now_ms < next_ms || handover_has_handed_over(master->upgrade.state))
        return;
    next_ms = master->fleet.context.now_ms + period_ms - (period_ms / 2 > TICK_MS ? TICK_MS : 0);
    notify("WATCHDOG=1");
}

int master_run(struct master *master)
{
    bool is_candidate = handover_is_candidate(master->upgrade.state);
    unsigned workers[CONF_POOLS_MAX];
    int code = EXIT_SUCCESS;

    master->started_ms = clock_now_ms();
    report_start(master);
    master->fleet.context.now_ms = supervisor_clock_now(&master->clock, master->started_ms, 0);
    candidate_first_workers(master, workers);
    candidate_hold_singles(master);
    /* Before anything is counted: what came before the first reading would not be of the last minute. */
    if (handover_is_in_charge(master->upgrade.state))
        reading_tick(master->fleet.context.stats, master->started_ms);
    fleet_start(&master->fleet, master->fleet.current, workers, is_candidate ? RESPAWN_upgrade : RESPAWN_none);
    while (!is_done(master)) {
        wait_and_receive(master);
        check_delayed_stop(master);
        workers_check(master);
        carry_out_requests(master);
        readiness_watch(&master->fleet);
        check_started(master);
        generation_note_running(master->fleet.current);
        fleet_each_slot(&master->fleet, tick_slot);
        fleet_retry_replacements(&master->fleet);
        rollout_check(&master->fleet);
        reload_tick(master);
        upgrade_tick(master);
        if (master_is_serving(master))
            adopt_sync(&master->fleet);
        siblings_sync(&master->fleet);
        fleet_free_gone_slots(&master->fleet);
        state_publish(master);
        if (handover_is_in_charge(master->upgrade.state))
            reading_tick(master->fleet.context.stats, clock_now_ms());
        queue_table_publish(master);
        notify_alive(master);
        notify_starting(master);
        if (master_is_serving(master) && generation_is_down(master->fleet.current)) {
            break_down(master);
            code = EXIT_FAILURE;
        }
    }
    if (handover_is_in_charge(master->upgrade.state))
        write_stats_file(master); /* the final totals */
    report_started(master, false);
    if (!handover_has_handed_over(master->upgrade.state) || !master->guardian.stays)
        log_notice("stopped");
    else if (handover_has_successor(master->upgrade.state))
        log_notice("drained: this process stays as the guardian of pid %d", (int)master->upgrade.pid);
    return handover_has_handed_over(master->upgrade.state) ? master->guardian.code : code;
}
