#include "master/ctl/ending.h"
#include "common/clock.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

pid_t ending_parent(pid_t pid)
{
    char path[64];
    int parent = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        return 0;
    if (fscanf(in, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = 0;
    fclose(in);
    return parent;
}

/* A candidate is the child of its predecessor, which drains under the title of a master. 0: that one is gone. */
static pid_t predecessor_of(pid_t master)
{
    static const char title[] = "ccserver: master";
    pid_t parent = ending_parent(master);
    char path[64], text[sizeof(title)] = "";

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)parent);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    return size > 0 && strcmp(text, title) == 0 ? parent : 0;
}

void ending_open(struct ending *ending, pid_t master)
{
    pid_t before = predecessor_of(master);

    ending->ends[0] = (struct pollfd){.fd = pidfd_open(master, 0), .events = POLLIN};
    ending->ends[1] = (struct pollfd){.fd = before > 0 ? pidfd_open(before, 0) : -1, .events = POLLIN};
}

void ending_close(struct ending *ending)
{
    for (unsigned i = 0; i < ENDING_MASTERS; i++) {
        if (ending->ends[i].fd >= 0)
            close(ending->ends[i].fd);
        ending->ends[i].fd = -1;
    }
}

bool ending_wait(struct ending *ending, uint64_t timeout_ms)
{
    uint64_t until_ms = clock_now_ms() + timeout_ms;

    for (unsigned i = 0; i < ENDING_MASTERS; i++) {
        uint64_t now_ms = clock_now_ms();
        int left_ms = now_ms < until_ms ? (int)(until_ms - now_ms) : 0;
        if (ending->ends[i].fd >= 0 && poll(&ending->ends[i], 1, left_ms) != 1)
            return false;
    }
    return true;
}
