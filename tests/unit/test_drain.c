/*
 * Leaving in good order, and accepting: what a worker does with many sessions.
 */
#include "tests/unit/world.h"
#include <fcntl.h>
#include <sys/resource.h>

/* ---- drain ---- */

static void begin_drain(bool quickly)
{
    core.loop.reactor.now_ms = clock_now_ms();
    drain_begin(&core, quickly, 0);
}

static void test_idle_goes_at_once(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("a\n");
    check_got("a\n");
    begin_drain(true);
    run_turns(1);
    CU_ASSERT(is_over());
    check_trace("open [a] close:done ");
    CU_ASSERT(has_got_end());
    CU_ASSERT_EQUAL(got_error, 0);
    world_end();
}

/* Its next request crosses our end: that is read away, not answered by a reset. */
static void test_idle_goes_politely(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect_tcp();
    say("a\n");
    check_got("a\n");
    begin_drain(false);
    CU_ASSERT_FALSE(is_over());
    say("too late\n");
    run_turns(5);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_error, 0);
    CU_ASSERT_EQUAL(got_size, 0);
    CU_ASSERT_FALSE(is_over());
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open [a] close:leaving ");
    world_end();
}

/* But not for ever. */
static void test_idle_does_not_go(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    env.linger_timeout_ms = 50;
    world_connect();
    say("a\n");
    check_got("a\n");
    begin_drain(false);
    uint64_t begin_ms = clock_now_ms();
    CU_ASSERT(run_until(is_over));
    CU_ASSERT(clock_now_ms() >= begin_ms + 50);
    check_trace("open [a] close:leaving ");
    world_end();
}

/* Who has just come is heard, however quickly we are to go. */
static void test_newcomer(void)
{
    for (unsigned quickly = 0; quickly < 2; quickly++) {
        world_begin(FRAMING_LINE);
        script.message = echo_line;
        world_connect();
        begin_drain(quickly);
        run_turns(5);
        CU_ASSERT_FALSE(has_got_end());
        say("a\n");
        check_got("a\n");
        CU_ASSERT(run_until(has_got_end));
        CU_ASSERT_EQUAL(got_error, 0);
        hang_up();
        CU_ASSERT(run_until(is_over));
        check_trace(quickly ? "open [a] close:done " : "open [a] close:leaving ");
        world_end();
    }
}

/* It has a second for that, from when it came. */
static void test_newcomer_says_nothing(void)
{
    world_begin(FRAMING_LINE);
    world_connect();
    the_session->active_ms -= 800;
    begin_drain(true);
    uint64_t begin_ms = clock_now_ms();
    CU_ASSERT(run_until(has_got_end));
    uint64_t waited_ms = clock_now_ms() - begin_ms;
    CU_ASSERT(waited_ms >= 190 && waited_ms < 1000);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:done ");
    world_end();

    world_begin(FRAMING_LINE);
    world_connect();
    the_session->active_ms -= 1000;
    begin_drain(true);
    run_turns(1);
    CU_ASSERT(is_over());
    world_end();
}

static uint64_t until_ms;

static bool is_later(void)
{
    return clock_now_ms() >= until_ms;
}

/* Who is waited for after patience has ended is looked at now and then, not at every tick. */
static void test_waiting_is_quiet(void)
{
    world_begin(FRAMING_LINE);
    world_connect();
    the_session->active_ms -= 5000;
    the_session->reply_due = true;
    begin_drain(true);
    uint64_t turns = stats_read(&stats.turns);
    until_ms = clock_now_ms() + 400;
    CU_ASSERT(run_until(is_later));
    CU_ASSERT(stats_read(&stats.turns) - turns <= 10);
    the_session->reply_due = false;
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    world_end();
}

static void test_unfinished_waits(void)
{
    world_begin(FRAMING_LINE);
    script.message = echo_line;
    world_connect();
    say("abc");
    run_turns(2);
    begin_drain(true);
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
    begin_drain(true);
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
    begin_drain(true);
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
    begin_drain(true);
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
    begin_drain(true);
    run_turns(2);
    drain_end(&core);
    session_free_dead(&core);
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
    begin_drain(true);
    run_turns(2);
    drain_end(&core);
    session_free_dead(&core);
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
    upstream_send(&session->upstreams->conn, bytes, size);
    upstream_send(&session->upstreams->conn, "\n", 1);
    return SESSION_CONTINUE;
}

static enum verdict connect_coupled(struct session *session)
{
    connect_far(session);
    session_couple(session, &session->upstreams->conn);
    return SESSION_CONTINUE;
}

static bool far_is_there(void)
{
    if (far < 0)
        far = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return far >= 0 && the_session->upstreams->conn.phase == CONN_OPEN;
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
    begin_drain(true);
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

static enum verdict engage(struct session *session, const char *bytes, size_t size)
{
    session_engage(session, size == 5);
    return echo_line(session, bytes, size);
}

/* In the middle of something that takes several messages. */
static void test_engaged(void)
{
    world_begin(FRAMING_LINE);
    script.message = engage;
    world_connect();
    say("begin\n");
    check_got("begin\n");
    begin_drain(true);
    run_turns(5);
    CU_ASSERT_FALSE(is_over());
    say("end\n");
    CU_ASSERT(run_until(has_got_end));
    check_got("end\n");
    hang_up();
    CU_ASSERT(run_until(is_over));
    world_end();
}

static void test_quiet_upstream(void)
{
    begin_with_upstream(connect_far);
    say("question\n");
    far_wanted = 9;
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT_EQUAL(write(far, "answer\n", 7), 7);
    check_got("answer\n");
    begin_drain(true);
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
    begin_drain(true);
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

/* ---- leaving one by one ---- */

enum { LEAVERS = 40, SPREAD_MS = 400 };

static int leavers[LEAVERS];
static uint64_t left_ms[LEAVERS];
static unsigned left;
static uint64_t drain_begun_ms;

static enum verdict open_unseen(struct session *session)
{
    (void)session;
    return SESSION_CONTINUE;
}

static void leaver_closed(struct session *session, enum close_reason reason)
{
    (void)session;
    (void)reason;
    closes++;
}

static void begin_leavers(void)
{
    world_begin(FRAMING_LINE);
    service.open = open_unseen;
    service.message = echo_line;
    service.close = leaver_closed;
    for (unsigned i = 0; i < LEAVERS; i++) {
        world_connect();
        leavers[i] = peer;
        left_ms[i] = 0;
        say("a\n");
    }
    peer = -1;
    run_turns(5);
    for (unsigned i = 0; i < LEAVERS; i++)
        CU_ASSERT_EQUAL(recv(leavers[i], got, sizeof(got), MSG_DONTWAIT), 2);
    left = 0;
    drain_begun_ms = core.loop.reactor.now_ms = clock_now_ms();
    drain_begin(&core, false, SPREAD_MS);
}

static void end_leavers(void)
{
    for (unsigned i = 0; i < LEAVERS; i++)
        close(leavers[i]);
    CU_ASSERT(run_until(is_over));
    world_end();
}

static bool all_have_left(void)
{
    for (unsigned i = 0; i < LEAVERS; i++) {
        char byte;
        if (left_ms[i] == 0 && recv(leavers[i], &byte, 1, MSG_DONTWAIT) == 0) {
            left_ms[i] = clock_now_ms() - drain_begun_ms + 1;
            left++;
        }
    }
    return left == LEAVERS;
}

/* Idle sessions do not go in one moment, in which all their clients would come back: each has a time of its own. */
static void test_leaving_is_spread(void)
{
    unsigned quarters[4] = {0}, busiest = 0;

    begin_leavers();
    run_turns(2);
    CU_ASSERT_FALSE(all_have_left());
    CU_ASSERT(run_until(all_have_left));
    for (unsigned i = 0; i < LEAVERS; i++) {
        CU_ASSERT(left_ms[i] <= SPREAD_MS + 2 * TIMER_TICK_MS + 50);
        quarters[left_ms[i] * 4 / (SPREAD_MS + 100)]++;
    }
    for (unsigned i = 0; i < 4; i++)
        busiest = quarters[i] > busiest ? quarters[i] : busiest;
    CU_ASSERT(busiest <= LEAVERS * 3 / 4);
    CU_ASSERT_EQUAL(count_closed(CLOSE_leaving),
                    0); /* it is counted when the client has closed, too, or the linger ends */
    end_leavers();
    CU_ASSERT_EQUAL(count_closed(CLOSE_leaving), LEAVERS);
}

static bool half_have_left(void)
{
    return all_have_left() || left >= LEAVERS / 2;
}

/* Until then it is served as before. */
static void test_served_until_it_leaves(void)
{
    char bytes[4];
    unsigned last = 0;

    begin_leavers();
    CU_ASSERT(run_until(half_have_left));
    while (last < LEAVERS && left_ms[last])
        last++;
    CU_ASSERT_FATAL(last < LEAVERS);
    CU_ASSERT_EQUAL(write(leavers[last], "b\n", 2), 2);
    run_turns(3);
    CU_ASSERT_EQUAL(recv(leavers[last], bytes, sizeof(bytes), MSG_DONTWAIT), 2);
    end_leavers();
}

static bool nobody_is_left(void)
{
    return core.session_count == 0;
}

/* The whole server stops meanwhile: nobody waits for a time of its own any more. */
static void test_stop_while_leaving(void)
{
    begin_leavers();
    core.loop.reactor.now_ms = clock_now_ms();
    drain_begin(&core, true, 0);
    run_turns(2);
    CU_ASSERT(all_have_left());
    CU_ASSERT(run_until(nobody_is_left)); /* each lingers until its client's end has been read */
    end_leavers();
}

/* ---- accepting ---- */

enum { CLIENTS = 5 };

static struct worker_socket door;
static int shared; /* the same queue, as the master and the siblings have it */
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
    shared = dup(door.fd);
    env.sockets = &door;
    env.socket_count = 1;
    listeners.array = doors;
    CU_ASSERT_EQUAL(listener_start(&listeners), 0);
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
    close(shared);
    if (fcntl(door.fd, F_GETFD) >= 0)
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
    CU_ASSERT_EQUAL(listeners.array[0].queue.handler.events, 0);
    close(clients[0]); /* makes room for the next */
    clients[0] = -1;
    run_turns(4); /* at once, not when the pause is over */
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].accepted), 3);
    CU_ASSERT_EQUAL(core.session_count, 2);
    log_set_level(LOG_LEVEL_INFO);
    end_accepting();
}

static void check_stopped(void)
{
    CU_ASSERT_EQUAL(listeners.array[0].queue.handler.events, REACTOR_OFF);
    CU_ASSERT_EQUAL(fcntl(door.fd, F_GETFD), -1); /* ours is closed */
}

static int connect_late(void)
{
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(late, &address.any, address.size);
    int error = errno;

    close(late);
    errno = error;
    return result;
}

/* The siblings go on: who waits in the queue is theirs, and so is who comes later. */
static void test_stop_leave(void)
{
    begin_accepting(100);
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    check_stopped();
    CU_ASSERT_EQUAL(core.session_count, 0);
    CU_ASSERT_EQUAL(connect_late(), 0);
    run_turns(5);
    CU_ASSERT_EQUAL(core.session_count, 0);
    for (unsigned i = 0; i < CLIENTS + 1; i++) {
        int fd = accept4(shared, NULL, NULL, SOCK_CLOEXEC);
        CU_ASSERT(fd >= 0);
        close(fd);
    }
    end_accepting();
}

/* The whole server stops: who waits is served, and nobody else may come. */
static void test_stop_refuse(void)
{
    begin_accepting(100);
    listener_stop(&listeners, STOP_REFUSE);
    adoption_release_all(&listeners);
    check_stopped();
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    CU_ASSERT_EQUAL(connect_late(), -1);
    CU_ASSERT_EQUAL(errno, ECONNREFUSED);
    run_turns(5);
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    end_accepting();
}

/* The master is gone: who waits is served, as nobody else can. Siblings that have adopted the queue keep it. */
static void test_stop_orphan(void)
{
    begin_accepting(100);
    listener_stop(&listeners, STOP_ORPHAN);
    adoption_release_all(&listeners);
    check_stopped();
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    CU_ASSERT_EQUAL(connect_late(), 0);
    run_turns(5);
    CU_ASSERT_EQUAL(core.session_count, CLIENTS);
    close(shared);
    shared = -1;
    CU_ASSERT_EQUAL(connect_late(), -1);
    CU_ASSERT_EQUAL(errno, ECONNREFUSED);
    end_accepting();
}

/* Also when more wait than there may be sessions: the others are not accepted, and not forgotten either. */
static void test_stop_when_full(void)
{
    begin_accepting(2);
    log_set_level(LOG_LEVEL_ERROR);
    listener_stop(&listeners, STOP_ORPHAN);
    adoption_release_all(&listeners);
    log_set_level(LOG_LEVEL_INFO);
    check_stopped();
    CU_ASSERT_EQUAL(core.session_count, 2);
    CU_ASSERT_EQUAL(listeners.paused_until_ms, 0);
    run_turns(20);
    CU_ASSERT_EQUAL(core.session_count, 2);
    CU_ASSERT_EQUAL(listeners.array[0].queue.handler.events, REACTOR_OFF);
    end_accepting();
}

/* A pause is over after its time even if nothing has become free. */
static void test_out_of_descriptors(void)
{
    struct rlimit before, tight;

    begin_accepting(100);
    log_set_level(LOG_LEVEL_ERROR);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(shared);
    close(next);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next + 2, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    run_turns(10);
    CU_ASSERT_EQUAL(core.session_count, 2);
    CU_ASSERT_EQUAL(stats_read(&stats.accept_pauses), 1);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].refused), 0); /* they wait */
    CU_ASSERT_EQUAL(listeners.array[0].queue.handler.events, 0);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint64_t begin_ms = clock_now_ms();
    wanted_accepted = wanted_sessions = CLIENTS;
    CU_ASSERT(run_until(has_accepted));
    CU_ASSERT(clock_now_ms() < begin_ms + 1000);
    log_set_level(LOG_LEVEL_INFO);
    end_accepting();
}

/* ---- whatever the kernel refuses ---- */

static int accept_error;       /* errno of accept4(), unless it is 0 ... */
static unsigned accept_errors; /* ... for so many calls */
static unsigned accepts;

int accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    accepts++;
    if (accept_error && accept_errors > 0) {
        accept_errors--;
        errno = accept_error;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, from, size, flags);
}

static bool all_are_answered(void)
{
    static char bytes[CLIENTS][8];
    unsigned answered = 0;

    for (unsigned i = 0; i < CLIENTS; i++)
        answered += recv(clients[i], bytes[i], sizeof(bytes[i]), MSG_DONTWAIT | MSG_PEEK) == 3;
    return answered == CLIENTS;
}

static void ask_all(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        CU_ASSERT_EQUAL(write(clients[i], "hi\n", 3), 3);
}

static bool half_a_second_is_over(void)
{
    return clock_now_ms() >= deadline_ms - PATIENCE_MS + 500;
}

/* accept4() fails, with whatever error: a pause, in which nothing spins, and then everybody who waited is served. */
static void test_accept_fails(void)
{
    static const int errors[] = {EPERM, EACCES, ENOSPC, ENOMEM, ENOBUFS, EMFILE, ENFILE, EIO, EOPNOTSUPP, ESTALE};

    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        begin_accepting(100);
        script.message = echo_line;
        service.message = echo_line;
        ask_all();
        log_set_level(LOG_LEVEL_ERROR);
        accept_error = errors[i];
        accept_errors = UINT32_MAX;
        accepts = 0;
        CU_ASSERT(run_until(half_a_second_is_over));
        CU_ASSERT(accepts >= 3 && accepts < 10);
        CU_ASSERT(stats_read(&stats.turns) < 30);
        CU_ASSERT(stats_read(&stats.accept_pauses) >= 1);
        accept_error = 0;
        CU_ASSERT(run_until(all_are_answered));
        log_set_level(LOG_LEVEL_INFO);
        end_accepting();
    }
}

/* What is the fault of one connection does not stop the next; what only looks like it does not spin. */
static void test_one_connection_fails(void)
{
    static const int errors[] = {ECONNABORTED, EINTR, EPROTO, ENETDOWN, EHOSTUNREACH};

    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        begin_accepting(100);
        accept_error = errors[i];
        accept_errors = 3;
        wanted_accepted = wanted_sessions = CLIENTS;
        CU_ASSERT(run_until(has_accepted));
        CU_ASSERT_EQUAL(stats_read(&stats.accept_pauses), 0);
        end_accepting();

        begin_accepting(100);
        log_set_level(LOG_LEVEL_ERROR);
        accept_errors = UINT32_MAX;
        CU_ASSERT(run_until(half_a_second_is_over));
        CU_ASSERT(stats_read(&stats.turns) < 30);
        accept_error = 0;
        CU_ASSERT(run_until(has_accepted));
        log_set_level(LOG_LEVEL_INFO);
        end_accepting();
    }
}

/* No epoll watch, or no memory, for a connection that has been accepted: it waits, as the others do in the queue. */
static void test_no_room_for_the_session(void)
{
    static const int errors[] = {ENOSPC, ENOMEM, EPERM};

    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        begin_accepting(100);
        service.message = echo_line;
        ask_all();
        log_set_level(LOG_LEVEL_ERROR);
        add_error = errors[i];
        CU_ASSERT(run_until(half_a_second_is_over));
        CU_ASSERT_EQUAL(core.session_count, 1);
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].accepted), 0);
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].refused), 0);
        CU_ASSERT_EQUAL(stats_read(&stats.accept_pauses), 1);
        CU_ASSERT(stats_read(&stats.turns) < 30);
        add_error = 0;
        CU_ASSERT(run_until(all_are_answered));
        CU_ASSERT_EQUAL(core.session_count, CLIENTS);
        CU_ASSERT_PTR_NULL(listeners.parked.listener);
        log_set_level(LOG_LEVEL_INFO);
        end_accepting();
    }
}

/* Also when the worker is told to leave meanwhile; and at its end nothing is left over. */
static void test_leave_with_one_parked(void)
{
    begin_accepting(100);
    service.message = echo_line;
    ask_all();
    log_set_level(LOG_LEVEL_ERROR);
    add_error = ENOSPC;
    run_turns(3);
    CU_ASSERT_EQUAL(core.session_count, 1);
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    begin_drain(false);
    run_turns(3);
    CU_ASSERT_EQUAL(core.session_count, 1);
    add_error = 0;
    wanted_accepted = wanted_sessions = 1;
    CU_ASSERT(run_until(has_accepted));
    end_accepting();

    begin_accepting(100);
    add_error = ENOSPC;
    run_turns(3);
    admission_end(&listeners);
    CU_ASSERT_EQUAL(core.session_count, 0);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].refused), 1);
    add_error = 0;
    log_set_level(LOG_LEVEL_INFO);
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    end_accepting();
}

/* epoll refuses everything: also to leave the queue alone. The worker naps instead of spinning. */
static void test_epoll_refuses_everything(void)
{
    begin_accepting(2);
    log_set_level(LOG_LEVEL_ERROR);
    wanted_accepted = wanted_sessions = 2;
    modify_error = ENOMEM;
    CU_ASSERT(run_until(has_accepted));
    uint64_t turns = stats_read(&stats.turns);
    CU_ASSERT(run_until(half_a_second_is_over));
    CU_ASSERT(stats_read(&stats.turns) - turns < 100);
    modify_error = 0;
    log_set_level(LOG_LEVEL_INFO);
    end_accepting();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"idle goes at once", test_idle_goes_at_once},
        {"idle goes politely", test_idle_goes_politely},
        {"idle does not go", test_idle_does_not_go},
        {"newcomer", test_newcomer},
        {"newcomer says nothing", test_newcomer_says_nothing},
        {"waiting is quiet", test_waiting_is_quiet},
        {"unfinished waits", test_unfinished_waits},
        {"unread is answered", test_unread_is_answered},
        {"unsent is sent", test_unsent_is_sent},
        {"no reset", test_no_reset},
        {"time is up", test_time_is_up},
        {"time is up while flushing", test_time_is_up_while_flushing},
        {"an answer is due", test_answer_is_due},
        {"engaged", test_engaged},
        {"quiet upstream", test_quiet_upstream},
        {"relay", test_relay},
        {"leaving is spread", test_leaving_is_spread},
        {"served until it leaves", test_served_until_it_leaves},
        {"stop while leaving", test_stop_while_leaving},
        {"accept", test_accept},
        {"max_sessions", test_max_sessions},
        {"out of descriptors", test_out_of_descriptors},
        {"stop, leave", test_stop_leave},
        {"stop, refuse", test_stop_refuse},
        {"stop, orphan", test_stop_orphan},
        {"stop when full", test_stop_when_full},
        {"accept fails", test_accept_fails},
        {"one connection fails", test_one_connection_fails},
        {"no room for the session", test_no_room_for_the_session},
        {"leave with one parked", test_leave_with_one_parked},
        {"epoll refuses everything", test_epoll_refuses_everything},
        {0},
    };
    return unit_main("drain", tests);
}
