/*
 * Further connections of a session: made, refused, timed out, spoken to in messages, coupled into a relay.
 */
#include "tests/unit/world.h"
#include "worker/upstream.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

static struct sock_address address; /* where the upstream listens */
static int listening;
static int far; /* the upstream's side of the connection; -1: not yet accepted */
static char far_got[16 << 20];
static size_t far_got_size;
static bool far_end;
static int far_error;

static struct {
    enum verdict (*connected)(struct session *session, struct conn *upstream);
    enum verdict (*message)(struct session *session, struct conn *upstream, const char *bytes, size_t size);
    enum verdict (*closed)(struct session *session, struct conn *upstream, int error);
} far_script;

static struct upstream upstream;
static struct conn *the_upstream;
static uint32_t connect_timeout_ms;

static enum verdict on_connected(struct session *session, struct conn *conn)
{
    CU_ASSERT(alive && session == the_session && conn == the_upstream);
    note("connected ");
    return far_script.connected ? far_script.connected(session, conn) : SESSION_CONTINUE;
}

static enum verdict on_far_message(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    CU_ASSERT(alive && session == the_session && conn == the_upstream);
    note("(%.*s) ", (int)size, bytes);
    return far_script.message ? far_script.message(session, conn, bytes, size) : SESSION_CONTINUE;
}

static enum verdict on_far_closed(struct session *session, struct conn *conn, int error)
{
    CU_ASSERT(alive && session == the_session && conn == the_upstream);
    note("closed:%s ", error ? strerrorname_np(error) : "0");
    the_upstream = NULL;
    return far_script.closed ? far_script.closed(session, conn, error) : SESSION_CONTINUE;
}

static enum verdict connect_far(struct session *session)
{
    the_upstream = session_connect(session, &address, connect_timeout_ms, &upstream);
    CU_ASSERT_PTR_NOT_NULL(the_upstream);
    return SESSION_CONTINUE;
}

static void begin(enum framing_kind kind)
{
    world_begin(kind);
    memset(&far_script, 0, sizeof(far_script));
    upstream = (struct upstream){.framing.kind = kind,
                                 .max_frame = 1000,
                                 .connected = on_connected,
                                 .message = on_far_message,
                                 .closed = on_far_closed};
    script.open = connect_far;
    connect_timeout_ms = 1000;
    listening = listen_tcp(&address, 16);
    setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)); /* what the kernel holds stays small */
    far = -1;
    far_got_size = 0;
    far_end = false;
    far_error = 0;
}

static void end(void)
{
    world_end();
    if (far >= 0)
        close(far);
    close(listening);
}

static void receive_far(void)
{
    ssize_t size;

    if (far < 0)
        far = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    do {
        CU_ASSERT_FATAL(far_got_size < sizeof(far_got));
        size = recv(far, far_got + far_got_size, sizeof(far_got) - far_got_size, MSG_DONTWAIT);
        if (size > 0)
            far_got_size += (size_t)size;
    } while (size > 0);
    if (size == 0)
        far_end = true;
    else if (errno != EAGAIN && errno != EBADF)
        far_error = errno;
}

static bool is_connected(void)
{
    receive_far();
    return far >= 0 && strstr(trace, "connected");
}

static size_t far_wanted;

static bool far_has_got(void)
{
    receive_far();
    return far_got_size >= far_wanted;
}

static bool far_has_ended(void)
{
    receive_far();
    return far_end || far_error;
}

static void check_far_got(const char *expected)
{
    far_wanted = strlen(expected);
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT_EQUAL(far_got_size, far_wanted);
    CU_ASSERT_EQUAL(memcmp(far_got, expected, far_got_size), 0);
    far_got_size = 0;
}

static void far_say(const char *text)
{
    CU_ASSERT_EQUAL(write(far, text, strlen(text)), (ssize_t)strlen(text));
}

static void far_hang_up(void)
{
    close(far);
    far = -1;
}

static enum verdict forward(struct session *session, const char *bytes, size_t size)
{
    (void)session;
    if (the_upstream) {
        upstream_send(the_upstream, bytes, size);
        upstream_send(the_upstream, "\n", 1);
    }
    return SESSION_CONTINUE;
}

static enum verdict answer(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    (void)conn;
    return echo_line(session, bytes, size);
}

/* ---- connecting ---- */

static void test_messages(void)
{
    begin(FRAMING_LINE);
    script.message = forward;
    far_script.message = answer;
    world_connect();
    say("early\n"); /* waits for the connection */
    CU_ASSERT(run_until(is_connected));
    check_far_got("early\n");
    far_say("one\r\ntw");
    check_got("one\n");
    far_say("o\nthree\n");
    check_got("two\nthree\n");
    say("a\nb\n");
    check_far_got("a\nb\n");
    shutdown(peer, SHUT_WR);
    run_turns(3);
    CU_ASSERT_FALSE(is_over()); /* an answer is due */
    far_say("four\n");
    check_got("four\n");
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_error, 0);
    hang_up();
    CU_ASSERT(run_until(is_over));
    CU_ASSERT_PTR_NOT_NULL(strstr(trace, "close:peer "));
    CU_ASSERT_PTR_NULL(strstr(trace, "closed:"));
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->upstream_failures), 0);
    end();
}

/* How slow the upstream is: from a message to the next one that comes back, while there is none on its way already. */
static void test_durations(void)
{
    begin(FRAMING_LINE);
    script.message = forward; /* in two pieces */
    far_script.message = answer;
    connect_timeout_ms = 10000;
    world_connect();
    skipped_ms += 3000;
    CU_ASSERT(run_until(is_connected));
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 2500, 4000), 1);
    far_say("hello\n"); /* which nobody has asked for */
    check_got("hello\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 0, 60000), 0);
    say("a\nb\n");
    check_far_got("a\nb\n");
    skipped_ms += 3000;
    far_say("A\n");
    check_got("A\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 2500, 4000), 1);
    far_say("B\n"); /* which of the two questions it answers nobody knows */
    check_got("B\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 0, 60000), 1);
    say("c\n");
    check_far_got("c\n");
    skipped_ms += 20000;
    far_say("C\n");
    check_got("C\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 20000, 30000), 1);
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 0, 60000), 1);
    end();
}

static enum verdict connect_and_ask(struct session *session)
{
    connect_far(session);
    upstream_send(the_upstream, "early\n", 6);
    return SESSION_CONTINUE;
}

/* What is said before the connection stands counts from then on: connecting has a time of its own. */
static void test_durations_while_connecting(void)
{
    begin(FRAMING_LINE);
    script.open = connect_and_ask;
    far_script.message = answer;
    connect_timeout_ms = 60000;
    world_connect();
    skipped_ms += 6000;
    check_far_got("early\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 5000, 8000), 1);
    skipped_ms += 3000;
    far_say("answer\n");
    check_got("answer\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 2500, 4000), 1);
    end();
}

static bool upstream_is_gone(void)
{
    return strstr(trace, "closed:");
}

static void test_refused(void)
{
    begin(FRAMING_LINE);
    script.message = forward;
    close(listening);
    world_connect();
    say("a\n");
    CU_ASSERT(run_until(upstream_is_gone));
    CU_ASSERT_PTR_NOT_NULL(strstr(trace, "closed:ECONNREFUSED "));
    CU_ASSERT_PTR_NULL(strstr(trace, "connected"));
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->upstream_failures), 1);
    run_turns(2);
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT_PTR_NULL(the_session->upstreams);
    listening = -1;
    end();
}

/* Fails on the spot, is reported later. */
static void test_refused_at_once(void)
{
    char why[128];

    begin(FRAMING_LINE);
    CU_ASSERT_EQUAL(sock_parse(&address, "unix:/nowhere/at/all", why, sizeof(why)), 0);
    world_connect();
    check_trace("open ");
    CU_ASSERT(run_until(upstream_is_gone));
    check_trace("open closed:ENOENT ");
    end();
}

static uint64_t wake_ms;

static bool time_has_come(void)
{
    return clock_now_ms() >= wake_ms;
}

/* ---- several addresses, and a queue that is full ---- */

/* Put `other` in front of where the upstream listens. */
static void put_in_front(const struct sock_address *other)
{
    address.more[address.more_count++] = address.inet;
    address.inet = other->inet;
}

/* An address that refuses; its port is the kernel's choice, and nobody's any more. */
static struct sock_address refusing(void)
{
    struct sock_address nobody;

    close(listen_tcp(&nobody, 1));
    return nobody;
}

/* The first refuses, the second does not exist here, the third answers: the service hears of the third alone. */
static void test_next_address(void)
{
    struct sock_address nobody, foreign;
    char why[128];

    begin(FRAMING_LINE);
    script.message = forward;
    nobody = refusing();
    CU_ASSERT_EQUAL(sock_parse(&foreign, "0.0.0.1:1", why, sizeof(why)), 0); /* ENETUNREACH or EINVAL, on the spot */
    put_in_front(&foreign);
    put_in_front(&nobody);
    world_connect();
    say("early\n");
    CU_ASSERT(run_until(is_connected));
    check_far_got("early\n");
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->upstream_failures), 0);
    CU_ASSERT_PTR_NULL(strstr(trace, "closed:"));
    end();
}

static void test_all_addresses_refuse(void)
{
    struct sock_address nobody;

    begin(FRAMING_LINE);
    close(listening);
    listening = -1;
    nobody = refusing();
    put_in_front(&nobody);
    nobody = refusing();
    put_in_front(&nobody);
    world_connect();
    CU_ASSERT(run_until(upstream_is_gone));
    check_trace("open closed:ECONNREFUSED ");
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->upstream_failures), 1);
    end();
}

/* One that says nothing has half of the time, the other one the rest. */
static void test_silent_address(void)
{
    struct sock_address silent;
    int fillers[8], queue = listen_tcp(&silent, 0);

    begin(FRAMING_LINE);
    for (unsigned i = 0; i < 8; i++)
        fillers[i] = sock_connect(&silent);
    put_in_front(&silent);
    connect_timeout_ms = 120;
    uint64_t begun_ms = clock_now_ms();
    world_connect();
    CU_ASSERT(run_until(is_connected));
    CU_ASSERT(clock_now_ms() - begun_ms >= 59);
    check_trace("open connected ");
    end();

    begin(FRAMING_LINE); /* and where nobody answers, the time is the time of all */
    address = silent;
    put_in_front(&silent);
    connect_timeout_ms = 120;
    begun_ms = clock_now_ms();
    world_connect();
    CU_ASSERT(run_until(upstream_is_gone));
    CU_ASSERT(clock_now_ms() - begun_ms >= 119 && clock_now_ms() - begun_ms < 1000);
    check_trace("open closed:ETIMEDOUT ");
    for (unsigned i = 0; i < 8; i++)
        close(fillers[i]);
    close(queue);
    end();
}

static void test_unresolved(void)
{
    char why[128];

    begin(FRAMING_LINE);
    CU_ASSERT_EQUAL(sock_parse(&address, "db.example.test:1", why, sizeof(why)), 0);
    world_connect();
    CU_ASSERT(run_until(upstream_is_gone));
    check_trace("open closed:EHOSTUNREACH ");
    end();
}

/* Nobody accepts at a unix socket for a while: it is tried again, until the time to connect is over. */
static void check_busy_unix(bool relieved)
{
    static const char path[] = "unix:/tmp/test_upstream_busy";
    char why[128];
    int fillers[2];

    begin(FRAMING_LINE);
    script.message = forward;
    close(listening);
    unlink(path + 5);
    CU_ASSERT_EQUAL(sock_parse(&address, path, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 0, &listening, 1), 0);
    for (unsigned i = 0; i < 2; i++)
        fillers[i] = sock_connect(&address);
    CU_ASSERT(fillers[0] >= 0 && fillers[1] == -1);
    connect_timeout_ms = relieved ? 5000 : 100;
    uint64_t begun_ms = clock_now_ms();
    world_connect();
    say("early\n");
    wake_ms = begun_ms + 40;
    CU_ASSERT(run_until(time_has_come));
    CU_ASSERT_FALSE(upstream_is_gone());
    if (relieved) {
        close(accept(listening, NULL, NULL));
        CU_ASSERT(run_until(is_connected));
        check_far_got("early\n");
    } else {
        CU_ASSERT(run_until(upstream_is_gone));
        CU_ASSERT(clock_now_ms() - begun_ms >= 99 && clock_now_ms() - begun_ms < 1000);
        CU_ASSERT_PTR_NOT_NULL(strstr(trace, "closed:ETIMEDOUT "));
    }
    close(fillers[0]);
    unlink(path + 5);
    end();
}

static void test_busy_unix(void)
{
    check_busy_unix(true);
    check_busy_unix(false);
}

/* Without a callback a failure ends the session. */
static void test_refused_without_callback(void)
{
    begin(FRAMING_LINE);
    upstream.closed = NULL;
    close(listening);
    world_connect();
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:upstream ");
    listening = -1;
    end();
}

static void test_timeout(void)
{
    int fillers[8];

    begin(FRAMING_LINE);
    close(listening);
    listening = listen_tcp(&address, 0);
    for (unsigned i = 0; i < 8; i++) /* the queue is full: what comes now gets no answer */
        fillers[i] = sock_connect(&address);
    connect_timeout_ms = 60;
    uint64_t begun_ms = clock_now_ms();
    world_connect();
    CU_ASSERT(run_until(upstream_is_gone));
    CU_ASSERT(clock_now_ms() - begun_ms >= 59);
    check_trace("open closed:ETIMEDOUT ");
    CU_ASSERT_EQUAL(stats_read(&listener.section.stats->upstream_failures), 1);
    for (unsigned i = 0; i < 8; i++)
        close(fillers[i]);
    end();
}

static enum verdict abort_on_end(struct session *session, struct conn *conn, int error)
{
    (void)session;
    (void)conn;
    (void)error;
    return SESSION_ABORT;
}

static enum verdict connect_in_time(struct session *session)
{
    session_set_timer(session, connect_timeout_ms);
    return connect_far(session);
}

/* Time to connect and the timer of the service are over in one tick, and the first of them ends the session. */
static void test_timeout_ends_session(void)
{
    int fillers[8];

    begin(FRAMING_LINE);
    close(listening);
    listening = listen_tcp(&address, 0);
    for (unsigned i = 0; i < 8; i++)
        fillers[i] = sock_connect(&address);
    connect_timeout_ms = 60;
    script.open = connect_in_time;
    far_script.closed = abort_on_end;
    world_connect();
    CU_ASSERT(run_until(is_over));
    check_trace("open closed:ETIMEDOUT close:done ");
    for (unsigned i = 0; i < 8; i++)
        close(fillers[i]);
    end();
}

/* The time to connect is over with the connect. */
static void test_no_timeout_once_connected(void)
{
    begin(FRAMING_LINE);
    connect_timeout_ms = 50;
    config.idle_timeout_ms = 20000;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    wake_ms = clock_now_ms() + 120;
    CU_ASSERT(run_until(time_has_come));
    check_trace("open connected ");
    end();
}

static void test_session_ends_first(void)
{
    begin(FRAMING_LINE);
    close(listening);
    listening = listen_tcp(&address, 0);
    int fillers[8];
    for (unsigned i = 0; i < 8; i++)
        fillers[i] = sock_connect(&address);
    connect_timeout_ms = 50;
    world_connect();
    run_turns(2);
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:peer ");
    for (unsigned i = 0; i < 8; i++)
        close(fillers[i]);
    end();
}

/* ---- the end of an upstream ---- */

static enum verdict connect_again(struct session *session, struct conn *conn, int error)
{
    (void)conn;
    (void)error;
    return connect_far(session);
}

static void test_closed(void)
{
    begin(FRAMING_LINE);
    far_script.closed = connect_again;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    far_say("bye\nunfinished");
    shutdown(far, SHUT_WR);
    CU_ASSERT(run_until(upstream_is_gone));
    close(far);
    far = -1;
    trace[0] = '\0';
    trace_size = 0;
    CU_ASSERT(run_until(is_connected));
    check_trace("connected ");
    CU_ASSERT_PTR_NOT_NULL(the_session->upstreams);
    CU_ASSERT_PTR_NULL(the_session->upstreams->next);
    end();
}

static void test_reset(void)
{
    begin(FRAMING_LINE);
    world_connect();
    CU_ASSERT(run_until(is_connected));
    setsockopt(far, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(far);
    far = -1;
    CU_ASSERT(run_until(upstream_is_gone));
    check_trace("open connected closed:ECONNRESET ");
    end();
}

static void test_oversize(void)
{
    begin(FRAMING_LINE);
    upstream.max_frame = 4;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    far_say("abcd\nabcde\nx\n");
    CU_ASSERT(run_until(upstream_is_gone));
    check_trace("open connected (abcd) closed:EMSGSIZE ");
    end();
}

/* ---- verdicts from its callbacks ---- */

static enum verdict verdict;

static enum verdict judge_connected(struct session *session, struct conn *conn)
{
    (void)conn;
    session_send(session, "bye", 3);
    return verdict;
}

static enum verdict judge_message(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return judge_connected(session, conn);
}

static enum verdict judge_closed(struct session *session, struct conn *conn, int error)
{
    (void)error;
    return judge_connected(session, conn);
}

static const char *reason_of_verdict(void)
{
    return verdict == SESSION_REJECT ? "close:protocol " : "close:done ";
}

static void check_verdict(unsigned place)
{
    static const char *const before[] = {"open connected ", "open connected (a) ", "open connected closed:0 "};
    char expected[128];

    begin(FRAMING_LINE);
    if (place == 0)
        far_script.connected = judge_connected;
    else if (place == 1)
        far_script.message = judge_message;
    else
        far_script.closed = judge_closed;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    if (place == 1)
        far_say("a\nb\n");
    if (place == 2)
        shutdown(far, SHUT_WR);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, verdict == SESSION_ABORT ? 0 : 3);
    CU_ASSERT(run_until(far_has_ended));
    hang_up();
    CU_ASSERT(run_until(is_over));
    snprintf(expected, sizeof(expected), "%s%s", before[place], reason_of_verdict());
    check_trace(expected);
    end();
}

static void test_verdicts(void)
{
    for (unsigned place = 0; place < 3; place++)
        for (verdict = SESSION_CLOSE; verdict <= SESSION_ABORT; verdict++)
            check_verdict(place);
}

/* ---- flow between messages ---- */

/* The upstream does not read: the client is stopped, nothing is lost. */
static char block[2000];

static bool client_is_stopped(void)
{
    static unsigned quiet;

    quiet = offer(block, sizeof(block)) > 0 ? 0 : quiet + 1;
    return quiet > 5;
}

/* The upstream has read all there is to read, the end of the client's stream included. */
static bool client_is_read_up(void)
{
    far_has_got();
    return the_session->client.input == INPUT_ENDED && buffer_is_empty(&the_upstream->out);
}

static void test_slow_upstream(void)
{
    begin(FRAMING_LINE);
    script.message = forward;
    trace_messages = false;
    config.high_water = 50000;
    config.low_water = 10000;
    config.max_output = 1 << 20;
    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\n';
    world_connect();
    CU_ASSERT(run_busily(client_is_stopped));
    CU_ASSERT_FATAL(!is_over());
    CU_ASSERT(the_upstream->above_high_water);
    CU_ASSERT_EQUAL(the_session->client.input, INPUT_PAUSED);
    CU_ASSERT(buffer_size(&the_upstream->out) <= 50000 + SCRATCH_SIZE);
    shutdown(peer, SHUT_WR);
    far_wanted = stats_read(&listener.section.stats->bytes_in);
    CU_ASSERT(far_wanted > 50000);
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT(run_until(client_is_read_up));
    far_say("that was all\n");
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_PTR_NULL(strstr(trace, "overflow"));
    end();
}

/* The client does not read: the upstream is stopped. */
static bool upstream_is_stopped(void)
{
    static unsigned quiet;

    receive_far();
    quiet = far < 0 || write(far, block, sizeof(block)) > 0 ? 0 : quiet + 1;
    return quiet > 5;
}

static void test_slow_client(void)
{
    begin(FRAMING_RAW);
    far_script.message = answer;
    upstream.message = answer;
    config.high_water = 50000;
    config.low_water = 10000;
    config.max_output = 1 << 20;
    world_connect();
    CU_ASSERT(run_busily(upstream_is_stopped));
    CU_ASSERT_FATAL(!is_over());
    CU_ASSERT(the_session->client.above_high_water);
    CU_ASSERT_EQUAL(the_upstream->input, INPUT_PAUSED);
    CU_ASSERT_EQUAL(the_upstream->handler.events, 0);
    CU_ASSERT_EQUAL(the_session->client.input, INPUT_PAUSED);
    got_wanted = (2 << 20) - (2 << 20) % 1000;
    CU_ASSERT(run_until(has_got));
    CU_ASSERT_FALSE(is_over());
    end();
}

static bool is_quiet_for_a_while(void)
{
    return clock_now_ms() >= deadline_ms - PATIENCE_MS + 250;
}

/* All of it, and the service of a relay has been told of an error, any other of the end. */
static bool has_got_all(void)
{
    return has_got() && (!the_upstream || session_is_relay(the_session));
}

static enum verdict answer_raw(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    (void)conn;
    session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

static enum verdict connect_coupled(struct session *session);
static void begin_relay(void);

/* ---- what our kernel has acknowledged ---- */

static size_t far_taken; /* bytes that the upstream has sent and the kernel has acknowledged */

/* The upstream sends until nobody takes more, then closes. `lost`: what has not been acknowledged by then never comes.
 */
static void far_fill_and_close(bool reset, bool lost)
{
    int unacknowledged = -1;
    size_t sent = 0;
    ssize_t size;

    for (unsigned quiet = 0; quiet < 10; quiet++) {
        while ((size = send(far, block, sizeof(block), MSG_DONTWAIT)) > 0) {
            quiet = 0;
            sent += (size_t)size;
        }
        run_turns(3);
    }
    while (ioctl(far, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0) {
        int before = unacknowledged;
        run_turns(20);
        if (ioctl(far, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == before)
            break;
    }
    far_taken = sent - (lost ? (size_t)unacknowledged : 0);
    if (reset)
        setsockopt(far, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    far_hang_up();
    run_turns(5);
}

static enum verdict end_relay(struct session *session, struct conn *conn, int error)
{
    (void)session;
    (void)conn;
    (void)error;
    return SESSION_CLOSE;
}

static void begin_stuck(bool relay)
{
    begin(FRAMING_RAW);
    script.open = relay ? connect_coupled : connect_far;
    upstream.message = answer_raw;
    far_script.closed = relay ? end_relay : NULL;
    script.message = forward;
    config.high_water = 50000;
    config.low_water = 10000;
    trace_messages = false;
    memset(block, 'x', sizeof(block));
    world_connect();
    CU_ASSERT(run_until(is_connected));
}

/* An upstream ends while its side is paused, since the client does not read: all that had arrived still goes there. */
static void test_upstream_ends_while_paused(void)
{
    for (unsigned i = 0; i < 8; i++) {
        bool relay = i & 1, reset = i & 2, client_speaks = i & 4;
        begin_stuck(relay);
        far_fill_and_close(reset, reset || client_speaks);
        CU_ASSERT_FATAL(the_session->client.above_high_water && the_upstream);
        CU_ASSERT_EQUAL(the_upstream->input, INPUT_PAUSED);
        if (client_speaks) /* which our kernel is told by a reset */
            upstream_send(the_upstream, "more", 4);
        uint64_t turns = stats_read(&stats.turns);
        CU_ASSERT(run_until(is_quiet_for_a_while));
        CU_ASSERT(stats_read(&stats.turns) - turns < 40);
        CU_ASSERT_PTR_NULL(strstr(trace, "closed"));
        got_wanted = far_taken;
        CU_ASSERT(run_until(has_got_all));
        CU_ASSERT(reset || client_speaks ? got_size >= far_taken : got_size == far_taken);
        if (the_upstream == NULL && !relay)
            shutdown(peer, SHUT_WR);
        CU_ASSERT(run_until(has_got_end));
        CU_ASSERT_EQUAL(got_error, 0);
        hang_up();
        CU_ASSERT(run_until(is_over));
        if (reset)
            CU_ASSERT_PTR_NOT_NULL(strstr(trace, "closed:ECONNRESET"));
        end();
    }
}

/* A send fails before the end has been read: the same. */
static void test_send_fails_before_the_end_is_read(void)
{
    for (unsigned relay = 0; relay < 2; relay++) {
        begin_stuck(relay);
        far_say("first");
        far_say("second");
        send_error = EPIPE;
        core.loop.reactor.now_ms = clock_now_ms();
        upstream_send(the_upstream, "question", 8);
        send_error = 0;
        CU_ASSERT_EQUAL(the_upstream->output, OUTPUT_ENDED);
        CU_ASSERT(run_until(upstream_is_gone));
        CU_ASSERT_PTR_NOT_NULL(strstr(trace, "closed:EPIPE"));
        check_got("firstsecond");
        end();
    }
}

/* After a write that has failed nothing goes out: what was queued behind it would be a stream with a hole. */
static void test_nothing_follows_a_failed_write(void)
{
    char byte;

    begin_stuck(false);
    send_limit = 0;
    core.loop.reactor.now_ms = clock_now_ms();
    upstream_send(the_upstream, "question", 8);
    conn_update_events(the_upstream); /* as at the end of any event */
    run_turns(2);
    send_error = EPIPE;
    run_turns(1);
    CU_ASSERT_EQUAL(the_upstream->output, OUTPUT_ENDED);
    send_error = 0;
    send_limit = SIZE_MAX;
    run_turns(3);
    CU_ASSERT_EQUAL(recv(far, &byte, 1, MSG_DONTWAIT), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT(run_until(upstream_is_gone));
    end();
}

/* A relay's client resets the connection while the upstream is slow: what it had sent before still arrives there. */
static void test_relay_delivers_after_a_reset(void)
{
    static char much[400000];
    size_t sent = 0;
    int unacknowledged;

    begin_relay();
    config.high_water = 50000;
    config.low_water = 10000;
    world_connect_tcp();
    CU_ASSERT(run_until(is_connected));
    memset(much, 'y', sizeof(much));
    fcntl(peer, F_SETFL, O_NONBLOCK);
    for (unsigned quiet = 0; quiet < 10; quiet++) {
        for (size_t size; (size = offer(much, sizeof(much))) > 0; quiet = 0)
            sent += size;
        run_turns(3);
    }
    CU_ASSERT_EQUAL(the_session->client.input, INPUT_PAUSED);
    CU_ASSERT_EQUAL(ioctl(peer, SIOCOUTQ, &unacknowledged), 0);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    uint64_t turns = stats_read(&stats.turns);
    CU_ASSERT(run_until(is_quiet_for_a_while));
    CU_ASSERT(stats_read(&stats.turns) - turns < 40);
    CU_ASSERT_FALSE(is_over());
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_error, 0);
    CU_ASSERT(far_got_size >= sent - (size_t)unacknowledged);
    far_hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open connected close:reset ");
    end();
}

/* An upstream that does not close when its client has gone is given up. */
static void test_relay_client_lost_upstream_stays(void)
{
    begin_relay();
    env.linger_timeout_ms = 60;
    world_connect_tcp();
    CU_ASSERT(run_until(is_connected));
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    CU_ASSERT(run_until(far_has_ended));
    far_say("nobody reads this");
    CU_ASSERT(run_until(is_over));
    check_trace("open connected close:reset ");
    end();
}

/* ---- relay ---- */

static enum verdict couple(struct session *session, struct conn *conn)
{
    session_couple(session, conn);
    return SESSION_CONTINUE;
}

static enum verdict connect_coupled(struct session *session)
{
    connect_far(session);
    session_couple(session, the_upstream);
    return SESSION_CONTINUE;
}

static void begin_relay(void)
{
    begin(FRAMING_RAW);
    script.open = connect_coupled;
}

static void test_relay(void)
{
    begin_relay();
    world_connect();
    say("early");
    CU_ASSERT(run_until(is_connected));
    check_far_got("early");
    far_say("answer\n");
    check_got("answer\n");
    say("more");
    check_far_got("more");
    check_trace("open connected ");
    CU_ASSERT_PTR_NULL(the_session->client.in.chunk);
    CU_ASSERT_PTR_NULL(the_upstream->in.chunk);
    end();
}

/* To the first byte: the client's first that went while nothing was due, the upstream's first that came back. */
static void test_relay_durations(void)
{
    begin_relay();
    world_connect();
    CU_ASSERT(run_until(is_connected));
    far_say("hello"); /* which nobody has asked for */
    check_got("hello");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 0, 60000), 1);
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 0, 60000), 0);
    say("que");
    check_far_got("que");
    skipped_ms += 1500;
    say("stion");
    check_far_got("stion");
    skipped_ms += 1500;
    far_say("ans");
    check_got("ans");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 2500, 4000), 1);
    skipped_ms += 20000;
    far_say("wer");
    check_got("wer");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 0, 60000), 1);
    say("another");
    check_far_got("another");
    skipped_ms += 20000;
    far_say("answer");
    check_got("answer");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 20000, 30000), 1);
    end();
}

/* What was kept of either side when the two were coupled is a question, or an answer, too. */
static void test_relay_durations_of_what_was_kept(void)
{
    begin(FRAMING_LINE);
    world_connect();
    CU_ASSERT(run_until(is_connected));
    say("from the client");
    run_turns(3);
    session_enter(the_session);
    couple(the_session, the_upstream);
    session_leave(the_session);
    check_far_got("from the client");
    skipped_ms += 3000;
    far_say("answer");
    check_got("answer");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 2500, 4000), 1);
    end();
}

static enum verdict couple_on_go(struct session *session, const char *bytes, size_t size)
{
    if (size == 2 && memcmp(bytes, "GO", 2) == 0) {
        upstream_send(the_upstream, "went:", 5);
        session_couple(session, the_upstream);
    }
    return SESSION_CONTINUE;
}

/* Coupled in the middle of a batch: the bytes behind it, half a message included, go across as they are. */
static void test_couple_in_batch(void)
{
    for (unsigned split = 0; split < 3; split++) {
        begin(FRAMING_LINE);
        script.message = couple_on_go;
        world_connect();
        CU_ASSERT(run_until(is_connected));
        if (split == 1) {
            say("a\nG");
            run_turns(2);
        }
        say(split == 1 ? "O\nb\r\nc" : "a\nGO\nb\r\nc");
        check_far_got("went:b\r\nc");
        far_say("half a line");
        check_got("half a line");
        end();
    }
}

/* Coupled when the connection stands, with an unfinished line from each side in the house. */
static void test_couple_late(void)
{
    begin(FRAMING_LINE);
    far_script.message = NULL;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    say("from the client");
    far_say("from the upstream");
    run_turns(3);
    session_enter(the_session);
    couple(the_session, the_upstream);
    session_leave(the_session);
    check_far_got("from the client");
    check_got("from the upstream");
    end();
}

static enum verdict end_and_connect(struct session *session)
{
    shutdown(peer, SHUT_WR);
    return connect_coupled(session);
}

/* The client's end comes before the upstream is there: it is passed on when it is, though no byte comes with it. */
static void test_half_close_while_connecting(void)
{
    begin_relay();
    script.open = end_and_connect;
    world_connect();
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_error, 0);
    far_say("answer");
    check_got("answer");
    far_hang_up();
    CU_ASSERT(run_until(is_over));
    end();
}

static void test_half_close_client_first(void)
{
    begin_relay();
    world_connect();
    say("last words");
    shutdown(peer, SHUT_WR);
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_error, 0);
    CU_ASSERT_EQUAL(far_got_size, 10);
    run_turns(3);
    CU_ASSERT_FALSE(is_over());
    far_say("answer");
    check_got("answer");
    far_hang_up();
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_error, 0);
    CU_ASSERT(run_until(is_over));
    check_trace("open connected close:peer ");
    end();
}

static void test_half_close_upstream_first(void)
{
    begin_relay();
    world_connect();
    CU_ASSERT(run_until(is_connected));
    far_say("last words");
    shutdown(far, SHUT_WR);
    CU_ASSERT(run_until(has_got_end));
    CU_ASSERT_EQUAL(got_size, 10);
    run_turns(3);
    CU_ASSERT_FALSE(is_over());
    say("answer");
    check_far_got("answer");
    hang_up();
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_error, 0);
    CU_ASSERT(run_until(is_over));
    check_trace("open connected close:peer ");
    end();
}

static void test_relay_refused(void)
{
    begin_relay();
    upstream.closed = NULL;
    close(listening);
    listening = -1;
    world_connect();
    say("early");
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open close:upstream ");
    end();
}

static void test_relay_reset(void)
{
    begin_relay();
    upstream.closed = NULL;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    setsockopt(far, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(far);
    far = -1;
    CU_ASSERT(run_until(has_got_end));
    hang_up();
    CU_ASSERT(run_until(is_over));
    check_trace("open connected close:upstream ");
    end();
}

static void test_relay_client_reset(void)
{
    begin_relay();
    world_connect_tcp();
    CU_ASSERT(run_until(is_connected));
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    CU_ASSERT(run_until(is_over));
    CU_ASSERT(run_until(far_has_ended));
    check_trace("open connected close:reset ");
    end();
}

static uint64_t chance;
static char input[2 << 20];
static size_t input_sent, far_sent;

static bool pump_both(void)
{
    size_t piece = 1 + unit_below(&chance, 50000);

    if (unit_below(&chance, 3))
        input_sent += offer(input + input_sent,
                            piece < sizeof(input) - input_sent ? piece : sizeof(input) - input_sent);
    if (unit_below(&chance, 3))
        receive_at_most(1 + unit_below(&chance, 100000));
    if (unit_below(&chance, 3))
        receive_far();
    if (far >= 0 && unit_below(&chance, 3)) {
        ssize_t size = write(far, input + far_sent,
                             piece < sizeof(input) - far_sent ? piece : sizeof(input) - far_sent);
        far_sent += size > 0 ? (size_t)size : 0;
    }
    send_limit = unit_below(&chance, 3) ? SIZE_MAX : unit_below(&chance, 20000);
    return core.session_count == 0 || (got_size == sizeof(input) && far_got_size == sizeof(input));
}

/* Both ways at once, any pace: every byte in its place, and neither side holds more than its marks allow. */
static void test_relay_chance(void)
{
    for (unsigned round = 1; round <= 6; round++) {
        begin_relay();
        config.high_water = 4096u << round;
        config.low_water = config.high_water / 4;
        config.max_output = config.high_water + SCRATCH_SIZE;
        chance = round;
        for (size_t i = 0; i < sizeof(input); i++)
            input[i] = (char)unit_random(&chance);
        input_sent = far_sent = 0;
        world_connect();
        CU_ASSERT(run_busily(pump_both));
        CU_ASSERT_EQUAL(got_size, sizeof(input));
        CU_ASSERT_EQUAL(far_got_size, sizeof(input));
        CU_ASSERT_EQUAL(memcmp(got, input, got_size), 0);
        CU_ASSERT_EQUAL(memcmp(far_got, input, far_got_size), 0);
        check_trace("open connected ");
        end();
    }
}

/* The half-close comes after the bytes, also when those have to wait. */
static void test_relay_half_close_slow(void)
{
    begin_relay();
    for (size_t i = 0; i < 100000; i++)
        input[i] = (char)i;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    CU_ASSERT_EQUAL(offer(input, 100000), 100000);
    shutdown(peer, SHUT_WR);
    send_limit = 0;
    run_turns(10);
    send_limit = 777;
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_got_size, 100000);
    CU_ASSERT_EQUAL(memcmp(far_got, input, far_got_size), 0);
    end();
}

/* ---- an upstream that has ended ---- */

static struct conn *dead_upstream;

static enum verdict remember_dead(struct session *session, struct conn *conn, int error)
{
    (void)error;
    dead_upstream = conn;
    session_couple(session, conn); /* it has ended: refused */
    upstream_send(conn, "late", 4);
    CU_ASSERT_FALSE(session_is_relay(session));
    CU_ASSERT_FALSE(session->reply_due);
    return SESSION_CONTINUE;
}

static enum verdict fill_upstream(struct session *session, const char *bytes, size_t size)
{
    if (size == 4 && memcmp(bytes, "fill", 4) == 0) {
        send_limit = 0;
        for (unsigned i = 0; i < 60000 / sizeof(block) + 1; i++)
            upstream_send(the_upstream, block, sizeof(block));
    }
    if (size == 4 && memcmp(bytes, "join", 4) == 0 && dead_upstream)
        session_couple(session, dead_upstream);
    return SESSION_CONTINUE;
}

/* The client waits, paused, for an upstream that is full. Its messages come when the service knows that it has ended.
 */
static void test_closed_comes_first(void)
{
    begin(FRAMING_LINE);
    config.high_water = 50000;
    config.low_water = 10000;
    script.message = fill_upstream;
    far_script.closed = remember_dead;
    dead_upstream = NULL;
    world_connect();
    CU_ASSERT(run_until(is_connected));
    say("fill\njoin\nlast\n");
    run_turns(5);
    check_trace("open connected [fill] ");
    CU_ASSERT(the_upstream->above_high_water);
    send_limit = SIZE_MAX;
    setsockopt(far, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    far_hang_up();
    CU_ASSERT(run_until(upstream_is_gone));
    run_turns(3);
    check_trace("open connected [fill] closed:ECONNRESET [join] [last] ");
    CU_ASSERT_FALSE(session_is_relay(the_session));
    hang_up();
    CU_ASSERT(run_until(is_over));
    end();
}

static bool accept_and_end(void)
{
    static int second;

    receive_far();
    second = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (second >= 0)
        close(second);
    if (far >= 0 && far_end)
        far_hang_up();
    return is_over();
}

static enum verdict couple_twice(struct session *session)
{
    connect_far(session);
    struct conn *first = the_upstream;
    session_couple(session, first);
    session_couple(session, session_connect(session, &address, connect_timeout_ms, &upstream));
    CU_ASSERT(session_is_relay(session) && first->owner != &upstream_owner);
    return SESSION_CONTINUE;
}

/* One pipe has two ends: a second upstream is not coupled. */
static void test_coupled_in_vain(void)
{
    begin_relay();
    script.open = couple_twice;
    upstream.connected = NULL;
    world_connect();
    run_turns(5);
    hang_up();
    CU_ASSERT(run_until(accept_and_end));
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"messages", test_messages},
        {"how long it took", test_durations},
        {"how long it took, while connecting", test_durations_while_connecting},
        {"refused", test_refused},
        {"next address", test_next_address},
        {"all addresses refuse", test_all_addresses_refuse},
        {"silent address", test_silent_address},
        {"unresolved", test_unresolved},
        {"busy unix socket", test_busy_unix},
        {"refused at once", test_refused_at_once},
        {"refused, no callback", test_refused_without_callback},
        {"connect timeout", test_timeout},
        {"connect timeout ends the session", test_timeout_ends_session},
        {"no timeout once connected", test_no_timeout_once_connected},
        {"session ends first", test_session_ends_first},
        {"closed", test_closed},
        {"reset", test_reset},
        {"oversize", test_oversize},
        {"verdicts", test_verdicts},
        {"slow upstream", test_slow_upstream},
        {"slow client", test_slow_client},
        {"upstream ends while paused", test_upstream_ends_while_paused},
        {"a send fails first", test_send_fails_before_the_end_is_read},
        {"nothing follows a failed write", test_nothing_follows_a_failed_write},
        {"relay delivers after a reset", test_relay_delivers_after_a_reset},
        {"relay, upstream stays", test_relay_client_lost_upstream_stays},
        {"closed comes first", test_closed_comes_first},
        {"coupled in vain", test_coupled_in_vain},
        {"relay", test_relay},
        {"relay, how long it took", test_relay_durations},
        {"relay, how long it took, of what was kept", test_relay_durations_of_what_was_kept},
        {"couple in a batch", test_couple_in_batch},
        {"couple late", test_couple_late},
        {"half-close, client first", test_half_close_client_first},
        {"half-close while connecting", test_half_close_while_connecting},
        {"half-close, upstream first", test_half_close_upstream_first},
        {"relay refused", test_relay_refused},
        {"relay reset", test_relay_reset},
        {"relay, client reset", test_relay_client_reset},
        {"relay, chance", test_relay_chance},
        {"relay, slow half-close", test_relay_half_close_slow},
        {0},
    };
    return unit_main("upstream", tests);
}
