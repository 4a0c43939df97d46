#include "master/guardian.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/title.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REPEAT_MS = 500,     /* two copies of a signal to the process group arrive within this time */
    IDLE_MS = 1000,      /* between two looks at the children, should a SIGCHLD have been lost */
    TICK_MS = 50,        /* between two tries to pass a signal on */
    LEFTOVERS_MS = 5000, /* workers that have lost their master end by themselves long before */
    KILLED_MS = 1000,    /* a process that SIGKILL has not ended by then hangs in the kernel, and is left there */
};

/* A variable of its own: an older binary, which does not know it, hands it on to the next one with the descriptor. */
static const char variable[] = "CCSERVER_GUARDIAN";

/* ---- the masters' side ---- */

void guardian_decide(struct guardian *guardian, bool daemon)
{
    unsetenv(variable);
    guardian->stays = !daemon && (getpid() == 1 || !notify_has_manager());
}

static uint64_t ticks_since_boot(void)
{
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec / (1000000000 / per_second);
}

int guardian_open(struct guardian *guardian)
{
    int ends[2];

    if (!guardian->stays)
        return 0;
    guardian_close(guardian);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    guardian->receive_fd = ends[0];
    guardian->send_fd = ends[1];
    if (guardian->since == 0)
        guardian->since = ticks_since_boot();
    return 0;
}

int guardian_hand_on(const struct guardian *guardian)
{
    char value[16];

    if (guardian->send_fd < 0)
        return 0;
    snprintf(value, sizeof(value), "%d", guardian->send_fd);
    return setenv(variable, value, 1) < 0 || fcntl(guardian->send_fd, F_SETFD, 0) < 0 ? -1 : 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void guardian_handed_over(struct guardian *guardian)
{
    if (guardian->stays)
        close_end(&guardian->send_fd);
}

void guardian_close(struct guardian *guardian)
{
    close_end(&guardian->receive_fd);
    close_end(&guardian->send_fd);
}

void guardian_resume(struct guardian *guardian)
{
    if (guardian->stays)
        guardian_close(guardian);
    else
        guardian_report(guardian);
}

void guardian_inherit(struct guardian *guardian)
{
    const char *value = getenv(variable);
    struct ucred creator = {0};
    int fd = -1, type = 0;
    socklen_t type_size = sizeof(type), creator_size = sizeof(creator);

    if (value && sscanf(value, "%d", &fd) == 1 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 &&
        type == SOCK_SEQPACKET && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creator, &creator_size) == 0 &&
        fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
        guardian->send_fd = fd;
        guardian->pid = creator.pid;
    }
    unsetenv(variable);
}

void guardian_report(struct guardian *guardian)
{
    pid_t self = getpid();

    guardian->unsent = false;
    if (guardian->stays || guardian->send_fd < 0)
        return;
    if (send(guardian->send_fd, &self, sizeof(self), MSG_NOSIGNAL) == sizeof(self))
        return;
    if (errno == EPIPE || errno == ECONNRESET) {
        log_warn("the guardian (pid %d) is gone: nobody passes signals on", (int)guardian->pid);
        guardian_close(guardian);
        guardian->pid = 0;
    } else {
        guardian->unsent = true;
    }
}

void guardian_tick(struct guardian *guardian)
{
    if (guardian->unsent)
        guardian_report(guardian);
}

bool guardian_has_reached_all(const struct signalfd_siginfo *info)
{
    bool is_of_terminal = info->ssi_signo == SIGINT || info->ssi_signo == SIGQUIT || info->ssi_signo == SIGHUP;

    return is_of_terminal && info->ssi_code == SI_KERNEL;
}

bool guardian_has_sent(const struct guardian *guardian, const struct signalfd_siginfo *info)
{
    return guardian->pid > 0 && info->ssi_code == SI_USER && (pid_t)info->ssi_pid == guardian->pid;
}

/* Two of them mean more than one. */
static bool adds_up(uint32_t signo)
{
    return signo == SIGTERM || signo == SIGINT || signo == SIGTTIN || signo == SIGTTOU;
}

bool guardian_repeats(const struct guardian *guardian, const struct signalfd_siginfo *info)
{
    static struct {
        uint64_t at_ms; /* 0: never */
        bool passed_on;
    } last[32];
    bool passed_on = guardian_has_sent(guardian, info), repeats;
    uint64_t now_ms = clock_now_ms(), at_ms;

    if (guardian->pid == 0 || !adds_up(info->ssi_signo))
        return false;
    at_ms = last[info->ssi_signo].at_ms;
    repeats = at_ms && passed_on != last[info->ssi_signo].passed_on && now_ms - at_ms < REPEAT_MS;
    last[info->ssi_signo].at_ms = repeats ? 0 : now_ms; /* a third one is news */
    last[info->ssi_signo].passed_on = passed_on;
    return repeats;
}

void guardian_note_end(struct guardian *guardian, int status)
{
    guardian->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- what the last master in charge has left behind ---- */

/*
 * Whether `pid` is a child of ours that an upgrade has brought about: it has our process group and was started after
 * the first one. Others, which this process was born with or which a container's PID 1 is given, are not our business.
 */
static bool is_left_behind(pid_t pid, uint64_t since)
{
    char path[32], text[1024];
    int parent = 0, group = 0;
    uint64_t started = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    return rest &&
           sscanf(rest, ") %*c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &parent,
                  &group, &started) == 3 &&
           parent == getpid() && group == getpgrp() && started >= since;
}

/* Send each of them the signal, 0 for none. Returns one of them; 0: there are none. */
static pid_t signal_left_behind(const struct guardian *guardian, int signo)
{
    DIR *processes = opendir("/proc");
    pid_t found = 0;

    for (const struct dirent *entry; processes && (entry = readdir(processes));) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid <= 0 || !is_left_behind(pid, guardian->since))
            continue;
        found = pid;
        if (signo)
            kill(pid, signo); /* our child, not reaped yet: nobody else can have its pid */
    }
    if (processes)
        closedir(processes);
    return found;
}

/* ---- the guardian's side ---- */

struct watch {
    struct guardian *guardian;
    pid_t in_charge;             /* 0: it has ended */
    pid_t replaced;              /* was in charge before it; 0: has ended, too */
    uint64_t killed_ms, left_ms; /* real time until which what is left behind may end, may be killed */
    uint32_t pending;            /* signals that are still to be passed on */
};

static void await_left_behind(struct watch *watch)
{
    watch->in_charge = 0;
    watch->killed_ms = clock_now_ms() + LEFTOVERS_MS;
    watch->left_ms = watch->killed_ms + KILLED_MS;
}

static void watch_over(struct watch *watch, pid_t pid)
{
    if (pid == watch->in_charge)
        return;
    watch->replaced = watch->in_charge;
    watch->in_charge = pid;
    title_set("guardian of master %d", (int)pid);
    log_notice("guardian: pid %d is in charge", (int)pid);
}

static void receive(struct watch *watch)
{
    struct guardian *guardian = watch->guardian;
    pid_t pid = 0;
    ssize_t size;

    while ((size = recv(guardian->receive_fd, &pid, sizeof(pid), 0)) == sizeof(pid))
        if (pid > 1)
            watch_over(watch, pid);
    if (size == 0)
        guardian_close(guardian); /* no master is left; their ends are reaped */
}

static void log_end(const char *who, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        log_error("guardian: %s (pid %d) killed by SIG%s", who, (int)pid, sigabbrev_np(WTERMSIG(status)));
    else
        log_write(WEXITSTATUS(status) ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "guardian: %s (pid %d) exited with code %d",
                  who, (int)pid, WEXITSTATUS(status));
}

static void reap(struct watch *watch)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == watch->in_charge) {
            log_end("the master in charge", pid, status);
            guardian_note_end(watch->guardian, status);
            await_left_behind(watch);
        } else if (pid == watch->replaced) {
            log_end("the master that was replaced", pid, status);
            watch->replaced = 0;
        }
    }
    /* It was the child of a master that drains, and both were killed before that one could report it. */
    if (watch->in_charge && kill(watch->in_charge, 0) < 0 && errno == ESRCH) {
        log_error("guardian: the master in charge (pid %d) is gone", (int)watch->in_charge);
        watch->guardian->code = EXIT_FAILURE;
        await_left_behind(watch);
    }
}

static void note_signal(struct watch *watch, const struct signalfd_siginfo *info)
{
    const char *name = sigabbrev_np((int)info->ssi_signo);

    if (info->ssi_signo == SIGCHLD || info->ssi_signo == SIGPIPE || info->ssi_signo >= 32)
        return;
    if (info->ssi_signo == SIGHUP && log_reopen() < 0)
        log_error("cannot reopen the log: %s", strerror(errno));
    if (guardian_has_reached_all(info)) {
        log_info("guardian: SIG%s came from the terminal, which has sent it to pid %d, too", name,
                 (int)watch->in_charge);
        return;
    }
    log_info("guardian: SIG%s is passed on to pid %d", name, (int)watch->in_charge);
    watch->pending |= UINT32_C(1) << info->ssi_signo;
}

static void read_signals(struct watch *watch, int signal_fd)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
        note_signal(watch, &info);
}

/* What cannot be passed on now waits for the next master: one may just be taking charge. */
static void pass_on(struct watch *watch)
{
    for (int signo = 1; watch->in_charge && watch->pending && signo < 32; signo++)
        if ((watch->pending & UINT32_C(1) << signo) && kill(watch->in_charge, signo) == 0)
            watch->pending &= ~(UINT32_C(1) << signo);
}

/* All that was left behind is gone, or has had its time. */
static bool is_over(struct watch *watch)
{
    const struct guardian *guardian = watch->guardian;
    uint64_t now_ms = clock_now_ms();

    if (watch->in_charge)
        return false;
    bool is_late = now_ms >= watch->killed_ms, has_ended_well = guardian->code == EXIT_SUCCESS;
    pid_t left = signal_left_behind(guardian, is_late && !has_ended_well ? SIGKILL : 0);
    if (left == 0 || now_ms >= watch->left_ms)
        return true;
    if (is_late && has_ended_well)
        watch_over(watch, left); /* a successor, of an older version that says nothing: workers would be gone */
    return false;
}

static void wait_for_news(const struct watch *watch, int signal_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = watch->guardian->receive_fd, .events = POLLIN}};
    int patience_ms = watch->in_charge && !watch->pending ? IDLE_MS : TICK_MS;

    if (poll(fds, 2, patience_ms) < 0 && errno != EINTR)
        usleep(TICK_MS * 1000); /* no memory, for example: look at everything, but do not spin */
}

int guardian_run(struct guardian *guardian, int signal_fd, pid_t in_charge)
{
    struct watch watch = {.guardian = guardian};

    if (in_charge)
        watch_over(&watch, in_charge);
    else
        await_left_behind(&watch);
    for (;;) {
        /* Words come before deaths: a master in charge has ended as it should if another one has taken over. */
        receive(&watch);
        reap(&watch);
        read_signals(&watch, signal_fd);
        pass_on(&watch);
        if (is_over(&watch))
            break;
        wait_for_news(&watch, signal_fd);
    }
    guardian_close(guardian);
    return guardian->code;
}
