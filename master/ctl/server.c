#include "master/ctl/server.h"
#include "common/stats_view.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

enum { AGAIN_MS = 50 };

static bool is_same_file(const char *path, const char *other)
{
    struct stat one, two;

    return strcmp(path, other) == 0 ||
           (stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino);
}

/* Whether a process says by its title that it is a master; with the file behind it, "": it names none. */
static bool is_master(pid_t pid, char file[PATH_MAX])
{
    static const char title[] = "ccserver: master";
    char path[64], text[sizeof(title) + PATH_MAX] = "";

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size < 0 || strncmp(text, title, strlen(title)) != 0)
        return false;
    const char *behind = text + strlen(title);
    strlcpy(file, *behind == ' ' ? behind + 1 : behind, PATH_MAX);
    return true;
}

bool server_has_master(const struct server *server, pid_t pid)
{
    char file[PATH_MAX];

    if (!server->conf_path)
        return pid == server->pid;
    return is_master(pid, file) && is_same_file(file[0] ? file : "built-in", server->conf_path);
}

/* Take this process for the server if it is the master in charge of it. */
static enum ctl_exit try_process(struct server *server, pid_t pid)
{
    struct stats_area *area = stats_view_of(pid);

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
    char what[32];

    snprintf(what, sizeof(what), "pid %d", (int)server->pid);
    switch (result) {
    case CTL_NOT_ALLOWED:
        snprintf(error, error_size,
                 "a server runs, but you may not look at it: ask as root, or its control socket (-s)");
        break;
    case CTL_REFUSED:
        snprintf(error, error_size, "the server that runs is of another version: use its own ccserverctl");
        break;
    default:
        snprintf(error, error_size, "no server runs %s %s", server->conf_path ? "with" : "as",
                 server->conf_path ? server->conf_path : what);
        break;
    }
    return result;
}

/*
 * One binary takes over from another while we look: both masters share the area, and each was in charge when it was
 * read. False: the first one is not any more.
 */
static bool is_still_in_charge(struct server *server)
{
    return state_read(&server->area->state, &server->state) && server->state.pid == server->pid;
}

/* A second one that says the same: it has taken over, or is another server. */
static void compare(struct server *server, struct server *found, pid_t *other)
{
    if (is_still_in_charge(server)) {
        *other = found->pid;
        return;
    }
    stats_detach(server->area);
    server->area = found->area;
    server->pid = found->pid;
    server->state = found->state;
    found->area = NULL;
}

/* The first one; and `other`, a second one that says the same: anybody can start a process that looks like a master. */
static enum ctl_exit search_all(struct server *server, pid_t *other)
{
    static struct server found; /* too large for the stack */
    enum ctl_exit result = CTL_NOT_RUNNING;
    const struct dirent *entry;
    DIR *processes = opendir("/proc");
    char file[PATH_MAX];

    found.conf_path = server->conf_path;
    while (processes && (entry = readdir(processes))) {
        const char *wrong = NULL;
        pid_t pid = (pid_t)strtonum(entry->d_name, 1, INT_MAX, &wrong);
        if (wrong || !is_master(pid, file))
            continue;
        enum ctl_exit tried = try_process(result == CTL_DONE ? &found : server, pid);
        bool is_closed = tried == CTL_NOT_ALLOWED || tried == CTL_REFUSED;
        if (is_closed && !is_same_file(file[0] ? file : "built-in", server->conf_path))
            continue; /* what cannot be looked into is another server, as far as its title goes */
        if (tried == CTL_DONE && result == CTL_DONE)
            compare(server, &found, other);
        if (found.area)
            stats_detach(found.area);
        found.area = NULL;
        if (tried == CTL_DONE || result == CTL_NOT_RUNNING)
            result = tried;
    }
    if (processes)
        closedir(processes);
    return result;
}

static enum ctl_exit search(struct server *server, char *error, size_t error_size)
{
    pid_t other = 0;
    enum ctl_exit result = search_all(server, &other);

    if (result == CTL_NOT_RUNNING) { /* or one binary takes over from another at this moment */
        poll(NULL, 0, AGAIN_MS);
        result = search_all(server, &other);
    }

    if (result != CTL_DONE)
        return explain(result, server, error, error_size);
    if (other == 0)
        return CTL_DONE;
    snprintf(error, error_size, "several servers run with %s: %d, %d; choose one with -p", server->conf_path,
             (int)server->pid, (int)other);
    return CTL_REFUSED;
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

/* One that nobody reaps has ended, too; where the kernel will not tell, it runs. */
static bool has_ended(pid_t pid)
{
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};

    if (end.fd < 0)
        return errno == ESRCH;
    bool ended = poll(&end, 1, 0) == 1;
    close(end.fd);
    return ended;
}

bool server_has_ended(const struct server *server)
{
    return has_ended(server->pid);
}

enum ctl_exit server_read(struct server *server, char *error, size_t error_size)
{
    stats_watch(server->area, getpid());
    if (!state_read(&server->area->state, &server->state)) {
        snprintf(error, error_size, "the state cannot be read: it is being written all the time");
        return CTL_NO_ANSWER;
    }
    if (!has_ended(server->state.pid)) {
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
