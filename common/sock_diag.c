#include "common/sock_diag.h"
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- our own sockets ---- */

struct sock_identity sock_diag_identify(int fd)
{
    struct sock_identity identity = {0};
    struct stat status;
    socklen_t size = sizeof(identity.cookie);

    if (fstat(fd, &status) < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &identity.cookie, &size) < 0)
        return (struct sock_identity){0};
    identity.inode = (uint32_t)status.st_ino;
    return identity;
}

bool sock_diag_measure(int fd, struct sock_queue *queue)
{
    uint32_t memory[SK_MEMINFO_VARS];
    struct tcp_info info;
    socklen_t info_size = sizeof(info), memory_size = sizeof(memory);

    /* Of a socket that listens these two members say something else than their names. */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size) < 0 ||
        info_size < offsetof(struct tcp_info, tcpi_lost) || info.tcpi_state != TCP_LISTEN)
        return false;
    *queue = (struct sock_queue){.length = info.tcpi_unacked, .limit = info.tcpi_sacked};
    queue->has_drops = getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &memory_size) == 0 &&
                       memory_size > SK_MEMINFO_DROPS * sizeof(memory[0]);
    queue->drops = queue->has_drops ? memory[SK_MEMINFO_DROPS] : 0;
    return true;
}

/* ---- those of others ---- */

enum { ANSWER_SIZE = 32768, SEQUENCE = 1, LISTENING = 1 << TCP_LISTEN };

struct question {
    int family;
    void (*found)(void *user, const struct sock_identity *identity, const struct sock_queue *queue);
    void *user;
    unsigned count; /* of sockets so far */
};

static int ask(int fd, int family)
{
    struct {
        struct nlmsghdr head;
        union {
            struct inet_diag_req_v2 tcp;
            struct unix_diag_req local;
        };
    } message = {
        .head = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = SEQUENCE}};

    if (family == AF_UNIX) {
        message.local = (struct unix_diag_req){
            .sdiag_family = AF_UNIX, .udiag_states = LISTENING, .udiag_show = UDIAG_SHOW_RQLEN};
        message.head.nlmsg_len = NLMSG_LENGTH(sizeof(message.local));
    } else {
        message.tcp = (struct inet_diag_req_v2){.sdiag_family = (uint8_t)family,
                                                .sdiag_protocol = IPPROTO_TCP,
                                                .idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1),
                                                .idiag_states = LISTENING};
        message.head.nlmsg_len = NLMSG_LENGTH(sizeof(message.tcp));
    }
    return send(fd, &message, message.head.nlmsg_len, MSG_DONTWAIT) == (ssize_t)message.head.nlmsg_len ? 0 : -1;
}

/* Copy the first `wanted` bytes of the attribute `type` among those of a socket. False when it is not there, or less. */
static bool find_attribute(const char *attributes, size_t size, unsigned type, void *value, size_t wanted)
{
    struct rtattr head;

    while (size >= sizeof(head)) {
        memcpy(&head, attributes, sizeof(head));
        if (head.rta_len < sizeof(head) || head.rta_len > size)
            return false;
        if (head.rta_type == type && head.rta_len >= RTA_LENGTH(wanted)) {
            memcpy(value, attributes + RTA_LENGTH(0), wanted);
            return true;
        }
        size_t step = RTA_ALIGN(head.rta_len);
        if (step >= size)
            return false;
        attributes += step;
        size -= step;
    }
    return false;
}

static uint64_t cookie_of(const uint32_t halves[2])
{
    return (uint64_t)halves[1] << 32 | halves[0];
}

static void read_tcp(struct question *question, const char *body, size_t size)
{
    uint32_t memory[SK_MEMINFO_DROPS + 1];
    struct inet_diag_msg message;

    if (size < sizeof(message))
        return;
    memcpy(&message, body, sizeof(message));
    const struct sock_identity identity = {.cookie = cookie_of(message.id.idiag_cookie), .inode = message.idiag_inode};
    struct sock_queue queue = {.length = message.idiag_rqueue, .limit = message.idiag_wqueue};
    queue.has_drops = find_attribute(body + sizeof(message), size - sizeof(message), INET_DIAG_SKMEMINFO, memory,
                                     sizeof(memory));
    queue.drops = queue.has_drops ? memory[SK_MEMINFO_DROPS] : 0;
    if (message.idiag_state == TCP_LISTEN)
        question->found(question->user, &identity, &queue);
}

static void read_unix(struct question *question, const char *body, size_t size)
{
    struct unix_diag_msg message;
    struct unix_diag_rqlen lengths;

    if (size < sizeof(message))
        return;
    memcpy(&message, body, sizeof(message));
    if (message.udiag_state != TCP_LISTEN ||
        !find_attribute(body + sizeof(message), size - sizeof(message), UNIX_DIAG_RQLEN, &lengths, sizeof(lengths)))
        return;
    const struct sock_identity identity = {.cookie = cookie_of(message.udiag_cookie), .inode = message.udiag_ino};
    const struct sock_queue queue = {.length = lengths.udiag_rqueue, .limit = lengths.udiag_wqueue};
    question->found(question->user, &identity, &queue);
}

enum progress { MORE, END, FAILED };

static enum progress fail(int error)
{
    errno = error;
    return FAILED;
}

static enum progress read_message(struct question *question, const struct nlmsghdr *head, const char *body, size_t size)
{
    struct nlmsgerr error;

    switch (head->nlmsg_type) {
    case NLMSG_DONE: return END;
    case NLMSG_ERROR:
        if (size < sizeof(error))
            return fail(EBADMSG);
        memcpy(&error, body, sizeof(error));
        return fail(error.error < 0 ? -error.error : EBADMSG);
    case SOCK_DIAG_BY_FAMILY:
        if (question->family == AF_UNIX)
            read_unix(question, body, size);
        else
            read_tcp(question, body, size);
        return ++question->count < SOCK_DIAG_MAX ? MORE : END;
    default: return MORE;
    }
}

static enum progress read_messages(struct question *question, const char *at, size_t size)
{
    enum progress progress = MORE;
    struct nlmsghdr head;

    while (progress == MORE && size >= sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > size)
            return fail(EBADMSG);
        if (head.nlmsg_seq == SEQUENCE)
            progress = read_message(question, &head, at + NLMSG_HDRLEN, head.nlmsg_len - NLMSG_HDRLEN);
        size_t step = NLMSG_ALIGN(head.nlmsg_len);
        if (step >= size)
            break;
        at += step;
        size -= step;
    }
    return progress;
}

/* A part of the answer. The kernel makes each while it is being received, so none is ever waited for. */
static enum progress receive(int fd, struct question *question)
{
    static char answer[ANSWER_SIZE];
    struct sockaddr_nl from = {0};
    socklen_t from_size = sizeof(from);
    ssize_t size = recvfrom(fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_size);

    if (size < 0)
        return FAILED;
    if (size == 0 || size > ANSWER_SIZE || from.nl_pid != 0) /* 0: the kernel */
        return fail(EBADMSG);
    return read_messages(question, answer, (size_t)size);
}

int sock_diag_each(int family,
                   void (*found)(void *user, const struct sock_identity *identity, const struct sock_queue *queue),
                   void *user)
{
    struct question question = {.family = family, .found = found, .user = user};
    enum progress progress = MORE;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (fd < 0)
        return -1;
    if (ask(fd, family) < 0)
        progress = FAILED;
    while (progress == MORE)
        progress = receive(fd, &question);
    int error = errno;
    close(fd);
    errno = error;
    return progress == END ? 0 : -1;
}
