/*
 * Upstreams beside what else a session has: closed by the service, in every callback; answers that are due; and relays
 * of sessions with files and places.
 */
#include "tests/unit/crowd.h"
#include "worker/upstream.h"
#include <sys/mman.h>

enum { LARGE = 200 * 1000 };

static struct sock_address address;
static int listening, far;
static struct conn *conn;
static struct upstream upstream;
static char closing; /* where upstream_close() is called */
static char content[LARGE];
static struct reply *place;
static bool is_connected;

static void close_in(char where)
{
    if (closing != where)
        return;
    upstream_close(conn);
    upstream_close(conn);
    upstream_send(conn, "x", 1);
    CU_ASSERT_EQUAL(conn->phase, CONN_CLOSED);
}

static enum verdict far_connected(struct session *session, struct conn *which)
{
    CU_ASSERT_PTR_EQUAL(which, conn);
    enter(session, "+");
    is_connected = true;
    close_in('+');
    return SESSION_CONTINUE;
}

static enum verdict far_message(struct session *session, struct conn *which, const char *bytes, size_t size)
{
    char text[64];

    CU_ASSERT_PTR_EQUAL(which, conn);
    snprintf(text, sizeof(text), "(%.*s)", (int)size, bytes);
    enter(session, text);
    close_in('(');
    if (place) {
        reply_send(place, bytes, size);
        reply_end(place);
        place = NULL;
    } else {
        session_send(session, bytes, size);
    }
    return SESSION_CONTINUE;
}

static enum verdict far_closed(struct session *session, struct conn *which, int error)
{
    CU_ASSERT_PTR_EQUAL(which, conn);
    enter(session, error ? "-error" : "-");
    close_in('-');
    return SESSION_CONTINUE;
}

static enum verdict connect_far(struct session *session)
{
    conn = session_connect(session, &address, 1000, &upstream);
    CU_ASSERT_PTR_NOT_NULL(conn);
    close_in('o');
    return SESSION_CONTINUE;
}

/* x: closed here; u: to the upstream; p: a place for its answer; f: a file; c: coupled; q: the end */
static enum verdict serve(struct session *session, const char *bytes, size_t size)
{
    int fd;

    switch (bytes[0]) {
    case 'p': place = session_reply(session); break;
    case 'f':
        fd = memfd_create("test", MFD_CLOEXEC);
        CU_ASSERT_EQUAL(write(fd, content, LARGE), LARGE);
        session_send_file(session, fd, 0, LARGE);
        break;
    case 'c': session_couple(session, conn); break;
    case 'x': close_in('x'); break;
    case 'P': session_pause(session); break;
    case 'q': return SESSION_CLOSE;
    default: upstream_send(conn, bytes, size); upstream_send(conn, "\n", 1);
    }
    return SESSION_CONTINUE;
}

static enum verdict close_late(struct session *session, unsigned number)
{
    (void)session, (void)number;
    close_in('t');
    return SESSION_CONTINUE;
}

static enum verdict close_drained(struct session *session)
{
    (void)session;
    close_in('d');
    return SESSION_CONTINUE;
}

static void close_at_end(struct session *session)
{
    (void)session;
    close_in('e');
}

static void begin(char where)
{
    crowd_begin(FRAMING_LINE);
    for (size_t i = 0; i < LARGE; i++)
        content[i] = (char)('a' + i % 23);
    upstream = (struct upstream){.framing.kind = FRAMING_LINE,
                                 .max_frame = 1000,
                                 .connected = far_connected,
                                 .message = far_message,
                                 .closed = far_closed};
    act.open = connect_far;
    act.message = serve;
    act.timer = close_late;
    act.close = close_at_end;
    act.drained = close_drained;
    place = NULL;
    is_connected = false;
    closing = where;
    far = -1;
    listening = listen_tcp(&address, 16);
}

static bool is_accepted(void)
{
    if (far < 0)
        far = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return far >= 0 && is_connected;
}

static void say_far(const char *text)
{
    CU_ASSERT_EQUAL(write(far, text, strlen(text)), (ssize_t)strlen(text));
}

static void end(void)
{
    crowd_end();
    if (far >= 0)
        close(far);
    close(listening);
}

static bool far_has_ended(void)
{
    char byte;
    ssize_t size = recv(far, &byte, 1, MSG_DONTWAIT);

    return size == 0 || (size < 0 && errno == ECONNRESET);
}

/* Closed without a word, wherever that is; its session goes on and hears nothing more of it. */
static void test_close(void)
{
    static const char *const traces[] = {"o", "+a+ ", "(a+ a(1) ",      "-a+ a(1) a(2) a- ",
                                         "x", "ta+ ", "da+ a(1) a(2) ", "ea+ a(1) a(2) "};

    for (unsigned i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        begin(traces[i][0]);
        service.drained = guest_drained;
        trace_messages = false;
        struct guest *guest = crowd_connect();
        CU_ASSERT(traces[i][0] == 'o' || run_until(is_accepted));
        if (traces[i][0] == 't')
            session_set_timer(guest->session, 1);
        if (traces[i][0] == 'x')
            crowd_say(guest, "x\n");
        usleep(traces[i][0] == 't' ? 20000 : 0);
        run_turns(4);
        if (strchr("+xt", traces[i][0]) && far >= 0) {
            CU_ASSERT(run_until(far_has_ended));
        } else if (far >= 0) {
            say_far("1\n2\n");
            run_turns(4);
            if (traces[i][0] == '-')
                shutdown(far, SHUT_WR);
        }
        run_turns(4);
        char expected[100] = "", *hit;
        while ((hit = strstr(trace, "a:drained ")) || (hit = strstr(trace, "a:timer0 ")))
            memmove(hit, strchr(hit, ' ') + 1, strlen(strchr(hit, ' ') + 1) + 1);
        snprintf(expected, sizeof(expected), "%s", traces[i][0] == 'x' ? "a+ " : traces[i] + 1);
        check_trace(expected);
        CU_ASSERT_PTR_NOT_NULL(guest->session);
        if (guest->session && traces[i][0] != 'e')
            CU_ASSERT_PTR_NULL(guest->session->upstreams);
        end();
    }
}

/* A client that was stopped by what is queued for the upstream goes on when that is closed. */
static void test_close_when_full(void)
{
    begin('t');
    config.high_water = config.low_water = 100;
    struct guest *guest = crowd_connect();
    char text[301] = "";
    memset(text, 'u', 299);
    text[299] = '\n';
    CU_ASSERT(run_until(is_accepted));
    send_limit = 0;
    crowd_say(guest, text);
    crowd_say(guest, "c\n");
    run_turns(4);
    CU_ASSERT_EQUAL(upstream_queued(conn), 300);
    CU_ASSERT_EQUAL(guest->session->client.input, INPUT_PAUSED);
    CU_ASSERT_TRUE(session_owes(guest->session));
    send_limit = SIZE_MAX;
    upstream_close(conn);
    upstream_close(conn);
    CU_ASSERT_FALSE(session_owes(guest->session));
    run_turns(4);
    CU_ASSERT_EQUAL(guest->session->client.input, INPUT_ON);
    end();
}

/* A relay whose upstream is closed is none any more. */
static void test_close_coupled(void)
{
    for (unsigned half = 0; half < 2; half++) {
        begin('t');
        struct guest *guest = crowd_connect();
        CU_ASSERT(run_until(is_accepted));
        crowd_say(guest, "c\n");
        run_turns(4);
        if (half)
            shutdown(guest->peer, SHUT_WR);
        run_turns(4);
        upstream_close(conn);
        if (!half)
            crowd_say(guest, "x\n");
        run_turns(4);
        crowd_trace(half ? "a+ a[c] a:peer " : "a+ a[c] a[x] ");
        crowd_hang_up(guest);
        run_turns(4);
        CU_ASSERT(is_over());
        end();
    }
}

/* Where the client takes nothing more, because it is broken, or has got the end of its stream, the session ends. */
static void test_close_when_broken(void)
{
    for (unsigned broken = 0; broken < 2; broken++) {
        begin(0);
        struct guest *guest = crowd_connect();
        CU_ASSERT(run_until(is_accepted));
        crowd_say(guest, "c\n");
        run_turns(4);
        session_pause(guest->session);
        send_error = broken ? EPIPE : 0;
        say_far("x");
        if (!broken)
            shutdown(far, SHUT_WR);
        run_turns(4);
        send_error = 0;
        CU_ASSERT_EQUAL(guest->session->client.output, OUTPUT_ENDED);
        upstream_close(conn);
        session_send(guest->session, "y", 1);
        CU_ASSERT_PTR_NULL(session_reserve(guest->session, 10));
        run_turns(4);
        crowd_hang_up(guest);
        run_turns(4);
        crowd_trace(broken ? "a+ a[c] a:reset " : "a+ a[c] a:done ");
        end();
    }
}

/* Half-closed: the upstream's answer comes first, in a place or not; nothing is due of an empty message. */
static void test_half_close(void)
{
    for (unsigned way = 0; way < 4; way++) {
        begin(0);
        struct guest *guest = crowd_connect();
        CU_ASSERT(run_until(is_accepted));
        upstream_send(conn, "", 0);
        CU_ASSERT_FALSE(session_owes(guest->session));
        crowd_say(guest, way & 1 ? "p\nu\n" : "u\n");
        if (way & 2)
            crowd_say(guest, "q\n");
        else
            shutdown(guest->peer, SHUT_WR);
        run_turns(4);
        CU_ASSERT_EQUAL(crowd_got_end(guest), way == 2);
        if (way != 2)
            say_far("answer\n");
        usleep(1000);
        run_turns(6);
        crowd_got(guest, way == 2 ? "" : "answer");
        CU_ASSERT_TRUE(guest->got_end);
        CU_ASSERT(run_until(far_has_ended) || way == 3);
        crowd_hang_up(guest);
        run_turns(4);
        CU_ASSERT(is_over());
        end();
    }
}

static bool has_all(void)
{
    crowd_receive(&guests[0]);
    return guests[0].got_size >= LARGE + 4;
}

/* What the upstream sends waits for a file or a place that comes first, in messages and in a relay. */
static void test_behind_a_file(void)
{
    for (unsigned way = 0; way < 6; way++) {
        begin(0);
        struct guest *guest = crowd_connect();
        CU_ASSERT(run_until(is_accepted));
        say_far(way & 1 ? "b1\nc" : "b1");
        run_turns(2);
        guest->got_size = 0;
        crowd_receive(guest);
        guest->got_size = 0;
        send_limit = 5000;
        crowd_say(guest, way >= 4 ? "p\nf\nc\n" : way >= 2 ? "f\nc\n" : "f\n");
        run_turns(2);
        say_far("23\n4\n");
        run_turns(4);
        if (way >= 4) {
            crowd_got(guest, "");
            reply_end(place);
            place = NULL;
        }
        run_busily(has_all);
        run_turns(2);
        crowd_receive(guest);
        CU_ASSERT_FATAL(guest->got_size > LARGE);
        guest->got[guest->got_size] = '\0';
        CU_ASSERT_EQUAL(memcmp(guest->got, content, LARGE), 0);
        static const char *const after[] = {"b1234", "c234", "b123\n4\n", "c23\n4\n", "b123\n4\n", "c23\n4\n"};
        CU_ASSERT_STRING_EQUAL(guest->got + LARGE, after[way]);
        if (way >= 2) {
            shutdown(far, SHUT_WR);
            run_turns(4);
            CU_ASSERT_TRUE(crowd_got_end(guest));
        }
        end();
    }
}

/* Coupled in the moment in which its upstream would have gone on, with a place still open. */
static void test_coupled_when_resumed(void)
{
    begin(0);
    struct guest *guest = crowd_connect();
    CU_ASSERT(run_until(is_accepted));
    crowd_say(guest, "p\nP\nc\n");
    run_turns(4);
    say_far("23\n4\n");
    int fd = memfd_create("test", MFD_CLOEXEC);
    CU_ASSERT_EQUAL(write(fd, content, 10), 10);
    reply_send_file(place, fd, 0, 10);
    session_resume(guest->session);
    run_turns(4);
    crowd_got(guest, "abcdefghij");
    reply_end(place);
    place = NULL;
    run_turns(4);
    crowd_got(guest, "23\n4\n");
    end();
}

/* The client of a relay takes no more: its file is dropped, and the upstream is read away. */
static void test_relay_breaks(void)
{
    begin(0);
    struct guest *guest = crowd_connect();
    CU_ASSERT(run_until(is_accepted));
    send_limit = 0;
    crowd_say(guest, "f\nc\n");
    run_turns(4);
    CU_ASSERT_TRUE(session_has_segments(guest->session));
    CU_ASSERT_EQUAL(conn->input, INPUT_PAUSED);
    session_pause(guest->session); /* so that its end is not read */
    send_error = EPIPE;
    run_turns(4);
    CU_ASSERT_FALSE(session_has_segments(guest->session));
    CU_ASSERT_EQUAL(conn->input, INPUT_ON);
    session_send_file(guest->session, memfd_create("test", MFD_CLOEXEC), 0, 10);
    run_turns(4);
    CU_ASSERT_FALSE(session_has_segments(guest->session));
    CU_ASSERT_EQUAL(conn->input, INPUT_ON);
    send_error = 0;
    session_resume(guest->session);
    say_far("23\n4\n");
    shutdown(far, SHUT_WR);
    crowd_hang_up(guest);
    CU_ASSERT(run_until(is_over));
    end();
}

/* A break that comes while nothing is read ends the session when reading goes on, though nothing comes any more. */
static void test_resumed_after_a_break(void)
{
    begin(0);
    struct guest *guest = crowd_connect();
    CU_ASSERT(run_until(is_accepted));
    send_limit = 0;
    crowd_say(guest, "f\nc\n");
    run_turns(4);
    session_pause(guest->session);
    send_error = EPIPE;
    run_turns(4);
    send_error = 0;
    CU_ASSERT_FALSE(is_over());
    session_resume(guest->session);
    CU_ASSERT(run_until(is_over));
    end();
}

static char far_got[100];

static bool far_has_got(void)
{
    size_t had = strlen(far_got);
    ssize_t size = recv(far, far_got + had, sizeof(far_got) - 1 - had, MSG_DONTWAIT);

    return strlen(far_got) >= got_wanted || size == 0;
}

/* Coupled from outside of its events: what has been kept of both sides goes first, and at once. */
static void test_coupled_from_outside(void)
{
    for (unsigned more = 0; more < 2; more++) {
        begin(0);
        memset(far_got, 0, sizeof(far_got));
        struct guest *guest = crowd_connect();
        CU_ASSERT(run_until(is_accepted));
        crowd_say(guest, "abc");
        say_far("123");
        run_turns(4);
        if (more) {
            crowd_say(guest, "def");
            say_far("456");
        }
        session_couple(guest->session, conn);
        got_wanted = more ? 6 : 3;
        CU_ASSERT(run_until(far_has_got));
        CU_ASSERT_STRING_EQUAL(far_got, more ? "abcdef" : "abc");
        run_turns(4);
        crowd_got(guest, more ? "123456" : "123");
        end();
    }
}

static const struct unit_test tests[] = {
    {"closed by the service", test_close},
    {"closed while it is full", test_close_when_full},
    {"closed as the side of a relay", test_close_coupled},
    {"closed when the client takes no more", test_close_when_broken},
    {"a half-close waits for its answer", test_half_close},
    {"its bytes wait for files and places", test_behind_a_file},
    {"coupled when it goes on", test_coupled_when_resumed},
    {"coupled from outside", test_coupled_from_outside},
    {"a relay whose client takes no more", test_relay_breaks},
    {"resumed after a break", test_resumed_after_a_break},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("upstream_more", tests);
}
