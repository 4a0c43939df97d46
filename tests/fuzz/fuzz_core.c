/*
 * The whole worker in one process: reactor, sessions, upstreams, relays, listeners, adoption and drain run for real, on
 * a kernel in memory (fake_kernel.h) that fails when it is told to. The input is a program: what clients, upstreams,
 * the master and the kernel do between two turns of the loop, and what the services answer.
 *
 * What must hold, whatever happens:
 *   - `close` comes once for each session that was opened, and no callback after it
 *   - a peer receives what was sent to it, in order: every byte, from the first on, until the connection failed;
 *     answers in the order of their places, constants and files included
 *   - a service is given what its client has typed, in order, cut as its framing says
 *   - a timer never goes off early, nor later than one tick
 *   - the loop sleeps when there is nothing to do; a drain ends in time
 *   - what is asked over a link is sent in order, answered or lost in order, each exactly once, and lost as sent if a
 *     byte of it was
 *   - descriptors and memory are all given back
 *   - a session that neither its service nor an upstream holds up is read
 *
 * What services do and remember is in scripted.c and asking.c.
 */
#include "common/stats_count.h"
#include "tests/fuzz/asking.h"
#include "worker/worker.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { DRAIN_MS = 1000, SHORT_MS = 40, IDLE_MS = 3000, TURNS_MAX = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the program ---- */

static struct {
    const uint8_t *bytes;
    size_t size;
    bool over;
} input;

unsigned next_byte(void)
{
    if (input.size == 0)
        return 0;
    input.size--;
    return *input.bytes++;
}

/* ---- the peers ---- */

static void on_accepted(struct kernel_socket *socket)
{
    socket->owner = scripted_arrives(socket->seed);
}

static void on_connect(struct kernel_socket *socket)
{
    socket->owner = scripted_connects(&socket->seed);
    if (!socket->owner)
        socket->owner = asking_connects(&socket->seed);
}

static void on_wrote(struct kernel_socket *socket, const uint8_t *bytes, size_t size)
{
    if (!asking_wrote(socket, bytes, size) && !expected_write(socket->owner, bytes, size))
        kernel_blame("a byte was sent that does not come next");
}

static struct kernel_socket *some_stream(void)
{
    unsigned begin = next_byte();

    for (unsigned i = 0; i < KERNEL_SOCKETS; i++) {
        struct kernel_socket *socket = &kernel.sockets[(begin + i) % KERNEL_SOCKETS];
        if (socket->kind == KERNEL_STREAM)
            return socket;
    }
    return NULL;
}

static struct kernel_socket *queues[SCRIPTED_SERVICES];

static void visit(void)
{
    struct kernel_socket *queue = queues[next_byte() % SCRIPTED_SERVICES];

    if (queue->kind == KERNEL_QUEUE && queue->waiting_count < KERNEL_BACKLOG)
        queue->waiting[queue->waiting_count++] = scripted_new_seed();
}

static void peer_acts(unsigned what)
{
    struct kernel_socket *socket = some_stream();

    if (!socket || socket->reset)
        return;
    if (socket->connecting) { /* it is decided now */
        socket->connecting = false;
        if (what % 3 == 0) {
            socket->error = ECONNREFUSED;
            socket->reset = true;
        }
        return;
    }
    switch (what) {
    case 0:
    case 1:
        if (!socket->ended)
            socket->typed += some_size();
        break;
    case 2: socket->ended = true; break;
    case 3:
        socket->reset = true;
        socket->error = ECONNRESET;
        break;
    case 4: socket->room = (uint32_t)some_size(); break;
    default: socket->room += KERNEL_ROOM; socket->unacknowledged /= 2;
    }
}

/* ---- the kernel and the master ---- */

static const int errors[CALLS][6] = {
    [CALL_ACCEPT] = {EMFILE, ENOMEM, EPERM, ECONNABORTED, EINTR, EAGAIN},
    [CALL_EPOLL_ADD] = {ENOSPC, ENOMEM, ENOSPC, ENOMEM, ENOSPC, ENOMEM},
    [CALL_EPOLL_CHANGE] = {ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM},
    [CALL_EPOLL_WAIT] = {EINTR, EINTR, EINTR, EINTR, EINTR, EINTR},
    [CALL_RECEIVE] = {EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM, EHOSTUNREACH},
    [CALL_SEND] = {EAGAIN, EINTR, ENOBUFS, EPIPE, ECONNRESET, ENOMEM},
    [CALL_SOCKET] = {EMFILE, ENOMEM, ENFILE, EAFNOSUPPORT, EACCES, ENOBUFS},
    [CALL_CONNECT] = {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, EPERM, ECONNREFUSED, ENOMEM},
    [CALL_CHANNEL_SEND] = {EAGAIN, ENOBUFS, ENOMEM, EAGAIN, EINTR, EAGAIN},
    [CALL_FILE_READ] = {EIO, EIO, EIO, EIO, EIO, EIO},
    [CALL_MEMORY] = {ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM},
};

static void kernel_acts(void)
{
    unsigned call = next_byte() % CALLS, error = next_byte() % 6, after = next_byte() % 8;

    kernel_fail(call, errors[call][error], after, 1 + next_byte() % 3);
}

static void master_acts(void)
{
    unsigned slot = 1 + next_byte() % 3;

    switch (next_byte() % 8) {
    case 0:
    case 1: {
        struct kernel_socket *queue = kernel_open(KERNEL_QUEUE);
        if (!queue)
            return;
        queue->waiting[queue->waiting_count++] = scripted_new_seed();
        kernel_say(CHANNEL_ADOPT, slot, kernel_fd_of(queue));
        break;
    }
    case 2:
    case 3: kernel_say(CHANNEL_RELEASE, slot, -1); break;
    case 4: kernel_say(CHANNEL_REFUSE, next_byte() % SCRIPTED_SERVICES, -1); break;
    case 5:
        scripted.hurried = true;
        kernel_say(next_byte() % 2 ? CHANNEL_DRAIN : CHANNEL_STOP, next_byte() * 4, -1);
        break;
    case 6:
        kernel.signal = next_byte() % 4 ? SIGINT : SIGTERM;
        scripted.hurried |= kernel.signal == SIGTERM;
        break;
    default: kernel.master_gone |= next_byte() == 0; scripted.hurried |= kernel.master_gone;
    }
}

static unsigned turns_left;

/* At the end everybody can take everything, nothing fails, and the master tells the worker to go. */
static void end_program(void)
{
    input.over = true;
    scripted_let_go();
    memset(kernel.failing, 0, sizeof(kernel.failing));
    for (unsigned i = 0; i < KERNEL_SOCKETS; i++)
        kernel.sockets[i].room = 1 << 30;
    kernel_say(CHANNEL_DRAIN, DRAIN_MS, -1);
}

static void before_turn(void)
{
    for (unsigned i = 0; i < 8 && input.size > 0; i++) {
        unsigned what = next_byte() % 16;
        kernel.progress = true;
        if (what < 6)
            peer_acts(what);
        else if (what < 9)
            visit();
        else if (what == 9)
            kernel_acts();
        else if (what == 10)
            master_acts();
        else if (what == 11)
            kernel.now_us += next_byte() * UINT64_C(1000);
        else
            return;
    }
    if (input.size == 0 && !input.over)
        end_program();
    if (input.over && turns_left-- == 0)
        kernel_blame("the drain does not end");
}

/* ---- one run ---- */

static void check_end(const struct stats_block *stats)
{
    if (scripted.opened != scripted.ended)
        kernel_blame("a session was opened, and not closed");
    if (scripted.started != scripted.stopped)
        kernel_blame("a section was started, and not stopped");
    if (kernel.open != 0)
        kernel_blame("a descriptor was left open");
    if (kernel.blocks != 0)
        kernel_blame("memory was not given back");
    for (unsigned i = 0; i < SCRIPTED_SERVICES; i++)
        if (stats_open(&stats->listeners[i]) != 0)
            kernel_blame("the statistics count a session as open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct listener_config configs[SCRIPTED_SERVICES];
    static struct worker_socket sockets[SCRIPTED_SERVICES];
    static struct stats_block stats;
    static const struct sock_address address = {.size = sizeof(struct sockaddr), .any.sa_family = AF_INET};

    input.bytes = data;
    input.size = size;
    input.over = false;
    turns_left = TURNS_MAX;
    memset(&stats, 0, sizeof(stats));
    kernel_boot();
    scripted_begin();
    log_set_level(LOG_LEVEL_FATAL);
    kernel.before_turn = before_turn;
    kernel.accepted = on_accepted;
    kernel.connected = on_connect;
    kernel.wrote = on_wrote;
    unsigned flags = next_byte();
    for (unsigned i = 0; i < SCRIPTED_SERVICES; i++) {
        queues[i] = kernel_open(KERNEL_QUEUE);
        configs[i] = (struct listener_config){.service = scripted_services[i],
                                              .index = i,
                                              .backlog = KERNEL_BACKLOG,
                                              .idle_timeout_ms = flags & 1   ? SHORT_MS
                                                                 : flags & 2 ? IDLE_MS
                                                                             : 0,
                                              .answer_timeout_ms = flags & 128 ? SHORT_MS * 2 : IDLE_MS,
                                              .max_frame = flags & 4 ? 100 : 4096,
                                              .high_water = flags & 8 ? 1024 : 65536,
                                              .low_water = flags & 8 ? 100 : 16384,
                                              .max_output = flags & 16 ? SCRIPTED_OUTPUT_SMALL : 1 << 20};
        configs[i].name[0] = 'a';
        sockets[i] = (struct worker_socket){.fd = kernel_fd_of(queues[i]), .listener = &configs[i]};
    }
    asking_begin(&(struct link_target){.address = &address,
                                       .connect_timeout_ms = 200,
                                       .answer_timeout_ms = flags & 1 ? SHORT_MS : 0,
                                       .linger_ms = flags & 2 ? SHORT_MS : IDLE_MS,
                                       .unanswered_max = flags & 4 ? 4 : 100},
                 flags & 8);
    struct kernel_socket *channel = kernel_open(KERNEL_CHANNEL);
    struct worker_env env = {.name = "worker 0",
                             .channel = kernel_fd_of(channel),
                             .stats = &stats,
                             .sockets = sockets,
                             .socket_count = SCRIPTED_SERVICES,
                             .max_sessions = flags & 32 ? 3 : 1000,
                             .linger_timeout_ms = flags & 64 ? SHORT_MS : 2000};
    if (worker_run(&env) == EXIT_SUCCESS && !kernel.sent_ready && !kernel.master_gone)
        kernel_blame("the master was not told that the worker is ready");
    scripted_end();
    for (unsigned i = 0; i < kernel.word_count; i++)
        if (kernel.word_fds[i] >= 0)
            kernel.open--; /* still under way */
    channel->kind = KERNEL_NONE;
    kernel.open--;
    check_end(&stats);
    return 0;
}
