/*
 * A bare echo on io_uring as it is at its best with liburing 2.3: one multishot accept, one multishot recv per
 * connection into provided buffers, sends from those same buffers, and completions run only when we ask for them.
 *
 * One send per connection is under way at a time, or a short one would put its bytes after those of the next. When all
 * buffers are taken, recvs end with ENOBUFS and are armed again as buffers come back.
 */
#include "bench/peers/peer.h"
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 32768, BUFFERS_MAX = 32768, GROUP = 0, NONE = UINT16_MAX };
enum operation { OPERATION_RECV, OPERATION_SEND, OPERATION_MASK = 1 };

struct conn {
    int fd;
    bool receiving, sending, ended;
    uint16_t first, last; /* buffers to be sent; NONE: none */
    uint32_t sent;        /* of the first of them */
    struct conn *next_starved;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static unsigned buffer_count = 1024, buffer_size = 65536, buffers_held;
static uint16_t next_buffer[BUFFERS_MAX];
static uint32_t buffer_fill[BUFFERS_MAX];
static struct conn *starved, **starved_end = &starved;

static struct io_uring_sqe *get_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (sqe)
        return sqe;
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
    if (!sqe)
        errx(EXIT_FAILURE, "the submission queue stays full");
    return sqe;
}

static void set_data(struct io_uring_sqe *sqe, struct conn *conn, enum operation operation)
{
    io_uring_sqe_set_data64(sqe, (uintptr_t)conn | operation);
}

static void arm_accept(int listen_fd)
{
    struct io_uring_sqe *sqe = get_sqe();

    io_uring_prep_multishot_accept(sqe, listen_fd, NULL, NULL, SOCK_CLOEXEC);
    set_data(sqe, NULL, 0);
}

static void arm_recv(struct conn *conn)
{
    struct io_uring_sqe *sqe = get_sqe();

    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    set_data(sqe, conn, OPERATION_RECV);
    conn->receiving = true;
}

static void give_buffer(unsigned id)
{
    io_uring_buf_ring_add(buffer_ring, buffers + (size_t)id * buffer_size, buffer_size, (uint16_t)id,
                          io_uring_buf_ring_mask(buffer_count), 0);
    io_uring_buf_ring_advance(buffer_ring, 1);
}

static void start_send(struct conn *conn)
{
    struct io_uring_sqe *sqe = get_sqe();
    const char *bytes = buffers + (size_t)conn->first * buffer_size + conn->sent;

    io_uring_prep_send(sqe, conn->fd, bytes, buffer_fill[conn->first] - conn->sent, MSG_WAITALL | MSG_NOSIGNAL);
    set_data(sqe, conn, OPERATION_SEND);
    conn->sending = true;
}

static void queue(struct conn *conn, uint16_t id, uint32_t size)
{
    buffers_held++;
    buffer_fill[id] = size;
    next_buffer[id] = NONE;
    if (conn->first == NONE)
        conn->first = id;
    else
        next_buffer[conn->last] = id;
    conn->last = id;
}

static void drop_first(struct conn *conn)
{
    uint16_t id = conn->first;

    conn->first = next_buffer[id];
    conn->sent = 0;
    buffers_held--;
    give_buffer(id);
}

static void on_accept(int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (fd < 0 || !conn)
        errx(EXIT_FAILURE, "accept: %s", strerror(fd < 0 ? -fd : ENOMEM));
    *conn = (struct conn){.fd = fd, .first = NONE};
    arm_recv(conn);
}

static void on_recv(struct conn *conn, int result, uint32_t flags)
{
    if (!(flags & IORING_CQE_F_MORE))
        conn->receiving = false;
    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
        if (result > 0)
            queue(conn, id, (uint32_t)result);
        else
            give_buffer(id);
    }
    if (result == -ENOBUFS) {
        conn->next_starved = NULL;
        *starved_end = conn;
        starved_end = &conn->next_starved;
        conn->receiving = true; /* as far as closing is concerned */
    } else if (result <= 0) {
        conn->ended = true;
    } else if (!conn->receiving) {
        arm_recv(conn);
    }
}

static void on_send(struct conn *conn, int result)
{
    conn->sending = false;
    if (result < 0) { /* gone: nothing else can be sent, and the recv ends too */
        shutdown(conn->fd, SHUT_RDWR);
        while (conn->first != NONE)
            drop_first(conn);
        return;
    }
    conn->sent += (uint32_t)result;
    if (conn->sent == buffer_fill[conn->first])
        drop_first(conn);
}

static void on_completion(const struct io_uring_cqe *cqe, int listen_fd)
{
    uint64_t data = io_uring_cqe_get_data64(cqe);
    struct conn *conn = (struct conn *)(uintptr_t)(data & ~(uint64_t)OPERATION_MASK);

    if (!conn) {
        on_accept(cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            arm_accept(listen_fd);
        return;
    }
    if ((data & OPERATION_MASK) == OPERATION_SEND)
        on_send(conn, cqe->res);
    else
        on_recv(conn, cqe->res, cqe->flags);
    if (!conn->sending && conn->first != NONE)
        start_send(conn);
    if (conn->ended && !conn->receiving && !conn->sending) {
        close(conn->fd);
        free(conn);
    }
}

/* As many as there are buffers again. Returns true when that was not all: look again soon. */
static bool feed_starved(void)
{
    for (unsigned left = buffer_count - buffers_held; starved && left > 0; left--) {
        struct conn *conn = starved;
        starved = conn->next_starved;
        if (!starved)
            starved_end = &starved;
        arm_recv(conn);
    }
    return starved && buffers_held < buffer_count;
}

static void loop(int listen_fd)
{
    struct __kernel_timespec soon = {.tv_nsec = 1000000};

    arm_accept(listen_fd);
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        if (feed_starved())
            io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &soon, NULL);
        else
            io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            on_completion(cqe, listen_fd);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        err(EXIT_FAILURE, "buffers");
    return memory;
}

static void set_up(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = CQ_ENTRIES,
    };
    struct io_uring_buf_reg registration = {.ring_entries = buffer_count, .bgid = GROUP};
    int error = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);

    if (error)
        errx(EXIT_FAILURE, "io_uring: %s", strerror(-error));
    if (io_uring_register_ring_fd(&ring) < 0) /* one lookup less in each call; old kernels do without */
        warnx("the ring's descriptor could not be registered");
    buffers = map((size_t)buffer_count * buffer_size);
    buffer_ring = map(buffer_count * sizeof(struct io_uring_buf));
    registration.ring_addr = (uintptr_t)buffer_ring;
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error)
        errx(EXIT_FAILURE, "provided buffers: %s", strerror(-error));
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned id = 0; id < buffer_count; id++)
        give_buffer(id);
}

int main(int argc, char **argv)
{
    static const char usage[] = "[--buffers COUNT (a power of two)] [--buffer-size BYTES] HOST PORT";
    static const struct option options[] = {
        {"buffers", required_argument, NULL, 'b'},
        {"buffer-size", required_argument, NULL, 's'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        unsigned *value = option == 'b' ? &buffer_count : &buffer_size;
        char end;
        if (option == '?' || sscanf(optarg, "%u%c", value, &end) != 1 || *value == 0)
            peer_usage(usage);
    }
    if (argc - optind != 2 || buffer_count > BUFFERS_MAX || buffer_count & (buffer_count - 1))
        peer_usage(usage);
    struct sockaddr_in address = peer_address(argv[optind], argv[optind + 1]);
    int listen_fd = peer_listen(&address);
    set_up();
    peer_ready();
    loop(listen_fd);
}
