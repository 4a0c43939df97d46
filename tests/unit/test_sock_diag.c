/*
 * Accept queues as the kernel tells them: the same figures for who has the socket and for who has not, of exactly this
 * socket; and answers that are none, from a kernel that does not know the question to bytes of any kind.
 */
#include "common/sock_diag.h"
#include "tests/unit/unit.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { BACKLOG = 7, CLIENTS_MAX = 32, PATIENCE_MS = 10000 };

/* ---- a kernel that answers as it is told ---- */

static struct {
    bool is_on;
    int socket_error, send_error; /* of the calls; 0: none */
    char bytes[1 << 16];
    size_t size;        /* of the answer; 0: there is none */
    size_t said_size;   /* what recvfrom() returns; 0: `size` */
    unsigned times;     /* so often, then there is nothing more */
    uint32_t from;      /* port of the sender; 0: the kernel */
    unsigned questions; /* that it was asked */
} script;

int socket(int family, int type, int protocol)
{
    if (script.is_on && script.socket_error) {
        errno = script.socket_error;
        return -1;
    }
    return (int)syscall(SYS_socket, family, type, protocol);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    script.questions++;
    if (script.is_on && script.send_error) {
        errno = script.send_error;
        return -1;
    }
    return script.is_on ? (ssize_t)size : syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
}

ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, struct sockaddr *address, socklen_t *address_size)
{
    if (!script.is_on)
        return syscall(SYS_recvfrom, fd, bytes, size, flags, address, address_size);
    if (script.times == 0) {
        errno = EAGAIN;
        return -1;
    }
    script.times--;
    memcpy(address, &(struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = script.from}, sizeof(struct sockaddr_nl));
    memcpy(bytes, script.bytes, script.size < size ? script.size : size);
    return (ssize_t)(script.said_size ? script.said_size : script.size);
}

/* ---- what is found ---- */

static struct sock_identity wanted;
static struct sock_queue seen;
static unsigned times_found, all_found;

static void note(void *user, const struct sock_identity *identity, const struct sock_queue *queue)
{
    CU_ASSERT_PTR_EQUAL(user, &wanted);
    all_found++;
    if (identity->cookie != wanted.cookie || identity->inode != wanted.inode)
        return;
    times_found++;
    seen = *queue;
}

static int ask(int family)
{
    times_found = all_found = 0;
    return sock_diag_each(family, note, &wanted);
}

/* Whether `fd` is found, once, among the sockets of the family. */
static bool is_found(int family, int fd)
{
    wanted = sock_diag_identify(fd);
    CU_ASSERT_EQUAL(ask(family), 0);
    CU_ASSERT(times_found <= 1);
    return times_found == 1;
}

/* ---- sockets ---- */

struct peer {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_un local;
    };
    socklen_t size;
    int fd, clients[CLIENTS_MAX];
    unsigned count;
};

static void begin(struct peer *peer, int family, int backlog)
{
    *peer = (struct peer){.any = {.sa_family = (sa_family_t)family}, .size = sizeof(peer->four)};
    if (family == AF_INET)
        peer->four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (family == AF_INET6) {
        peer->six.sin6_addr = in6addr_loopback;
        peer->size = sizeof(peer->six);
    }
    if (family == AF_UNIX)
        peer->size = sizeof(sa_family_t); /* a name of the kernel's choice */
    peer->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(peer->fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(peer->fd, &peer->any, peer->size), 0);
    CU_ASSERT_EQUAL_FATAL(listen(peer->fd, backlog), 0);
    peer->size = sizeof(peer->local);
    CU_ASSERT_EQUAL_FATAL(getsockname(peer->fd, &peer->any, &peer->size), 0);
}

/* One more client, which waits for nothing. */
static void visit(struct peer *peer)
{
    int fd = socket(peer->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(fd >= 0 && peer->count < CLIENTS_MAX);
    CU_ASSERT(connect(fd, &peer->any, peer->size) == 0 || errno == EINPROGRESS);
    peer->clients[peer->count++] = fd;
}

static void end(struct peer *peer)
{
    while (peer->count > 0)
        close(peer->clients[--peer->count]);
    close(peer->fd);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Await that so many wait: the handshake may go on for a moment. */
static void await_length(const struct peer *peer, unsigned length)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;

    while (is_found(peer->any.sa_family, peer->fd) && seen.length != length && now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CU_ASSERT_EQUAL(times_found, 1);
    CU_ASSERT_EQUAL(seen.length, length);
}

/* ---- tests ---- */

static void check_tcp(int family, int other_family)
{
    struct sock_queue own;
    struct peer peer;

    begin(&peer, family, BACKLOG);
    await_length(&peer, 0);
    CU_ASSERT(seen.limit == BACKLOG && seen.has_drops && seen.drops == 0);
    for (unsigned i = 0; i < 3; i++)
        visit(&peer);
    await_length(&peer, 3);
    CU_ASSERT_TRUE(sock_diag_measure(peer.fd, &own));
    CU_ASSERT(own.length == 3 && own.limit == BACKLOG && own.has_drops && own.drops == 0);
    int accepted = accept(peer.fd, NULL, NULL);
    await_length(&peer, 2);
    CU_ASSERT_FALSE(sock_diag_measure(accepted, &own)); /* it does not listen */
    CU_ASSERT_FALSE(is_found(family, accepted));
    CU_ASSERT_FALSE(is_found(other_family, peer.fd));
    close(accepted);
    shutdown(peer.fd, SHUT_RD);
    CU_ASSERT_FALSE(is_found(family, peer.fd) || sock_diag_measure(peer.fd, &own));
    end(&peer);
}

static void test_ipv4(void)
{
    check_tcp(AF_INET, AF_INET6);
}

static void test_ipv6(void)
{
    check_tcp(AF_INET6, AF_INET);
}

static void test_unix(void)
{
    struct sock_queue own;
    struct peer peer;

    begin(&peer, AF_UNIX, BACKLOG);
    visit(&peer);
    visit(&peer);
    await_length(&peer, 2);
    CU_ASSERT(seen.limit == BACKLOG && !seen.has_drops && seen.drops == 0);
    CU_ASSERT_FALSE(sock_diag_measure(peer.fd, &own));
    CU_ASSERT_FALSE(is_found(AF_INET, peer.fd));
    end(&peer);
}

/* What one socket has no room for is dropped by it and by no other. */
static void test_drops(void)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    struct sock_queue own = {0};
    struct peer full, other;

    begin(&full, AF_INET, 1);
    begin(&other, AF_INET, 1);
    visit(&full);
    visit(&full);
    await_length(&full, 2); /* one more than the limit */
    CU_ASSERT(seen.limit == 1 && seen.drops == 0);
    for (unsigned i = 0; i < 5; i++)
        visit(&full);
    while (is_found(AF_INET, full.fd) && seen.drops < 5 && now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CU_ASSERT(seen.drops >= 5 && seen.length == 2);
    CU_ASSERT(sock_diag_measure(full.fd, &own) && own.has_drops && own.drops >= seen.drops);
    CU_ASSERT(is_found(AF_INET, other.fd) && seen.drops == 0 && seen.length == 0);
    end(&full);
    end(&other);
}

static void test_no_identity(void)
{
    struct sock_identity identity = sock_diag_identify(-1);

    CU_ASSERT(identity.cookie == 0 && identity.inode == 0);
    int pipes[2];
    CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
    identity = sock_diag_identify(pipes[0]); /* no socket */
    CU_ASSERT(identity.cookie == 0 && identity.inode == 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- answers that are told ---- */

static void begin_script(void)
{
    memset(&script, 0, sizeof(script));
    script.is_on = true;
    script.times = 1;
    wanted = (struct sock_identity){.cookie = UINT64_C(0x200000001), .inode = 77};
}

static void end_script(void)
{
    script.is_on = false;
}

/* Add a message. Its length says `length_more` more than there is. */
static void add(unsigned type, unsigned sequence, const void *body, size_t size, int length_more)
{
    const struct nlmsghdr head = {.nlmsg_type = (uint16_t)type,
                                  .nlmsg_seq = sequence,
                                  .nlmsg_len = (uint32_t)((int)NLMSG_LENGTH(size) + length_more)};

    memcpy(script.bytes + script.size, &head, sizeof(head));
    if (size > 0)
        memcpy(script.bytes + script.size + NLMSG_HDRLEN, body, size);
    script.size += NLMSG_SPACE(size);
}

static void add_end(void)
{
    add(NLMSG_DONE, 1, &(int){0}, sizeof(int), 0);
}

struct tcp_answer {
    struct inet_diag_msg message;
    struct rtattr head;
    uint32_t memory[SK_MEMINFO_DROPS + 1];
};

static const struct tcp_answer tcp = {
    .message = {.idiag_state = TCP_LISTEN,
                .idiag_rqueue = 5,
                .idiag_wqueue = 6,
                .idiag_inode = 77,
                .id = {.idiag_cookie = {1, 2}}},
    .head = {.rta_type = INET_DIAG_SKMEMINFO, .rta_len = RTA_LENGTH(sizeof(tcp.memory))},
    .memory = {[SK_MEMINFO_DROPS] = 9}};

static void test_told(void)
{
    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 0);
    add_end();
    CU_ASSERT_EQUAL(ask(AF_INET), 0);
    CU_ASSERT(times_found == 1 && all_found == 1);
    CU_ASSERT(seen.length == 5 && seen.limit == 6 && seen.has_drops && seen.drops == 9);
    end_script();
}

/* The kernel does not know the question, cannot be asked, or says nothing more: there is no answer, and no waiting. */
static void test_no_answer(void)
{
    begin_script();
    script.socket_error = EAFNOSUPPORT;
    CU_ASSERT(ask(AF_INET) < 0 && errno == EAFNOSUPPORT);
    begin_script();
    script.send_error = ENOBUFS;
    CU_ASSERT(ask(AF_INET) < 0 && errno == ENOBUFS);
    begin_script();
    add(NLMSG_ERROR, 1, &(struct nlmsgerr){.error = -ENOENT}, sizeof(struct nlmsgerr), 0);
    CU_ASSERT(ask(AF_INET) < 0 && errno == ENOENT);
    begin_script();
    add(NLMSG_ERROR, 1, &(struct nlmsgerr){.error = 1}, sizeof(struct nlmsgerr), 0);
    CU_ASSERT(ask(AF_INET) < 0 && errno == EBADMSG);
    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 0);
    CU_ASSERT(ask(AF_INET) < 0 && errno == EAGAIN);
    CU_ASSERT_EQUAL(times_found, 1); /* what was told is true all the same */
    end_script();
}

static void check_bad(void)
{
    CU_ASSERT(ask(AF_INET) < 0 && errno == EBADMSG);
    CU_ASSERT_EQUAL(all_found, 0);
}

static void test_bad_answers(void)
{
    begin_script(); /* of another process */
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 0);
    script.from = 4711;
    check_bad();
    begin_script(); /* cut */
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 0);
    script.said_size = 1 << 20;
    check_bad();
    begin_script(); /* empty */
    check_bad();
    begin_script(); /* longer than it is */
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 4);
    check_bad();
    begin_script(); /* shorter than its head */
    add(SOCK_DIAG_BY_FAMILY, 1, NULL, 0, -1);
    check_bad();
    begin_script(); /* an error that does not say which */
    add(NLMSG_ERROR, 1, &(int){0}, sizeof(int), 0);
    check_bad();
    end_script();
}

/* Messages that say nothing about a socket that listens are passed over, and so are answers to other questions. */
static void test_passed_over(void)
{
    struct tcp_answer other = tcp;

    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 2, &tcp, sizeof(tcp), 0);
    add(NLMSG_DONE, 2, &(int){0}, sizeof(int), 0);
    add(NLMSG_NOOP, 1, NULL, 0, 0);
    add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp.message) - 1, 0);
    other.message.idiag_state = TCP_ESTABLISHED;
    add(SOCK_DIAG_BY_FAMILY, 1, &other, sizeof(other), 0);
    add_end();
    CU_ASSERT_EQUAL(ask(AF_INET), 0);
    CU_ASSERT_EQUAL(all_found, 0);
    end_script();
}

/* Drops are known where their attribute is there, whole. */
static void check_no_drops(const struct tcp_answer *answer, size_t size)
{
    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 1, answer, size, 0);
    add_end();
    CU_ASSERT_EQUAL(ask(AF_INET), 0);
    CU_ASSERT(times_found == 1 && !seen.has_drops && seen.drops == 0 && seen.length == 5);
    end_script();
}

static void test_attributes(void)
{
    struct tcp_answer answer = tcp;

    check_no_drops(&tcp, sizeof(tcp.message));
    check_no_drops(&tcp, sizeof(tcp) - 1);
    answer.head.rta_len--; /* an older kernel has fewer figures */
    check_no_drops(&answer, sizeof(answer));
    answer.head.rta_len = sizeof(answer.head) - 1;
    check_no_drops(&answer, sizeof(answer));
    answer = tcp;
    answer.head.rta_type = INET_DIAG_INFO;
    check_no_drops(&answer, sizeof(answer));

    struct {
        struct inet_diag_msg message;
        struct rtattr before;
        uint32_t value;
        struct rtattr head;
        uint32_t memory[SK_MEMINFO_DROPS + 1];
    } second = {.message = tcp.message,
                .before = {.rta_type = INET_DIAG_TOS, .rta_len = RTA_LENGTH(1)},
                .head = tcp.head,
                .memory = {[SK_MEMINFO_DROPS] = 11}};
    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 1, &second, sizeof(second), 0);
    add_end();
    CU_ASSERT_EQUAL(ask(AF_INET), 0);
    CU_ASSERT(times_found == 1 && seen.has_drops && seen.drops == 11);
    end_script();
}

static void test_unix_told(void)
{
    struct {
        struct unix_diag_msg message;
        struct rtattr head;
        struct unix_diag_rqlen lengths;
    } answer = {.message = {.udiag_state = TCP_LISTEN, .udiag_ino = 77, .udiag_cookie = {1, 2}},
                .head = {.rta_type = UNIX_DIAG_RQLEN, .rta_len = RTA_LENGTH(sizeof(answer.lengths))},
                .lengths = {.udiag_rqueue = 3, .udiag_wqueue = 4}};

    begin_script();
    add(SOCK_DIAG_BY_FAMILY, 1, &answer, sizeof(answer), 0);
    add(SOCK_DIAG_BY_FAMILY, 1, &answer, sizeof(answer) - 1, 0); /* without lengths it says nothing */
    add(SOCK_DIAG_BY_FAMILY, 1, &answer, sizeof(answer.message) - 1, 0);
    add_end();
    CU_ASSERT_EQUAL(ask(AF_UNIX), 0);
    CU_ASSERT(times_found == 1 && all_found == 1 && seen.length == 3 && seen.limit == 4 && !seen.has_drops);
    end_script();
}

/* A machine with more sockets than anybody wants to look at: it ends. */
static void test_endless(void)
{
    begin_script();
    for (unsigned i = 0; i < 100; i++)
        add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp), 0);
    script.times = UINT32_MAX;
    CU_ASSERT_EQUAL(ask(AF_INET), 0);
    CU_ASSERT_EQUAL(all_found, SOCK_DIAG_MAX);
    end_script();
}

/* Whatever bytes there are: it ends, and finds no more than they have room for. */
static void test_bytes_of_any_kind(void)
{
    static const int families[] = {AF_INET, AF_UNIX};
    uint64_t chance = 12345;

    for (unsigned round = 0; round < 20000; round++) {
        begin_script();
        for (unsigned i = 0; i < 3; i++)
            add(SOCK_DIAG_BY_FAMILY, 1, &tcp, sizeof(tcp) - unit_below(&chance, 8), 0);
        for (unsigned i = 0; i < 4; i++)
            script.bytes[unit_below(&chance, script.size)] = (char)unit_random(&chance);
        script.size -= unit_below(&chance, 40);
        ask(families[round % 2]);
        CU_ASSERT(all_found <= script.size / NLMSG_LENGTH(sizeof(struct unix_diag_msg)));
    }
    end_script();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"IPv4", test_ipv4},
        {"IPv6", test_ipv6},
        {"unix", test_unix},
        {"drops", test_drops},
        {"no identity", test_no_identity},
        {"told", test_told},
        {"no answer", test_no_answer},
        {"bad answers", test_bad_answers},
        {"passed over", test_passed_over},
        {"attributes", test_attributes},
        {"unix, told", test_unix_told},
        {"endless", test_endless},
        {"bytes of any kind", test_bytes_of_any_kind},
        {0},
    };
    return unit_main("sock_diag", tests);
}
