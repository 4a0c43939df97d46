#include "worker/core/transport.h"
#include "common/sock.h"
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t tcp_receive(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, 0);
}

static ssize_t tcp_send(int fd, const struct iovec pieces[2])
{
    struct msghdr packet = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = 2};

    if (pieces[0].iov_len == 0) /* the cheaper call */
        return send(fd, pieces[1].iov_base, pieces[1].iov_len, MSG_NOSIGNAL);
    return sendmsg(fd, &packet, MSG_NOSIGNAL);
}

static void tcp_shutdown(int fd)
{
    shutdown(fd, SHUT_WR);
}

static bool tcp_pending(int fd)
{
    int size = 0;

    return ioctl(fd, FIONREAD, &size) == 0 && size > 0;
}

static uint32_t tcp_unacknowledged(int fd)
{
    int size = 0;

    return ioctl(fd, SIOCOUTQ, &size) < 0 ? 0 : (uint32_t)size;
}

static void tcp_release(int fd)
{
    close(fd);
}

const struct transport transport_tcp = {
    .receive = tcp_receive,
    .send = tcp_send,
    .shutdown = tcp_shutdown,
    .pending = tcp_pending,
    .unacknowledged = tcp_unacknowledged,
    .error = sock_error,
    .release = tcp_release,
};

bool transport_error_passes(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM;
}
