/*
 * Leaving in good order, and accepting: what a worker does with many sessions.
 */
#include "tests/unit/world.h"

/* ---- drain ---- */

static void begin_drain(void)
{
    core.reactor.now_ms = clock_now_ms();
    drain_begin(&core);
}

static void test_idle_goes_at_once(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("a\n");
    check_got("a\n");
    begin_drain();
    run_turns(1);
    CU_ASSERT(is_over());
    check_trace("open [a] close:done ");
    CU_ASSERT(has_got_end());
    CU_ASSERT_EQUAL(got_error, 0);
    world_end();
}

static void test_unfinished_waits(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("abc");
    run_turns(2);
    begin_drain();
    run_turns(5);
    check_trace("open ");
    say("def\n");
    check_got("abcdef\n");
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [abcdef] close:done ");
    world_end();
}

static void test_unread_is_answered(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("a\nb\n");
    begin_drain();
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, 4);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] [b] close:done ");
    world_end();
}

static void test_unsent_is_sent(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    send_limit = 0;
    say("a\nb\n");
    run_turns(2);
    begin_drain();
    run_turns(5);
    CU_ASSERT_FALSE(is_over());
    send_limit = 1;
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, 4);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] [b] close:done ");
    world_end();
}

/* Replies reach a TCP client that still sends: an end, not a reset. */
static void test_no_reset(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect_tcp();
    say("a\nb");
    run_turns(2);
    begin_drain();
    say("\n");
    run_turns(2);
    say("too late\n");
    run_turns(2);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_error, 0);
    CU_ASSERT_EQUAL(got_size, 4);
    hang_up();
    CU_ASSERT(run_until(is_over));
    world_end();
}

static void test_time_is_up(void)
{
    world_begin(FRAMING_LINE);
    world_connect();
    say("abc");
    run_turns(2);
    begin_drain();
    run_turns(2);
    drain_end(&core);
    session_bury(&core);
    check_trace("open close:drain ");
    CU_ASSERT_EQUAL(count_closed(CLOSE_drain), 1);
    world_end();
}

static enum verdict last_word(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    return SESSION_CLOSE;
}

/* It was closing, but its last word did not get out in time. */
static void test_time_is_up_while_flushing(void)
{
    world_begin(FRAMING_LINE);
    script.message = last_word;
    world_connect();
    send_limit = 0;
    say("a\n");
    run_turns(2);
    begin_drain();
    run_turns(2);
    drain_end(&core);
    session_bury(&core);
    check_trace("open [a] close:drain ");
    world_end();
}

/* ---- with an upstream ---- */

static struct sock_address address;
static int listening, far;

static enum verdict pass_back(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    (void)conn;
    return echo_line(session, bytes, size);
}

static const struct upstream upstream = {.framing.kind = FRAMING_LINE, .max_frame = 100, .message = pass_back};

static enum verdict connect_far(struct session *session)
{
    session_connect(session, &address, 1000, &upstream);
    return SESSION_CONTINUE;
}

static enum verdict pass_on(struct session *session, const char *bytes, size_t size)
{
    upstream_send(session->client.next, bytes, size);
    upstream_send(session->client.next, "\n", 1);
    return SESSION_CONTINUE;
}

static enum verdict connect_coupled(struct session *session)
{
    connect_far(session);
    session_couple(session, session->client.next);
    return SESSION_CONTINUE;
}

static bool far_is_there(void)
{
    if (far < 0)
        far = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return far >= 0 && the_session->client.next->phase == CONN_OPEN;
}

static char far_got[100];
static size_t far_size, far_wanted;

static bool far_has_got(void)
{
    ssize_t size = recv(far, far_got + far_size, sizeof(far_got) - far_size, MSG_DONTWAIT);

    far_size += size > 0 ? (size_t)size : 0;
    return far_size >= far_wanted;
}

static void begin_with_upstream(enum verdict (*open)(struct session *session))
{
    world_begin(FRAMING_LINE);
    script.open = open;
    script.message = pass_on;
    listening = listen_tcp(&address, 16);
    far = -1;
    far_size = 0;
    world_connect();
    CU_ASSERT(run_until(far_is_there));
}

static void end_with_upstream(void)
{
    world_end();
    close(far);
    close(listening);
}

static void test_answer_is_due(void)
{
    begin_with_upstream(connect_far);
    say("question\n");
    far_wanted = 9;
    CU_ASSERT(run_until(far_has_got));
    begin_drain();
    run_turns(5);
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT_EQUAL(write(far, "answer\n", 7), 7);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, 7);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [question] close:done ");
    end_with_upstream();
}

static void test_quiet_upstream(void)
{
    begin_with_upstream(connect_far);
    begin_drain();
    run_turns(1);
    CU_ASSERT(is_over());
    end_with_upstream();
}

/* A relay in the middle of an answer may finish it; a pause is taken for its end. */
static void test_relay(void)
{
    begin_with_upstream(connect_coupled);
    say("question\n");
    far_wanted = 9;
    CU_ASSERT(run_until(far_has_got));
    begin_drain();
    run_turns(5);
    CU_ASSERT_EQUAL(write(far, "ans", 3), 3);
    check_got("ans");
    run_turns(5);
    CU_ASSERT_EQUAL(write(far, "wer", 3), 3);
    check_got("wer");
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_error, 0);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:done ");
    end_with_upstream();
}

/* ---- accepting ---- */

enum { CLIENTS = 5 };

static struct worker_socket door;
static int clients[CLIENTS];
static unsigned wanted_sessions;
static uint64_t wanted_accepted;

static enum verdict count_open(struct session *session)
{
    (void)session;
    alive = false; /* one of many: the trace does not tell them apart */
    return SESSION_CONTINUE;
}

static void begin_accepting(uint32_t max_sessions)
{
    static struct listener doors[1];

    world_begin(FRAMING_LINE);
    service.open = count_open;
    service.close = NULL;
    env.max_sessions = max_sessions;
    door = (struct worker_socket){.fd = listen_tcp(&address, 16), .listener = &config};
    env.sockets = &door;
    env.socket_count = 1;
    core.listeners = doors;
    CU_ASSERT_EQUAL(listener_start(&core), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CU_ASSERT_EQUAL(connect(clients[i], &address.any, address.size), 0);
    }
}

static void end_accepting(void)
{
    closes = (unsigned)core.session_count;
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        closes += (unsigned)count_closed((enum close_reason)i);
    world_end();
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    close(door.fd);
}

static bool has_accepted(void)
{
    return stats_read(&stats.listeners[0].accepted) >= wanted_accepted && core.session_count == wanted_sessions;
}

static void test_accept(void)
{
    begin_accepting(100);
    wanted_accepted = wanted_sessions = CLIENTS;
    CU_ASSERT(run_until(has_accepted));
    CU_ASSERT_EQUAL(stats_read(&stats.accept_pauses), 0);
    end_accepting();
}

static void test_max_sessions(void)
{
    begin_accepting(2);
    log_set_level(LOG_LEVEL_ERROR);
    wanted_accepted = wanted_sessions = 2;
    CU_ASSERT(run_until(has_accepted));
    run_turns(10);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].accepted), 2);
    CU_ASSERT_EQUAL(stats_read(&stats.accept_pauses), 1);
    CU_ASSERT_EQUAL(core.listeners[0].handler.events, 0);
    close(clients[0]); /* makes room for the next */
    clients[0] = -1;
    run_turns(4); /* at once, not when the pause is over */
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].accepted), 3);
    CU_ASSERT_EQUAL(core.session_count, 2);
    log_set_level(LOG_LEVEL_INFO);
    end_accepting();
}

/* What waits in the queue when accepting stops is still served. */
static void test_stop(void)
{
    begin_accepting(100);
    listener_stop(&core, false);
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    CU_ASSERT_EQUAL(core.listeners[0].handler.events, REACTOR_OFF);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(connect(late, &address.any, address.size), 0); /* for whoever inherits the socket */
    run_turns(5);
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    close(late);
    end_accepting();
}

static void test_stop_for_good(void)
{
    begin_accepting(100);
    listener_stop(&core, true);
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(connect(late, &address.any, address.size), -1);
    CU_ASSERT_EQUAL(errno, ECONNREFUSED);
    close(late);
    end_accepting();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"idle goes at once", test_idle_goes_at_once},
        {"unfinished waits", test_unfinished_waits},
        {"unread is answered", test_unread_is_answered},
        {"unsent is sent", test_unsent_is_sent},
        {"no reset", test_no_reset},
        {"time is up", test_time_is_up},
        {"time is up while flushing", test_time_is_up_while_flushing},
        {"an answer is due", test_answer_is_due},
        {"quiet upstream", test_quiet_upstream},
        {"relay", test_relay},
        {"accept", test_accept},
        {"max_sessions", test_max_sessions},
        {"stop", test_stop},
        {"stop for good", test_stop_for_good},
        {0},
    };
    return unit_main("drain", tests);
}
