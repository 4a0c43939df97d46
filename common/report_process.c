#include "common/report_process.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read the line of the process in /proc. Its fields stand behind the name of the program, which may contain blanks and
 * parentheses: behind the last one. */
static bool read_stat(pid_t pid, struct report_process *process)
{
    char path[64], text[1024];
    uint64_t user, system, pages;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *behind = strrchr(text, ')');
    if (!behind || sscanf(behind + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                          " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
                          &user, &system, &pages) != 3)
        return false;
    process->cpu_ms = (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    process->memory_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static int64_t count_descriptors(pid_t pid)
{
    char path[64];
    struct stat status;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    return stat(path, &status) == 0 && status.st_size > 0 ? (int64_t)status.st_size : -1;
}

void report_processes_take(const struct master_state *state, struct report_process *processes)
{
    for (unsigned i = 0; i < state->worker_count; i++) {
        struct report_process *process = &processes[i];
        *process = (struct report_process){.descriptors = -1};
        process->is_known = state->workers[i].pid > 0 && read_stat(state->workers[i].pid, process);
        if (process->is_known)
            process->descriptors = count_descriptors(state->workers[i].pid);
    }
}
