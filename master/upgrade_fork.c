#include "master/upgrade_fork.h"
#include "common/channel.h"
#include "master/manifest.h"
#include "master/upgrade_words.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char variable[] = "CCSERVER_UPGRADE";

/* ---- the predecessor ---- */

static int write_manifest(const struct master *master)
{
    int fd = memfd_create("ccserver-upgrade", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (out && manifest_write(&master->fleet.endpoints, out) == 0 && lseek(fd, 0, SEEK_SET) == 0) {
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

/* In the child: keep what the candidate inherits open across exec(), and tell it where it is. 0, or -1 with errno. */
static int leave_to_candidate(const struct master *master, int channel, int manifest)
{
    const int kept[] = {channel, manifest, master->stats_fd};
    char value[64];

    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (kept[i] >= 0 && fcntl(kept[i], F_SETFD, 0) < 0) /* statistics need not have a descriptor */
            return -1;
    endpoints_inherit(&master->fleet.endpoints);
    snprintf(value, sizeof(value), "%d %d %d", channel, manifest, master->stats_fd);
    if (setenv(variable, value, 1) < 0 || guardian_hand_on(&master->guardian) < 0)
        return -1;
    snprintf(value, sizeof(value), "%d", (int)getpid());
    /* The service manager is told of the change later. */
    return getenv("WATCHDOG_PID") ? setenv("WATCHDOG_PID", value, 1) : 0;
}

_Noreturn static void become_candidate(const struct master *master, const char *path, int channel, int manifest)
{
    char text[PATH_MAX + 64];

    if (leave_to_candidate(master, channel, manifest) == 0)
        execv(path, master->arguments);
    snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
    upgrade_words_fail(channel, text);
    _exit(127);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

int upgrade_fork(struct master *master, const char *path)
{
    int ends[2] = {-1, -1}, manifest = write_manifest(master);
    pid_t pid = -1;

    /* Workers of a candidate that fails must not stay behind, and a guardian must see the end of who is in charge. */
    if (manifest >= 0 && channel_open(ends) == 0 && guardian_open(&master->guardian) == 0 &&
        prctl(PR_SET_CHILD_SUBREAPER, 1) == 0)
        pid = fork();
    if (pid == 0)
        become_candidate(master, path, ends[1], manifest);
    int error = errno;
    close_if_open(manifest);
    close_if_open(ends[1]);
    if (pid > 0) {
        master->upgrade = (struct upgrade){.channel = ends[0], .pid = pid};
        return 0;
    }
    close_if_open(ends[0]);
    guardian_resume(&master->guardian);
    errno = error;
    return -1;
}

/* ---- the candidate ---- */

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
    master->upgrade = (struct upgrade){.channel = fds[0], .pid = getppid(), .state = HANDOVER_CANDIDATE};
    for (unsigned i = 0; i < 3; i++)
        if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
            return -1;
    guardian_inherit(&master->guardian);
    FILE *in = fdopen(fds[1], "r");
    int result = in ? manifest_read(&master->fleet.endpoints, in) : -1;
    if (in)
        fclose(in);
    master->stats_fd = fds[2];
    return result < 0 ? -1 : 1;
}
