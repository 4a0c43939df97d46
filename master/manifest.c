#include "master/manifest.h"
#include "common/file.h"
#include "master/queue.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

static const char unix_prefix[] = "unix:"; /* of the text of an address */

int manifest_write(const struct endpoints *endpoints, FILE *out)
{
    for (unsigned index = 0; index < endpoints->count; index++) {
        const struct endpoint *endpoint = endpoints->all[index];
        fprintf(out, "%s\t%s\t%u", endpoint->asked, endpoint->listener, endpoint->count);
        for (unsigned i = 0; i < endpoint->count; i++)
            fprintf(out, "\t%d", endpoint->queues[i]);
        if (queue_is_unix(endpoint))
            fprintf(out, "\t%ju\t%ju", (uintmax_t)endpoint->file.device, (uintmax_t)endpoint->file.inode);
        fputc('\n', out);
    }
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

/* A decimal number that is a whole field. */
static int next_number(char **rest, int min, int max, int *number)
{
    const char *field = strsep(rest, "\t"), *error = "missing";

    *number = field ? (int)strtonum(field, min, max, &error) : -1;
    return error ? -1 : 0;
}

/* A queue that somebody has shut is still ours: it will be opened again. Anything else is no queue. */
static bool is_queue(int fd)
{
    struct sock_address address = {.size = sizeof(address.storage)};
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockname(fd, &address.any, &address.size) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        type != SOCK_STREAM)
        return false;
    return address.any.sa_family == AF_INET || address.any.sa_family == AF_INET6 || sock_is_listening(fd);
}

/* The address is asked of the kernel: it knows best. A queue that was shut may have lost it. */
static int ask_address(struct endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoint->count; i++) {
        endpoint->address.size = sizeof(endpoint->address.storage);
        if (endpoint->queues[i] < 0 ||
            getsockname(endpoint->queues[i], &endpoint->address.any, &endpoint->address.size) < 0 ||
            sock_port(&endpoint->address) == 0)
            continue;
        sock_format(&endpoint->address.any, endpoint->address.size, endpoint->address.text, SOCK_TEXT_SIZE);
        return 0;
    }
    return -1;
}

/* The kernel knows a unix socket by the name that it was bound to, which is not where it is now. */
static int read_file(struct endpoint *endpoint, char **rest)
{
    struct sock_address *address = &endpoint->address;
    struct stat status;
    uintmax_t device, inode;

    address->size = sizeof(address->local);
    address->local.sun_family = AF_UNIX;
    if (strlcpy(address->local.sun_path, endpoint->asked + strlen(unix_prefix), sizeof(address->local.sun_path)) >=
        sizeof(address->local.sun_path))
        return -1;
    strlcpy(address->text, endpoint->asked, sizeof(address->text));
    if (!*rest) { /* an older binary, which bound it to the path itself */
        if (lstat(address->local.sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
            endpoint->file = file_id_of(&status);
        return 0;
    }
    const char *first = strsep(rest, "\t"), *second = strsep(rest, "\t");
    char after;
    if (!second || sscanf(first, "%ju%c", &device, &after) != 1 || sscanf(second, "%ju%c", &inode, &after) != 1)
        return -1;
    endpoint->file = (struct file_id){.device = (dev_t)device, .inode = (ino_t)inode};
    return 0;
}

static int read_endpoint(struct endpoint *endpoint, char *line)
{
    const char *asked = strsep(&line, "\t"), *listener = strsep(&line, "\t");
    int count, fd;

    if (!asked || !listener || strlcpy(endpoint->asked, asked, sizeof(endpoint->asked)) >= sizeof(endpoint->asked) ||
        strlcpy(endpoint->listener, listener, sizeof(endpoint->listener)) >= sizeof(endpoint->listener) ||
        next_number(&line, 1, CONF_WORKERS_MAX, &count) < 0)
        return -1;
    while (endpoint->count < (unsigned)count) {
        /* A descriptor that is not ours to hold is not kept: it would be closed with the endpoint. */
        if (next_number(&line, -1, INT_MAX, &fd) < 0 || (fd < 0 && endpoint->count == 0) ||
            (fd >= 0 && (!is_queue(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)))
            return -1;
        endpoint->queues[endpoint->count++] = fd;
    }
    bool local = strncmp(asked, unix_prefix, strlen(unix_prefix)) == 0;
    return (local ? read_file(endpoint, &line) : ask_address(endpoint)) < 0 || line ? -1 : 0;
}

int manifest_read(struct endpoints *endpoints, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    int result = 0;

    for (ssize_t size; result == 0 && (size = getline(&line, &room, in)) > 0;) {
        struct endpoint *endpoint = endpoints_add(endpoints);
        if (!endpoint) {
            result = -1;
        } else if (line[size - 1] != '\n') {
            errno = EBADMSG; /* cut short */
            result = -1;
        } else {
            line[size - 1] = '\0';
            result = read_endpoint(endpoint, line);
            errno = EBADMSG;
        }
    }
    free(line);
    return ferror(in) ? -1 : result;
}
