/*
 * A worker's core without a worker: one listener's worth of configuration, one scripted service, one client, and a
 * reactor that runs until something has happened. Everything is in one thread, so a test says what happens when.
 *
 *   peer (the test) ======== session (core) ======== upstreams (the test again, through a real socket)
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include "common/clock.h"
#include "tests/unit/unit.h"
#include "worker/admission.h"
#include "worker/adoption.h"
#include "worker/client.h"
#include "worker/drain.h"
#include "worker/identity.h"
#include "worker/link.h"
#include "worker/publish.h"
#include "worker/turn.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

enum { PATIENCE_MS = 5000, GOT_SIZE = 8 << 20, TRACE_SIZE = 1 << 16 };

/* ---- the kernel: counted, and stingy on demand ---- */

static struct reactor_handler pulse; /* always readable while it is on: a turn then does not sleep; not counted */
static unsigned sends, epoll_changes;
static size_t send_limit = SIZE_MAX; /* bytes a socket takes at once; 0: EAGAIN */
static int send_error;               /* errno of every send, unless it is 0 */
static int add_error, modify_error;  /* the same for epoll_ctl() */

static inline ssize_t stingy(size_t size)
{
    sends++;
    if (send_error)
        errno = send_error;
    else if (send_limit == 0)
        errno = EAGAIN;
    else
        return (ssize_t)(size < send_limit ? size : send_limit);
    return -1;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    ssize_t allowed = stingy(size);

    return allowed < 0 ? -1 : syscall(SYS_sendto, fd, bytes, (size_t)allowed, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *packet, int flags)
{
    struct iovec pieces[8];
    struct msghdr shorter = *packet;
    ssize_t allowed = stingy(SIZE_MAX / 2);

    if (allowed < 0)
        return -1;
    shorter.msg_iov = pieces;
    memcpy(pieces, packet->msg_iov, packet->msg_iovlen * sizeof(pieces[0]));
    for (size_t i = 0; i < packet->msg_iovlen; i++) {
        if (pieces[i].iov_len > (size_t)allowed)
            pieces[i].iov_len = (size_t)allowed;
        allowed -= (ssize_t)pieces[i].iov_len;
    }
    return syscall(SYS_sendmsg, fd, &shorter, flags);
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    int error = operation == EPOLL_CTL_ADD ? add_error : operation == EPOLL_CTL_MOD ? modify_error : 0;

    if (fd != pulse.fd && error) {
        errno = error;
        return -1;
    }
    epoll_changes += fd != pulse.fd;
    return (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

/* ---- the service: every callback leaves a trace, then does what the script says ---- */

static char trace[TRACE_SIZE];
static size_t trace_size;
static bool trace_messages;
static bool alive;      /* between the first callback and close */
static unsigned closes; /* how many sessions have been told of their end */
static struct session *the_session;

static inline void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    trace_size += (size_t)vsnprintf(trace + trace_size, sizeof(trace) - trace_size, format, arguments);
    va_end(arguments);
    CU_ASSERT_FATAL(trace_size < sizeof(trace) - 200);
}

static inline void check_trace(const char *expected)
{
    if (strcmp(trace, expected) != 0) {
        printf("\ntrace: %s\n  not: %s\n", trace, expected);
        CU_FAIL("another course of events");
    }
}

static struct {
    enum verdict (*open)(struct session *session);
    enum verdict (*message)(struct session *session, const char *bytes, size_t size);
    void (*oversize)(struct session *session);
    enum verdict (*drained)(struct session *session);
    enum verdict (*timeout)(struct session *session);
    enum verdict (*ready)(struct session *session, int fd, uint32_t events);
    void (*close)(struct session *session);
} script;

static inline enum verdict on_open(struct session *session)
{
    CU_ASSERT_FALSE(alive);
    alive = true;
    the_session = session;
    note("open ");
    return script.open ? script.open(session) : SESSION_CONTINUE;
}

static inline enum verdict on_message(struct session *session, const char *bytes, size_t size)
{
    CU_ASSERT(alive && session == the_session);
    if (trace_messages)
        note("[%.*s] ", (int)size, bytes);
    return script.message ? script.message(session, bytes, size) : SESSION_CONTINUE;
}

static inline void on_oversize(struct session *session)
{
    CU_ASSERT(alive && session == the_session);
    note("oversize ");
    if (script.oversize)
        script.oversize(session);
}

static inline enum verdict on_drained(struct session *session)
{
    CU_ASSERT(alive && session == the_session);
    note("drained ");
    return script.drained ? script.drained(session) : SESSION_CONTINUE;
}

static inline enum verdict on_timeout(struct session *session)
{
    CU_ASSERT(alive && session == the_session);
    note("timeout ");
    return script.timeout ? script.timeout(session) : SESSION_CONTINUE;
}

static inline enum verdict on_ready(struct session *session, int fd, uint32_t events)
{
    CU_ASSERT(alive && session == the_session);
    return script.ready(session, fd, events);
}

static inline void on_close(struct session *session, enum close_reason reason)
{
    CU_ASSERT(alive && session == the_session);
    alive = false;
    closes++;
    note("close:%s ", close_reason_name(reason));
    if (script.close)
        script.close(session);
}

/* ---- the clock: nothing waits for it ---- */

static uint64_t skipped_ms; /* how much later it is here than outside */

int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);

    now->tv_sec += (time_t)(skipped_ms / 1000);
    now->tv_nsec += (long)(skipped_ms % 1000) * 1000000;
    if (now->tv_nsec >= 1000000000) {
        now->tv_nsec -= 1000000000;
        now->tv_sec++;
    }
    return result;
}

static int wait_error; /* errno of the next wait */

/* What the kernel is about to tell has a moment; then the time passes that the caller would have slept. */
int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    int moment_ms = timeout_ms > 1 ? 1 : timeout_ms;

    if (wait_error) {
        errno = wait_error;
        wait_error = 0;
        return -1;
    }
    int found = (int)syscall(SYS_epoll_pwait, fd, events, count, moment_ms, NULL, 0);

    if (found == 0)
        skipped_ms += (uint64_t)timeout_ms;
    return found;
}

/* ---- the world ---- */

static struct core core;
static struct stats_block stats;
static struct worker_env env;
static struct listener_config config;
static struct listeners listeners;
static struct listener listener;
static struct service service;
static int peer; /* the client's descriptor */

static bool (*awaited)(void);
static bool came_true;
static uint64_t deadline_ms;
static unsigned turns_left;

static inline void world_after_batch(struct reactor *reactor)
{
    turn_end(&core);
    link_end_turn(&core);
    listener_resume(&listeners, session_free_dead(&core));
    if (turns_left > 0)
        turns_left--;
    came_true = awaited && awaited();
    if (came_true || (awaited ? clock_now_ms() > deadline_ms : turns_left == 0))
        reactor->running = false;
}

static inline void nothing_ready(struct reactor_handler *handler, uint32_t events)
{
    (void)handler;
    (void)events;
}

/* Run until `condition` holds; false when it does not come true. */
static inline bool run_until(bool (*condition)(void))
{
    awaited = condition;
    deadline_ms = clock_now_ms() + PATIENCE_MS;
    reactor_run(&core.loop.reactor);
    awaited = NULL;
    return came_true;
}

/* The same without sleeping, for a condition that is about the test's own clock, or does something itself. */
static inline bool run_busily(bool (*condition)(void))
{
    reactor_want(&core.loop.reactor, &pulse, EPOLLIN);
    bool result = run_until(condition);
    reactor_want(&core.loop.reactor, &pulse, REACTOR_OFF);
    return result;
}

/* Run so many turns, without sleeping: what is going to happen at once then has happened. */
static inline void run_turns(unsigned turns)
{
    turns_left = turns;
    reactor_want(&core.loop.reactor, &pulse, EPOLLIN);
    reactor_run(&core.loop.reactor);
    reactor_want(&core.loop.reactor, &pulse, REACTOR_OFF);
    CU_ASSERT_EQUAL(turns_left, 0);
}

static inline bool is_over(void)
{
    return core.session_count == 0;
}

static char got[GOT_SIZE]; /* what the client has received */
static size_t got_size, got_wanted;
static bool got_end; /* and the end of it */
static int got_error;

static inline void receive_at_most(size_t limit)
{
    ssize_t size = 1;

    while (limit > 0 && size > 0 && peer >= 0) {
        CU_ASSERT_FATAL(got_size < sizeof(got));
        size = recv(peer, got + got_size, limit < sizeof(got) - got_size ? limit : sizeof(got) - got_size,
                    MSG_DONTWAIT);
        if (size > 0) {
            got_size += (size_t)size;
            limit -= (size_t)size;
        } else if (size == 0) {
            got_end = true;
        } else if (errno != EAGAIN) {
            got_error = errno;
        }
    }
}

static inline bool has_got(void)
{
    receive_at_most(SIZE_MAX);
    return got_size >= got_wanted;
}

static inline bool has_got_end(void)
{
    receive_at_most(SIZE_MAX);
    return got_end || got_error;
}

static inline void check_got(const char *expected)
{
    size_t size = strlen(expected);

    got_wanted = size;
    CU_ASSERT(run_until(has_got));
    CU_ASSERT_EQUAL(got_size, size);
    CU_ASSERT_EQUAL(memcmp(got, expected, got_size < size ? got_size : size), 0);
    got_size = 0;
}

/* The client sends; as much as the socket takes of `size` bytes. */
static inline size_t offer(const char *bytes, size_t size)
{
    ssize_t written = write(peer, bytes, size);

    return written < 0 ? 0 : (size_t)written;
}

static inline void say(const char *text)
{
    CU_ASSERT_EQUAL(offer(text, strlen(text)), strlen(text));
}

static inline void world_reset(void)
{
    memset(&core, 0, sizeof(core));
    memset(&stats, 0, sizeof(stats));
    memset(&script, 0, sizeof(script));
    memset(trace, 0, sizeof(trace));
    trace_size = got_size = got_wanted = 0;
    trace_messages = true;
    sends = epoll_changes = closes = 0;
    send_limit = SIZE_MAX;
    send_error = got_error = add_error = modify_error = 0;
    alive = got_end = false;
    peer = -1;
}

/* A core with a service of this framing; change `config`, `env`, `script` and `service`, then connect. */
static inline void world_begin(enum framing_kind kind)
{
    world_reset();
    signal(SIGPIPE, SIG_IGN);
    service = (struct service){.name = "test",
                               .framing.kind = kind,
                               .state_size = 64,
                               .open = on_open,
                               .message = on_message,
                               .oversize = on_oversize,
                               .timeout = on_timeout,
                               .close = on_close};
    config = (struct listener_config){.name = "test",
                                      .service = &service,
                                      .backlog = 16,
                                      .max_frame = 65536,
                                      .high_water = 262144,
                                      .low_water = 65536,
                                      .max_output = 16 << 20};
    env = (struct worker_env){.channel = -1, .stats = &stats, .max_sessions = 100, .linger_timeout_ms = 2000};
    core.env = &env;
    listeners = (struct listeners){.core = &core, .env = &env};
    listener = (struct listener){.all = &listeners};
    CU_ASSERT_EQUAL_FATAL(reactor_open(&core.loop.reactor, &stats), 0);
    core.loop.reactor.after_batch = world_after_batch;
    pulse = (struct reactor_handler){.fd = eventfd(1, EFD_CLOEXEC), .events = REACTOR_OFF, .ready = nothing_ready};
}

/* What the configuration says now holds for sessions to come. */
static inline void world_configure(void)
{
    client_section_init(&listener.section, &core, &config, &stats.listeners[0]);
    core.loop.reactor.now_ns = clock_now_ns();
    core.loop.reactor.now_ms = core.loop.reactor.now_ns / 1000000;
}

/* The client comes, over a socket pair. */
static inline void world_connect(void)
{
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer = fds[0];
    world_configure();
    CU_ASSERT_EQUAL_FATAL(session_open(&listener.section, fds[1], &(struct peer_address){.family = AF_UNIX}), 0);
}

static inline void hang_up(void)
{
    close(peer);
    peer = -1;
}

/* Whatever is left is ended. Every session has been told so exactly once, and nothing has been forgotten. */
static inline void world_end(void)
{
    const struct stats_listener *counted = &stats.listeners[0];
    uint64_t closed = 0;

    drain_end(&core);
    session_free_dead(&core);
    CU_ASSERT_EQUAL(core.session_count, 0);
    CU_ASSERT(LIST_EMPTY(&core.live) && LIST_EMPTY(&core.dead) && !core.loop.closed);
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        closed += stats_read(&counted->closed[i]);
    CU_ASSERT_EQUAL(stats_read(&counted->accepted), closed);
    CU_ASSERT_EQUAL(closes, closed);
    CU_ASSERT_FALSE(alive);
    if (peer >= 0)
        close(peer);
    link_fini(&core);
    turn_fini(&core);
    identity_fini();
    close(pulse.fd);
    reactor_close(&core.loop.reactor);
    buffer_trim();
}

static inline uint64_t count_closed(enum close_reason reason)
{
    return stats_read(&stats.listeners[0].closed[reason]);
}

/* Durations of the listener that are in the buckets from that of `least_ms` to that of `limit_ms`. */
static inline uint64_t durations_within(enum duration duration, uint64_t least_ms, uint64_t limit_ms)
{
    uint64_t count = 0;

    for (unsigned i = duration_bucket(least_ms * 1000000); i <= duration_bucket(limit_ms * 1000000); i++)
        count += stats_read(&stats.listeners[0].durations[duration][i]);
    return count;
}

/* ---- TCP on the loopback ---- */

/* A listening socket and its address. */
static inline int listen_tcp(struct sock_address *address, int backlog)
{
    char why[128];
    int fd;

    CU_ASSERT_EQUAL_FATAL(sock_parse(address, "127.0.0.1:0", why, sizeof(why)), 0);
    CU_ASSERT_EQUAL_FATAL(sock_listen(address, backlog, &fd, 1), 0);
    return fd;
}

/* The client comes, over TCP. */
static inline void world_connect_tcp(void)
{
    struct sock_address address;
    int fd = listen_tcp(&address, 16);

    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(peer, &address.any, address.size), 0);
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    struct peer_address from_where;
    int accepted = accept4(fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    peer_set(&from_where, (struct sockaddr *)&from);
    world_configure();
    CU_ASSERT_EQUAL_FATAL(session_open(&listener.section, accepted, &from_where), 0);
    close(fd);
}

/* ---- common scripts ---- */

/* The message comes back as a line. */
static inline enum verdict echo_line(struct session *session, const char *bytes, size_t size)
{
    char *room = session_reserve(session, size + 1);

    if (room) {
        memcpy(room, bytes, size);
        room[size] = '\n';
        session_commit(session, size + 1);
    }
    return SESSION_CONTINUE;
}

#endif
