#include "master/queue.h"
#include "common/log.h"
#include "common/sock_table.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t changes;

uint64_t queue_changes(void)
{
    return changes;
}

bool queue_is_unix(const struct endpoint *endpoint)
{
    return endpoint->address.any.sa_family == AF_UNIX;
}

/* Give the number of a queue that was shut to the socket `fd`, which is consumed; -1: there is none. 0, or -1/errno. */
static int replace(int queue, int fd)
{
    if (fd < 0)
        return -1;
    int result = dup3(fd, queue, O_CLOEXEC) < 0 ? -1 : 0;
    close(fd);
    changes++;
    return result;
}

/* ---- TCP ---- */

/* Queues that collide with this address: all others of this process that do, and those of the endpoint itself. */
struct neighbours {
    const struct endpoints *endpoints;
    const struct endpoint *endpoint;
};

static bool collides(const struct endpoint *a, const struct endpoint *b)
{
    return a != b && a->count > 0 && sock_same(&a->address, &b->address);
}

static bool has_queue(const struct endpoint *endpoint, ino_t inode)
{
    struct stat status;

    for (unsigned i = 0; i < endpoint->count; i++)
        if (endpoint->queues[i] >= 0 && fstat(endpoint->queues[i], &status) == 0 && status.st_ino == inode)
            return true;
    return false;
}

static bool is_ours(const void *user, ino_t inode)
{
    const struct neighbours *neighbours = user;

    if (has_queue(neighbours->endpoint, inode))
        return true;
    for (unsigned i = 0; i < neighbours->endpoints->count; i++)
        if (collides(neighbours->endpoints->all[i], neighbours->endpoint) &&
            has_queue(neighbours->endpoints->all[i], inode))
            return true;
    return false;
}

static bool has_neighbours(const struct endpoints *endpoints, const struct endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoints->count; i++)
        if (collides(endpoints->all[i], endpoint))
            return true;
    return false;
}

/*
 * From a wildcard to one of its addresses, or back: our own sockets are in the way, and they must go on listening until
 * the new ones do. Sharing the port with them means sharing it with whoever else of this user shares it, so that is
 * looked for afterwards: of two servers that do so at the same moment, each finds the other.
 */
static int open_beside(const struct endpoints *endpoints, struct endpoint *endpoint, int backlog, unsigned slots)
{
    const struct neighbours neighbours = {.endpoints = endpoints, .endpoint = endpoint};

    if (sock_listen_beside(&endpoint->address, backlog, endpoint->queues, slots) < 0)
        return -1;
    endpoint->count = slots;
    if (!sock_has_strangers(&endpoint->address, is_ours, &neighbours))
        return 0;
    queue_close(endpoint);
    errno = EADDRINUSE;
    return -1;
}

static int open_tcp(const struct endpoints *endpoints, struct endpoint *endpoint, int backlog, unsigned slots)
{
    if (sock_listen(&endpoint->address, backlog, endpoint->queues, slots) == 0) {
        endpoint->count = slots;
        return 0;
    }
    if (errno != EADDRINUSE || !has_neighbours(endpoints, endpoint))
        return -1;
    return open_beside(endpoints, endpoint, backlog, slots);
}

/*
 * A port that the kernel had chosen is lost with the queue, and listen() chooses another without a word: such a socket
 * is replaced by one that is bound to the port.
 */
static int listen_again(struct endpoint *endpoint, unsigned number, int backlog)
{
    struct sock_address now = {.size = sizeof(now.storage)};
    int queue = endpoint->queues[number];

    if (listen(queue, backlog) == 0 && getsockname(queue, &now.any, &now.size) == 0 &&
        sock_equal(&now, &endpoint->address))
        return 0;
    return replace(queue, sock_listen_more(&endpoint->address, backlog));
}

/* ---- unix ---- */

static struct unix_access access_of(const struct listener_config *listener)
{
    return (struct unix_access){.mode = listener->unix_mode, .user = listener->unix_uid, .group = listener->unix_gid};
}

/*
 * A server without rights can give its sockets to its own groups alone. Where its clients are not concerned it serves
 * all the same: an operator's socket that cannot be opened to a group stays with the server's user.
 */
static int open_for_owner(struct endpoint *endpoint, const struct listener_config *listener, struct unix_access *access)
{
    *access = (struct unix_access){.mode = 0600, .user = (uid_t)-1, .group = (gid_t)-1};
    int fd = unix_listen(endpoint->address.local.sun_path, (int)listener->backlog, access, &endpoint->file);

    if (fd >= 0)
        log_error("%s (%s): unix_user and unix_group cannot be given to it, so only the server's user and root may "
                  "connect: %s",
                  endpoint->address.text, listener->name, strerror(EPERM));
    return fd;
}

static int open_unix(struct endpoint *endpoint, const struct listener_config *listener)
{
    struct unix_access access = access_of(listener);
    int fd = unix_listen(endpoint->address.local.sun_path, (int)listener->backlog, &access, &endpoint->file);

    if (fd < 0 && errno == EPERM && listener->service->operates)
        fd = open_for_owner(endpoint, listener, &access);

    if (fd >= 0)
        endpoint->access = access;
    return fd;
}

/* shutdown() cannot be undone on a unix socket. Another one takes its number and its path. */
static int replace_unix(struct endpoint *endpoint, const struct listener_config *listener)
{
    return replace(endpoint->queues[0], open_unix(endpoint, listener));
}

int queue_renew(struct endpoint *endpoint, const struct listener_config *listener)
{
    if (!queue_is_unix(endpoint) || endpoint->added || endpoint->former >= 0 ||
        file_is(endpoint->address.local.sun_path, &endpoint->file))
        return 0;
    struct file_id former_file = endpoint->file;
    int fd = open_unix(endpoint, listener);
    if (fd < 0)
        return errno == EADDRINUSE ? 0 : -1;
    endpoint->former = endpoint->queues[0];
    endpoint->former_file = former_file;
    endpoint->queues[0] = fd;
    changes++;
    log_notice("%s (%s): its file had been removed; it is made anew", endpoint->address.text, endpoint->listener);
    return 0;
}

void queue_commit(struct endpoint *endpoint)
{
    if (endpoint->former >= 0)
        close(endpoint->former);
    endpoint->former = -1;
}

void queue_restore(struct endpoint *endpoint)
{
    if (endpoint->former < 0)
        return;
    queue_remove_file(endpoint);
    close(endpoint->queues[0]);
    endpoint->queues[0] = endpoint->former;
    endpoint->file = endpoint->former_file;
    endpoint->former = -1;
    changes++;
}

static bool has_access(const struct endpoint *endpoint, const struct unix_access *access)
{
    return !queue_is_unix(endpoint) || unix_access_equal(access, &endpoint->access);
}

int queue_try_access(const struct endpoint *endpoint, const struct listener_config *listener)
{
    const struct unix_access access = access_of(listener);

    return has_access(endpoint, &access) ? 0 : unix_try_access(endpoint->address.local.sun_path, &access);
}

void queue_set_access(struct endpoint *endpoint, const struct listener_config *listener)
{
    const struct unix_access access = access_of(listener);

    if (has_access(endpoint, &access))
        return;
    if (unix_set_access(endpoint->address.local.sun_path, &endpoint->file, &access) == 0)
        endpoint->access = access;
    else
        log_error("%s (%s): cannot change who may connect: %s", endpoint->address.text, endpoint->listener,
                  strerror(errno));
}

void queue_remove_file(const struct endpoint *endpoint)
{
    if (!queue_is_unix(endpoint) || endpoint->count == 0)
        return;
    if (file_remove(endpoint->address.local.sun_path, &endpoint->file) < 0 && errno != ESTALE)
        log_warn("%s (%s): cannot remove the file: %s", endpoint->address.text, endpoint->listener, strerror(errno));
}

/* ---- both ---- */

int queue_open(const struct endpoints *endpoints, struct endpoint *endpoint, const struct listener_config *listener,
               unsigned slots)
{
    int backlog = (int)listener->backlog;

    changes += endpoint->count < slots;
    if (endpoint->count == 0 && queue_is_unix(endpoint)) {
        endpoint->queues[0] = open_unix(endpoint, listener);
        if (endpoint->queues[0] < 0)
            return -1;
        endpoint->count = 1;
    } else if (endpoint->count == 0 && open_tcp(endpoints, endpoint, backlog, slots) < 0) {
        return -1;
    }
    for (; endpoint->count < slots; endpoint->count++) {
        int fd = queue_is_unix(endpoint) ? -1 : sock_listen_more(&endpoint->address, backlog);
        if (fd < 0 && !queue_is_unix(endpoint))
            return -1;
        endpoint->queues[endpoint->count] = fd;
    }
    return 0;
}

void queue_reopen(struct endpoint *endpoint, const struct listener_config *listener, unsigned number)
{
    bool local = queue_is_unix(endpoint);

    if (local)
        number = 0;
    if (number >= endpoint->count ||
        (local ? !sock_is_shut(endpoint->queues[0]) : sock_is_listening(endpoint->queues[number])))
        return;
    int result = local ? replace_unix(endpoint, listener) : listen_again(endpoint, number, (int)listener->backlog);
    if (result == 0)
        log_warn("%s (%s): somebody had shut accept queue %u; it is open again", endpoint->address.text,
                 endpoint->listener, number);
    else
        log_error("%s (%s): somebody has shut accept queue %u, and it cannot be opened again: %s",
                  endpoint->address.text, endpoint->listener, number, strerror(errno));
}

void queue_close(struct endpoint *endpoint)
{
    queue_commit(endpoint);
    for (unsigned i = 0; i < endpoint->count; i++)
        if (endpoint->queues[i] >= 0)
            close(endpoint->queues[i]);
    endpoint->count = 0;
    changes++;
}
