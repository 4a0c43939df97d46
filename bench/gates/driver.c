/*
 * The driver of the gates: a worker's core in one thread, with one service and clients that all do the same. Nothing is
 * left to chance. The sockets are local and so deliver at once, a turn of the reactor is begun only when there is
 * something to do, and the clock is the driver's own: the same program executes the same instructions every time.
 *
 *   clients (the driver) ======== sessions (core, service) ======== upstreams of the proxy (the driver again)
 *
 *   gate_driver SERVICE       for each of the ways below a line: way, sessions, messages, then allocations: when the
 *                             sessions were opened, while they warmed up, in the steady state
 *   gate_driver --versions    what the instructions per message depend on
 *
 * Callgrind is to collect in gate_turn() only, which warming up does not call, and to dump after gate_way_ends():
 *   --collect-atstart=no --toggle-collect=gate_turn --dump-after=gate_way_ends
 */
#include "bench/withdraw.h"
#include "master/conf/conf.h"
#include "worker/client.h"
#include "worker/turn.h"
#include <err.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { SESSIONS_MAX = 100, SEND_SIZE_MAX = 16384, WARM_UP_ROUNDS = 20, PATIENCE_S = 120 };

static const struct way {
    const char *name;
    unsigned sessions; /* all of them have something to say in every turn */
    unsigned messages; /* of each session in a round */
    unsigned pieces;   /* in which they come, one a turn */
    unsigned rounds;
} ways[] = {
    {"one", 1, 1, 1, 200},
    {"split", 1, 1, 2, 200},
    {"burst", 1, 50, 1, 20},
    {"crowd", SESSIONS_MAX, 1, 1, 10},
};

/* ---- allocations, counted ---- */

static unsigned long allocations;

#ifndef __SANITIZE_ADDRESS__ /* which has an allocator of its own: nothing is counted */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    allocations++;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}
#endif

/* ---- the clock: time passes when somebody looks ---- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static unsigned long looks;

    (void)clock;
    looks++;
    now->tv_sec = (time_t)(1000 + looks / 100000);
    now->tv_nsec = (long)(looks % 100000 * 10000);
    return 0;
}

/* ---- what is said ---- */

/* What all services but echo are told; to those that are no bank these are 109 bytes like any others. */
static const char line[] = "Who counts the instructions of an echo needs a line of just as many bytes as the"
                           " frame of a bank, no more..\r\n";
static const char echo_prefix[] = "ccserver echo:";

enum { MESSAGE_SIZE = WITHDRAW_SIZE };
_Static_assert(sizeof(line) == sizeof(withdraw), "a line is as long as a frame");

enum { REPLY_SIZE_MAX = MESSAGE_SIZE + sizeof(echo_prefix) };

static char request[SEND_SIZE_MAX], reply[SEND_SIZE_MAX];
static size_t request_size, reply_size;

static void add(char *to, size_t *size, const char *bytes, size_t count)
{
    memcpy(to + *size, bytes, count);
    *size += count;
}

static void compose(const char *service, unsigned messages)
{
    bool echo = strcmp(service, "echo") == 0;
    const char *message = echo ? line : withdraw;

    request_size = reply_size = 0;

    if (messages * REPLY_SIZE_MAX > SEND_SIZE_MAX)
        errx(EXIT_FAILURE, "%u messages are too many", messages);
    for (unsigned i = 0; i < messages; i++) {
        add(request, &request_size, message, MESSAGE_SIZE);
        if (echo)
            add(reply, &reply_size, echo_prefix, strlen(echo_prefix));
        add(reply, &reply_size, message, MESSAGE_SIZE);
    }
}

/* ---- the core and its listener, as the configuration file would have them ---- */

static struct core core;
static struct stats_block stats;
static struct worker_env env;
static struct section section;
static struct conf conf;
static char folder[] = "/tmp/ccs-gate-XXXXXX";
static int upstream_queue = -1;

static void listen_as_upstream(struct sock_address *address, const char *text)
{
    char why[SOCK_TEXT_SIZE];

    if (sock_parse(address, text, why, sizeof(why)) < 0)
        errx(EXIT_FAILURE, "%s: %s", text, why);
    if (sock_listen(address, SESSIONS_MAX, &upstream_queue, 1) < 0)
        err(EXIT_FAILURE, "%s", text);
}

/* The listener's defaults are the daemon's: it is configured by a file. */
static void configure(const char *service)
{
    char path[64], text[64], why[512];
    struct sock_address address = {.size = 0};

    if (!mkdtemp(folder))
        err(EXIT_FAILURE, "%s", folder);
    snprintf(path, sizeof(path), "%s/conf", folder);
    snprintf(text, sizeof(text), "unix:%s/upstream", folder);
    FILE *file = fopen(path, "we");
    if (!file)
        err(EXIT_FAILURE, "%s", path);
    fprintf(file, "[listen gate]\nservice = %s\nbind = unix:%s/gate\n", service, folder);
    if (strcmp(service, "proxy") == 0) {
        fprintf(file, "upstream = %s\n", text);
        listen_as_upstream(&address, text);
    }
    if (fclose(file) == EOF)
        err(EXIT_FAILURE, "%s", path);
    if (conf_load(&conf, path, why, sizeof(why)) < 0)
        errx(EXIT_FAILURE, "%s", why);
    unlink(path);
}

/* As a worker's, but every turn is the last one. */
static void after_batch(struct reactor *reactor)
{
    turn_end(&core);
    session_free_dead(&core);
    reactor->running = false;
}

static void start(void)
{
    env = (struct worker_env){.channel = -1,
                              .stats = &stats,
                              .max_sessions = conf.pools[0].max_sessions,
                              .linger_timeout_ms = conf.linger_timeout_ms,
                              .busy_poll_us = conf.busy_poll_us};
    core.env = &env;
    client_section_init(&section, &core, &conf.listeners[0], &stats.listeners[0]);
    if (reactor_open(&core.loop.reactor, &stats) < 0)
        err(EXIT_FAILURE, "epoll");
    core.loop.reactor.after_batch = after_batch;
    core.loop.reactor.busy_poll.budget_us = env.busy_poll_us;
}

/* A turn that counts. It has a frame of its own on the stack, and so an end that callgrind sees. */
void gate_turn(struct reactor *reactor);
__attribute__((noinline)) void gate_turn(struct reactor *reactor)
{
    reactor_run(reactor);
    __asm__ volatile("" ::: "memory");
}

void gate_way_ends(void);
__attribute__((noinline)) void gate_way_ends(void)
{
    __asm__ volatile("" ::: "memory");
}

/* ---- clients ---- */

static struct client {
    int fd, upstream; /* the far ends; upstream: -1, or of the proxy's connection for it */
    size_t got;       /* bytes of this round's reply */
} clients[SESSIONS_MAX];

static void connect_client(struct client *client)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        err(EXIT_FAILURE, "socketpair");
    *client = (struct client){.fd = ends[0], .upstream = -1};
    if (session_open(&section, ends[1], &(struct peer_address){.family = AF_UNIX}) < 0)
        err(EXIT_FAILURE, "session");
    if (upstream_queue >= 0 && (client->upstream = accept4(upstream_queue, NULL, NULL, SOCK_NONBLOCK)) < 0)
        err(EXIT_FAILURE, "the proxy does not connect");
}

static void disconnect_client(const struct client *client)
{
    close(client->fd);
    if (client->upstream >= 0)
        close(client->upstream);
}

static void say(int fd, const char *bytes, size_t size)
{
    if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        err(EXIT_FAILURE, "%zu bytes are not sent", size);
}

/* What has arrived; 0: nothing. */
static size_t hear(int fd, char *bytes, size_t size)
{
    ssize_t got = recv(fd, bytes, size, 0);

    if (got == 0 || (got < 0 && errno != EAGAIN))
        err(EXIT_FAILURE, "a connection has ended");
    return got < 0 ? 0 : (size_t)got;
}

static void answer_as_upstream(const struct client *client)
{
    static char bytes[SEND_SIZE_MAX];
    size_t size = client->upstream >= 0 ? hear(client->upstream, bytes, sizeof(bytes)) : 0;

    if (size > 0)
        say(client->upstream, bytes, size);
}

/* True when the whole reply is there. */
static bool check_reply(struct client *client)
{
    static char bytes[SEND_SIZE_MAX];
    size_t size = hear(client->fd, bytes, sizeof(bytes));

    if (size > reply_size - client->got || memcmp(bytes, reply + client->got, size) != 0)
        errx(EXIT_FAILURE, "a wrong reply");
    client->got += size;
    return client->got == reply_size;
}

static bool all_replied(const struct way *way)
{
    bool all = true;

    for (unsigned i = 0; i < way->sessions; i++)
        all = check_reply(&clients[i]) && all;
    return all;
}

static void exchange(const struct way *way, void (*turn)(struct reactor *reactor))
{
    for (unsigned i = 0; i < way->sessions; i++)
        clients[i].got = 0;
    for (unsigned piece = 0; piece < way->pieces; piece++) {
        size_t begin = request_size * piece / way->pieces, end = request_size * (piece + 1) / way->pieces;
        for (unsigned i = 0; i < way->sessions; i++)
            say(clients[i].fd, request + begin, end - begin);
        turn(&core.loop.reactor);
    }
    while (!all_replied(way)) {
        for (unsigned i = 0; i < way->sessions; i++)
            answer_as_upstream(&clients[i]);
        turn(&core.loop.reactor);
    }
}

/* ---- what a person types ---- */

static void run(const char *service, const struct way *way)
{
    unsigned long before = allocations;

    compose(service, way->messages);
    for (unsigned i = 0; i < way->sessions; i++)
        connect_client(&clients[i]);
    unsigned long opened = allocations;
    for (unsigned i = 0; i < WARM_UP_ROUNDS; i++)
        exchange(way, reactor_run);
    unsigned long warm = allocations;
    for (unsigned i = 0; i < way->rounds; i++)
        exchange(way, gate_turn);
    unsigned long steady = allocations;

    gate_way_ends();
    for (unsigned i = 0; i < way->sessions; i++)
        disconnect_client(&clients[i]);
    while (core.session_count > 0)
        reactor_run(&core.loop.reactor);
    printf("%s\t%u\t%u\t%lu\t%lu\t%lu\n", way->name, way->sessions, way->rounds * way->sessions * way->messages,
           opened - before, warm - opened, steady - warm);
}

static void finish(void)
{
    char path[64];

    reactor_close(&core.loop.reactor);
    buffer_trim();
    conf_free(&conf);
    snprintf(path, sizeof(path), "%s/upstream", folder);
    unlink(path);
    rmdir(folder);
}

static void print_versions(void)
{
#ifdef __clang__
    printf("compiler\t%s\n", __VERSION__);
#else
    printf("compiler\tgcc %s\n", __VERSION__);
#endif
    printf("flags\t%s\n", GATE_FLAGS);
    printf("glibc\t%s\n", gnu_get_libc_version());
    printf("protobuf-c\t%s\n", protobuf_c_version());
    printf("zlib\t%s\n", zlibVersion());
}

int main(int argc, char **argv)
{
    alarm(PATIENCE_S);
    if (argc == 2 && strcmp(argv[1], "--versions") == 0) {
        print_versions();
        return EXIT_SUCCESS;
    }
    if (argc != 2)
        errx(EXIT_FAILURE, "usage: gate_driver SERVICE");
    configure(argv[1]);
    start();
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        run(argv[1], &ways[i]);
    finish();
    return EXIT_SUCCESS;
}
