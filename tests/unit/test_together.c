/*
 * Sessions that act on each other, and sessions that owe answers when they close: what happens after the end of one.
 */
#include "tests/unit/world.h"
#include "worker/upstream.h"
#include <fcntl.h>

/* Two clients; the first one is the world's. */
static struct session *sessions[2];
static int peers[2];
static unsigned opened;

static enum verdict open_one(struct session *session)
{
    sessions[opened++] = session;
    return SESSION_CONTINUE;
}

static void begin(void)
{
    world_begin(FRAMING_LINE);
    opened = 0;
    service.open = open_one;
    config.max_output = 1000;
}

static void connect_both(void)
{
    world_connect();
    peers[0] = peer;
    world_connect();
    peers[1] = peer;
    CU_ASSERT_EQUAL_FATAL(opened, 2);
}

static bool has_closed_one(void)
{
    return closes == 1;
}

/* ---- one tells the other of its end ---- */

static void say_goodbye(struct session *session, enum close_reason reason)
{
    (void)reason;
    closes++;
    session_send(sessions[session == sessions[0]], "bye", 3);
}

/* It is sent at once, not when something else happens. */
static void test_send_in_close(void)
{
    begin();
    service.close = say_goodbye;
    connect_both();
    close(peers[0]);
    CU_ASSERT(run_until(has_closed_one));
    uint64_t begin_ms = clock_now_ms();
    check_got("bye");
    CU_ASSERT(clock_now_ms() - begin_ms < 50);
    CU_ASSERT_FALSE(core.loop.reactor.hurry);
    service.close = NULL;
    closes++;
    world_end();
}

static struct sock_address nowhere;
static const struct upstream silent = {.framing = {.kind = FRAMING_RAW}};

static void flood_other(struct session *session, enum close_reason reason)
{
    static char much[2000];

    closes++;
    if (reason == CLOSE_peer)
        session_send(sessions[session == sessions[0]], much, sizeof(much));
}

/* Who ends because of that is told, closed and freed, with its upstreams. */
static void test_end_in_close(void)
{
    int far = listen_tcp(&nowhere, 4);

    begin();
    service.close = flood_other;
    connect_both();
    CU_ASSERT_PTR_NOT_NULL(session_connect(sessions[1], &nowhere, 1000, &silent));
    close(peers[0]);
    CU_ASSERT(run_until(is_over));
    CU_ASSERT_EQUAL(closes, 2);
    CU_ASSERT_EQUAL(count_closed(CLOSE_overflow), 1);
    uint64_t turns = stats_read(&stats.turns);
    run_turns(2);
    CU_ASSERT_FALSE(core.loop.reactor.hurry);
    CU_ASSERT_EQUAL(stats_read(&stats.turns), turns + 2);
    close(far);
    world_end();
}

/* ---- a session that closes and owes ---- */

static struct reply *place;

static enum verdict reserve_and_close(struct session *session, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    place = session_reply(session);
    session_set_timer(session, 10);
    return SESSION_CLOSE;
}

static enum verdict answer(struct session *session)
{
    static unsigned rounds;

    if (++rounds % 2) {
        session_set_timer(session, 10); /* once more */
        return SESSION_CONTINUE;
    }
    reply_send(place, "done", 4);
    reply_end(place);
    session_set_timer(session, 10); /* too late */
    return SESSION_CONTINUE;
}

static void test_timers_serve_places(void)
{
    world_begin(FRAMING_LINE);
    script.message = reserve_and_close;
    script.timeout = answer;
    world_connect();
    say("x\n");
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, 4);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [x] timeout timeout close:done ");
    world_end();
}

/* Upstreams that never answer are no reason to wait when all places are filled. */
static void test_places_are_what_is_owed(void)
{
    int far = listen_tcp(&nowhere, 4);

    world_begin(FRAMING_LINE);
    world_connect();
    struct conn *upstream = session_connect(the_session, &nowhere, 1000, &silent);
    upstream_send(upstream, "x", 1);
    CU_ASSERT(session_owes(the_session));
    place = session_reply(the_session);
    upstream_send(upstream, "x", 1);
    CU_ASSERT(session_owes(the_session));
    reply_end(place);
    CU_ASSERT_FALSE(session_owes(the_session));
    upstream_send(upstream, "x", 1);
    CU_ASSERT_FALSE(session_owes(the_session));
    shutdown(peer, SHUT_WR);
    CU_ASSERT(run_until(is_over));
    check_trace("open close:peer ");
    close(far);
    world_end();
}

/* ---- a file that is none ---- */

static enum verdict send_nothing(struct session *session, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    session_send(session, "head", 4);
    session_send_file(session, open("/none", O_RDONLY), 0, 10);
    session_send(session, "tail", 4);
    return SESSION_CONTINUE;
}

static void test_file_not_opened(void)
{
    world_begin(FRAMING_LINE);
    script.message = send_nothing;
    world_connect();
    say("x\n");
    CU_ASSERT(run_until(is_over));
    CU_ASSERT(has_got_end());
    check_trace("open [x] close:done ");
    world_end();
}

/* ---- framing that changes ---- */

static ssize_t measure_three(const char *bytes, size_t size, struct scan *scan)
{
    (void)bytes;
    CU_ASSERT(scan->at <= size && scan->state == scan->at);
    scan->at = (uint32_t)size;
    scan->state = size;
    return size < 3 ? 0 : 3;
}

static const struct framing threes = {.kind = FRAMING_FUNCTION, .measure_on = measure_three};
static const struct framing five = {.kind = FRAMING_BLOCK, .block_size = 5};

static enum verdict change_framing(struct session *session, const char *bytes, size_t size)
{
    (void)size;
    if (bytes[0] == '3')
        session_set_framing(session, &threes);
    else if (bytes[0] == '5')
        session_set_framing(session, &five);
    else
        session_set_framing(session, NULL);
    return SESSION_CONTINUE;
}

/* How far one session's message has been looked through is nothing to another's. */
static void test_scan_begins_anew(void)
{
    begin();
    service.message = change_framing;
    service.close = NULL;
    connect_both();
    CU_ASSERT_EQUAL(write(peers[0], "3\nab", 4), 4);
    run_turns(3);
    CU_ASSERT_EQUAL(write(peers[1], "3\na", 3), 3);
    run_turns(3);
    CU_ASSERT_EQUAL(write(peers[1], "bc\n", 3), 3);
    run_turns(3);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_in), 4);
    close(peers[0]);
    closes = 2; /* nobody counts them here */
    world_end();
}

static void test_block(void)
{
    world_begin(FRAMING_LINE);
    script.message = change_framing;
    world_connect();
    say("5\n\r\n\r\n\n5\n3\na");
    run_turns(3);
    say("b");
    run_turns(3);
    say("cd5\n12345x\n");
    run_turns(3);
    check_trace("open [5] [\r\n\r\n\n] [5] [3\nabc] [d5\n] [12345x] ");
    world_end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"send in close", test_send_in_close},
        {"end in close", test_end_in_close},
        {"timers serve places", test_timers_serve_places},
        {"places are what is owed", test_places_are_what_is_owed},
        {"file not opened", test_file_not_opened},
        {"scan begins anew", test_scan_begins_anew},
        {"block", test_block},
        {0},
    };
    return unit_main("together", tests);
}
