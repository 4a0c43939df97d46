/*
 * A change of the binary while it serves. The older master starts the newer one with its sockets and its statistics:
 *
 *   older                                       newer
 *     | fork, exec; environment: CCSERVER_UPGRADE = descriptors
 *     |                                          | loads its configuration, claims the sockets, starts its workers
 *     | <-------------- ALIVE ------------------ | some of them are READY
 *     | <-------------- READY ------------------ | all of them are
 *     | --------------- YOURS -----------------> | puts its pid file in the place of the older's: in charge
 *     | <--------------- MINE ------------------ |
 *     | drains, exits                            |
 *     | <------------- STOPPING ---------------- | it is told to stop: its end will be no failure
 *     | <-------------- QUICKLY ---------------- | at once: so does the older
 *     | --------------- SHUTDOWN --------------> | a client has asked for it; also in the other direction, before MINE
 *
 *   "FAILED why", its end, or ten seconds of silence: the older one kills it and goes on as if nothing had happened.
 *
 * Messages are words on a SOCK_SEQPACKET pair (upgrade_words.h). The newer's sockets are copies: whatever it does, ours
 * stay. The newer one does nothing that the older one could not take back before MINE has been sent. Where somebody
 * waits for the first master, that one does not exit when it has drained: see guardian.h.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/stats.h"
#include "master/binary.h"
#include "master/master.h"
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

enum {
    PATIENCE_MS = 10 * 1000,
    ORPHANS_MS = 5000, /* a worker that has lost its master has ended by itself long before */
};

static void settle_charge(struct master *master);

static void hang_up(struct master *master)
{
    close(master->upgrade.channel);
    master->upgrade = (struct upgrade){.channel = -1};
}

/* ---- the older ---- */

static void log_failure(struct master *master, const char *why)
{
    atomic_fetch_add(&master->world.stats->service.upgrade_failures, 1);
    log_error("upgrade failed: %s; this master goes on", why);
    notify("STATUS=upgrade failed: %s", why);
}

void upgrade_start(struct master *master)
{
    char path[PATH_MAX], why[UPGRADE_TEXT_SIZE];

    upgrade_hear(master); /* the master that drained may be gone by now */
    if (master->phase != MASTER_SERVING || master->next || master->reload.state == RELOAD_RESOLVING ||
        master->upgrade.channel >= 0) {
        log_warn("upgrade refused: a reload, an upgrade or a stop is under way");
    } else if (binary_find(master->binary, path, sizeof(path), why, sizeof(why)) < 0) {
        log_failure(master, why);
    } else if (upgrade_fork(master, path) < 0) {
        log_failure(master, strerror(errno));
    } else {
        master->upgrade.due_ms = clock_now_ms() + PATIENCE_MS;
        log_notice("upgrade: starting %s (pid %d)", path, (int)master->upgrade.pid);
        notify("STATUS=upgrading, pid %d starts", (int)master->upgrade.pid);
    }
}

/* It is given up; what is left of it will be reaped, and then it is said. */
static void give_up(struct master *master, const char *why)
{
    if (master->upgrade.why[0] == '\0')
        strlcpy(master->upgrade.why, why, sizeof(master->upgrade.why));
    kill(master->upgrade.pid, SIGKILL);
    master->upgrade.due_ms = 0;
}

static void tell_failed(struct master *master, int status)
{
    char *why = master->upgrade.why;
    size_t size = sizeof(master->upgrade.why);
    char text[512];

    if (why[0] == '\0' && WIFSIGNALED(status))
        snprintf(why, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else if (why[0] == '\0')
        snprintf(why, size, "exited with code %d", WEXITSTATUS(status));
    log_failure(master, why);
    if (master->upgrade.offered) { /* it may have put its own pid file in the place of ours, and shut what it drops */
        if (pid_replace(master, text, sizeof(text)) < 0)
            log_error("%s", text);
        endpoints_listen(&master->endpoints, &master->current->conf);
    }
    hang_up(master);
    guardian_take_back(&master->guardian);
}

static void offer(struct master *master)
{
    master->upgrade.offered = true;
    master->upgrade.due_ms = clock_now_ms() + PATIENCE_MS;
    words_say(&master->upgrade, WORD_YOURS);
}

static void hand_over(struct master *master)
{
    int pid = (int)master->upgrade.pid;

    pid_remove(master);
    if (master->reload_pending)
        upgrade_pass_hup(master);
    master->reload_pending = false;
    master->upgrade.due_ms = 0;
    master->phase = MASTER_HANDED_OVER;
    log_notice("upgrade: pid %d is in charge, this master drains", pid);
    if (master->guardian.stays)
        notify("STATUS=pid %d is in charge", pid);
    else
        notify("MAINPID=%d\nSTATUS=pid %d is in charge", pid, pid);
    guardian_handed_over(&master->guardian);
    generation_retire_all(master);
}

/* It died after all, and we are still there: better late than never. */
static void take_back(struct master *master)
{
    char why[256];

    log_error("upgrade failed: pid %d died in charge; this master serves again", (int)master->upgrade.pid);
    atomic_fetch_add(&master->world.stats->service.upgrade_failures, 1);
    master->phase = MASTER_SERVING;
    hang_up(master);
    guardian_take_back(&master->guardian);
    if (pid_replace(master, why, sizeof(why)) < 0)
        log_error("%s", why);
    endpoints_listen(&master->endpoints, &master->current->conf); /* it may have dropped some */
    generation_start(master, master->current, RESPAWN_upgrade);
    if (!master->guardian.stays)
        notify("MAINPID=%d", (int)getpid());
    notify("READY=1");
}

/* It has ended as it was told to. What this master still drains is all that is left of the server. */
static void outlive(struct master *master, int status)
{
    hang_up(master);
    guardian_note_end(&master->guardian, status);
    guardian_take_back(&master->guardian);
}

void upgrade_reaped(struct master *master, int status)
{
    upgrade_hear(master); /* its last words say more than its exit code */
    if (master->phase != MASTER_HANDED_OVER)
        tell_failed(master, status);
    else if (!master->upgrade.stopping && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        take_back(master);
    else
        outlive(master, status);
}

void upgrade_tick(struct master *master)
{
    words_flush(&master->upgrade);
    settle_charge(master);
    guardian_tick(&master->guardian);
    if (master->upgrade.due_ms && clock_now_ms() >= master->upgrade.due_ms)
        give_up(master, "silent for 10 s");
}

void upgrade_abandon(struct master *master, const char *why)
{
    if (master->upgrade.channel >= 0 && !master->upgrade.older && master->phase == MASTER_SERVING)
        give_up(master, why);
}

bool upgrade_has_orphans(const struct master *master)
{
    uint64_t stopping_ms = clock_now_ms() - master->stop_ms;
    bool late = stopping_ms >= ORPHANS_MS, any = false;
    siginfo_t info;
    uint32_t at = 0;

    for (const struct stats_entry *worker; (worker = stats_orphan(master->world.stats, getpid(), &at));) {
        pid_t pid = worker->pid;
        if (pid == 0)
            any |= stopping_ms < SUPERVISOR_GRACE_MS;
        else if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
            any = true;
            if (late || master->phase == MASTER_KILLING)
                kill(pid, SIGKILL);
        }
    }
    return any;
}

/* ---- the newer ---- */

void upgrade_fail(const struct master *master, const char *why)
{
    if (master->upgrade.newer)
        words_fail(master->upgrade.channel, why);
}

void upgrade_tell_alive(struct master *master)
{
    if (master->upgrade.newer)
        words_say(&master->upgrade, WORD_ALIVE);
}

void upgrade_tell_stopping(struct master *master, bool at_once)
{
    if (master->upgrade.channel < 0 || !master->upgrade.older)
        return;
    words_say(&master->upgrade, WORD_STOPPING);
    if (at_once)
        words_say(&master->upgrade, WORD_QUICKLY);
}

void upgrade_pass_hup(const struct master *master)
{
    if (master->upgrade.channel < 0 || master->upgrade.pid <= 0)
        return;
    log_notice("SIGHUP is passed on to pid %d", (int)master->upgrade.pid);
    kill(master->upgrade.pid, SIGHUP);
}

bool upgrade_pass_signal(struct master *master, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo, pid = (int)master->upgrade.pid;
    bool is_stop = number == SIGTERM || number == SIGINT || number == SIGQUIT;

    if (master->phase != MASTER_HANDED_OVER || master->upgrade.channel < 0)
        return false;
    if (!master->guardian.stays && !guardian_has_sent(&master->guardian, info))
        return false;
    if (guardian_has_reached_all(info)) {
        log_notice("SIG%s: this master drains already; pid %d has received it, too", sigabbrev_np(number), pid);
        return true;
    }
    log_notice("SIG%s is passed on to pid %d", sigabbrev_np(number), pid);
    kill(master->upgrade.pid, number);
    master->upgrade.stopping |= is_stop; /* also when it dies of something else before it has seen the signal */
    return true;
}

bool upgrade_pass_shutdown(struct master *master)
{
    if (master->upgrade.channel < 0 || (master->phase != MASTER_HANDED_OVER && !master->upgrade.newer))
        return false;
    words_say(&master->upgrade, WORD_SHUTDOWN);
    return true;
}

void upgrade_tell_ready(struct master *master, unsigned workers, bool all)
{
    if (!master->upgrade.newer || (!all && workers <= master->upgrade.workers))
        return;
    master->upgrade.workers = workers;
    words_say(&master->upgrade, all ? WORD_READY : WORD_ALIVE);
}

/* The pid file comes first: it can fail, and as long as MINE has not been said the older master can go on. */
static void take_charge(struct master *master, bool is_alone)
{
    char why[UPGRADE_TEXT_SIZE];

    if (!master->upgrade.accepted && pid_replace(master, why, sizeof(why)) < 0) {
        log_error("%s", why);
        if (!is_alone) {
            upgrade_fail(master, why);
            exit(EXIT_FAILURE); /* the workers finish what they can, as those of any master that is gone */
        }
    }
    master->upgrade.accepted = true;
    guardian_tell(&master->guardian);
    words_say(&master->upgrade, WORD_MINE);
    settle_charge(master);
}

/* MINE is on its way, or there is nobody left to hear it: there is no way back. */
static void settle_charge(struct master *master)
{
    if (!master->upgrade.accepted || words_owe(&master->upgrade, WORD_MINE))
        return;
    master->upgrade.accepted = false;
    master->upgrade.newer = false;
    if (master->phase != MASTER_SERVING)
        return;
    stats_count(&master->world.stats->upgrades, 1);
    endpoints_yield_covered(&master->endpoints);
    endpoints_shut_unclaimed(&master->endpoints);
    endpoints_keep_claimed(&master->endpoints, &master->current->conf);
    generation_start_rest(master);
    log_notice("upgrade: this master is in charge, pid %d drains", (int)master->upgrade.pid);
    notify("READY=1\nSTATUS=%u workers", master->current->wanted);
}

/* ---- both ---- */

static void hear_word(struct master *master, enum upgrade_word word, const char *why)
{
    struct upgrade *upgrade = &master->upgrade;

    switch (word) {
    case WORD_ALIVE:
        if (upgrade->due_ms)
            upgrade->due_ms = clock_now_ms() + PATIENCE_MS;
        break;
    case WORD_READY:
        if (upgrade->due_ms)
            offer(master);
        break;
    case WORD_YOURS:
        if (upgrade->newer && master->phase == MASTER_SERVING)
            take_charge(master, false);
        break;
    case WORD_MINE:
        if (upgrade->due_ms && master->phase == MASTER_SERVING)
            hand_over(master);
        break;
    case WORD_STOPPING:
        upgrade->stopping = true;
        master_hurry(master);
        break;
    case WORD_QUICKLY:
        if (master->phase == MASTER_HANDED_OVER)
            master_stop_at_once(master, "the master in charge does");
        break;
    case WORD_SHUTDOWN: master_shut_down(master); break;
    case WORD_FAILED:
        if (!upgrade->older)
            give_up(master, why);
        break;
    default: break;
    }
}

static void hear_end(struct master *master)
{
    if (!master->upgrade.older) {
        master->upgrade.closed = true; /* it dies, or will have to */
        return;
    }
    if (master->upgrade.newer && master->phase == MASTER_SERVING)
        take_charge(master, true);
    hang_up(master);
}

void upgrade_hear(struct master *master)
{
    char why[UPGRADE_TEXT_SIZE];
    enum upgrade_word word = WORD_UNKNOWN;

    while (master->upgrade.channel >= 0 && word != WORD_NONE && word != WORD_END) {
        word = words_hear(&master->upgrade, why);
        if (word == WORD_END)
            hear_end(master);
        else
            hear_word(master, word, why);
    }
}

int upgrade_poll_fd(const struct master *master)
{
    const struct upgrade *upgrade = &master->upgrade;

    return upgrade->closed || (upgrade->deaf_until_ms && clock_now_ms() < upgrade->deaf_until_ms) ? -1
                                                                                                  : upgrade->channel;
}
