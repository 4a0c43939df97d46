/*
 * The pid file names the master in charge and is locked by it, also while one takes over from another: the newer writes
 * and locks a file of its own, then puts it in the place of the older's.
 */
#include "master/master.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/libutil.h>

static struct pidfh *open_locked(const char *path, char *why, size_t why_size)
{
    pid_t other = 0;
    struct pidfh *file = pidfile_open(path, 0644, &other);

    /* Not for a newer binary: it would hold the lock of the older one. */
    if (file && fcntl(pidfile_fileno(file), F_SETFD, FD_CLOEXEC) == 0)
        return file;
    if (errno == EEXIST)
        snprintf(why, why_size, "%s: another master is running, pid %d", path, (int)other);
    else
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return NULL;
}

int pid_lock(struct master *master, char *why, size_t why_size)
{
    const char *path = master->current->conf.pidfile;

    if (path[0])
        master->pidfile = open_locked(path, why, why_size);
    return path[0] == '\0' || master->pidfile ? 0 : -1;
}

int pid_write(struct master *master)
{
    return master->pidfile ? pidfile_write(master->pidfile) : 0;
}

int pid_replace(struct master *master, char *why, size_t why_size)
{
    const char *path = master->current->conf.pidfile;
    char temporary[PATH_MAX];

    if (path[0] == '\0')
        return 0;
    snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    struct pidfh *file = open_locked(temporary, why, why_size);
    if (!file)
        return -1; /* what we have, we keep */
    if (pidfile_write(file) < 0 || rename(temporary, path) < 0) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        pidfile_remove(file);
        return -1;
    }
    pidfile_close(master->pidfile); /* of a master that takes its place back */
    master->pidfile = file;
    return 0;
}

void pid_close(struct master *master)
{
    pidfile_close(master->pidfile);
    master->pidfile = NULL;
}

void pid_yield(struct master *master)
{
    struct stat ours, there;

    if (master->pidfile && fstat(pidfile_fileno(master->pidfile), &ours) == 0 &&
        stat(master->current->conf.pidfile, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        unlink(master->current->conf.pidfile);
    pid_close(master);
}

void pid_remove(struct master *master)
{
    if (!master->pidfile)
        return;
    unlink(master->current->conf.pidfile); /* the library would look for it where it was at first */
    pid_close(master);
}
