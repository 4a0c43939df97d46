/*
 * How a socket comes to its path:
 *
 *   bind()  at a random name beside it     nobody can know that name
 *   chown, chmod                           nobody can connect yet
 *   listen()
 *   rename  to the path, if it is free     one step: of several servers that start, one succeeds
 *
 * Were bind() called with the path itself, a second server could not tell this one, between bind() and listen(), from
 * one that is dead, and would take its place. The price is that the kernel shows the random name to whoever asks it for
 * the socket's address (`ss -x`).
 *
 * What remains: a server of another kind that binds the path itself and does not listen yet looks like a dead one.
 */
#include "common/unix_listener.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bsd/string.h>

enum { BIND_TRIES = 16, PLACE_TRIES = 8 };

bool unix_access_equal(const struct unix_access *a, const struct unix_access *b)
{
    return a->mode == b->mode && a->user == b->user && a->group == b->group;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* ---- who may connect ---- */

static mode_t process_umask(void)
{
    mode_t mask = umask(077);

    umask(mask);
    return mask;
}

/* The file is open (O_PATH), so that it cannot be exchanged for a link to something else meanwhile. */
static int set_access_of(int file, const struct unix_access *access)
{
    char self[64];

    if ((access->user != (uid_t)-1 || access->group != (gid_t)-1) &&
        fchownat(file, "", access->user, access->group, AT_EMPTY_PATH) < 0)
        return -1;
    if (access->mode == 0)
        return 0;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file); /* fchmod() does not take such a descriptor */
    return chmod(self, access->mode);
}

static int open_path(const char *path, struct stat *status)
{
    int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (file >= 0 && fstat(file, status) == 0)
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

int unix_set_access(const char *path, const struct file_id *id, const struct unix_access *access)
{
    struct stat status;
    int file = open_path(path, &status), result = -1;

    if (file < 0)
        return -1;
    struct file_id there = file_id_of(&status);
    if (there.device == id->device && there.inode == id->inode) {
        struct unix_access whole = *access;
        whole.mode = access->mode ? access->mode : 0777 & ~process_umask();
        whole.user = access->user == (uid_t)-1 ? geteuid() : access->user;
        whole.group = access->group == (gid_t)-1 ? getegid() : access->group;
        result = set_access_of(file, &whole);
    } else {
        errno = ESTALE;
    }
    int error = errno;
    close(file);
    errno = error;
    return result;
}

/* ---- listening ---- */

/* The random name is left in `address`. */
static int bind_aside(int fd, const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    for (unsigned i = 0; i < BIND_TRIES; i++) {
        file_random_name(path, sizeof(address->sun_path) - 1, address->sun_path);
        if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

static int prepare(const char *name, const struct unix_access *access, struct file_id *id)
{
    struct stat status;
    int file = open_path(name, &status), result = -1;

    if (file < 0)
        return -1;
    if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
        errno = ESTALE; /* somebody watches the folder, and was quicker than we */
    else
        result = set_access_of(file, access);
    *id = file_id_of(&status);
    int error = errno;
    close(file);
    errno = error;
    return result;
}

int unix_try_access(const char *path, const struct unix_access *access)
{
    struct sockaddr_un address;
    struct file_id id;
    int fd = new_socket();
    bool bound = fd >= 0 && bind_aside(fd, path, &address) == 0;
    int result = bound ? prepare(address.sun_path, access, &id) : -1, error = errno;

    if (bound)
        unlink(address.sun_path);
    if (fd >= 0)
        close(fd);
    errno = error;
    return result;
}

static bool refuses(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = new_socket();

    if (fd < 0)
        return false;
    strlcpy(address.sun_path, path, sizeof(address.sun_path));
    bool refused = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Remove a socket that was left over from a server that was killed. EADDRINUSE: it is no such thing. */
static int remove_stale(const char *path)
{
    struct stat status;
    int file = open_path(path, &status); /* held open, its inode is not used again */

    if (file < 0)
        return errno == ENOENT ? 0 : -1;
    struct file_id id = file_id_of(&status);
    bool stale = S_ISSOCK(status.st_mode) && refuses(path);
    int result = stale ? file_remove(path, &id) : -1, error = stale ? errno : EADDRINUSE;
    close(file);
    errno = error;
    return result == 0 || errno == ESTALE ? 0 : -1;
}

static int put_in_place(const char *name, const char *path)
{
    for (unsigned i = 0; i < PLACE_TRIES; i++) {
        if (file_place(name, path) == 0)
            return 0;
        if (errno != EEXIST || remove_stale(path) < 0)
            return -1;
    }
    errno = EADDRINUSE;
    return -1;
}

int unix_listen(const char *path, int backlog, const struct unix_access *access, struct file_id *id)
{
    struct sockaddr_un address;
    int fd = new_socket();

    if (fd < 0)
        return -1;
    bool bound = bind_aside(fd, path, &address) == 0;
    if (bound && prepare(address.sun_path, access, id) == 0 && listen(fd, backlog) == 0 &&
        put_in_place(address.sun_path, path) == 0)
        return fd;
    int error = errno;
    if (bound)
        unlink(address.sun_path);
    close(fd);
    errno = error;
    return -1;
}
