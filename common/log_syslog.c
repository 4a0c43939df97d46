#include "common/log_syslog.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

static struct {
    int fd;
    bool stream; /* records end with a NUL there, as those of the C library do */
} connection = {.fd = -1};

static int connect_as(int type)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void log_syslog_open(void)
{
    log_syslog_close();
    connection.fd = connect_as(SOCK_DGRAM);
    connection.stream = connection.fd < 0 && errno == EPROTOTYPE;
    if (connection.stream)
        connection.fd = connect_as(SOCK_STREAM);
}

void log_syslog_close(void)
{
    if (connection.fd >= 0)
        close(connection.fd);
    connection.fd = -1;
}

static ssize_t send_message(const char *message, size_t size)
{
    struct iovec pieces[] = {{(void *)message, size}, {"", 1}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = connection.stream ? 2 : 1};

    if (connection.fd < 0) {
        errno = ENOTCONN;
        return -1;
    }
    return sendmsg(connection.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool log_syslog_send(const char *message, size_t size)
{
    ssize_t sent = send_message(message, size);

    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) { /* nobody is there any more, or not yet */
        log_syslog_open();
        sent = send_message(message, size);
    }
    if (sent > 0 && (size_t)sent < size + connection.stream) {
        shutdown(connection.fd, SHUT_WR); /* half a record: the connection ends with it, for all who share it */
        log_syslog_close();
        return false;
    }
    return sent > 0;
}
