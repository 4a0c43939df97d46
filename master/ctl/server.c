#include "master/ctl/server.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/stdlib.h>

static const char title[] = "ccserver: master";

static bool is_master(pid_t pid)
{
    char path[64], text[sizeof(title) - 1];

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (fd >= 0)
        close(fd);
    return size == sizeof(text) && memcmp(text, title, sizeof(text)) == 0;
}

/* The memory file of the statistics among the descriptors of a process, as one of ours; -1 with errno. */
static int open_area(pid_t pid)
{
    char path[64], link[PATH_MAX];
    const struct dirent *entry;
    int found = -1;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder)
        return -1;
    errno = ENOENT;
    while (found < 0 && (entry = readdir(folder))) {
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);
        if (size < 0)
            continue;
        link[size] = '\0';
        if (strcmp(link, "/memfd:ccserver-stats (deleted)") == 0)
            found = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);
    }
    int error = errno;
    closedir(folder);
    errno = error;
    return found;
}

static struct stats_area *map_area(pid_t pid)
{
    int fd = open_area(pid);
    struct stats_area *area = fd < 0 ? NULL : stats_view(fd);
    int error = errno;

    if (fd >= 0)
        close(fd);
    errno = error;
    return area;
}

static bool is_same_file(const char *path, const char *other)
{
    struct stat one, two;

    return strcmp(path, other) == 0 ||
           (stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino);
}

/* Take this process for the server if it is the master in charge of it. */
static enum ctl_exit try_process(struct server *server, pid_t pid)
{
    struct stats_area *area = map_area(pid);

    if (!area)
        return errno == EACCES || errno == EPERM ? CTL_NOT_ALLOWED : errno == EPROTO ? CTL_REFUSED : CTL_NOT_RUNNING;
    bool wanted = state_read(&area->state, &server->state) && server->state.pid == pid &&
                  (!server->conf_path || is_same_file(server->state.conf_path, server->conf_path));
    if (!wanted) {
        stats_detach(area);
        return CTL_NOT_RUNNING;
    }
    server->area = area;
    server->pid = pid;
    return CTL_DONE;
}

static enum ctl_exit explain(enum ctl_exit result, const struct server *server, char *error, size_t error_size)
{
    const char *what = server->conf_path ? server->conf_path : "that";

    switch (result) {
    case CTL_NOT_ALLOWED:
        snprintf(error, error_size, "a server runs, but you may not look at it: ask as root or as its user");
        break;
    case CTL_REFUSED:
        snprintf(error, error_size, "the server that runs is of another version: use its own ccserverctl");
        break;
    default: snprintf(error, error_size, "no server runs with %s", what); break;
    }
    return result;
}

static enum ctl_exit search(struct server *server, char *error, size_t error_size)
{
    enum ctl_exit result = CTL_NOT_RUNNING;
    const struct dirent *entry;
    DIR *processes = opendir("/proc");

    while (processes && result != CTL_DONE && (entry = readdir(processes))) {
        const char *wrong = NULL;
        pid_t pid = (pid_t)strtonum(entry->d_name, 1, INT_MAX, &wrong);
        if (wrong || !is_master(pid))
            continue;
        enum ctl_exit tried = try_process(server, pid);
        if (tried == CTL_DONE || result == CTL_NOT_RUNNING)
            result = tried;
    }
    if (processes)
        closedir(processes);
    return result == CTL_DONE ? CTL_DONE : explain(result, server, error, error_size);
}

enum ctl_exit server_open(struct server *server, char *error, size_t error_size)
{
    if (server->pid == 0)
        return search(server, error, error_size);
    if (kill(server->pid, 0) < 0 && errno == ESRCH)
        return explain(CTL_NOT_RUNNING, server, error, error_size);
    enum ctl_exit result = try_process(server, server->pid);
    return result == CTL_DONE ? CTL_DONE : explain(result, server, error, error_size);
}

enum ctl_exit server_read(struct server *server, char *error, size_t error_size)
{
    stats_watch(server->area, getpid());
    if (!state_read(&server->area->state, &server->state)) {
        snprintf(error, error_size, "the state cannot be read: it is being written all the time");
        return CTL_NO_ANSWER;
    }
    if (kill(server->state.pid, 0) == 0 || errno != ESRCH) {
        server->pid = server->state.pid;
        return CTL_DONE;
    }
    if (!server->conf_path) {
        snprintf(error, error_size, "the server has ended");
        return CTL_NOT_RUNNING;
    }
    stats_detach(server->area);
    server->area = NULL;
    return search(server, error, error_size);
}
