#include "common/file.h"
#include "common/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

enum {
    RANDOM_SIZE = 6, /* characters of a random name */
    CREATE_TRIES = 16,
    LOCK_TRIES = 20,
    LOCK_PAUSE_NS = 5 * 1000 * 1000,
    IMPATIENT_MS = 1000,
};

struct file_id file_id_of(const struct stat *status)
{
    return (struct file_id){.device = status->st_dev, .inode = status->st_ino};
}

bool file_is(const char *path, const struct file_id *id)
{
    struct stat status;

    return id->inode && lstat(path, &status) == 0 && status.st_dev == id->device && status.st_ino == id->inode;
}

bool file_is_absent(const char *path)
{
    struct stat status;

    return lstat(path, &status) < 0 && errno == ENOENT;
}

bool file_is_replaceable(const char *path, char *why, size_t why_size)
{
    struct stat status;

    if (lstat(path, &status) < 0) {
        if (errno == ENOENT)
            return true;
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode))
        snprintf(why, why_size, "%s: %s", path, S_ISLNK(status.st_mode) ? "is a link" : "is not a regular file");
    return S_ISREG(status.st_mode);
}

/* ---- names ---- */

/* Length of the folder's part of a path, its last '/' included; 0: the working directory. */
static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash + 1 - path) : 0;
}

static bool is_same_folder(const char *a, size_t a_size, const char *b, size_t b_size)
{
    char folder_a[PATH_MAX], folder_b[PATH_MAX];
    struct stat x, y;

    if (a_size >= sizeof(folder_a) || b_size >= sizeof(folder_b))
        return false;
    strlcpy(folder_a, a_size ? a : ".", a_size ? a_size + 1 : sizeof(folder_a));
    strlcpy(folder_b, b_size ? b : ".", b_size ? b_size + 1 : sizeof(folder_b));
    return stat(folder_a, &x) == 0 && stat(folder_b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool file_is_same(const char *a, const char *b)
{
    size_t folder_a = folder_size(a), folder_b = folder_size(b);
    struct stat x, y;

    if (strcmp(a, b) == 0)
        return true;
    if (stat(a, &x) == 0 && stat(b, &y) == 0)
        return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    return strcmp(a + folder_a, b + folder_b) == 0 && is_same_folder(a, folder_a, b, folder_b);
}

void file_random_name(const char *path, size_t limit, char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t folder = folder_size(path), size = strlen(path), random = RANDOM_SIZE;

    memcpy(name, path, size);
    if (size + 1 + random <= limit && size - folder + 1 + random <= NAME_MAX) {
        name[size++] = '.';
    } else { /* behind it there is no room: in its place */
        size = folder;
        random = limit - folder < random ? limit - folder : random;
    }
    do { /* a short name in its place could be drawn again */
        for (size_t i = 0; i < random; i++)
            name[size + i] = letters[arc4random_uniform(sizeof(letters) - 1)];
        name[size + random] = '\0';
    } while (random > 0 && strcmp(name, path) == 0);
}

int file_create_beside(const char *path, mode_t mode, char *name)
{
    int fd = -1;

    if (strlen(path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    errno = EEXIST;
    for (unsigned i = 0; i < CREATE_TRIES && fd < 0 && errno == EEXIST; i++) {
        file_random_name(path, PATH_MAX - 1, name);
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    }
    return fd;
}

int file_make_folder_of(const char *path, mode_t mode)
{
    char folder[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    int size = slash ? snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path) : 0;

    if (size <= 0) /* the root, or where we are */
        return 0;
    if (size >= (int)sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(folder, mode) < 0 && errno != EEXIST)
        return -1;
    if (lstat(folder, &status) < 0)
        return -1;
    if (!S_ISDIR(status.st_mode))
        errno = ENOTDIR;
    else if ((status.st_uid != 0 && status.st_uid != geteuid()) ||
             (status.st_mode & S_IWOTH && !(status.st_mode & S_ISVTX)))
        errno = EPERM;
    else
        return 0;
    return -1;
}

int file_place(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(from, to) < 0) /* a file system without that flag, such as NFS */
        return -1;
    return unlink(from);
}

/* ---- removing ---- */

/*
 * Keep other servers of our kind from removing anything in this folder for a moment. Others may hold such a lock for
 * ever, so it is not waited for long, and not again for a while, when there are more files to remove: without it
 * file_remove() still undoes a mistake, with it there is none to undo.
 */
static int lock_folder(const char *path)
{
    static uint64_t impatient_until_ms;
    char folder[PATH_MAX];
    size_t size = folder_size(path);

    if (size >= sizeof(folder))
        return -1;
    strlcpy(folder, size ? path : ".", size ? size + 1 : sizeof(folder));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned tries = clock_now_ms() < impatient_until_ms ? 1 : LOCK_TRIES, i = 0;
    for (; fd >= 0 && i < tries && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++)
        if (i + 1 < tries)
            nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    if (i == tries)
        impatient_until_ms = clock_now_ms() + IMPATIENT_MS;
    return fd;
}

/*
 * unlink() takes whatever has the name by then. A rename takes it as well, but what was taken can be looked at, and put
 * back when it is not what it should be.
 */
static int take_away(const char *path, const struct file_id *id)
{
    char aside[PATH_MAX];

    if (!file_is(path, id)) { /* nor is what has no room here */
        errno = ESTALE;
        return -1;
    }
    file_random_name(path, sizeof(aside) - 1, aside);
    if (file_place(path, aside) < 0)
        return -1;
    if (file_is(aside, id))
        return unlink(aside);
    if (file_place(aside, path) == 0)
        errno = ESTALE;
    return -1;
}

int file_remove(const char *path, const struct file_id *id)
{
    int lock = lock_folder(path), result = take_away(path, id), error = errno;

    if (lock >= 0)
        close(lock);
    errno = error;
    return result;
}
