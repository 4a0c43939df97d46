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
 * Messages are words on a SOCK_SEQPACKET pair. The newer's sockets are copies: whatever it does, ours stay.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/stats.h"
#include "master/master.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/string.h>

enum {
    PATIENCE_MS = 10 * 1000,
    ORPHANS_MS = 5000, /* a worker that has lost its master has ended by itself long before */
    TEXT_SIZE = 640,
};

static const char variable[] = "CCSERVER_UPGRADE", ready[] = "READY", yours[] = "YOURS", mine[] = "MINE",
                  stopping[] = "STOPPING", quickly[] = "QUICKLY", shutdown_all[] = "SHUTDOWN", alive[] = "ALIVE",
                  failed[] = "FAILED ";

static void say(const struct master *master, const char *text)
{
    if (send(master->upgrade.channel, text, strlen(text), MSG_NOSIGNAL) < 0)
        log_warn("the other master does not listen: %s", strerror(errno));
}

static void hang_up(struct master *master)
{
    close(master->upgrade.channel);
    master->upgrade = (struct upgrade){.channel = -1};
}

/* ---- the older ---- */

static int write_manifest(const struct master *master)
{
    int fd = memfd_create("ccserver-upgrade", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (out && endpoints_write(&master->endpoints, out) == 0 && lseek(fd, 0, SEEK_SET) == 0) {
        fclose(out);
        return fd;
    }
    if (out)
        fclose(out);
    else if (copy >= 0)
        close(copy);
    if (fd >= 0)
        close(fd);
    return -1;
}

_Noreturn static void become_newer(const struct master *master, int channel, int manifest)
{
    const int kept[] = {channel, manifest, master->stats_fd};
    char value[64], text[TEXT_SIZE];

    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        fcntl(kept[i], F_SETFD, 0);
    endpoints_inherit(&master->endpoints);
    snprintf(value, sizeof(value), "%d %d %d", channel, manifest, master->stats_fd);
    setenv(variable, value, 1);
    if (getenv("WATCHDOG_PID")) { /* the service manager will hear of the change */
        snprintf(value, sizeof(value), "%d", (int)getpid());
        setenv("WATCHDOG_PID", value, 1);
    }
    execv(master->binary, master->arguments);
    snprintf(text, sizeof(text), "%s%s: %s", failed, master->binary, strerror(errno));
    if (send(channel, text, strlen(text), MSG_NOSIGNAL) < 0)
        _exit(126);
    _exit(127);
}

void upgrade_start(struct master *master)
{
    int ends[2];

    if (master->phase != MASTER_SERVING || master->next || master->upgrade.channel >= 0) {
        log_warn("upgrade refused: a reload, an upgrade or a stop is under way");
        return;
    }
    int manifest = write_manifest(master);
    if (manifest < 0 || channel_open(ends) < 0) {
        log_error("upgrade failed: %s; this master goes on", strerror(errno));
        if (manifest >= 0)
            close(manifest);
        return;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* workers of a newer one that fails must not stay behind */
    pid_t pid = fork();
    if (pid == 0)
        become_newer(master, ends[1], manifest);
    int error = errno;
    close(manifest);
    close(ends[1]);
    master->upgrade = (struct upgrade){.channel = ends[0], .pid = pid, .due_ms = clock_now_ms() + PATIENCE_MS};
    if (pid < 0) {
        atomic_fetch_add(&master->world.stats->service.upgrade_failures, 1);
        log_error("upgrade failed: %s; this master goes on", strerror(error));
        hang_up(master);
        return;
    }
    log_notice("upgrade: starting %s (pid %d)", master->binary, (int)pid);
    notify("STATUS=upgrading, pid %d starts", (int)pid);
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
    char text[256];

    if (why[0] == '\0' && WIFSIGNALED(status))
        snprintf(why, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else if (why[0] == '\0')
        snprintf(why, size, "exited with code %d", WEXITSTATUS(status));
    atomic_fetch_add(&master->world.stats->service.upgrade_failures, 1);
    log_error("upgrade failed: %s; this master goes on", why);
    notify("STATUS=upgrade failed: %s", why);
    if (master->upgrade.offered && pid_replace(master, text, sizeof(text)) < 0)
        log_error("%s", text); /* it may have put its own file in the place of ours */
    hang_up(master);
}

static void offer(struct master *master)
{
    master->upgrade.offered = true;
    say(master, yours);
}

static void hand_over(struct master *master)
{
    pid_remove(master);
    if (master->reload_pending)
        upgrade_pass_hup(master);
    master->reload_pending = false;
    master->upgrade.due_ms = 0;
    master->phase = MASTER_HANDED_OVER;
    log_notice("upgrade: pid %d is in charge, this master drains", (int)master->upgrade.pid);
    notify("MAINPID=%d\nSTATUS=pid %d is in charge", (int)master->upgrade.pid, (int)master->upgrade.pid);
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
    if (pid_replace(master, why, sizeof(why)) < 0)
        log_error("%s", why);
    endpoints_listen(&master->endpoints, &master->current->conf); /* it may have dropped some */
    generation_start(master, master->current, RESPAWN_upgrade);
    notify("MAINPID=%d\nREADY=1", (int)getpid());
}

void upgrade_reaped(struct master *master, int status)
{
    upgrade_hear(master); /* its last words say more than its exit code */
    if (master->phase != MASTER_HANDED_OVER)
        tell_failed(master, status);
    else if (!master->upgrade.stopping && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        take_back(master);
    else
        hang_up(master);
}

void upgrade_tick(struct master *master)
{
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

    for (const struct stats_block *block; (block = stats_orphan(master->world.stats, getpid(), &at));) {
        pid_t pid = block->pid;
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

int upgrade_inherit(struct master *master)
{
    const char *value = getenv(variable);
    int fds[3];

    master->upgrade.channel = -1;
    if (!value)
        return 0;
    if (sscanf(value, "%d %d %d", &fds[0], &fds[1], &fds[2]) != 3) {
        errno = EINVAL;
        return -1;
    }
    unsetenv(variable);
    for (unsigned i = 0; i < 3; i++)
        if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0) /* statistics need not have a descriptor */
            return -1;
    master->upgrade = (struct upgrade){.channel = fds[0], .pid = getppid(), .older = true, .newer = true};
    FILE *in = fdopen(fds[1], "r");
    int result = in ? endpoints_read(&master->endpoints, in) : -1;
    if (in)
        fclose(in);
    master->stats_fd = fds[2];
    return result < 0 ? -1 : 1;
}

void upgrade_fail(struct master *master, const char *why)
{
    char text[TEXT_SIZE];

    if (!master->upgrade.newer)
        return;
    snprintf(text, sizeof(text), "%s%s", failed, why);
    say(master, text);
}

void upgrade_tell_stopping(struct master *master, bool at_once)
{
    if (master->upgrade.channel >= 0 && master->upgrade.older) {
        say(master, stopping);
        if (at_once)
            say(master, quickly);
    }
}

void upgrade_pass_hup(const struct master *master)
{
    if (master->upgrade.channel < 0 || master->upgrade.pid <= 0)
        return;
    log_notice("SIGHUP is passed on to pid %d", (int)master->upgrade.pid);
    kill(master->upgrade.pid, SIGHUP);
}

bool upgrade_pass_shutdown(const struct master *master)
{
    if (master->upgrade.channel < 0 || (master->phase != MASTER_HANDED_OVER && !master->upgrade.newer))
        return false;
    say(master, shutdown_all);
    return true;
}

void upgrade_tell_ready(struct master *master, unsigned workers, bool all)
{
    if (!master->upgrade.newer || (!all && workers <= master->upgrade.workers))
        return;
    master->upgrade.workers = workers;
    say(master, all ? ready : alive);
}

static void take_charge(struct master *master)
{
    char why[256];

    master->upgrade.newer = false;
    endpoints_yield_covered(&master->endpoints);
    stats_count(&master->world.stats->upgrades, 1);
    if (pid_replace(master, why, sizeof(why)) < 0)
        log_error("%s", why);
    say(master, mine);
    endpoints_shut_unclaimed(&master->endpoints);
    endpoints_keep_claimed(&master->endpoints, &master->current->conf);
    generation_start_rest(master);
    log_notice("upgrade: this master is in charge, pid %d drains", (int)master->upgrade.pid);
    notify("READY=1\nSTATUS=%u workers", master->current->wanted);
}

/* ---- both ---- */

/* False when there is nothing more to read. */
static bool hear_one(struct master *master)
{
    char text[TEXT_SIZE];
    ssize_t size = recv(master->upgrade.channel, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (size < 0)
        return false;
    text[size] = '\0';
    if (master->upgrade.newer && master->phase == MASTER_SERVING && (size == 0 || strcmp(text, yours) == 0))
        take_charge(master); /* also when the older one is no more */
    else if (strcmp(text, alive) == 0 && master->upgrade.due_ms)
        master->upgrade.due_ms = clock_now_ms() + PATIENCE_MS;
    else if (strcmp(text, ready) == 0)
        offer(master);
    else if (strcmp(text, mine) == 0 && master->phase == MASTER_SERVING)
        hand_over(master);
    else if (strcmp(text, stopping) == 0) {
        master->upgrade.stopping = true;
        master_hurry(master);
    } else if (strcmp(text, quickly) == 0 && master->phase == MASTER_HANDED_OVER)
        master_stop_at_once(master, "the master in charge does");
    else if (strcmp(text, shutdown_all) == 0)
        master_shut_down(master);
    else if (size > 0 && strncmp(text, failed, strlen(failed)) == 0)
        give_up(master, text + strlen(failed));
    if (size == 0 && master->upgrade.older)
        hang_up(master);
    else if (size == 0)
        master->upgrade.closed = true; /* it dies, or will have to */
    return size > 0 && master->upgrade.channel >= 0;
}

void upgrade_hear(struct master *master)
{
    while (master->upgrade.channel >= 0 && hear_one(master))
        ;
}
