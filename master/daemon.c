#include "master/daemon.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 60 * 1000 };

static int ready_pipe = -1; /* the parent waits at its other end */

_Noreturn static void await_child(pid_t pid, int end)
{
    struct pollfd polled = {.fd = end, .events = POLLIN};
    char word = DAEMON_NOT_READY;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* whoever waits here may be interrupted */
    if (poll(&polled, 1, PATIENCE_MS) == 1 && read(end, &word, 1) == 1 && word == DAEMON_READY)
        _exit(EXIT_SUCCESS);
    kill(pid, SIGTERM);
    if (word != DAEMON_HAS_REPORTED)
        log_complain("ccserver: the server did not start, see its log");
    _exit(EXIT_FAILURE);
}

int daemon_fork(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        close(ends[1]);
        await_child(pid, ends[0]);
    }
    close(ends[0]);
    ready_pipe = ends[1];
    setsid();
    /* The working directory stays: relative paths mean at a reload what they have meant at the start. */
    return 0;
}

void daemon_detach(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    if (null >= 0)
        close(null);
}

void daemon_close(void)
{
    if (ready_pipe >= 0)
        close(ready_pipe);
    ready_pipe = -1;
}

void daemon_report(enum daemon_word word)
{
    char byte = (char)word;

    if (ready_pipe >= 0 && write(ready_pipe, &byte, 1) < 0)
        log_warn("the parent is gone: %s", strerror(errno));
    daemon_close();
}
