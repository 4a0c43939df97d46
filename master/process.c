#include "master/process.h"
#include "common/channel.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t process_start(int (*run)(void *user, int channel), void *user, int *channel)
{
    int ends[2];

    if (channel_open(ends) < 0)
        return -1;
    *channel = ends[0];
    pid_t pid = fork();
    if (pid == 0)
        exit(run(user, ends[1]));
    int error = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        *channel = -1;
    }
    errno = error;
    return pid;
}

void process_reap(void (*ended)(void *user, pid_t pid, int status), void *user)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        ended(user, pid, status);
}

enum process_end process_check(pid_t pid, bool has_pipe, int *status)
{
    pid_t result = waitpid(pid, status, WNOHANG);

    if (result == pid)
        return PROCESS_ENDED;
    if (result < 0 && errno == ECHILD && (!has_pipe || (kill(pid, 0) < 0 && errno == ESRCH)))
        return PROCESS_GONE;
    return PROCESS_LIVES;
}
