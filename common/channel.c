#include "common/channel.h"
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

int channel_open(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

static enum channel_result failed(void)
{
    if (errno == EAGAIN || errno == EINTR)
        return CHANNEL_AGAIN;
    return errno == EPIPE || errno == ECONNRESET ? CHANNEL_CLOSED : CHANNEL_BROKEN;
}

enum channel_result channel_send(int fd, enum channel_type type, uint32_t value)
{
    struct channel_message message = {.type = type, .value = value};

    return send(fd, &message, sizeof(message), MSG_NOSIGNAL) < 0 ? failed() : CHANNEL_OK;
}

enum channel_result channel_receive(int fd, struct channel_message *message)
{
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t size = recvmsg(fd, &packet, 0);

    if (size < 0)
        return failed();
    if (size == 0)
        return CHANNEL_CLOSED;
    if (size != sizeof(*message) || (packet.msg_flags & MSG_TRUNC) || message->type >= CHANNEL_TYPES) {
        errno = EBADMSG;
        return CHANNEL_BROKEN;
    }
    return CHANNEL_OK;
}

const char *channel_name(uint32_t type)
{
    static const char *const names[] = {
#define X(name, sender) #name,
        CHANNEL_MESSAGES(X)
#undef X
    };
    return type < CHANNEL_TYPES ? names[type] : "unknown";
}
