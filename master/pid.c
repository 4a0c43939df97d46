/*
 * The pid file is never rewritten where it stands, since a full disk would leave it empty: each master writes and locks
 * a file of its own under a random name, then puts it in place.
 *
 *   nothing there                      place it, unless somebody else is quicker
 *   a file that nobody has locked      left over: replace it, holding its lock
 *   a file that we have locked, or     replace it
 *   the other master of an upgrade
 *   any other                          another master is running
 */
#include "master/pid.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 16 };

struct pid_file {
    int fd; /* locked as long as it is open */
    struct file_id id;
};

/* A master that wants to put its file in place, and whose file it may replace. */
struct candidate {
    const char *path;
    const struct pid_file *own; /* NULL: none yet */
    const struct pid_other *other;
    char *error;
    size_t error_size;
};

static int fail(const struct candidate *candidate, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(const struct candidate *candidate, const char *format, ...)
{
    va_list arguments;
    char text[128];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(candidate->error, candidate->error_size, "%s: %s", candidate->path, text);
    return -1;
}

/* ---- a file of our own ---- */

static void close_file(struct pid_file *file)
{
    if (file)
        close(file->fd);
    free(file);
}

static int write_pid(int fd)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    ssize_t written = write(fd, text, (size_t)size);

    if (written >= 0 && written < size)
        errno = ENOSPC;
    return written == size ? 0 : -1;
}

/* Complete and locked, under a random name that is written to `name` (PATH_MAX). NULL with a sentence. */
static struct pid_file *make(const struct candidate *candidate, char *name)
{
    struct pid_file *file = calloc(1, sizeof(*file));
    struct stat status;

    if (!file) {
        fail(candidate, "%s", strerror(errno));
        return NULL;
    }
    file->fd = file_create_beside(candidate->path, 0644, name);
    if (file->fd < 0) {
        fail(candidate, "%s", strerror(errno));
        free(file);
        return NULL;
    }
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0 && write_pid(file->fd) == 0 && fstat(file->fd, &status) == 0) {
        file->id = file_id_of(&status);
        return file;
    }
    fail(candidate, "%s", strerror(errno));
    unlink(name);
    close_file(file);
    return NULL;
}

/* ---- what is there ---- */

static pid_t read_pid(int fd)
{
    char text[32] = "";

    return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (pid_t)atoi(text) : 0;
}

static bool is_same(const struct file_id *a, const struct file_id *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* Somebody may have written into it: which file it is says more than what stands there. */
static bool is_others(const struct candidate *candidate, int fd, const struct file_id *id)
{
    const struct pid_other *other = candidate->other;

    return other->pid && (is_same(&other->file, id) || read_pid(fd) == other->pid);
}

enum there { THERE_NOTHING, THERE_OURS_TO_REPLACE, THERE_FOREIGN };

/* A file that somebody else owns or has linked to is none of ours: we would lock what may be in use elsewhere. */
static enum there judge_open(const struct candidate *candidate, int fd, struct file_id *id)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        fail(candidate, "%s", strerror(errno));
        return THERE_FOREIGN;
    }
    *id = file_id_of(&status);
    if (!file_is(candidate->path, id))
        return THERE_NOTHING; /* replaced at this moment: look again */
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || (status.st_uid != geteuid() && status.st_uid != 0)) {
        fail(candidate, "is not a file of this server's user alone");
        return THERE_FOREIGN;
    }
    if (candidate->own && is_same(&candidate->own->id, id))
        return THERE_OURS_TO_REPLACE;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || is_others(candidate, fd, id))
        return file_is(candidate->path, id) ? THERE_OURS_TO_REPLACE : THERE_NOTHING;
    pid_t pid = read_pid(fd);
    if (pid > 0)
        fail(candidate, "another master is running, pid %d", (int)pid);
    else
        fail(candidate, "another master is running: the file is locked, but there is no pid in it");
    return THERE_FOREIGN;
}

/* The descriptor, whose lock keeps others from replacing the file, is -1 if there is none. */
static enum there look(const struct candidate *candidate, int *fd, struct file_id *id)
{
    *fd = -1;
    if (!file_is_replaceable(candidate->path, candidate->error, candidate->error_size))
        return THERE_FOREIGN;
    *fd = open(candidate->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd >= 0)
        return judge_open(candidate, *fd, id);
    if (errno == ENOENT)
        return THERE_NOTHING;
    fail(candidate, "%s", strerror(errno));
    return THERE_FOREIGN;
}

static int put_in_place(const struct candidate *candidate, const char *name)
{
    struct file_id id;
    int fd;

    for (unsigned i = 0; i < TRIES; i++) {
        if (file_place(name, candidate->path) == 0)
            return 0;
        if (errno != EEXIST)
            return fail(candidate, "%s", strerror(errno));
        enum there there = look(candidate, &fd, &id);
        int result = there == THERE_OURS_TO_REPLACE ? rename(name, candidate->path) : -1, error = errno;
        if (fd >= 0)
            close(fd);
        if (there == THERE_FOREIGN)
            return -1;
        if (there == THERE_OURS_TO_REPLACE)
            return result == 0 ? 0 : fail(candidate, "%s", strerror(error));
    }
    return fail(candidate, "others replace it all the time");
}

static struct pid_file *take(const struct candidate *candidate)
{
    char name[PATH_MAX];
    struct pid_file *file = make(candidate, name);

    if (!file || put_in_place(candidate, name) == 0)
        return file;
    unlink(name);
    close_file(file);
    return NULL;
}

/* ---- for the master ---- */

int pid_replace(struct pid_file **own, const char *path, const struct pid_other *other, char *error, size_t error_size)
{
    const struct candidate candidate = {
        .path = path, .own = *own, .other = other, .error = error, .error_size = error_size};

    if (path[0] == '\0')
        return 0;
    struct pid_file *file = take(&candidate);
    if (!file)
        return -1; /* what we have, we keep */
    close_file(*own);
    *own = file;
    return 0;
}

int pid_check(const struct pid_file *own, const char *path, const struct pid_other *other, char *error,
              size_t error_size)
{
    const struct candidate candidate = {
        .path = path, .own = own, .other = other, .error = error, .error_size = error_size};
    char name[PATH_MAX];
    struct file_id id;
    int fd;

    if (path[0] == '\0')
        return 0;
    struct pid_file *file = make(&candidate, name);
    if (!file)
        return -1;
    unlink(name);
    close_file(file);
    enum there there = look(&candidate, &fd, &id);
    if (fd >= 0)
        close(fd);
    return there == THERE_FOREIGN ? -1 : 0;
}

struct file_id pid_file_id(const struct pid_file *own)
{
    return own ? own->id : (struct file_id){.inode = 0};
}

void pid_close(struct pid_file **own)
{
    close_file(*own);
    *own = NULL;
}

void pid_remove(struct pid_file **own, const char *path)
{
    if (!*own)
        return;
    if (file_remove(path, &(*own)->id) < 0 && errno != ESTALE)
        log_warn("%s: cannot remove it: %s", path, strerror(errno));
    pid_close(own);
}
