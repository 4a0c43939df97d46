#include "master/ctl/act.h"
#include "common/clock.h"
#include "common/progress.h"
#include "common/signals.h"
#include "master/ctl/ending.h"
#include "master/ctl/find.h"
#include "master/ctl/follow.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

enum { LOOK_EACH_MS = 5, STARTS_MS = 1000, ERROR_SIZE = 512 };

static const char late[] = "no answer in time; it may still come";

static void complain(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "ccserverctl: %s\n", text);
}

/* What has come of a signal that was sent: the result of kill(), with errno. */
static enum ctl_exit sent(int result)
{
    if (result == 0)
        return CTL_DONE;
    if (errno == EPERM) {
        complain("not allowed: ask as root or as the user of the server");
        return CTL_NOT_ALLOWED;
    }
    complain("the server has ended");
    return CTL_NOT_RUNNING;
}

static enum ctl_exit send_signal(pid_t pid, int signo)
{
    return sent(kill(pid, signo));
}

static bool is_late(const struct act *act, uint64_t begun_ms)
{
    poll(NULL, 0, LOOK_EACH_MS);
    if (clock_now_ms() - begun_ms < act->timeout_ms)
        return false;
    complain(late);
    return true;
}

/* Send the signal, and watch what comes of it. */
static enum ctl_exit change(const struct act *act, int signo, enum progress_kind kind)
{
    struct server *server = act->server;
    uint64_t begun_ms = clock_now_ms();
    struct progress progress;
    char text[PROGRESS_TEXT_SIZE], error[ERROR_SIZE];
    enum progress_result seen = PROGRESS_GOES_ON;

    progress_begin(&progress, kind, NULL, 0, server->area, &server->state);
    enum ctl_exit result = send_signal(server->pid, signo);
    while (result == CTL_DONE) {
        seen = progress_look(&progress, server->area, &server->state, stdout, text);
        fflush(stdout);
        if (seen != PROGRESS_GOES_ON)
            break;
        if (is_late(act, begun_ms))
            return CTL_NO_ANSWER;
        result = server_read(server, error, sizeof(error));
        if (result != CTL_DONE)
            complain(error);
    }
    if (result != CTL_DONE)
        return result;
    if (seen == PROGRESS_FAILED) {
        complain(text);
        return CTL_REFUSED;
    }
    printf("done: %s\n", text);
    return CTL_DONE;
}

enum ctl_exit act_reload(const struct act *act)
{
    return change(act, SIGHUP, PROGRESS_RELOAD);
}

enum ctl_exit act_upgrade(const struct act *act)
{
    if (!act->server->state.is_busy)
        return change(act, SIGUSR2, PROGRESS_UPGRADE);
    complain("a start, a reload, an upgrade or a stop is under way");
    return CTL_REFUSED;
}

static unsigned main_wanted(const struct master_state *state)
{
    return state->pool_count > 0 ? state->pools[0].wanted : 0;
}

/* One step; the state is read when it has been made. */
static enum ctl_exit resize_once(const struct act *act, int signo)
{
    uint64_t begun_ms = clock_now_ms();
    unsigned before = main_wanted(&act->server->state);
    char error[ERROR_SIZE];
    enum ctl_exit result = send_signal(act->server->pid, signo);

    while (result == CTL_DONE && main_wanted(&act->server->state) == before) {
        if (is_late(act, begun_ms))
            return CTL_NO_ANSWER;
        result = server_read(act->server, error, sizeof(error));
        if (result != CTL_DONE)
            complain(error);
    }
    return result;
}

enum ctl_exit act_resize(const struct act *act, const char *pool, unsigned count)
{
    enum ctl_exit result = CTL_DONE;

    if (strcmp(pool, "main") != 0) {
        complain("without a control listener only the pool main can be resized; the others by a reload");
        return CTL_REFUSED;
    }
    while (result == CTL_DONE && main_wanted(&act->server->state) != count)
        result = resize_once(act, main_wanted(&act->server->state) < count ? SIGTTIN : SIGTTOU);
    if (result == CTL_DONE)
        printf("done: %u worker%s\n", count, count == 1 ? "" : "s");
    return result;
}

static bool is_gone(const struct master_state *state, pid_t pid)
{
    for (unsigned i = 0; i < state->worker_count; i++)
        if (state->workers[i].pid == pid)
            return false;
    return true;
}

enum ctl_exit act_drain(const struct act *act, const char *name)
{
    const struct state_worker *worker = state_find_worker(&act->server->state, name);
    uint64_t begun_ms = clock_now_ms();
    char error[ERROR_SIZE];

    if (!worker) {
        snprintf(error, sizeof(error), "there is no worker %s", name);
        complain(error);
        return CTL_REFUSED;
    }
    pid_t pid = worker->pid;
    if (ending_parent(pid) !=
        act->server->pid) { /* the memory says so; the kernel must, too, before it is sent a signal */
        snprintf(error, sizeof(error), "pid %d is no worker of pid %d", (int)pid, (int)act->server->pid);
        complain(error);
        return CTL_REFUSED;
    }
    enum ctl_exit result = sent(sigqueue(pid, SIGTERM, (union sigval){.sival_int = SIGNALS_OPERATOR}));
    while (result == CTL_DONE && !is_gone(&act->server->state, pid)) {
        if (is_late(act, begun_ms))
            return CTL_NO_ANSWER;
        result = server_read(act->server, error, sizeof(error));
        if (result != CTL_DONE)
            complain(error);
    }
    if (result == CTL_DONE)
        printf("done: pid %d is gone\n", (int)pid);
    return result;
}

/* Another master has taken over from this one, by the memory that both share: a server that starts anew has another. */
static bool has_successor(struct server *server)
{
    pid_t stopped = server->pid;

    if (state_read(&server->area->state, &server->state))
        server->pid = server->state.pid;
    return server->pid != stopped && !server_has_ended(server);
}

/* Stop the master that is said to be in charge. CTL_REFUSED: it was no longer; another one is. */
static enum ctl_exit stop_master(const struct act *act, uint64_t begun_ms)
{
    struct ending ending;

    ending_open(&ending, act->server->pid);
    enum ctl_exit result = send_signal(act->server->pid, SIGTERM);
    while (result == CTL_DONE && !ending_wait(&ending, LOOK_EACH_MS)) {
        if (has_successor(act->server))
            result = CTL_REFUSED;
        else if (is_late(act, begun_ms))
            result = CTL_NO_ANSWER;
    }
    ending_close(&ending);
    return result;
}

enum ctl_exit act_stop(const struct act *act)
{
    uint64_t begun_ms = clock_now_ms();
    enum ctl_exit result;

    do
        result = stop_master(act, begun_ms);
    while (result == CTL_REFUSED || (result == CTL_DONE && has_successor(act->server)));
    if (result == CTL_DONE)
        printf("done: it has ended\n");
    return result;
}

enum ctl_exit act_wait(const struct act *act, bool ready)
{
    uint64_t begun_ms = clock_now_ms();
    char error[ERROR_SIZE], path[ASK_PATH_SIZE];

    for (;;) {
        enum ctl_exit result = act->server->area ? server_read(act->server, error, sizeof(error))
                                                 : server_open(act->server, error, sizeof(error));
        uint64_t waited_ms = clock_now_ms() - begun_ms;
        if (result == CTL_NOT_ALLOWED && find_socket(act->server, path))
            return follow_wait(path, ready, act->timeout_ms > waited_ms ? act->timeout_ms - waited_ms : 0);
        bool is_closed = result == CTL_NOT_ALLOWED && waited_ms >= STARTS_MS; /* or its socket is not there yet */
        if (is_closed || result == CTL_REFUSED) {
            complain(error);
            return result;
        }
        if (result == CTL_DONE && (!ready || act->server->state.is_ready))
            return CTL_DONE;
        if (is_late(act, begun_ms))
            return CTL_NO_ANSWER;
    }
}
