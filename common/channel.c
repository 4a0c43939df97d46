#include "common/channel.h"
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int channel_open(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

/* The kernel is short of memory for a moment, or a signal came: nothing has been sent or received. */
static enum channel_result failed(void)
{
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return CHANNEL_AGAIN;
    return errno == EPIPE || errno == ECONNRESET ? CHANNEL_CLOSED : CHANNEL_BROKEN;
}

enum channel_result channel_send_fds(int fd, const struct channel_message *message, const int *fds)
{
    struct iovec part = {.iov_base = (void *)message, .iov_len = sizeof(*message)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
    } control = {0};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (message->count > 0) {
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int) * message->count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * message->count);
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * message->count);
    }
    return sendmsg(fd, &packet, MSG_NOSIGNAL) < 0 ? failed() : CHANNEL_OK;
}

enum channel_result channel_send(int fd, enum channel_type type, uint32_t value)
{
    struct channel_message message = {.type = type, .value = value};

    return channel_send_fds(fd, &message, NULL);
}

/* Store what came along. What is more than CHANNEL_FDS_MAX is closed. */
static int take_fds(struct msghdr *packet, int *fds)
{
    int count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header; header = CMSG_NXTHDR(packet, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < received; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (count < CHANNEL_FDS_MAX)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    return count;
}

/* Is it a whole message of ours, with no more descriptors than it says? */
static bool is_sound(const struct channel_message *message, ssize_t size, const struct msghdr *packet, int received,
                     bool takes_fds)
{
    if (size != sizeof(*message) || (packet->msg_flags & MSG_TRUNC) || message->type >= CHANNEL_TYPES)
        return false;
    if (!takes_fds) /* the kernel has dropped them: a process that expects none need not hold what others send it */
        return message->count == 0 && !(packet->msg_flags & MSG_CTRUNC);
    return (uint32_t)received <= message->count && message->count <= CHANNEL_FDS_MAX;
}

enum channel_result channel_receive(int fd, struct channel_message *message, int *fds)
{
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
    } control;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = fds ? &control : NULL,
                            .msg_controllen = fds ? sizeof(control) : 0};
    ssize_t size = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC);

    if (size < 0)
        return failed();
    if (size == 0)
        return CHANNEL_CLOSED;
    int received = fds ? take_fds(&packet, fds) : 0;
    if (!is_sound(message, size, &packet, received, fds)) {
        for (int i = 0; i < received; i++)
            close(fds[i]);
        errno = EBADMSG;
        return CHANNEL_BROKEN;
    }
    message->lost = message->count - (uint32_t)received;
    message->count = (uint32_t)received;
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
