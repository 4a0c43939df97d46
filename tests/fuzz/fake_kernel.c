#include "tests/fuzz/fake_kernel.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* In a copy of the server's library NAME is replaced by fake_NAME (tests/fuzz/fake_names), nowhere else. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct kernel kernel;

enum { SPIN_TURNS = 200 };

/* ---- the machine ---- */

void kernel_boot(void)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.now_us = kernel.turn_us = kernel.previous_turn_us = 1000 * 1000;
}

void kernel_blame(const char *sentence)
{
    fprintf(stderr, "fuzz_core: %s\n", sentence);
    abort();
}

uint8_t kernel_byte(uint32_t seed, uint64_t n)
{
    uint64_t x = (n + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)seed << 32;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    return (uint8_t)(x >> 40);
}

struct kernel_socket *kernel_socket_of(int fd)
{
    int index = fd - KERNEL_FIRST_FD;

    if (index < 0 || index >= KERNEL_SOCKETS || kernel.sockets[index].kind == KERNEL_NONE)
        kernel_blame("a call on a descriptor that is not open");
    return &kernel.sockets[index];
}

int kernel_fd_of(const struct kernel_socket *socket)
{
    return (int)(socket - kernel.sockets) + KERNEL_FIRST_FD;
}

struct kernel_socket *kernel_open(enum kernel_kind kind)
{
    for (unsigned i = 0; i < KERNEL_SOCKETS; i++) {
        struct kernel_socket *socket = &kernel.sockets[i];
        if (socket->kind != KERNEL_NONE)
            continue;
        *socket = (struct kernel_socket){.kind = kind, .room = KERNEL_ROOM};
        kernel.open++;
        return socket;
    }
    return NULL;
}

void kernel_fail(enum kernel_call call, int error, unsigned after, unsigned times)
{
    kernel.failing[call].error = error;
    kernel.failing[call].after = after;
    kernel.failing[call].times = times;
}

/* True when this call is to fail; errno is set. */
static bool fails(enum kernel_call call)
{
    if (kernel.failing[call].times == 0)
        return false;
    if (kernel.failing[call].after > 0) {
        kernel.failing[call].after--;
        return false;
    }
    kernel.failing[call].times--;
    kernel.starved = true;
    errno = kernel.failing[call].error;
    return true;
}

void kernel_say(uint32_t type, uint32_t value, int fd)
{
    unsigned at = kernel.word_count;

    if (at == KERNEL_WORDS || (at == KERNEL_WORDS - 1 && type != CHANNEL_DRAIN)) {
        if (fd >= 0)
            kernel_socket_of(fd)->kind = KERNEL_NONE, kernel.open--;
        return;
    }
    kernel.words[at] = (struct channel_message){.type = type, .value = value, .count = fd >= 0};
    kernel.word_fds[at] = fd;
    kernel.word_count++;
}

/* ---- epoll ---- */

static uint32_t stream_events(const struct kernel_socket *socket)
{
    uint32_t events = 0;

    if (socket->connecting)
        return 0;
    if (socket->taken < socket->typed || socket->ended || socket->reset)
        events |= EPOLLIN;
    if (socket->room > 0 || socket->reset || socket->shut)
        events |= EPOLLOUT;
    if (socket->reset || (socket->ended && socket->shut))
        events |= EPOLLHUP;
    if (socket->error)
        events |= EPOLLERR;
    return events;
}

static uint32_t events_of(const struct kernel_socket *socket)
{
    switch (socket->kind) {
    case KERNEL_STREAM: return stream_events(socket);
    case KERNEL_QUEUE: return socket->closed_by_peer ? EPOLLIN | EPOLLHUP : socket->waiting_count > 0 ? EPOLLIN : 0;
    case KERNEL_CHANNEL: return kernel.word_count > 0 || kernel.master_gone ? EPOLLIN : 0;
    case KERNEL_SIGNALS: return kernel.signal ? EPOLLIN : 0;
    default: return 0;
    }
}

int fake_epoll_create1(int flags)
{
    struct kernel_socket *socket = kernel_open(KERNEL_EPOLL);

    (void)flags;
    return kernel_fd_of(socket);
}

int fake_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    struct kernel_socket *socket = kernel_socket_of(fd);

    (void)epoll_fd;
    /* Taking out allocates nothing: it cannot fail. */
    if (operation != EPOLL_CTL_DEL && fails(operation == EPOLL_CTL_ADD ? CALL_EPOLL_ADD : CALL_EPOLL_CHANGE))
        return -1;
    if (socket->watched == (operation == EPOLL_CTL_ADD))
        kernel_blame("epoll_ctl on a descriptor that is there already, or is not there");
    socket->watched = operation != EPOLL_CTL_DEL;
    socket->events = event->events;
    socket->data = event->data.ptr;
    kernel.progress = true;
    return 0;
}

static int collect(struct epoll_event *events, int count)
{
    int found = 0;

    for (unsigned i = 0; i < KERNEL_SOCKETS && found < count; i++) {
        const struct kernel_socket *socket = &kernel.sockets[i];
        uint32_t ready = socket->watched ? events_of(socket) & (socket->events | EPOLLERR | EPOLLHUP) : 0;
        if (ready)
            events[found++] = (struct epoll_event){.events = ready, .data.ptr = socket->data};
    }
    return found;
}

int fake_usleep(unsigned us)
{
    kernel.now_us += us;
    return 0;
}

int fake_epoll_wait(int epoll_fd, struct epoll_event *events, int count, int timeout_ms)
{
    (void)epoll_fd;
    kernel.idle_turns = kernel.progress ? 0 : kernel.idle_turns + 1;
    kernel.progress = false;
    if (kernel.idle_turns > SPIN_TURNS)
        kernel_blame("the loop turns and turns, and nothing comes of it");
    kernel.before_turn();
    int found = collect(events, count);
    if (found == 0) {
        kernel.now_us += timeout_ms > 0 ? (uint64_t)timeout_ms * 1000 : 0;
        kernel.progress = timeout_ms > 0;
    }
    kernel.previous_turn_us = kernel.turn_us;
    kernel.turn_us = kernel.now_us;
    return fails(CALL_EPOLL_WAIT) ? -1 : found;
}

int fake_clock_gettime(clockid_t id, struct timespec *now)
{
    (void)id;
    *now = (struct timespec){.tv_sec = (time_t)(kernel.now_us / 1000000),
                             .tv_nsec = (long)(kernel.now_us % 1000000) * 1000};
    return 0;
}

/* ---- streams ---- */

static void fill_address(struct sockaddr *address, socklen_t *size, uint16_t port)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};

    if (!address)
        return;
    memcpy(address, &there, *size < sizeof(there) ? *size : sizeof(there));
    *size = sizeof(there);
}

int fake_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    struct kernel_socket *queue = kernel_socket_of(fd), *client;

    (void)flags;
    if (queue->closed_by_peer) {
        errno = EINVAL;
        return -1;
    }
    if (queue->waiting_count == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (fails(CALL_ACCEPT)) {
        if (errno == ECONNABORTED)
            queue->waiting_count--;
        return -1;
    }
    client = kernel_open(KERNEL_STREAM);
    if (!client) {
        errno = EMFILE;
        return -1;
    }
    client->seed = queue->waiting[--queue->waiting_count];
    fill_address(address, size, (uint16_t)(1024 + client->seed % 50000));
    kernel.progress = true;
    kernel.accepted(client);
    return kernel_fd_of(client);
}

int fake_socket(int family, int type, int protocol)
{
    struct kernel_socket *socket;

    (void)family, (void)type, (void)protocol;
    if (fails(CALL_SOCKET))
        return -1;
    socket = kernel_open(KERNEL_STREAM);
    if (!socket) {
        errno = EMFILE;
        return -1;
    }
    socket->connecting = true;
    return kernel_fd_of(socket);
}

int fake_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct kernel_socket *socket = kernel_socket_of(fd);

    (void)address, (void)size;
    if (fails(CALL_CONNECT))
        return -1;
    kernel.connected(socket);
    errno = EINPROGRESS;
    return -1;
}

int fake_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    kernel_socket_of(fd);
    fill_address(address, size, 9999);
    return 0;
}

int fake_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    if (kernel_socket_of(fd)->reset) {
        errno = ENOTCONN;
        return -1;
    }
    fill_address(address, size, 1024);
    return 0;
}

int fake_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    (void)level, (void)name, (void)value, (void)size;
    kernel_socket_of(fd);
    return 0;
}

int fake_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct kernel_socket *socket = kernel_socket_of(fd);

    (void)level;
    memset(value, 0, *size);
    if (name == SO_ERROR) {
        memcpy(value, &socket->error, sizeof(int));
        socket->error = 0;
    }
    return 0;
}

ssize_t fake_recv(int fd, void *bytes, size_t size, int flags)
{
    struct kernel_socket *socket = kernel_socket_of(fd);
    uint8_t *out = bytes;

    (void)flags;
    if (fails(CALL_RECEIVE)) {
        kernel.progress = true;
        return -1;
    }
    size_t there = (size_t)(socket->typed - socket->taken);
    if (there > 0) {
        size = size < there ? size : there;
        for (size_t i = 0; i < size; i++)
            out[i] = kernel_byte(socket->seed, socket->taken + i);
        socket->taken += size;
        kernel.progress = true;
        return (ssize_t)size;
    }
    if (socket->error) {
        errno = socket->error;
        socket->error = 0;
        kernel.progress = true;
        return -1;
    }
    if (socket->ended || socket->reset) {
        kernel.progress = true;
        return 0;
    }
    errno = EAGAIN;
    return -1;
}

static ssize_t write_some(int fd, const struct iovec *pieces, size_t count)
{
    struct kernel_socket *socket = kernel_socket_of(fd);
    size_t done = 0;

    if (fails(CALL_SEND)) {
        kernel.progress = true;
        socket->failed |= errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM;
        return -1;
    }
    if (socket->shut || socket->reset || socket->error) {
        errno = socket->error ? socket->error : EPIPE;
        socket->error = 0;
        socket->failed = true;
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = pieces[i].iov_len < socket->room ? pieces[i].iov_len : socket->room;
        if (size > 0 && kernel.wrote)
            kernel.wrote(socket, pieces[i].iov_base, size);
        socket->written += size;
        socket->room -= (uint32_t)size;
        socket->unacknowledged += (uint32_t)size;
        done += size;
    }
    if (done > 0) {
        kernel.progress = true;
        return (ssize_t)done;
    }
    errno = EAGAIN;
    return -1;
}

ssize_t fake_send(int fd, const void *bytes, size_t size, int flags)
{
    struct iovec piece = {(void *)bytes, size};

    (void)flags;
    return write_some(fd, &piece, 1);
}

int fake_shutdown(int fd, int how)
{
    struct kernel_socket *socket = kernel_socket_of(fd);

    if (socket->kind == KERNEL_QUEUE)
        socket->closed_by_peer = true;
    else if (how != SHUT_RD)
        socket->shut = true;
    kernel.progress = true;
    return 0;
}

int fake_ioctl(int fd, unsigned long request, ...)
{
    struct kernel_socket *socket = kernel_socket_of(fd);
    va_list arguments;

    va_start(arguments, request);
    int *value = va_arg(arguments, int *);
    va_end(arguments);
    *value = request == FIONREAD ? (int)(socket->typed - socket->taken) : (int)socket->unacknowledged;
    return 0;
}

/* Files are read in pieces of any size. */
ssize_t fake_pread(int fd, void *bytes, size_t size, off_t at)
{
    struct kernel_socket *file = kernel_socket_of(fd);
    uint8_t *out = bytes;

    if (file->kind != KERNEL_FILE)
        kernel_blame("something is read that is no file");
    if (fails(CALL_FILE_READ))
        return -1;
    size_t there = (uint64_t)at < file->typed ? (size_t)(file->typed - (uint64_t)at) : 0;
    size_t most = kernel_byte(file->seed, (uint64_t)at) % 4 ? size : 1 + size / 2;
    size = there < most ? there : most;
    for (size_t i = 0; i < size; i++)
        out[i] = kernel_byte(file->seed, (uint64_t)at + i);
    kernel.progress = true;
    return (ssize_t)size;
}

int fake_close(int fd)
{
    struct kernel_socket *socket = kernel_socket_of(fd);

    socket->kind = KERNEL_NONE;
    socket->watched = false;
    kernel.open--;
    kernel.progress = true;
    return 0;
}

/* ---- the master ---- */

ssize_t fake_sendmsg(int fd, const struct msghdr *packet, int flags)
{
    (void)flags;
    if (kernel_socket_of(fd)->kind != KERNEL_CHANNEL)
        return write_some(fd, packet->msg_iov, packet->msg_iovlen);
    if (fails(CALL_CHANNEL_SEND))
        return -1;
    if (kernel.master_gone) {
        errno = EPIPE;
        return -1;
    }
    const struct channel_message *message = packet->msg_iov[0].iov_base;
    kernel.sent_ready |= message->type == CHANNEL_READY;
    return (ssize_t)packet->msg_iov[0].iov_len;
}

ssize_t fake_recvmsg(int fd, struct msghdr *packet, int flags)
{
    (void)flags;
    kernel_socket_of(fd);
    packet->msg_flags = 0;
    if (kernel.word_count == 0) {
        packet->msg_controllen = 0;
        errno = EAGAIN;
        return kernel.master_gone ? 0 : -1;
    }
    memcpy(packet->msg_iov[0].iov_base, &kernel.words[0], sizeof(kernel.words[0]));
    if (kernel.word_fds[0] >= 0) {
        struct cmsghdr *header = packet->msg_control;
        *header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &kernel.word_fds[0], sizeof(int));
        packet->msg_controllen = CMSG_SPACE(sizeof(int));
    } else {
        packet->msg_controllen = 0;
    }
    kernel.word_count--;
    memmove(kernel.words, kernel.words + 1, kernel.word_count * sizeof(kernel.words[0]));
    memmove(kernel.word_fds, kernel.word_fds + 1, kernel.word_count * sizeof(int));
    kernel.progress = true;
    return sizeof(kernel.words[0]);
}

int fake_signalfd(int fd, const sigset_t *mask, int flags)
{
    (void)fd, (void)mask, (void)flags;
    return kernel_fd_of(kernel_open(KERNEL_SIGNALS));
}

ssize_t fake_read(int fd, void *bytes, size_t size)
{
    kernel_socket_of(fd);
    if (kernel.signal == 0) {
        errno = EAGAIN;
        return -1;
    }
    memset(bytes, 0, size);
    ((struct signalfd_siginfo *)bytes)->ssi_signo = kernel.signal;
    kernel.signal = 0;
    kernel.progress = true;
    return (ssize_t)size;
}

/* What FORTIFY makes of the calls above: the same, and the size of the object is passed, too. */
ssize_t fake_read_chk(int fd, void *bytes, size_t size, size_t room)
{
    return size <= room ? fake_read(fd, bytes, size) : (abort(), -1);
}

ssize_t fake_pread_chk(int fd, void *bytes, size_t size, off_t at, size_t room)
{
    return size <= room ? fake_pread(fd, bytes, size, at) : (abort(), -1);
}

ssize_t fake_recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
    return size <= room ? fake_recv(fd, bytes, size, flags) : (abort(), -1);
}

/* The fuzzer's own process keeps its signals, its name and its parent. */
int fake_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how, (void)set, (void)old;
    return 0;
}

int fake_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    (void)number, (void)action, (void)old;
    return 0;
}

void (*fake_signal(int number, void (*handler)(int)))(int)
{
    (void)number, (void)handler;
    return SIG_DFL;
}

int fake_prctl(int option, ...)
{
    (void)option;
    return 0;
}

void fake_setproctitle(const char *format, ...)
{
    (void)format;
}

/* ---- memory ---- */

void *fake_malloc(size_t size)
{
    if (fails(CALL_MEMORY))
        return NULL;
    kernel.blocks++;
    return malloc(size);
}

void *fake_calloc(size_t count, size_t size)
{
    if (fails(CALL_MEMORY))
        return NULL;
    kernel.blocks++;
    return calloc(count, size);
}

void *fake_realloc(void *memory, size_t size)
{
    if (fails(CALL_MEMORY))
        return NULL;
    kernel.blocks += memory == NULL;
    return realloc(memory, size);
}

void *fake_reallocarray(void *memory, size_t count, size_t size)
{
    return fake_realloc(memory, count * size);
}

void fake_free(void *memory)
{
    kernel.blocks -= memory != NULL;
    free(memory);
}
