/*
 * Several clients of one service, in the world of world.h: for what a service does to sessions other than the one that
 * is called back. Every callback of session.h is there, and does what the test says.
 *
 *   guests[0].peer ==== guests[0].session      'a' in the trace
 *   guests[1].peer ==== guests[1].session      'b'
 */
#ifndef TESTS_UNIT_CROWD_H
#define TESTS_UNIT_CROWD_H

#include "tests/unit/world.h"

enum { GUESTS = 4 };

struct guest {
    int peer;                /* -1: it has hung up */
    struct session *session; /* NULL before `open` and after `close` */
    uint64_t id;
    char *got; /* what it has received */
    size_t got_size;
    bool got_end;
    int got_error;
};

static struct guest guests[GUESTS];
static unsigned guest_count;
static struct reply *places[2 * SESSION_REPLIES_MAX];
static unsigned place_count;

static struct {
    enum verdict (*open)(struct session *session);
    enum verdict (*message)(struct session *session, const char *bytes, size_t size);
    void (*nonsense)(struct session *session);
    enum verdict (*drained)(struct session *session);
    enum verdict (*timer)(struct session *session, unsigned number);
    enum verdict (*woken)(struct session *session);
    enum verdict (*draining)(struct session *session);
    void (*close)(struct session *session);
} act;

static inline struct guest *guest_of(struct session *session)
{
    return *(struct guest **)session_state(session);
}

/* Leave a trace, and make sure that this session may still be called back. */
static inline void enter(struct session *session, const char *what)
{
    struct guest *guest = guest_of(session);

    CU_ASSERT_FATAL(guest && guest->session == session);
    note("%c%s ", (int)('a' + (guest - guests)), what);
}

static inline enum verdict guest_open(struct session *session)
{
    struct guest *guest = &guests[guest_count];

    *(struct guest **)session_state(session) = guest;
    guest->session = session;
    return act.open ? act.open(session) : SESSION_CONTINUE;
}

static inline enum verdict guest_message(struct session *session, const char *bytes, size_t size)
{
    char text[64];

    snprintf(text, sizeof(text), "[%.*s]", size < 50 ? (int)size : 50, bytes);
    if (trace_messages)
        enter(session, text);
    return act.message ? act.message(session, bytes, size) : SESSION_CONTINUE;
}

static inline void guest_oversize(struct session *session)
{
    enter(session, ":oversize");
}

static inline void guest_nonsense(struct session *session)
{
    enter(session, ":nonsense");
    if (act.nonsense)
        act.nonsense(session);
}

static inline enum verdict guest_drained(struct session *session)
{
    enter(session, ":drained");
    return act.drained ? act.drained(session) : SESSION_CONTINUE;
}

static inline enum verdict guest_timer(struct session *session, unsigned number)
{
    char text[16];

    snprintf(text, sizeof(text), ":timer%u", number);
    enter(session, text);
    return act.timer ? act.timer(session, number) : SESSION_CONTINUE;
}

static inline enum verdict guest_timeout(struct session *session)
{
    return guest_timer(session, 0);
}

static inline enum verdict guest_woken(struct session *session)
{
    enter(session, ":woken");
    return act.woken ? act.woken(session) : SESSION_CONTINUE;
}

static inline enum verdict guest_draining(struct session *session)
{
    enter(session, ":draining");
    return act.draining ? act.draining(session) : SESSION_CONTINUE;
}

static inline void guest_close(struct session *session, enum close_reason reason)
{
    static const char *const reasons[] = {
#define X(name, help) ":" #name,
        STATS_CLOSE_REASONS(X)
#undef X
    };
    enter(session, reasons[reason]);
    closes++;
    if (act.close)
        act.close(session);
    guest_of(session)->session = NULL;
}

/* Callbacks that may be left out are not there at first: service.drained, .draining, .nonsense. */
static inline void crowd_begin(enum framing_kind kind)
{
    world_begin(kind);
    memset(&act, 0, sizeof(act));
    for (unsigned i = 0; i < GUESTS; i++) {
        free(guests[i].got);
        guests[i] = (struct guest){.peer = -1, .got = malloc(GOT_SIZE)};
    }
    guest_count = place_count = 0;
    service = (struct service){.name = "crowd",
                               .framing.kind = kind,
                               .state_size = sizeof(struct guest *),
                               .open = guest_open,
                               .message = guest_message,
                               .oversize = guest_oversize,
                               .timeout = guest_timeout,
                               .timer = guest_timer,
                               .woken = guest_woken,
                               .close = guest_close};
}

/* One more client comes. */
static inline struct guest *crowd_connect(void)
{
    struct guest *guest = &guests[guest_count];
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    guest->peer = fds[0];
    if (guest_count == 0)
        world_configure();
    CU_ASSERT_EQUAL_FATAL(session_open(&listener.section, fds[1], &(struct peer_address){.family = AF_UNIX}), 0);
    guest_count++;
    return guest;
}

static inline void crowd_hang_up(struct guest *guest)
{
    close(guest->peer);
    guest->peer = -1;
}

static inline void crowd_say(const struct guest *guest, const char *text)
{
    CU_ASSERT_EQUAL(write(guest->peer, text, strlen(text)), (ssize_t)strlen(text));
}

static inline void crowd_receive(struct guest *guest)
{
    ssize_t size = 1;

    while (size > 0 && guest->peer >= 0) {
        CU_ASSERT_FATAL(guest->got_size < GOT_SIZE);
        size = recv(guest->peer, guest->got + guest->got_size,
                    GOT_SIZE - guest->got_size < 65536 ? GOT_SIZE - guest->got_size : 65536, MSG_DONTWAIT);
        if (size > 0)
            guest->got_size += (size_t)size;
        else if (size == 0)
            guest->got_end = true;
        else if (errno != EAGAIN)
            guest->got_error = errno;
    }
}

/* What the client has got until now, since the last time, is exactly this. */
static inline void crowd_got(struct guest *guest, const char *expected)
{
    crowd_receive(guest);
    if (guest->got_size != strlen(expected) || memcmp(guest->got, expected, guest->got_size) != 0) {
        printf("\n%c got: %.*s\n   not: %s\n", (int)('a' + (guest - guests)), (int)guest->got_size, guest->got,
               expected);
        CU_FAIL("another answer");
    }
    guest->got_size = 0;
}

static inline bool crowd_got_end(struct guest *guest)
{
    crowd_receive(guest);
    return guest->got_end || guest->got_error;
}

static inline void crowd_trace(const char *expected)
{
    check_trace(expected);
    memset(trace, 0, trace_size);
    trace_size = 0;
}

static inline void crowd_end(void)
{
    world_end();
    for (unsigned i = 0; i < GUESTS; i++) {
        if (guests[i].peer >= 0)
            close(guests[i].peer);
        free(guests[i].got);
        guests[i] = (struct guest){.peer = -1};
    }
}

/* ---- places of answers ---- */

/* The message asks for a place: "?" nothing more, "x" is sent before and behind it. */
static inline enum verdict keep_place(struct session *session, const char *bytes, size_t size)
{
    struct reply *reply;

    if (bytes[0] != '?')
        session_send(session, bytes, size);
    reply = session_reply(session);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
    CU_ASSERT_PTR_EQUAL(reply_session(reply), session);
    places[place_count++] = reply;
    if (bytes[0] != '?')
        session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

static inline void send_text(struct reply *reply, const char *text)
{
    reply_send(reply, text, strlen(text));
}

static inline void answer(struct reply *reply, const char *text)
{
    send_text(reply, text);
    reply_end(reply);
}

/* Everything that is going to happen at once has happened after so many turns. */
enum { SOON = 6 };

#endif
