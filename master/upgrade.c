/*
 * A change of the binary while it serves. The predecessor starts the candidate with its sockets and its statistics:
 *
 *   predecessor                                 candidate
 *     | fork, exec; environment: CCSERVER_UPGRADE = descriptors
 *     |                                          | loads its configuration, claims the sockets, starts its workers
 *     | <-------------- ALIVE ------------------ | some of them are READY, or beat while they start
 *     | <-------------- YIELD ------------------ | all of them are that need not be alone: single.h
 *     | -------------- YIELDED ----------------> | starts those
 *     | <-------------- READY ------------------ | all of them are
 *     | --------------- YOURS -----------------> | puts its pid file in the place of the predecessor's
 *     | <--------------- MINE ------------------ | in charge: the successor
 *     | drains, exits                            |
 *     | <------------- STOPPING ---------------- | it is told to stop: its end will be no failure
 *     | <-------------- QUICKLY ---------------- | at once: so does the predecessor
 *     | --------------- SHUTDOWN --------------> | a client has asked for it; also in the other direction, before MINE
 *
 *   "FAILED error", its end, or ten seconds of silence: the predecessor kills the candidate and goes on as if nothing
 * had happened.
 *
 * Who is in charge, and what each word and each event leads to, stands in the table of handover.c. Messages are words
 * on a SOCK_SEQPACKET pair (upgrade_words.h). The candidate's sockets are copies: whatever it does, the predecessor's
 * stay. The candidate does nothing that the predecessor could not take back before MINE has been sent. Where somebody
 * waits for the first master, that one does not exit when it has drained: see guardian.h.
 */
#include "master/upgrade.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/stats.h"
#include "master/binary.h"
#include "master/candidate.h"
#include "master/master.h"
#include "master/resize.h"
#include "master/single.h"
#include "master/state.h"
#include "master/upgrade_fork.h"
#include "master/upgrade_words.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/string.h>

enum { PATIENCE_MS = 10 * 1000 };

static void handle(struct master *master, enum handover_event event);
static void check_claim(struct master *master);

static void close_channel(struct upgrade *upgrade)
{
    if (upgrade->channel >= 0)
        close(upgrade->channel);
    upgrade->channel = -1;
    upgrade->unsent = 0;
}

/* Reset all that is known of the other master. The state stays. */
static void forget(struct upgrade *upgrade)
{
    close_channel(upgrade);
    *upgrade = (struct upgrade){.state = upgrade->state, .channel = -1};
}

static int replace_pid_file(struct master *master, char *error, size_t error_size)
{
    const struct pid_other other = {.pid = master->upgrade.pid, .file = master->upgrade.pid_file};

    return pid_replace(&master->pidfile, master->fleet.current->conf.pidfile, &other, error, error_size);
}

/* ---- the predecessor ---- */

static void wait_longer(struct upgrade *upgrade)
{
    upgrade->due_ms = clock_now_ms() + PATIENCE_MS;
}

static void log_failure(struct master *master, const char *error)
{
    atomic_fetch_add(&master->fleet.context.stats->service.upgrade_failures, 1);
    state_note_change(&master->fleet.context.stats->service.last_upgrade, true, error);
    log_error("upgrade failed: %s; this master goes on", error);
    notify("STATUS=upgrade failed: %s", error);
}

void upgrade_start(struct master *master)
{
    char path[PATH_MAX], error[UPGRADE_TEXT_SIZE];

    upgrade_receive(master); /* the predecessor that drained may be gone by now */
    if (master_is_busy(master)) {
        log_warn("upgrade refused: a reload, an upgrade or a stop is under way");
    } else if (binary_find(master->binary, path, sizeof(path), error, sizeof(error)) < 0) {
        log_failure(master, error);
    } else if (upgrade_fork(master, path) < 0) {
        log_failure(master, strerror(errno));
    } else {
        handle(master, HANDOVER_EVENT_START);
        log_notice("upgrade: starting %s (pid %d)", path, (int)master->upgrade.pid);
        notify("STATUS=upgrading, pid %d starts", (int)master->upgrade.pid);
    }
}

/* The failure is logged when the candidate has been reaped: its exit status may be all that is known. */
static void kill_candidate(struct upgrade *upgrade)
{
    kill(upgrade->pid, SIGKILL);
    upgrade->due_ms = 0;
}

static void note_failure(struct upgrade *upgrade, const char *error)
{
    if (upgrade->error[0] == '\0')
        strlcpy(upgrade->error, error, sizeof(upgrade->error));
}

/* Its exit status says why it has failed, unless it has said so itself. */
static void note_exit(struct upgrade *upgrade, int status)
{
    char text[64];

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "the new binary was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, sizeof(text), "the new binary exited with code %d", WEXITSTATUS(status));
    note_failure(upgrade, text);
}

static void go_on(struct master *master)
{
    log_failure(master, master->upgrade.error);
    fleet_release(&master->fleet, RESPAWN_upgrade);
    forget(&master->upgrade);
    guardian_resume(&master->guardian);
}

/* The candidate may have put its own pid file in the place of ours, and shut the sockets that it drops. */
static void recover(struct master *master)
{
    char error[UPGRADE_TEXT_SIZE];

    log_failure(master, master->upgrade.error);
    if (replace_pid_file(master, error, sizeof(error)) < 0)
        log_error("%s", error);
    endpoints_listen(&master->fleet.endpoints, &master->fleet.current->conf);
    fleet_release(&master->fleet, RESPAWN_upgrade);
    forget(&master->upgrade);
    guardian_resume(&master->guardian);
}

static void offer(struct master *master)
{
    wait_longer(&master->upgrade);
    upgrade_words_send(&master->upgrade, WORD_YOURS);
}

/* The candidate is as far as it comes without them. */
static void yield_singles(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++) {
        struct pool *pool = &fleet->current->pools[i];
        if (!pool->config->single || pool->held)
            continue;
        log_notice("upgrade: the pool %s makes room for its next worker", pool->config->name);
        fleet_hold(fleet, pool);
    }
}

static void send_yielded(struct upgrade *upgrade)
{
    wait_longer(upgrade);
    upgrade_words_send(upgrade, WORD_YIELDED);
}

static void check_yielding(struct master *master)
{
    if (master->upgrade.state == HANDOVER_YIELDING && single_has_yielded(&master->fleet))
        handle(master, HANDOVER_EVENT_EMPTIED);
}

static void hand_over(struct master *master)
{
    int pid = (int)master->upgrade.pid;

    pid_remove(&master->pidfile, master->fleet.current->conf.pidfile);
    if (master->reload.pending)
        upgrade_pass_hup(&master->upgrade);
    master->reload.pending = false;
    master->upgrade.due_ms = 0;
    log_notice("upgrade: pid %d is in charge, this master drains", pid);
    if (!master->guardian.stays) /* the status is the successor's: ours might come after it */
        notify("MAINPID=%d", pid);
    guardian_handed_over(&master->guardian);
    fleet_retire_all(&master->fleet, master->fleet.current);
}

/* The successor has died in charge, and this master still drains. */
static void resume_service(struct master *master)
{
    unsigned workers[CONF_POOLS_MAX];
    char error[256];

    log_error("upgrade failed: pid %d died in charge; this master serves again", (int)master->upgrade.pid);
    atomic_fetch_add(&master->fleet.context.stats->service.upgrade_failures, 1);
    state_note_change(&master->fleet.context.stats->service.last_upgrade, true, "the new master died in charge");
    forget(&master->upgrade);
    guardian_resume(&master->guardian);
    if (replace_pid_file(master, error, sizeof(error)) < 0)
        log_error("%s", error);
    endpoints_listen(&master->fleet.endpoints, &master->fleet.current->conf); /* it may have dropped some */
    conf_each_pool_workers(&master->fleet.current->conf, workers);
    fleet_start(&master->fleet, master->fleet.current, workers, RESPAWN_upgrade);
    if (!master->guardian.stays)
        notify("MAINPID=%d", (int)getpid());
    notify("READY=1");
}

/* What this master still drains is all that is left of the server. */
static void outlive(struct master *master)
{
    guardian_note_end(&master->guardian, master->upgrade.status);
    forget(&master->upgrade);
    guardian_resume(&master->guardian);
}

bool upgrade_reaped(struct master *master, pid_t pid, int status)
{
    struct upgrade *upgrade = &master->upgrade;

    if (!handover_awaits_end(upgrade->state) || pid != upgrade->pid)
        return false;
    upgrade_receive(master); /* its last words tell more than its exit code */
    upgrade->status = status;
    note_exit(upgrade, status);
    handle(master, WIFEXITED(status) && WEXITSTATUS(status) == 0 ? HANDOVER_EVENT_EXITED : HANDOVER_EVENT_DIED);
    return true;
}

void upgrade_tick(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;

    upgrade_words_flush(upgrade);
    check_yielding(master);
    candidate_report_beats(master);
    check_claim(master);
    guardian_tick(&master->guardian);
    if (upgrade->due_ms && clock_now_ms() >= upgrade->due_ms) {
        if (upgrade->state != HANDOVER_YIELDING) /* where it waits for us */
            note_failure(upgrade, "silent for 10 s");
        handle(master, HANDOVER_EVENT_LATE);
    }
}

/* ---- what is the business of the other master ---- */

void upgrade_pass_hup(const struct upgrade *upgrade)
{
    if (!handover_has_successor(upgrade->state))
        return;
    log_notice("SIGHUP is passed on to pid %d", (int)upgrade->pid);
    kill(upgrade->pid, SIGHUP);
}

bool upgrade_pass_signal(struct master *master, const struct signalfd_siginfo *info)
{
    int signo = (int)info->ssi_signo, pid = (int)master->upgrade.pid;
    bool is_stop = signo == SIGTERM || signo == SIGINT || signo == SIGQUIT;

    if (!handover_has_successor(master->upgrade.state))
        return false;
    if (!master->guardian.stays && !guardian_has_sent(&master->guardian, info))
        return false;
    if (guardian_has_reached_all(info)) {
        log_notice("SIG%s: this master drains already; pid %d has received it, too", sigabbrev_np(signo), pid);
        return true;
    }
    log_notice("SIG%s is passed on to pid %d", sigabbrev_np(signo), pid);
    kill(master->upgrade.pid, signo);
    if (is_stop)
        handle(master, HANDOVER_EVENT_STOPPING); /* also if it dies of something else before it has seen the signal */
    return true;
}

bool upgrade_pass_shutdown(struct upgrade *upgrade)
{
    if (!handover_has_successor(upgrade->state) && !handover_is_candidate(upgrade->state))
        return false;
    upgrade_words_send(upgrade, WORD_SHUTDOWN);
    return true;
}

/* ---- the candidate ---- */

void upgrade_report_others_ready(struct master *master)
{
    if (master->upgrade.state == HANDOVER_CANDIDATE && master->fleet.singles_wait)
        handle(master, HANDOVER_EVENT_OTHERS_READY);
}

/* MINE is on its way, or nobody is left to receive it: there is no way back. */
static void check_claim(struct master *master)
{
    if (handover_has_claimed(master->upgrade.state) && !upgrade_words_is_unsent(&master->upgrade, WORD_MINE))
        handle(master, HANDOVER_EVENT_SENT);
}

static void send_mine(struct master *master)
{
    guardian_report(&master->guardian);
    upgrade_words_send(&master->upgrade, WORD_MINE);
}

/* The pid file comes first: it can fail, and until MINE has been said the predecessor can go on. */
static void claim(struct master *master)
{
    char error[UPGRADE_TEXT_SIZE];

    if (replace_pid_file(master, error, sizeof(error)) < 0) {
        log_error("%s", error);
        candidate_fail(&master->upgrade, error);
        exit(EXIT_FAILURE); /* the workers finish what they can, as those of any master that is gone */
    }
    send_mine(master);
}

static void take_over(struct master *master)
{
    stats_count(&master->fleet.context.stats->upgrades, 1);
    master->fleet.singles_wait = false;
    endpoints_yield_covered(&master->fleet.endpoints);
    endpoints_shut_unclaimed(&master->fleet.endpoints);
    endpoints_keep_claimed(&master->fleet.endpoints, &master->fleet.current->conf);
    resize_to_configured(&master->fleet);
    state_publish(master); /* whoever waits for the end of the upgrade looks for the new master then */
    state_note_change(&master->fleet.context.stats->service.last_upgrade, false, "a new binary serves");
    log_notice("upgrade: this master is in charge, pid %d drains", (int)master->upgrade.pid);
    notify("READY=1\nSTATUS=%u workers", conf_workers(&master->fleet.current->conf));
}

/* The predecessor is gone. Without a pid file this master is still better than none. */
static void take_over_alone(struct master *master)
{
    char error[UPGRADE_TEXT_SIZE];

    if (replace_pid_file(master, error, sizeof(error)) < 0)
        log_error("%s", error);
    guardian_report(&master->guardian);
    take_over(master);
    forget(&master->upgrade);
}

void upgrade_stop(struct master *master, bool at_once)
{
    note_failure(&master->upgrade, "this master stops");
    handle(master, HANDOVER_EVENT_STOP);
    if (at_once && handover_has_predecessor(master->upgrade.state))
        upgrade_words_send(&master->upgrade, WORD_QUICKLY);
}

void upgrade_break_down(struct master *master)
{
    note_failure(&master->upgrade, "this master stops");
    handle(master, HANDOVER_EVENT_BREAK_DOWN);
}

/* ---- both ---- */

static void carry_out(struct master *master, enum handover_action action)
{
    struct upgrade *upgrade = &master->upgrade;

    switch (action) {
    case HANDOVER_ACT_NONE: break;
    case HANDOVER_ACT_WAIT: wait_longer(upgrade); break;
    case HANDOVER_ACT_OFFER: offer(master); break;
    case HANDOVER_ACT_YIELD: yield_singles(&master->fleet); break;
    case HANDOVER_ACT_SEND_YIELDED: send_yielded(upgrade); break;
    case HANDOVER_ACT_SEND_YIELD: upgrade_words_send(upgrade, WORD_YIELD); break;
    case HANDOVER_ACT_START_SINGLES: master->fleet.singles_wait = false; break;
    case HANDOVER_ACT_KILL: kill_candidate(upgrade); break;
    case HANDOVER_ACT_FAIL: go_on(master); break;
    case HANDOVER_ACT_RECOVER: recover(master); break;
    case HANDOVER_ACT_HAND_OVER: hand_over(master); break;
    case HANDOVER_ACT_RESUME_SERVICE: resume_service(master); break;
    case HANDOVER_ACT_OUTLIVE: outlive(master); break;
    case HANDOVER_ACT_HURRY: fleet_hurry(&master->fleet); break;
    case HANDOVER_ACT_STOP_AT_ONCE: master->requests |= MASTER_STOP_AT_ONCE; break;
    case HANDOVER_ACT_CLOSE: close_channel(upgrade); break;
    case HANDOVER_ACT_FORGET: forget(upgrade); break;
    case HANDOVER_ACT_CLAIM: claim(master); break;
    case HANDOVER_ACT_SEND_MINE: send_mine(master); break;
    case HANDOVER_ACT_TAKE_OVER: take_over(master); break;
    case HANDOVER_ACT_TAKE_OVER_ALONE: take_over_alone(master); break;
    case HANDOVER_ACT_SEND_STOPPING: upgrade_words_send(upgrade, WORD_STOPPING); break;
    case HANDOVER_ACT_BUG: break;
    }
}

static void handle(struct master *master, enum handover_event event)
{
    enum handover_action action = handover_handle(&master->upgrade.state, event);

    if (action == HANDOVER_ACT_BUG)
        log_fatal("upgrade: event %d cannot happen in state '%s'", event, handover_state_name(master->upgrade.state));
    carry_out(master, action);
}

static void handle_word(struct master *master, enum upgrade_word word, const char *error)
{
    switch (word) {
    case WORD_ALIVE: handle(master, HANDOVER_EVENT_ALIVE); break;
    case WORD_YIELD: handle(master, HANDOVER_EVENT_YIELD); break;
    case WORD_YIELDED: handle(master, HANDOVER_EVENT_YIELDED); break;
    case WORD_READY: handle(master, HANDOVER_EVENT_READY); break;
    case WORD_YOURS:
        handle(master, HANDOVER_EVENT_YOURS);
        check_claim(master);
        break;
    case WORD_MINE: handle(master, HANDOVER_EVENT_MINE); break;
    case WORD_STOPPING: handle(master, HANDOVER_EVENT_STOPPING); break;
    case WORD_QUICKLY: handle(master, HANDOVER_EVENT_QUICKLY); break;
    case WORD_SHUTDOWN: master->requests |= MASTER_SHUT_DOWN; break;
    case WORD_FAILED:
        note_failure(&master->upgrade, error);
        handle(master, HANDOVER_EVENT_FAILED);
        break;
    case WORD_END: handle(master, HANDOVER_EVENT_CLOSED); break;
    default: break;
    }
}

void upgrade_receive(struct master *master)
{
    char error[UPGRADE_TEXT_SIZE];
    enum upgrade_word word = WORD_UNKNOWN;

    while (master->upgrade.channel >= 0 && word != WORD_NONE) {
        word = upgrade_words_receive(&master->upgrade, error);
        handle_word(master, word, error);
    }
}

int upgrade_poll_fd(const struct upgrade *upgrade)
{
    return upgrade->receive_again_ms && clock_now_ms() < upgrade->receive_again_ms ? -1 : upgrade->channel;
}
