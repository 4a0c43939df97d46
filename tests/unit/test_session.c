/*
 * The life of a session: what its service is told, in which order, and what reaches the client.
 */
#include "tests/unit/world.h"
#include <malloc.h>

/* ---- life cycle ---- */

static void test_life(void)
{
    world_begin(FRAMING_LINE);
    world_connect();
    say("a\nb\r\n");
    run_turns(3);
    check_trace("open [a] [b] ");
    shutdown(peer, SHUT_WR);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] [b] close:peer ");
    CU_ASSERT_EQUAL(got_error, 0);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->messages_in), 2);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->bytes_in), 5);
    world_end();
}

static enum verdict count_in_state(struct session *session, const char *bytes, size_t size)
{
    unsigned char *state = session_state(session);

    (void)bytes;
    (void)size;
    for (unsigned i = 1; i < 64; i++)
        CU_ASSERT_EQUAL(state[i], state[0]);
    for (unsigned i = 0; i < 64; i++)
        state[i]++;
    return SESSION_CONTINUE;
}

static void test_state(void)
{
    world_begin(FRAMING_LINE);
    script.message = count_in_state;
    world_connect();
    CU_ASSERT_EQUAL((uintptr_t)session_state(the_session) % _Alignof(max_align_t), 0);
    say("a\nb\nc\n");
    run_turns(2);
    CU_ASSERT_EQUAL(*(unsigned char *)session_state(the_session), 3);
    CU_ASSERT_STRING_EQUAL(session_listener(the_session), "test");
    world_end();
    check_trace("open [a] [b] [c] close:drain ");
}

/* ---- when it was opened ---- */

enum { SMALLEST_CHUNK_OF_160 = 176 - sizeof(size_t) }; /* what the allocator makes of 160 bytes */

/* It stands behind the state, whatever size that has, and next to it: a session takes no more memory for it. */
static void test_opened(void)
{
    static const size_t sizes[] = {0, 1, 4, 5, 63, 64};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        world_begin(FRAMING_LINE);
        service.state_size = sizes[i];
        world_connect();
        const uint64_t opened_ms = session_opened_ms(the_session);
        CU_ASSERT(opened_ms <= session_now(the_session));
        CU_ASSERT(opened_ms + SESSION_OPENED_MS > session_now(the_session));
        memset(session_state(the_session), 0xff, sizes[i]);
        core.loop.reactor.now_ms += 12345;
        CU_ASSERT_EQUAL(session_opened_ms(the_session), opened_ms);
        if (sizes[i] <= 4)
            CU_ASSERT(malloc_usable_size(the_session) <= SMALLEST_CHUNK_OF_160);
        world_end();
    }
}

/* Hung up: by an orderly end, and with unread input on the way, which is a reset. */
static void test_hang_up(void)
{
    world_begin(FRAMING_LINE);
    world_connect();
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:peer ");
    world_end();

    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect_tcp();
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:reset ");
    world_end();
}

static void test_send_fails(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    send_error = EPIPE;
    say("a\nb\n");
    CU_ASSERT(run_until(is_over));
    CU_ASSERT_EQUAL(sends, 1);
    check_trace("open [a] [b] close:reset ");
    world_end();

    world_begin(FRAMING_LINE); /* later, with output that had to wait */
    script.message = echo_line;
    world_connect();
    send_limit = 0;
    say("a\n");
    run_turns(3);
    check_trace("open [a] ");
    send_error = ECONNRESET;
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:reset ");
    world_end();
}

/* ---- verdicts ---- */

static enum verdict verdict;

static enum verdict say_verdict(struct session *session)
{
    session_send(session, "bye\n", 4);
    return verdict;
}

static enum verdict say_verdict_m(struct session *session, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return say_verdict(session);
}

static enum verdict say_verdict_ready(struct session *session, int fd, uint32_t events)
{
    char byte;

    CU_ASSERT(events & EPOLLIN);
    CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), 1);
    return say_verdict(session);
}

static enum verdict reply(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

static enum verdict set_timer(struct session *session)
{
    session_set_timer(session, 1);
    return SESSION_CONTINUE;
}

static void in_open(void)
{
    script.open = say_verdict;
}

static void in_message(void)
{
    script.message = say_verdict_m;
}

static void in_drained(void)
{
    script.message = reply;
    service.drained = on_drained;
    script.drained = say_verdict;
}

static void in_timeout(void)
{
    script.open = set_timer;
    script.timeout = say_verdict;
}

static void in_ready(void)
{
    service.ready = on_ready;
    script.ready = say_verdict_ready;
}

static const struct {
    void (*place)(void);
    const char *before; /* the trace up to the verdict */
    const char *answer; /* what the client has got by then */
} places[] = {
    {in_open, "open ", ""},
    {in_message, "open [a] ", ""},
    {in_drained, "open [a] [b] drained ", "ab"},
    {in_timeout, "open timeout ", ""},
    {in_ready, "open ", ""},
};

static void check_verdict(unsigned i, const char *reason)
{
    char expected[128];

    world_begin(FRAMING_LINE);
    places[i].place();
    world_connect();
    if (script.message || service.ready)
        say("a\nb\n");
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->protocol_errors), verdict == SESSION_REJECT);
    offer("more\n", 5);
    hang_up();
    CU_ASSERT(run_until(is_over));
    snprintf(expected, sizeof(expected), "%sclose:%s ", places[i].before, reason);
    check_trace(expected);
    snprintf(expected, sizeof(expected), "%s%s", places[i].answer, verdict == SESSION_ABORT ? "" : "bye\n");
    CU_ASSERT_EQUAL(got_size, strlen(expected));
    CU_ASSERT_EQUAL(memcmp(got, expected, got_size), 0);
    world_end();
}

static void test_verdicts(void)
{
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        verdict = SESSION_CLOSE;
        check_verdict(i, "done");
        verdict = SESSION_REJECT;
        check_verdict(i, "protocol");
        verdict = SESSION_ABORT;
        check_verdict(i, "done");
    }
}

/* A batch that ends in the middle: no message after the verdict, the replies before it go out. */
static enum verdict stop_at_c(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    return bytes[0] == 'c' ? verdict : SESSION_CONTINUE;
}

static void test_verdict_in_batch(void)
{
    for (unsigned split = 0; split < 2; split++) {
        for (verdict = SESSION_CLOSE; verdict <= SESSION_ABORT; verdict++) {
            world_begin(FRAMING_LINE);
            script.message = stop_at_c;
            world_connect();
            if (split) {
                say("a");
                run_turns(2);
            }
            say(split ? "\nb\nc\nd\ne\n" : "a\nb\nc\nd\ne\n");
            CU_ASSERT(run_until(has_got_end));
            hang_up();
            CU_ASSERT(run_until(is_over));
            check_trace(verdict == SESSION_REJECT ? "open [a] [b] [c] close:protocol "
                                                  : "open [a] [b] [c] close:done ");
            CU_ASSERT_EQUAL(got_size, verdict == SESSION_ABORT ? 0 : 3);
            world_end();
        }
    }
}

static void send_much(struct session *session)
{
    session_send(session, "late", 4);
    CU_ASSERT_PTR_NULL(session_reserve(session, 100));
    session_set_timer(session, 5);
    session_want(session, EPOLLIN);
}

/* In `close` the session is past everything, but asking is harmless. */
static void test_use_in_close(void)
{
    world_begin(FRAMING_LINE);
    script.close = send_much;
    world_connect();
    say("a\n");
    run_turns(2);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:peer ");
    run_turns(5);
    world_end();
}

/* ---- limits ---- */

static void last_word(struct session *session)
{
    session_send(session, "too long", 8);
}

static void test_oversize(void)
{
    world_begin(FRAMING_LINE);
    config.max_frame = 16;
    script.message = echo_line;
    script.oversize = last_word;
    world_connect();
    say("0123456789abcdef\r\n");
    check_got("0123456789abcdef\n");
    say("x\n0123456789abcdefg\nnever\n");
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [0123456789abcdef] [x] oversize close:oversize ");
    CU_ASSERT_EQUAL(got_size, 10);
    CU_ASSERT_EQUAL(memcmp(got, "x\ntoo long", 10), 0);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->protocol_errors), 1);
    world_end();
}

static enum verdict flood(struct session *session, const char *bytes, size_t size)
{
    static char block[65536];

    (void)bytes;
    (void)size;
    for (unsigned i = 0; i < 40; i++)
        session_send(session, block, sizeof(block));
    return SESSION_CONTINUE;
}

static void test_overflow(void)
{
    world_begin(FRAMING_LINE);
    config.max_output = 1 << 20;
    script.message = flood;
    world_connect();
    say("a\nb\n");
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:overflow ");
    world_end();
}

static enum verdict flood_and_abort(struct session *session, const char *bytes, size_t size)
{
    flood(session, bytes, size);
    return SESSION_ABORT;
}

/* For two reasons at the same time: the first one counts, once. */
static void test_ended_twice(void)
{
    world_begin(FRAMING_LINE);
    config.max_output = 1 << 20;
    script.message = flood_and_abort;
    world_connect();
    say("a\nb\n");
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:overflow ");
    CU_ASSERT_EQUAL(count_closed(CLOSE_overflow), 1);
    CU_ASSERT_EQUAL(count_closed(CLOSE_done), 0);
    world_end();
}

/* ---- a session that has ended ---- */

/* Everything that session.h offers, as the next author may call it without looking at what came of the call before. */
static void use_everything(struct session *session)
{
    static const struct upstream target = {.framing.kind = FRAMING_RAW};
    struct sock_address nowhere = {0};

    CU_ASSERT_PTR_NOT_NULL(session_state(session));
    CU_ASSERT_PTR_EQUAL(session_config(session), config.service_config);
    CU_ASSERT_STRING_EQUAL(session_listener(session), "test");
    CU_ASSERT_STRING_EQUAL(session_peer(session), "unix:");
    CU_ASSERT(session_peer_is_local(session));
    session_send(session, "late", 4);
    CU_ASSERT_PTR_NULL(session_reserve(session, 10));
    CU_ASSERT_PTR_NULL(session_reserve(session, CORK_SIZE + 1));
    session_commit(session, 0);
    session_commit(session, 10);
    session_set_timer(session, 1);
    session_set_timer(session, 0);
    session_set_timer(session, 20);
    session_want(session, EPOLLIN | EPOLLOUT);
    CU_ASSERT_PTR_NULL(session_connect(session, &nowhere, 10, &target));
    if (session->upstreams) {
        upstream_send(&session->upstreams->conn, "late", 4);
        session_couple(session, &session->upstreams->conn);
        CU_ASSERT_FALSE(session_is_relay(session));
    }
    CU_ASSERT_EQUAL(session->timer.due_ms, 0);
}

static struct sock_address ended_address;
static const struct upstream ended_target = {.framing.kind = FRAMING_RAW};

static enum verdict open_with_upstream(struct session *session)
{
    CU_ASSERT_PTR_NOT_NULL(session_connect(session, &ended_address, 1000, &ended_target));
    return SESSION_CONTINUE;
}

static enum verdict end_and_use(struct session *session, const char *bytes, size_t size)
{
    static char block[CORK_SIZE];

    session_set_timer(session, 1000);
    if (size == 1 && bytes[0] == 'o')
        flood(session, bytes, size);
    else
        session_send(session, block, sizeof(block)); /* the client is gone: sending fails at once */
    CU_ASSERT_EQUAL(session->client.phase, CONN_CLOSED);
    uint64_t counted = stats_read(&listener.section.stats->messages_out);
    use_everything(session);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->messages_out), counted);
    return verdict;
}

static bool a_while_is_over(void)
{
    return clock_now_ms() >= deadline_ms - PATIENCE_MS + 60;
}

/* Ended in the same callback by a send that fails, or by too much output: nothing more happens, and nothing is left. */
static void test_use_when_ended(void)
{
    static const char *const traces[] = {"open [e] close:reset ", "open [o] close:overflow "};

    for (unsigned i = 0; i < 8; i++) {
        int door = listen_tcp(&ended_address, 4);
        world_begin(FRAMING_LINE);
        config.max_output = 1 << 20;
        verdict = (enum verdict)(i / 2);
        script.message = end_and_use;
        script.open = open_with_upstream;
        script.close = use_everything;
        world_connect();
        say(i % 2 ? "o\n" : "e\n");
        send_error = i % 2 ? 0 : ECONNRESET;
        CU_ASSERT(run_until(is_over));
        check_trace(traces[i % 2]);
        CU_ASSERT(run_until(a_while_is_over)); /* a timer that had been filed would go off now */
        world_end();
        close(door);
    }
}

static void ask_who(struct session *session)
{
    CU_ASSERT(session_peer_is_local(session));
    note("<%s> ", session_peer(session));
}

static enum verdict reply_much(struct session *session, const char *bytes, size_t size)
{
    static char block[CORK_SIZE];

    ask_who(session);
    (void)bytes;
    (void)size;
    session_send(session, block, sizeof(block));
    return SESSION_CONTINUE;
}

/* Who it was is known to the end, also when the kernel has forgotten. */
static void test_peer_in_close(void)
{
    char expected[200];

    world_begin(FRAMING_LINE);
    script.message = reply_much;
    script.close = ask_who;
    world_connect_tcp();
    say("a\n");
    struct sockaddr_in own;
    socklen_t own_size = sizeof(own);
    CU_ASSERT_EQUAL(getsockname(peer, (struct sockaddr *)&own, &own_size), 0);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    CU_ASSERT(run_until(is_over));
    snprintf(expected, sizeof(expected), "open [a] <127.0.0.1:%u> close:reset <127.0.0.1:%u> ", ntohs(own.sin_port),
             ntohs(own.sin_port));
    check_trace(expected);
    world_end();
}

/* ---- output ---- */

static void test_corked(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("a\nb\nc\nd\ne\nf\n");
    check_got("a\nb\nc\nd\ne\nf\n");
    CU_ASSERT_EQUAL(sends, 1);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->messages_out), 6);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->bytes_out), 12);
    world_end();
}

enum { OPENING = 4000 };

/* Small ones are collected, a large one goes with them from where it is, in order. */
static enum verdict mixed_sizes(struct session *session, const char *bytes, size_t size)
{
    static char opening[OPENING], large[300000];

    memset(opening, '<', sizeof(opening));
    memset(large, bytes[0], sizeof(large));
    session_send(session, opening, sizeof(opening));
    session_send(session, large, size == 1 ? CORK_COPY_MAX + 1 : sizeof(large));
    session_send(session, ">", 1);
    return SESSION_CONTINUE;
}

static void check_piece(const char **at, char c, size_t size)
{
    for (size_t i = 0; i < OPENING + size; i++)
        if (*(*at)++ != (i < OPENING ? '<' : c)) {
            CU_FAIL("a byte in another's place");
            return;
        }
    CU_ASSERT_EQUAL(*(*at)++, '>');
}

static void test_large_in_order(void)
{
    for (unsigned stingy_kernel = 0; stingy_kernel < 2; stingy_kernel++) {
        world_begin(FRAMING_LINE);
        script.message = mixed_sizes;
        world_connect();
        send_limit = stingy_kernel ? 3000 : SIZE_MAX;
        say("a\nb\ncc\nd\nee\n");
        got_wanted = 3 * (CORK_COPY_MAX + 1) + 2 * 300000 + 5 * (OPENING + 1);
        CU_ASSERT(run_until(has_got));
        CU_ASSERT_EQUAL_FATAL(got_size, got_wanted);
        const char *at = got;
        check_piece(&at, 'a', CORK_COPY_MAX + 1);
        check_piece(&at, 'b', CORK_COPY_MAX + 1);
        check_piece(&at, 'c', 300000);
        check_piece(&at, 'd', CORK_COPY_MAX + 1);
        check_piece(&at, 'e', 300000);
        world_end();
    }
}

/* Reserve: within the cork, beyond what is left of it, beyond all of it, behind queued output; and taken back. */
static enum verdict build(struct session *session, const char *bytes, size_t size)
{
    static const size_t sizes[] = {10, 40000, 40000, 0, 65536, 65537, 200000, 1, 5};

    (void)size;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *room = session_reserve(session, sizes[i] + 7);
        CU_ASSERT_PTR_NOT_NULL_FATAL(room);
        memset(room, '?', sizes[i] + 7);
        session_commit(session, 0);
        room = session_reserve(session, sizes[i] + 7);
        CU_ASSERT_PTR_NOT_NULL_FATAL(room);
        memset(room, bytes[0] + (char)i, sizes[i]);
        session_commit(session, sizes[i]);
    }
    session_send(session, "\n", 1);
    return SESSION_CONTINUE;
}

static void test_reserve(void)
{
    static const size_t sizes[] = {10, 40000, 40000, 0, 65536, 65537, 200000, 1, 5};

    for (unsigned limit = 0; limit < 2; limit++) {
        world_begin(FRAMING_LINE);
        script.message = build;
        world_connect();
        send_limit = limit ? 5000 : SIZE_MAX;
        say("A\nK\n");
        got_wanted = 2 * (10 + 40000 + 40000 + 65536 + 65537 + 200000 + 1 + 5 + 1);
        CU_ASSERT(run_until(has_got));
        CU_ASSERT_EQUAL_FATAL(got_size, got_wanted);
        size_t at = 0, wrong = 0;
        for (const char *first = "AK"; *first; first++) {
            for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
                for (size_t j = 0; j < sizes[i]; j++)
                    wrong += got[at++] != *first + (char)i;
            wrong += got[at++] != '\n';
        }
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_EQUAL(stats_read(&listener.section.stats->messages_out), 2 * 9);
        world_end();
    }
}

static enum verdict reserve_in_vain(struct session *session, const char *bytes, size_t size)
{
    char *room = session_reserve(session, CORK_SIZE + 1);

    CU_ASSERT_PTR_NOT_NULL(room);
    memset(room, 'x', CORK_SIZE + 1);
    if (size == 1 && bytes[0] == '0')
        session_commit(session, 0);
    if (size == 1 && bytes[0] == 's')
        session_send(session, "sent", 4);
    return SESSION_CONTINUE;
}

static bool is_quiet_for_a_while(void)
{
    return clock_now_ms() >= deadline_ms - PATIENCE_MS + 250;
}

/* Room beyond the cork that nobody fills is given back: no buffer stays, and epoll is not asked to wait for a writable
 * socket, which it would be at once, for ever. */
static void test_reserve_in_vain(void)
{
    static const char *const says[] = {"0\n", "no commit\n", "x\n0\ny\n"};

    for (unsigned i = 0; i < 3; i++) {
        world_begin(FRAMING_LINE);
        script.message = reserve_in_vain;
        world_connect();
        say(says[i]);
        run_turns(5);
        CU_ASSERT(buffer_is_empty(&the_session->client.out));
        CU_ASSERT_EQUAL(the_session->client.handler.events, EPOLLIN);
        uint64_t turns = stats_read(&stats.turns);
        CU_ASSERT(run_until(is_quiet_for_a_while));
        CU_ASSERT(stats_read(&stats.turns) - turns < 20);
        CU_ASSERT_EQUAL(sends, 0);
        say("s\n");
        check_got("sent");
        world_end();
    }
}

static void test_drained(void)
{
    world_begin(FRAMING_LINE);
    script.message = reply;
    service.drained = on_drained;
    world_connect();
    run_turns(3);
    check_trace("open ");
    say("a\nb\n");
    run_turns(3);
    check_trace("open [a] [b] drained ");
    send_limit = 0;
    say("c\n");
    run_turns(10);
    check_trace("open [a] [b] drained [c] ");
    send_limit = SIZE_MAX;
    run_turns(10);
    check_trace("open [a] [b] drained [c] drained ");
    world_end();
}

static unsigned refills;

static enum verdict refill(struct session *session)
{
    char block[1000] = {0};

    if (refills++ < 2000)
        session_send(session, block, sizeof(block));
    return SESSION_CONTINUE;
}

/* A producer that is driven by `drained` alone reaches the end, with an empty queue all the way. */
static void test_drained_producer(void)
{
    world_begin(FRAMING_LINE);
    service.drained = on_drained;
    script.open = refill;
    script.drained = refill;
    refills = 0;
    world_connect();
    got_wanted = 2000 * 1000;
    CU_ASSERT(run_until(has_got));
    run_turns(5);
    CU_ASSERT_EQUAL(got_size, got_wanted);
    CU_ASSERT_EQUAL(refills, 2001);
    world_end();
}

/* ---- back-pressure ---- */

static char input[4 << 20];
static size_t input_size, input_sent;

/* Lines of every length; echo_line() returns them as they are. */
static void make_input(uint64_t *chance, size_t size, size_t longest)
{
    memset(input, 'x', size);
    for (size_t at = 0; at < size; at += 1 + unit_below(chance, longest)) {
        for (size_t i = 0; i < 8 && at + i < size; i++)
            input[at + i] = (char)('a' + unit_below(chance, 26));
        input[at] = '\n';
    }
    input[size - 1] = '\n';
    input_size = size;
    input_sent = 0;
}

static bool all_sent_or_blocked(void)
{
    static unsigned idle_turns;
    size_t now = offer(input + input_sent, input_size - input_sent);

    input_sent += now;
    idle_turns = now > 0 ? 0 : idle_turns + 1;
    return input_sent == input_size || idle_turns > 3;
}

static size_t high_seen, low_seen; /* `out` at its largest; at the last moment when it stopped being full */

static bool pump(void)
{
    static bool was_full;
    struct conn *client = &the_session->client;

    input_sent += offer(input + input_sent, input_size - input_sent);
    receive_at_most(10000);
    if (core.session_count == 0)
        return true;
    if (buffer_size(&client->out) > high_seen)
        high_seen = buffer_size(&client->out);
    if (was_full && !client->above_high_water)
        low_seen = buffer_size(&client->out);
    was_full = client->above_high_water;
    return got_size == input_size;
}

static void test_back_pressure(void)
{
    uint64_t chance = 5;

    world_begin(FRAMING_LINE);
    script.message = echo_line;
    trace_messages = false;
    config.high_water = 100000;
    config.low_water = 20000;
    config.max_output = 400000;
    world_connect();
    make_input(&chance, sizeof(input), 300);
    CU_ASSERT(run_busily(all_sent_or_blocked));
    CU_ASSERT(input_sent < input_size);
    struct conn *client = &the_session->client;
    CU_ASSERT(client->above_high_water);
    CU_ASSERT_EQUAL(client->input, INPUT_PAUSED);
    CU_ASSERT_EQUAL(client->handler.events, EPOLLOUT);
    CU_ASSERT(buffer_size(&client->out) > config.high_water);
    CU_ASSERT(buffer_size(&client->out) <= config.high_water + CORK_SIZE);
    CU_ASSERT(buffer_size(&client->in) <= SCRATCH_SIZE);
    high_seen = 0;
    low_seen = SIZE_MAX;
    CU_ASSERT(run_busily(pump));
    CU_ASSERT_EQUAL(got_size, input_size);
    CU_ASSERT_EQUAL(memcmp(got, input, input_size), 0);
    CU_ASSERT(low_seen <= config.high_water + CORK_SIZE);
    CU_ASSERT(high_seen <= config.high_water + CORK_SIZE);
    CU_ASSERT_FALSE(client->above_high_water);
    CU_ASSERT(buffer_is_empty(&client->in) && buffer_is_empty(&client->out));
    world_end();
}

/* It resumes at the low mark, not before. */
static void test_low_water(void)
{
    uint64_t chance = 5;
    bool above = false;

    world_begin(FRAMING_LINE);
    script.message = echo_line;
    trace_messages = false;
    config.high_water = 100000;
    config.low_water = 20000;
    world_connect();
    make_input(&chance, sizeof(input), 300);
    send_limit = 0;
    CU_ASSERT(run_busily(all_sent_or_blocked));
    struct conn *client = &the_session->client;
    uint64_t handled = stats_read(&listener.section.stats->messages_in);
    while (client->above_high_water && buffer_size(&client->out) > config.low_water + 1000) {
        send_limit = 1000;
        run_turns(1);
        receive_at_most(SIZE_MAX);
        above = true;
    }
    CU_ASSERT(above);
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->messages_in), handled);
    run_turns(2);
    CU_ASSERT(stats_read(&listener.section.stats->messages_in) > handled);
    world_end();
}

/* "8192\n": so many bytes. */
static enum verdict send_so_many(struct session *session, const char *bytes, size_t size)
{
    static char block[65536];
    char text[16];

    snprintf(text, sizeof(text), "%.*s", (int)size, bytes);
    session_send(session, block, strtoul(text, NULL, 10));
    return SESSION_CONTINUE;
}

static void expect_reading(bool on)
{
    CU_ASSERT_EQUAL(the_session->client.input, on ? INPUT_ON : INPUT_PAUSED);
}

/* Beyond high_water nothing is read, down to low_water it is again; max_output is the most that may wait. */
static void test_marks_are_exact(void)
{
    world_begin(FRAMING_LINE);
    script.message = send_so_many;
    trace_messages = false;
    config.high_water = 9000;
    config.low_water = 4000;
    config.max_output = 10000;
    world_connect();
    send_limit = 0;
    say("9000\n");
    run_turns(2);
    expect_reading(true);
    say("1\n");
    run_turns(2);
    expect_reading(false);
    send_limit = 5000;
    run_turns(1);
    CU_ASSERT_EQUAL(buffer_size(&the_session->client.out), 4001);
    expect_reading(false);
    send_limit = 1;
    run_turns(1);
    expect_reading(true);
    send_limit = 0;
    session_send(the_session, input, 6000);
    run_turns(1);
    CU_ASSERT_EQUAL(buffer_size(&the_session->client.out), 10000);
    session_send(the_session, input, 1);
    CU_ASSERT(run_until(is_over));
    check_trace("open close:overflow ");
    world_end();
}

/* Marks that are small against what one read holds: still a pause, not an overflow. */
static void test_small_marks(void)
{
    uint64_t chance = 6;

    world_begin(FRAMING_LINE);
    script.message = echo_line;
    trace_messages = false;
    config.high_water = 2048;
    config.low_water = 512;
    config.max_output = 8192;
    world_connect();
    make_input(&chance, 1 << 20, 300);
    CU_ASSERT(run_busily(all_sent_or_blocked));
    high_seen = 0;
    CU_ASSERT(run_busily(pump));
    CU_ASSERT_EQUAL(got_size, input_size);
    CU_ASSERT_EQUAL(memcmp(got, input, got_size), 0);
    check_trace("open ");
    world_end();
}

/* What the client asked before its half-close is answered, however slowly it reads. */
static void test_half_close(void)
{
    static const size_t limits[] = {SIZE_MAX, 100, 5000};
    uint64_t chance = 7;

    for (unsigned i = 0; i < 3; i++) {
        world_begin(FRAMING_LINE);
        script.message = echo_line;
        trace_messages = false;
        config.high_water = 4096;
        config.low_water = 1024;
        world_connect();
        make_input(&chance, 100000, 300);
        CU_ASSERT_EQUAL(offer(input, input_size), input_size);
        shutdown(peer, SHUT_WR);
        send_limit = limits[i];
        run_turns(10);
        CU_ASSERT(run_until(has_got_end));
        CU_ASSERT_EQUAL(got_error, 0);
        CU_ASSERT_EQUAL(got_size, input_size);
        CU_ASSERT_EQUAL(memcmp(got, input, got_size), 0);
        CU_ASSERT(run_until(is_over));
        check_trace("open close:peer ");
        world_end();
    }
}

static uint64_t soak_chance;

static bool soak(void)
{
    size_t piece = 1 + unit_below(&soak_chance, unit_below(&soak_chance, 3) ? 100 : 50000);

    if (piece > input_size - input_sent)
        piece = input_size - input_sent;
    if (unit_below(&soak_chance, 3))
        input_sent += offer(input + input_sent, piece);
    if (unit_below(&soak_chance, 3))
        receive_at_most(1 + unit_below(&soak_chance, 60000));
    send_limit = unit_below(&soak_chance, 4) ? SIZE_MAX : unit_below(&soak_chance, 5000);
    return got_size == input_size || core.session_count == 0;
}

/* Any cut, any pace, any mood of the kernel: the same bytes. */
static void test_chance(void)
{
    for (soak_chance = 1; soak_chance <= 20; soak_chance++) {
        uint64_t seed = soak_chance;
        world_begin(FRAMING_LINE);
        script.message = seed % 2 ? echo_line : reply;
        trace_messages = false;
        config.high_water = 1000 << unit_below(&soak_chance, 8);
        config.low_water = config.high_water / 4;
        service.framing.kind = seed % 2 ? FRAMING_LINE : FRAMING_RAW;
        world_connect();
        make_input(&soak_chance, 500000, 1 + ((size_t)1 << unit_below(&soak_chance, 14)));
        CU_ASSERT(run_busily(soak));
        CU_ASSERT_EQUAL(got_size, input_size);
        CU_ASSERT_EQUAL(memcmp(got, input, got_size), 0);
        world_end();
        soak_chance = seed;
    }
}

/* ---- thrift ---- */

static void test_no_steady_state_epoll(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    trace_messages = false;
    world_connect();
    CU_ASSERT_EQUAL(epoll_changes, 1);
    for (unsigned i = 0; i < 100; i++) {
        say("hello\n");
        check_got("hello\n");
        CU_ASSERT_PTR_NULL(the_session->client.in.chunk);
        CU_ASSERT_PTR_NULL(the_session->client.out.chunk);
    }
    CU_ASSERT_EQUAL(epoll_changes, 1);
    CU_ASSERT_EQUAL(sends, 100);
    say("unfinished");
    run_turns(2);
    CU_ASSERT_PTR_NOT_NULL(the_session->client.in.chunk);
    say("\n");
    check_got("unfinished\n");
    CU_ASSERT_PTR_NULL(the_session->client.in.chunk);
    world_end();
}

/* ---- time ---- */

static uint64_t wake_ms;

static bool time_has_come(void)
{
    return clock_now_ms() >= wake_ms;
}

static void test_idle(void)
{
    world_begin(FRAMING_LINE);
    config.idle_timeout_ms = 200;
    script.message = echo_line;
    uint64_t begun_ms = clock_now_ms();
    world_connect();
    for (unsigned i = 0; i < 3; i++) { /* every byte counts */
        wake_ms = clock_now_ms() + 120;
        CU_ASSERT(run_busily(time_has_come));
        say("x");
        run_turns(1);
    }
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT(run_until(is_over));
    CU_ASSERT(clock_now_ms() - begun_ms >= 3 * 120 + 200);
    check_trace("open close:idle ");
    world_end();
}

/* A client that reads nothing of what waits for it is idle, one that reads slowly is not. */
static bool slow_reader;

enum { HEAP = 400000 };

static enum verdict send_a_heap(struct session *session, const char *bytes, size_t size)
{
    static char heap[HEAP];

    (void)bytes;
    (void)size;
    session_send(session, heap, sizeof(heap));
    return SESSION_CONTINUE;
}

static bool read_slowly(void)
{
    if (clock_now_ms() >= wake_ms) {
        wake_ms = clock_now_ms() + 15;
        if (slow_reader)
            receive_at_most(8192); /* the kernel does not ask for more within the idle time */
    }
    return core.session_count == 0 || buffer_is_empty(&the_session->client.out);
}

static void test_idle_with_output(void)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        world_begin(FRAMING_LINE);
        config.idle_timeout_ms = 200;
        script.message = send_a_heap;
        slow_reader = slow;
        world_connect();
        say("a\n");
        run_turns(3);
        CU_ASSERT_FALSE(buffer_is_empty(&the_session->client.out));
        CU_ASSERT(run_busily(read_slowly));
        CU_ASSERT_EQUAL(is_over(), !slow);
        check_trace(slow ? "open [a] " : "open [a] close:idle ");
        world_end();
    }
}

/* Closing does not wait for ever for a client that does not read. */
static void test_idle_while_flushing(void)
{
    world_begin(FRAMING_LINE);
    config.idle_timeout_ms = 30;
    config.high_water = 4 << 20;
    script.message = flood;
    world_connect();
    say("a\n");
    shutdown(peer, SHUT_WR);
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:peer ");
    world_end();
}

static enum verdict send_5000(struct session *session, const char *bytes, size_t size)
{
    static char block[5000];

    (void)bytes;
    (void)size;
    session_send(session, block, sizeof(block));
    return SESSION_CONTINUE;
}

static uint64_t late_ms;

static bool is_over_or_later(void)
{
    return is_over() || clock_now_ms() > late_ms;
}

/* What a client takes counts from the last write on, not from the first one that was cut short. */
static void test_slow_after_another_write(void)
{
    world_begin(FRAMING_LINE);
    config.idle_timeout_ms = 30;
    script.message = send_5000;
    world_connect();
    send_limit = 1000;
    say("a\n");
    run_turns(1);
    send_limit = 3000;
    run_turns(1);
    send_limit = 0;
    CU_ASSERT_EQUAL(buffer_size(&the_session->client.out), 1000);
    late_ms = clock_now_ms() + 45;
    receive_at_most(1000);
    CU_ASSERT(run_until(is_over_or_later));
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT(run_until(is_over)); /* it has taken nothing more */
    check_trace("open [a] close:idle ");
    world_end();
}

static enum verdict flood_and_close(struct session *session, const char *bytes, size_t size)
{
    flood(session, bytes, size);
    return SESSION_CLOSE;
}

static uint64_t flood_ms; /* when it was sent */

static bool is_over_or_late(void)
{
    deadline_ms = UINT64_MAX;
    return is_over() || clock_now_ms() - flood_ms > 70 * 1000;
}

/* No idle timeout: still, a client that takes nothing does not keep its session for ever. */
static void test_flushing_ends(void)
{
    world_begin(FRAMING_LINE);
    config.high_water = 4 << 20;
    script.message = flood_and_close;
    world_connect();
    flood_ms = clock_now_ms();
    say("a\n");
    CU_ASSERT(run_until(is_over_or_late));
    CU_ASSERT(is_over());
    CU_ASSERT(clock_now_ms() - flood_ms > 50 * 1000);
    check_trace("open [a] close:done ");
    world_end();
}

static uint64_t timer_set_ms, timer_fired_ms;
static unsigned timer_rounds;

static enum verdict timer_start(struct session *session)
{
    session_set_timer(session, 1000000);
    session_set_timer(session, 30);
    return SESSION_CONTINUE;
}

static enum verdict timer_again(struct session *session)
{
    timer_fired_ms = clock_now_ms();
    if (--timer_rounds > 0)
        session_set_timer(session, 30);
    return SESSION_CONTINUE;
}

static bool rounds_are_over(void)
{
    return timer_rounds == 0;
}

static void test_timer(void)
{
    world_begin(FRAMING_LINE);
    script.open = timer_start;
    script.timeout = timer_again;
    timer_rounds = 3;
    timer_set_ms = clock_now_ms();
    world_connect();
    CU_ASSERT(run_until(rounds_are_over));
    CU_ASSERT(timer_fired_ms - timer_set_ms >= 3 * 30);
    wake_ms = clock_now_ms() + 60;
    CU_ASSERT(run_busily(time_has_come));
    check_trace("open timeout timeout timeout ");
    session_set_timer(the_session, 20);
    session_set_timer(the_session, 0);
    wake_ms = clock_now_ms() + 60;
    CU_ASSERT(run_busily(time_has_come));
    check_trace("open timeout timeout timeout ");
    world_end();
}

/* The timer of the service and the idle timeout do not disturb each other. */
static void test_timer_and_idle(void)
{
    world_begin(FRAMING_LINE);
    config.idle_timeout_ms = 80;
    script.open = timer_start;
    script.timeout = timer_again;
    timer_rounds = 1;
    world_connect();
    CU_ASSERT(run_until(is_over));
    check_trace("open timeout close:idle ");
    world_end();
}

static void test_no_timer_while_closing(void)
{
    world_begin(FRAMING_LINE);
    script.open = timer_start;
    script.message = say_verdict_m;
    verdict = SESSION_CLOSE;
    env.linger_timeout_ms = 60;
    world_connect();
    say("a\n");
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:done ");
    world_end();
}

static enum verdict set_timer_and_close(struct session *session, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    session_set_timer(session, 10);
    session_send(session, "bye\n", 4);
    return SESSION_CLOSE;
}

/* A timer that is due while the last bytes go out is taken back: it wakes nobody, let alone in every tick. */
static void test_timer_does_not_wake_while_closing(void)
{
    world_begin(FRAMING_LINE);
    script.message = set_timer_and_close;
    world_connect_tcp();
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    say("a\n");
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(the_session->client.phase, CONN_LINGERING);
    uint64_t turns = stats_read(&stats.turns);
    CU_ASSERT(run_until(is_quiet_for_a_while));
    CU_ASSERT(stats_read(&stats.turns) - turns < 10);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:done ");
    world_end();
}

/* ---- lingering ---- */

/* The client goes on sending after our last word: it reads that word and an end, no reset. */
static void test_lingering(void)
{
    static char more[20000];

    world_begin(FRAMING_LINE);
    script.message = say_verdict_m;
    verdict = SESSION_CLOSE;
    world_connect_tcp();
    memset(more, 'm', sizeof(more));
    say("a\n");
    for (unsigned i = 0; i < 20; i++) {
        offer(more, sizeof(more));
        run_turns(2);
    }
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_error, 0);
    CU_ASSERT_EQUAL(got_size, 4);
    CU_ASSERT_EQUAL(memcmp(got, "bye\n", 4), 0);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:done ");
    world_end();
}

static void test_linger_timeout(void)
{
    world_begin(FRAMING_LINE);
    script.message = say_verdict_m;
    verdict = SESSION_REJECT;
    env.linger_timeout_ms = 50;
    world_connect_tcp();
    uint64_t begun_ms = clock_now_ms();
    say("a\n");
    CU_ASSERT(run_until(is_over));
    CU_ASSERT(clock_now_ms() - begun_ms >= 49);
    check_trace("open [a] close:protocol ");
    world_end();
}

/* ---- a service that reads for itself ---- */

static enum verdict read_myself(struct session *session, int fd, uint32_t events)
{
    char bytes[100];
    ssize_t size;

    if (events & EPOLLOUT) {
        note("writable ");
        session_want(session, EPOLLIN);
        return SESSION_CONTINUE;
    }
    size = recv(fd, bytes, sizeof(bytes), 0);
    note("%zd ", size);
    if (size <= 0)
        return SESSION_CLOSE;
    if (bytes[0] == 'w')
        session_want(session, EPOLLIN | EPOLLOUT);
    if (bytes[0] == '0')
        session_want(session, 0);
    return SESSION_CONTINUE;
}

static void test_ready(void)
{
    world_begin(FRAMING_RAW);
    service.ready = on_ready;
    script.ready = read_myself;
    world_connect();
    say("abc");
    run_turns(3);
    check_trace("open 3 ");
    say("w");
    run_turns(3);
    check_trace("open 3 1 writable ");
    say("00");
    run_turns(3);
    say("not wanted");
    run_turns(3);
    check_trace("open 3 1 writable 2 ");
    session_want(the_session, EPOLLIN);
    run_turns(3);
    check_trace("open 3 1 writable 2 10 ");
    shutdown(peer, SHUT_WR);
    run_turns(3);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open 3 1 writable 2 10 0 close:done ");
    world_end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"life", test_life},
        {"state", test_state},
        {"when it was opened", test_opened},
        {"hang up", test_hang_up},
        {"send fails", test_send_fails},
        {"verdicts", test_verdicts},
        {"verdict in a batch", test_verdict_in_batch},
        {"use in close", test_use_in_close},
        {"use when ended", test_use_when_ended},
        {"peer in close", test_peer_in_close},
        {"oversize", test_oversize},
        {"overflow", test_overflow},
        {"ended twice", test_ended_twice},
        {"corked", test_corked},
        {"large in order", test_large_in_order},
        {"reserve", test_reserve},
        {"reserve in vain", test_reserve_in_vain},
        {"drained", test_drained},
        {"drained producer", test_drained_producer},
        {"back-pressure", test_back_pressure},
        {"low water", test_low_water},
        {"small marks", test_small_marks},
        {"marks are exact", test_marks_are_exact},
        {"half-close", test_half_close},
        {"chance", test_chance},
        {"no steady-state epoll_ctl, no idle buffers", test_no_steady_state_epoll},
        {"idle", test_idle},
        {"idle with output", test_idle_with_output},
        {"idle while flushing", test_idle_while_flushing},
        {"flushing ends", test_flushing_ends},
        {"slow after another write", test_slow_after_another_write},
        {"timer", test_timer},
        {"timer and idle", test_timer_and_idle},
        {"no timer while closing", test_no_timer_while_closing},
        {"no wake-up while closing", test_timer_does_not_wake_while_closing},
        {"lingering", test_lingering},
        {"linger timeout", test_linger_timeout},
        {"ready", test_ready},
        {0},
    };
    return unit_main("session", tests);
}
