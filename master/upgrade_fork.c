#include "master/upgrade_fork.h"
#include "common/channel.h"
#include "master/manifest.h"
#include "master/upgrade_words.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <bsd/string.h>

static const char variable[] = "CCSERVER_UPGRADE";

/* ---- the predecessor ---- */

/*
 * What the candidate inherits, by the order of the numbers in the environment. Behind them stand device and inode of
 * the pid file. Another version may know fewer.
 */
enum { CHANNEL, MANIFEST, STATISTICS, NAMES, HEIRLOOMS };

static int write_manifest(const struct master *master, FILE *out)
{
    return manifest_write(&master->fleet.endpoints, out);
}

static int write_names(const struct master *master, FILE *out)
{
    return names_write(&master->fleet.current->names, out);
}

/* A memory file with what `write` writes; -1 with errno. */
static int write_file(const struct master *master, int (*write)(const struct master *master, FILE *out))
{
    int fd = memfd_create("ccserver-upgrade", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (out && write(master, out) == 0 && lseek(fd, 0, SEEK_SET) == 0) {
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

/* "main,ledger!": those with a mark are single. */
static void list_pools(const struct conf *conf, char list[UPGRADE_POOLS_SIZE])
{
    list[0] = '\0';
    for (unsigned i = 0; i < conf->pool_count; i++) {
        strlcat(list, i ? "," : "", UPGRADE_POOLS_SIZE);
        strlcat(list, conf->pools[i].name, UPGRADE_POOLS_SIZE);
        strlcat(list, conf->pools[i].single ? "!" : "", UPGRADE_POOLS_SIZE);
    }
}

/* In the child: keep what the candidate inherits open across exec(), and tell it where it is. 0, or -1 with errno. */
static int leave_to_candidate(const struct master *master, const int *left)
{
    const struct file_id file = pid_file_id(master->pidfile);
    char value[128 + UPGRADE_POOLS_SIZE], pools[UPGRADE_POOLS_SIZE];

    list_pools(&master->fleet.current->conf, pools);
    for (unsigned i = 0; i < HEIRLOOMS; i++)
        if (left[i] >= 0 && fcntl(left[i], F_SETFD, 0) < 0) /* statistics need not have a descriptor */
            return -1;
    endpoints_inherit(&master->fleet.endpoints);
    snprintf(value, sizeof(value), "%d %d %d %d %ju %ju %s", left[CHANNEL], left[MANIFEST], left[STATISTICS],
             left[NAMES], (uintmax_t)file.device, (uintmax_t)file.inode, pools);
    if (setenv(variable, value, 1) < 0 || guardian_hand_on(&master->guardian) < 0)
        return -1;
    snprintf(value, sizeof(value), "%d", (int)getpid());
    /* The service manager is told of the change later. */
    return getenv("WATCHDOG_PID") ? setenv("WATCHDOG_PID", value, 1) : 0;
}

_Noreturn static void become_candidate(const struct master *master, const char *path, const int *left)
{
    char text[PATH_MAX + 64];

    if (leave_to_candidate(master, left) == 0)
        execv(path, master->arguments);
    snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
    upgrade_words_fail(left[CHANNEL], text);
    _exit(127);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

int upgrade_fork(struct master *master, const char *path)
{
    int ends[2] = {-1, -1}, manifest = write_file(master, write_manifest), names = write_file(master, write_names);
    pid_t pid = -1;

    /* Workers of a candidate that fails must not stay behind, and a guardian must see the end of who is in charge. */
    if (manifest >= 0 && names >= 0 && channel_open(ends) == 0 && guardian_open(&master->guardian) == 0 &&
        prctl(PR_SET_CHILD_SUBREAPER, 1) == 0)
        pid = fork();
    if (pid == 0)
        become_candidate(master, path, (const int[HEIRLOOMS]){ends[1], manifest, master->stats_fd, names});
    int error = errno;
    close_if_open(manifest);
    close_if_open(names);
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

static int read_file(int fd, struct master *master, int (*read)(struct master *master, FILE *in))
{
    FILE *in = fdopen(fd, "r");
    int result = in ? read(master, in) : -1;

    if (in)
        fclose(in);
    return result;
}

static int read_manifest(struct master *master, FILE *in)
{
    return manifest_read(&master->fleet.endpoints, in);
}

static int read_names(struct master *master, FILE *in)
{
    return names_read(&master->known, in);
}

int upgrade_inherit(struct master *master)
{
    const char *value = getenv(variable);
    int left[HEIRLOOMS] = {-1, -1, -1, -1};
    uintmax_t device = 0, inode = 0;
    char pools[UPGRADE_POOLS_SIZE] = "";

    master->upgrade.channel = -1;
    names_init(&master->known);
    if (!value)
        return 0;
    if (sscanf(value, "%d %d %d %d %ju %ju %639s", &left[CHANNEL], &left[MANIFEST], &left[STATISTICS], &left[NAMES],
               &device, &inode, pools) < NAMES) {
        errno = EINVAL;
        return -1;
    }
    unsetenv(variable);
    master->upgrade = (struct upgrade){.channel = left[CHANNEL], .pid = getppid(), .state = HANDOVER_CANDIDATE};
    strlcpy(master->upgrade.pools, pools, sizeof(master->upgrade.pools));
    master->upgrade.pid_file = (struct file_id){.device = (dev_t)device, .inode = (ino_t)inode};
    for (unsigned i = 0; i < HEIRLOOMS; i++)
        if (left[i] >= 0 && fcntl(left[i], F_SETFD, FD_CLOEXEC) < 0)
            return -1;
    guardian_inherit(&master->guardian);
    master->stats_fd = left[STATISTICS];
    if (left[NAMES] >= 0 && read_file(left[NAMES], master, read_names) < 0)
        return -1;
    return read_file(left[MANIFEST], master, read_manifest) < 0 ? -1 : 1;
}
