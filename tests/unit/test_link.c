/*
 * Links: connections of the worker that its sessions share. The clients and the server at the far end are the test's.
 *
 *   peers[i] (the test) ==== session i ==.
 *   peers[k] (the test) ==== session k ==== the link ==== far (the test)
 */
#include "tests/unit/world.h"
#include "worker/link_conn.h"

enum { CLIENTS = 4, ANSWERS_SIZE = 1 << 16 };

static struct sock_address address; /* where the server listens */
static int listening, far;          /* far: its side of the connection; -1: not yet accepted */
static char far_got[1 << 20];
static size_t far_got_size, far_wanted;
static bool far_end;
static unsigned far_count; /* connections accepted */

static struct link_target target;
static struct link *the_link, *asked; /* asked: what the clients' messages go to */

static int peers[CLIENTS];
static struct session *sessions[CLIENTS];
static char answers[CLIENTS][ANSWERS_SIZE];
static size_t answers_size[CLIENTS];
static unsigned session_count;

/* ---- the service: a line of a client is a question, the line that answers it goes back ---- */

static unsigned index_of(const struct session *session)
{
    unsigned i = 0;

    while (sessions[i] != session)
        i++;
    return i;
}

static void ask_for(struct session *session, const char *bytes, size_t size)
{
    struct reply *reply = session_reply(session);
    char line[4096];

    CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
    memcpy(line, bytes, size);
    line[size] = '\n';
    if (link_ask(asked, reply, line, size + 1) == 0)
        return;
    const char *error = strerrorname_np(errno);
    reply_send(reply, "no:", 3);
    reply_send(reply, error, strlen(error));
    reply_send(reply, "\n", 1);
    reply_end(reply);
}

static enum verdict (*on_line)(struct session *session, const char *bytes, size_t size);

static enum verdict opens(struct session *session)
{
    sessions[session_count++] = session;
    return SESSION_CONTINUE;
}

static enum verdict asks(struct session *session, const char *bytes, size_t size)
{
    if (on_line)
        return on_line(session, bytes, size);
    ask_for(session, bytes, size);
    return SESSION_CONTINUE;
}

static void closes_too(struct session *session, enum close_reason reason)
{
    (void)reason;
    sessions[index_of(session)] = NULL;
    closes++;
}

static enum verdict woken(struct session *session)
{
    ask_for(session, "woken", 5);
    return SESSION_CONTINUE;
}

static void (*lost_too)(struct link *link);

static void note_lost(struct link *link, struct reply *reply, bool sent, int error)
{
    CU_ASSERT(link == the_link || link == asked);
    note("lost:%s%s ", error ? strerrorname_np(error) : "0", sent ? ":sent" : "");
    if (lost_too)
        lost_too(link);
    if (!reply)
        return;
    reply_send(reply, "lost\n", 5);
    reply_end(reply);
}

static void note_answer(struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    (void)link;
    note("%s(%.*s) ", reply ? "" : "nobody", (int)size, bytes);
    if (!reply)
        return;
    reply_send(reply, bytes, size);
    reply_send(reply, "\n", 1);
    reply_end(reply);
}

static void note_push(struct link *link, const char *bytes, size_t size)
{
    (void)link;
    note("push(%.*s) ", (int)size, bytes);
}

/* ---- both ends ---- */

static void begin(void)
{
    world_begin(FRAMING_LINE);
    service.open = opens;
    service.message = asks;
    service.close = closes_too;
    service.woken = woken;
    on_line = NULL;
    lost_too = NULL;
    listening = listen_tcp(&address, 16);
    far = -1;
    far_got_size = far_count = session_count = 0;
    far_end = false;
    target = (struct link_target){.address = &address, .framing.kind = FRAMING_LINE, .lost = note_lost};
    for (unsigned i = 0; i < CLIENTS; i++)
        peers[i] = -1;
    memset(answers_size, 0, sizeof(answers_size));
}

static void open_link(void)
{
    world_configure();
    the_link = asked = link_open(&listener.section, &target);
    CU_ASSERT_PTR_NOT_NULL_FATAL(the_link);
}

static unsigned connect_client(void)
{
    unsigned i = session_count;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peers[i] = fds[0];
    CU_ASSERT_EQUAL_FATAL(session_open(&listener.section, fds[1], &(struct peer_address){.family = AF_UNIX}), 0);
    return i;
}

static void begin_with(unsigned clients)
{
    begin();
    open_link();
    while (session_count < clients)
        connect_client();
}

static void end(void)
{
    world_end();
    CU_ASSERT(LIST_EMPTY(&core.links) && LIST_EMPTY(&core.due));
    for (unsigned i = 0; i < CLIENTS; i++)
        if (peers[i] >= 0)
            close(peers[i]);
    if (far >= 0)
        close(far);
    if (listening >= 0)
        close(listening);
}

static void client_says(unsigned i, const char *text)
{
    CU_ASSERT_EQUAL(write(peers[i], text, strlen(text)), (ssize_t)strlen(text));
}

static unsigned client;
static const char *expected;

static bool client_has_got(void)
{
    ssize_t size = recv(peers[client], answers[client] + answers_size[client], ANSWERS_SIZE - answers_size[client],
                        MSG_DONTWAIT);

    if (size > 0)
        answers_size[client] += (size_t)size;
    return answers_size[client] >= strlen(expected);
}

/* And nothing else. */
static void check_client(unsigned i, const char *text)
{
    client = i;
    expected = text;
    CU_ASSERT(run_until(client_has_got));
    answers[i][answers_size[i]] = '\0';
    if (strcmp(answers[i], text) != 0) {
        printf("\nclient %u got: %s\n     not: %s\n", i, answers[i], text);
        CU_FAIL("another answer");
    }
    answers_size[i] = 0;
}

static void receive_far(void)
{
    ssize_t size;

    if (far < 0 && (far = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        sock_set_nodelay(far);
        far_count++;
    }
    do {
        size = far < 0 ? -1 : recv(far, far_got + far_got_size, sizeof(far_got) - far_got_size, MSG_DONTWAIT);
        if (size > 0)
            far_got_size += (size_t)size;
        far_end |= size == 0;
    } while (size > 0);
}

static bool far_has_got(void)
{
    receive_far();
    return far_got_size >= far_wanted;
}

static bool far_has_ended(void)
{
    receive_far();
    return far_end;
}

static void check_far(const char *text)
{
    far_wanted = strlen(text);
    CU_ASSERT(run_until(far_has_got));
    if (far_got_size != far_wanted || memcmp(far_got, text, far_wanted) != 0) {
        printf("\nthe server got: %.*s\n          not: %s\n", (int)far_got_size, far_got, text);
        CU_FAIL("another question");
    }
    far_got_size = 0;
}

static void far_says(const char *text)
{
    CU_ASSERT_EQUAL(write(far, text, strlen(text)), (ssize_t)strlen(text));
}

static void far_hangs_up(void)
{
    close(far);
    far = -1;
    far_end = false;
}

static void far_resets(void)
{
    setsockopt(far, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    far_hangs_up();
}

static const char *trace_wanted;

static bool trace_is_complete(void)
{
    return strlen(trace) >= strlen(trace_wanted);
}

static void await_trace(const char *text)
{
    trace_wanted = text;
    CU_ASSERT(run_until(trace_is_complete));
    check_trace(text);
    trace_size = 0;
    trace[0] = '\0';
}

static uint64_t wake_ms;

static bool time_has_come(void)
{
    return clock_now_ms() >= wake_ms;
}

static void let_pass(unsigned ms)
{
    wake_ms = clock_now_ms() + ms;
    CU_ASSERT(run_busily(time_has_come));
}

/* Asked and answered: the connection stands and is known to be good. */
static void prove(void)
{
    client_says(0, "ping\n");
    check_far("ping\n");
    far_says("pong\n");
    check_client(0, "pong\n");
}

/* ---- questions and answers ---- */

/* A slow server: from the turn of the question to that of its answer. What is lost was not answered. */
static void test_durations(void)
{
    begin_with(2);
    client_says(0, "a\n");
    run_turns(1);
    skipped_ms += 3000;
    check_far("a\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 2500, 4000), 1);
    client_says(1, "b\n");
    check_far("b\n");
    skipped_ms += 3000;
    far_says("A\n");
    check_client(0, "A\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 5000, 8000), 1); /* connecting was part of it */
    skipped_ms += 20000;
    far_says("B\n");
    check_client(1, "B\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 20000, 30000), 1);
    client_says(0, "c\n");
    check_far("c\n");
    far_hangs_up();
    check_client(0, "lost\n");
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_answered, 0, 60000), 2);
    CU_ASSERT_EQUAL(durations_within(DURATION_upstream_connected, 0, 60000), 1);
    end();
}

static void test_answers_in_order(void)
{
    begin_with(3);
    CU_ASSERT_FALSE(link_is_connected(the_link));
    CU_ASSERT_PTR_EQUAL(link_section(the_link), &listener.section);
    client_says(0, "a1\n");
    run_turns(2);
    client_says(1, "b1\nb2\n");
    run_turns(2);
    client_says(2, "c1\n");
    client_says(0, "a2\n");
    far_wanted = 15;
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT_EQUAL(memcmp(far_got, "a1\nb1\nb2\n", 9), 0); /* the last two came in one turn */
    CU_ASSERT_EQUAL(link_unanswered(the_link), 5);
    CU_ASSERT(link_is_connected(the_link));
    bool c_first = far_got[9] == 'c';
    far_says("A1\nB");
    check_client(0, "A1\n");
    far_says("1\nB2\r\n");
    check_client(1, "B1\nB2\r\n"); /* the end of its line is what it was */
    far_says(c_first ? "C1\nA2\n" : "A2\nC1\n");
    check_client(2, "C1\n");
    check_client(0, "A2\n");
    CU_ASSERT_EQUAL(link_unanswered(the_link), 0);
    CU_ASSERT_EQUAL(far_count, 1);
    end();
}

static void test_one_send_a_turn(void)
{
    begin_with(3);
    prove();
    run_turns(2);
    unsigned changes = epoll_changes;
    sends = 0;
    client_says(0, "1\n2\n");
    client_says(1, "1\n");
    client_says(2, "1\n");
    session_wake(sessions[2]); /* asks when the events have been handled */
    run_turns(1);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 5);
    CU_ASSERT_EQUAL(sends, 1);
    far_wanted = 14;
    CU_ASSERT(run_until(far_has_got));
    far_says("x\nx\nx\nx\nx\n");
    run_turns(2);
    CU_ASSERT_EQUAL(sends, 4); /* and one for each client */
    CU_ASSERT_EQUAL(epoll_changes, changes);
    end();
}

/* Whose session has ended gets nothing, and nobody else gets its answer. */
static void test_dead_session(void)
{
    begin_with(2);
    prove();
    client_says(1, "dead\n");
    check_far("dead\n");
    client_says(0, "alive\n");
    check_far("alive\n");
    close(peers[1]);
    peers[1] = -1;
    session_end(sessions[1], CLOSE_reset);
    run_turns(2);
    CU_ASSERT_EQUAL(core.session_count, 1);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 2);
    far_says("one\ntwo\n");
    check_client(0, "two\n");
    end();
}

static void test_half_close_waits(void)
{
    begin_with(1);
    client_says(0, "x\n");
    shutdown(peers[0], SHUT_WR);
    check_far("x\n");
    run_turns(3);
    CU_ASSERT_EQUAL(core.session_count, 1);
    far_says("y\n");
    check_client(0, "y\n");
    CU_ASSERT(run_until(is_over));
    end();
}

static enum verdict ask_and_close(struct session *session, const char *bytes, size_t size)
{
    ask_for(session, bytes, size);
    return SESSION_CLOSE;
}

/* A session that its service has closed, and that waits for an answer, is told when its client is gone. */
static void test_client_gone(void)
{
    begin_with(1);
    on_line = ask_and_close;
    client_says(0, "a\n");
    check_far("a\n");
    close(peers[0]); /* over a unix socket this is no error, but the end of both directions */
    peers[0] = -1;
    uint64_t turns = stats_read(&stats.turns);
    wake_ms = clock_now_ms() + 200;
    CU_ASSERT(run_until(time_has_come));
    CU_ASSERT(stats_read(&stats.turns) - turns < 20);
    far_says("A\n");
    CU_ASSERT(run_until(is_over));
    end();

    begin_with(0);
    on_line = ask_and_close;
    world_connect_tcp();
    say("a\n");
    check_far("a\n");
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    hang_up();
    CU_ASSERT(run_until(is_over));
    CU_ASSERT_EQUAL(link_unanswered(the_link), 1);
    far_says("A\n");
    run_turns(3);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 0);
    end();
}

static void ask_password(struct link *link)
{
    CU_ASSERT_EQUAL(link_ask(link, NULL, "", 0), 0); /* the server speaks first */
    CU_ASSERT_EQUAL(link_ask(link, NULL, "auth\n", 5), 0);
    CU_ASSERT_EQUAL(link_ask(link, NULL, "select\n", 7), 0);
}

static void test_greeting(void)
{
    begin();
    target.connected = ask_password;
    target.answer = note_answer;
    open_link();
    connect_client();
    client_says(0, "a\nb\n");
    check_far("auth\nselect\na\nb\n");
    far_says("hello\nok1\nok2\nA\nB\n");
    check_client(0, "A\nB\n");
    await_trace("nobody(hello) nobody(ok1) nobody(ok2) (A) (B) ");
    end();

    begin(); /* and where it is refused, those that have waited are not asked */
    target.connected = ask_password;
    open_link();
    connect_client();
    client_says(0, "a\n");
    check_far("auth\nselect\na\n");
    far_hangs_up();
    check_client(0, "lost\n");
    await_trace("lost:0:sent lost:0:sent lost:0:sent lost:0:sent ");
    end();
}

static void trust_ok_only(struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    note_answer(link, reply, bytes, size);
    if (!reply && bytes[0] == '-')
        link_close(link);
}

/* Nothing is asked of a server that has not accepted the greeting. */
static void test_greets_first(void)
{
    begin();
    target.connected = ask_password;
    target.answer = trust_ok_only;
    target.greets_first = true;
    open_link();
    connect_client();
    client_says(0, "a\n");
    check_far("auth\nselect\n");
    client_says(0, "b\n");
    run_turns(3);
    far_says("hello\nok1\n");
    run_turns(3);
    check_far("");
    CU_ASSERT_EQUAL(link_unanswered(the_link), 3);
    far_says("ok2\n");
    check_far("a\nb\n");
    client_says(0, "c\n");
    check_far("c\n");
    far_says("A\nB\nC\n");
    check_client(0, "A\nB\nC\n");
    await_trace("nobody(hello) nobody(ok1) nobody(ok2) (A) (B) (C) ");
    far_hangs_up();
    run_turns(3);
    client_says(0, "d\n"); /* on the next connection, too */
    check_far("auth\nselect\n");
    far_says("hello\n-no\n");
    check_client(0, "lost\n");
    await_trace("nobody(hello) nobody(-no) lost:ECANCELED:sent lost:ECANCELED ");
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT_EQUAL(far_got_size, 0);
    end();

    begin(); /* and of one that ends before it has */
    target.connected = ask_password;
    target.greets_first = true;
    open_link();
    connect_client();
    client_says(0, "a\n");
    check_far("auth\nselect\n");
    far_says("hello\n");
    far_hangs_up();
    check_client(0, "lost\n");
    check_trace("lost:0:sent lost:0:sent lost:0 ");
    end();
}

static void close_at_once(struct link *link)
{
    CU_ASSERT_EQUAL(link_ask(link, NULL, "auth\n", 5), 0);
    link_close(link);
    CU_ASSERT_EQUAL(link_ask(link, NULL, "more\n", 5), -1);
    CU_ASSERT_EQUAL(errno, EPIPE);
}

static void test_closed_when_connected(void)
{
    begin();
    target.connected = close_at_once;
    open_link();
    connect_client();
    client_says(0, "a\n");
    check_client(0, "lost\n");
    check_trace("lost:ECANCELED:sent lost:ECANCELED ");
    end();
}

/* ---- failures ---- */

static void test_refused(void)
{
    begin_with(2);
    close(listening);
    listening = -1;
    client_says(0, "a\nb\n");
    client_says(1, "c\n");
    check_client(0, "lost\nlost\n");
    check_client(1, "lost\n");
    check_trace("lost:ECONNREFUSED lost:ECONNREFUSED lost:ECONNREFUSED ");
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), 1);
    client_says(0, "d\n"); /* refused, without another attempt */
    check_client(0, "no:ECONNREFUSED\n");
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), 1);
    let_pass(60);
    client_says(0, "e\n");
    check_client(0, "lost\n");
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), 2);
    end();
}

static void test_back_off(void)
{
    char why[128];
    uint64_t pause_ms = 0, most_ms = 50;

    begin();
    CU_ASSERT_EQUAL(sock_parse(&address, "unix:/nowhere/at/all", why, sizeof(why)), 0);
    open_link();
    connect_client();
    for (unsigned i = 0; i < 12; i++) { /* fails on the spot */
        CU_ASSERT_EQUAL(link_ask(the_link, NULL, "a\n", 2), -1);
        CU_ASSERT_EQUAL(errno, ENOENT);
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), i + 1);
        CU_ASSERT_EQUAL(link_ask(the_link, NULL, "a\n", 2), -1); /* it is not tried yet */
        CU_ASSERT_EQUAL(errno, ENOENT);
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), i + 1);
        pause_ms = the_link->retry_ms - core.loop.reactor.now_ms;
        CU_ASSERT(pause_ms > most_ms / 2 && pause_ms <= most_ms);
        core.loop.reactor.now_ms = the_link->retry_ms;
        most_ms = 2 * most_ms < 5000 ? 2 * most_ms : 5000;
    }
    client_says(0, "b\n");
    core.loop.reactor.now_ms = clock_now_ms();
    check_client(0, "no:ENOENT\n");
    end();
}

static void test_connect_timeout(void)
{
    int fillers[8];

    begin();
    close(listening);
    listening = listen_tcp(&address, 0);
    for (unsigned i = 0; i < 8; i++) /* the queue is full: what comes now gets no answer */
        fillers[i] = sock_connect(&address);
    target.connect_timeout_ms = 60;
    open_link();
    connect_client();
    uint64_t begun_ms = clock_now_ms();
    client_says(0, "a\n");
    check_client(0, "lost\n");
    CU_ASSERT(clock_now_ms() - begun_ms >= 59);
    check_trace("lost:ETIMEDOUT ");
    for (unsigned i = 0; i < 8; i++)
        close(fillers[i]);
    end();
}

/* A server that has answered nothing gets no second chance at once. */
static void test_reset_at_first(void)
{
    begin_with(1);
    client_says(0, "a\n");
    check_far("a\n");
    far_resets();
    check_client(0, "lost\n");
    check_trace("lost:ECONNRESET:sent ");
    client_says(0, "b\n");
    check_client(0, "no:ECONNRESET\n");
    let_pass(60);
    prove();
    end();
}

/* What was sent, or begun to be, is lost; what was not goes to the next connection. */
static void test_reset_later(void)
{
    begin_with(2);
    prove();
    client_says(0, "sent\n");
    check_far("sent\n");
    send_limit = 3;
    client_says(1, "part\n");
    check_far("par");
    send_limit = 0;
    client_says(0, "unsent\n");
    client_says(1, "unsent too\n");
    run_turns(2);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 4);
    send_limit = SIZE_MAX;
    far_resets();
    far_wanted = 18;
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT_EQUAL(far_got_size, 18);
    bool zero_first = memcmp(far_got, "unsent\nunsent too\n", 18) == 0;
    CU_ASSERT(zero_first || memcmp(far_got, "unsent too\nunsent\n", 18) == 0);
    CU_ASSERT_EQUAL(far_count, 2);
    check_trace("lost:ECONNRESET:sent lost:ECONNRESET:sent ");
    far_says("u\nu\n");
    check_client(0, "lost\nu\n");
    check_client(1, "lost\nu\n");
    end();
}

/* An idle connection has been closed by its server in the very turn in which the next question comes. */
static void test_closed_while_idle(void)
{
    begin_with(1);
    prove();
    far_hangs_up();
    client_says(0, "again\n");
    check_far("again\n");
    far_says("yes\n");
    check_client(0, "yes\n");
    check_trace("");
    CU_ASSERT_EQUAL(far_count, 2);
    far_hangs_up();
    run_turns(3);
    CU_ASSERT_FALSE(link_is_connected(the_link)); /* and nobody connects without a question */
    client_says(0, "again\n");
    check_far("again\n");
    end();
}

/* The send that finds out has sent nothing. */
static void test_send_fails(void)
{
    begin_with(1);
    prove();
    run_turns(2);
    client_says(0, "again\n");
    send_error = EPIPE;
    far_hangs_up();
    run_turns(1);
    send_error = 0;
    check_far("again\n");
    far_says("yes\n");
    check_client(0, "yes\n");
    check_trace("");
    end();
}

static void ask_again(struct link *link)
{
    note("%s ", link_ask(link, NULL, "retry\n", 6) == 0 ? "asked" : strerrorname_np(errno));
}

static void test_ask_in_lost(void)
{
    begin_with(1);
    target.lost = note_lost;
    prove();
    lost_too = ask_again;
    client_says(0, "a\nb\n");
    check_far("a\nb\n");
    far_hangs_up();
    check_client(0, "lost\nlost\n");
    check_trace("lost:0:sent asked lost:0:sent asked ");
    check_far("retry\nretry\n");
    lost_too = NULL;
    end();

    begin_with(1); /* within the pause */
    lost_too = ask_again;
    client_says(0, "a\n");
    check_far("a\n");
    far_hangs_up();
    check_client(0, "lost\n");
    check_trace("lost:0:sent ECONNRESET ");
    end();
}

static void close_too(struct link *link)
{
    link_close(link);
}

static void test_close_in_lost(void)
{
    begin_with(1);
    lost_too = close_too;
    prove();
    client_says(0, "a\nb\nc\n");
    check_far("a\nb\nc\n");
    far_hangs_up();
    check_client(0, "lost\nlost\nlost\n");
    check_trace("lost:0:sent lost:0:sent lost:0:sent ");
    run_turns(2);
    CU_ASSERT(LIST_EMPTY(&core.links));
    end();
}

static void test_answer_timeout(void)
{
    begin();
    target.answer_timeout_ms = 60;
    open_link();
    connect_client();
    prove();
    let_pass(100); /* nothing is due */
    CU_ASSERT(link_is_connected(the_link));
    uint64_t begun_ms = clock_now_ms();
    client_says(0, "a\nb\n");
    check_far("a\nb\n");
    let_pass(40);
    far_says("A\n"); /* it lives */
    let_pass(40);
    CU_ASSERT(link_is_connected(the_link));
    check_client(0, "A\nlost\n");
    CU_ASSERT(clock_now_ms() - begun_ms >= 99);
    check_trace("lost:ETIMEDOUT:sent ");
    CU_ASSERT(run_until(far_has_ended));
    far_hangs_up();
    prove();
    end();
}

/* ---- messages that answer nothing ---- */

static void test_push(void)
{
    begin();
    target.push = note_push;
    open_link();
    connect_client();
    prove();
    far_says("news\n");
    await_trace("push(news) ");
    send_limit = 0;
    client_says(0, "a\n");
    run_turns(2);
    far_says("more\n"); /* it cannot answer what has not been sent */
    await_trace("push(more) ");
    send_limit = SIZE_MAX;
    check_far("a\n");
    far_says("A\n");
    check_client(0, "A\n");
    end();
}

static void test_nonsense(void)
{
    begin();
    target.max_frame = 10;
    open_link();
    connect_client();
    prove();
    far_says("news\n");
    CU_ASSERT(run_until(far_has_ended));
    far_hangs_up();
    prove();
    client_says(0, "a\nb\n");
    check_far("a\nb\n");
    far_says("too long a line\n");
    check_client(0, "lost\nlost\n");
    check_trace("lost:EMSGSIZE:sent lost:EMSGSIZE:sent ");
    receive_far();
    far_hangs_up();
    client_says(0, "a\n");
    check_far("a\n");
    far_says("A\nB\n"); /* two answers */
    check_client(0, "A\n");
    CU_ASSERT(run_until(far_has_ended));
    end();
}

/* ---- pressure ---- */

static enum verdict ask_and_pause(struct session *session, const char *bytes, size_t size)
{
    ask_for(session, bytes, size);
    session_pause(session);
    return SESSION_CONTINUE;
}

static void test_pressure(void)
{
    begin();
    target.unanswered_max = 4;
    open_link();
    connect_client();
    connect_client();
    prove();
    client_says(0, "1\n2\n3\n4\n5\n6\n7\n8\n");
    run_turns(3);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 4);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_PAUSED);
    CU_ASSERT_EQUAL(sessions[1]->client.input, INPUT_ON);
    client_says(1, "x\ny\n");
    run_turns(3);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 5);
    CU_ASSERT_EQUAL(sessions[1]->client.input, INPUT_PAUSED);
    check_far("1\n2\n3\n4\nx\n");
    far_says("1\n2\n");
    check_client(0, "1\n2\n");
    CU_ASSERT_EQUAL(link_unanswered(the_link), 3);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_PAUSED);
    far_says("3\n"); /* half of the room is free: both go on */
    check_client(0, "3\n");
    far_wanted = 4;
    CU_ASSERT(run_until(far_has_got));
    CU_ASSERT(link_unanswered(the_link) >= 4);
    for (unsigned turns = 0; turns < 50; turns++) {
        receive_far();
        if (link_unanswered(the_link) > 0 && link_queued(the_link) == 0)
            far_says("n\n");
        run_turns(1);
    }
    check_client(0, "n\nn\nn\nn\nn\n");
    check_client(1, "n\nn\n");
    CU_ASSERT_EQUAL(link_unanswered(the_link), 0);
    end();
}

/* The service's own pause and the link's do not meet. */
static void test_pressure_and_pause(void)
{
    begin();
    target.unanswered_max = 1;
    open_link();
    connect_client();
    prove();
    on_line = ask_and_pause;
    client_says(0, "1\n2\n");
    check_far("1\n");
    far_says("A\n");
    check_client(0, "A\n");
    run_turns(3);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 0);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_PAUSED); /* by the service */
    session_resume(sessions[0]);
    check_far("2\n");
    session_resume(sessions[0]);
    run_turns(3);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_PAUSED); /* by the link */
    far_says("B\n");
    check_client(0, "B\n");
    run_turns(2);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_ON);
    end();
}

static void test_pressure_of_bytes(void)
{
    char line[1001];

    begin();
    target.high_water = 4000;
    open_link();
    connect_client();
    prove();
    send_limit = 0;
    memset(line, 'x', 999);
    line[999] = '\n';
    line[1000] = '\0';
    for (unsigned i = 0; i < 10; i++)
        client_says(0, line);
    run_turns(3);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 5);
    CU_ASSERT_EQUAL(sessions[0]->client.input, INPUT_PAUSED);
    send_limit = SIZE_MAX;
    far_wanted = 10000;
    CU_ASSERT(run_until(far_has_got)); /* what has been sent is no burden */
    CU_ASSERT_EQUAL(link_unanswered(the_link), 10);
    end();
}

/* The connection of a full link is lost: nobody stays held. */
static void test_pressure_and_loss(void)
{
    begin();
    target.unanswered_max = 2;
    open_link();
    connect_client();
    prove();
    client_says(0, "1\n2\n3\n");
    check_far("1\n2\n");
    far_hangs_up();
    check_client(0, "lost\nlost\n");
    check_far("3\n");
    end();
}

static void test_bounds(void)
{
    char line[300] = "";

    begin();
    target.unanswered_max = 10;
    config.max_output = 1000;
    open_link();
    for (unsigned i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(link_ask(the_link, NULL, "a\n", 2), 0);
    CU_ASSERT_EQUAL(link_ask(the_link, NULL, "a\n", 2), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    connect_client();
    client_says(0, "b\nc\n"); /* a session may always ask once more */
    run_turns(1);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 21);
    ask_for(sessions[0], "d", 1);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 21);
    CU_ASSERT_EQUAL(link_ask(the_link, NULL, line, 1001), -1);
    CU_ASSERT_EQUAL(errno, EMSGSIZE);
    end();

    begin();
    config.max_output = 1000;
    open_link();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(link_ask(the_link, NULL, line, 300), 0);
    CU_ASSERT_EQUAL(link_ask(the_link, NULL, line, 300), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 3);
    end();
}

/* The ring goes round and grows. */
static void test_many(void)
{
    unsigned asked_count = 0, answered = 0;

    begin_with(1);
    prove();
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 12; i++, asked_count++) {
            char line[16];
            snprintf(line, sizeof(line), "q%u", asked_count);
            ask_for(sessions[0], line, strlen(line));
        }
        run_turns(1);
        for (unsigned i = 0; i < 7; i++, answered++) {
            char line[16];
            snprintf(line, sizeof(line), "a%u\n", answered);
            receive_far();
            far_says(line);
        }
        run_turns(1);
        CU_ASSERT_EQUAL(link_unanswered(the_link), asked_count - answered);
    }
    char all[8192] = "";
    for (unsigned i = 0; i < answered; i++)
        sprintf(all + strlen(all), "a%u\n", i);
    check_client(0, all);
    end();
}

/* ---- how long it stays ---- */

static void test_linger(void)
{
    begin();
    target.linger_ms = 60;
    open_link();
    connect_client();
    uint64_t begun_ms = clock_now_ms();
    prove();
    CU_ASSERT_PTR_NULL(the_link->current->conn.out.chunk);
    CU_ASSERT_PTR_NULL(the_link->current->conn.in.chunk);
    CU_ASSERT_PTR_NULL(the_link->waiting.chunk);
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT(clock_now_ms() - begun_ms >= 59);
    CU_ASSERT_FALSE(link_is_connected(the_link));
    CU_ASSERT_PTR_NULL(the_link->questions.array);
    far_hangs_up();
    prove(); /* without a pause */
    CU_ASSERT_EQUAL(far_count, 2);
    end();

    begin();
    target.linger_ms = UINT32_MAX;
    open_link();
    connect_client();
    prove();
    close(peers[0]);
    peers[0] = -1;
    CU_ASSERT(run_until(is_over));
    let_pass(100);
    CU_ASSERT(link_is_connected(the_link)); /* without a session, too */
    connect_client();
    client_says(1, "x\n");
    check_far("x\n");
    CU_ASSERT_EQUAL(far_count, 1);
    end();
}

static void test_close(void)
{
    begin_with(1);
    prove();
    client_says(0, "a\n");
    check_far("a\n");
    send_limit = 0;
    client_says(0, "b\n");
    run_turns(2);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 2);
    lost_too = ask_again;
    link_close(the_link);
    check_trace("lost:ECANCELED:sent EPIPE lost:ECANCELED EPIPE ");
    send_limit = SIZE_MAX;
    check_client(0, "lost\nlost\n");
    CU_ASSERT(run_until(far_has_ended));
    CU_ASSERT(LIST_EMPTY(&core.links));
    end();

    begin_with(1); /* what has been asked goes out before */
    prove();
    CU_ASSERT_EQUAL(link_ask(the_link, NULL, "quit\n", 5), 0);
    link_close(the_link);
    link_close(the_link);
    CU_ASSERT_EQUAL(link_ask(the_link, NULL, "a\n", 2), -1);
    CU_ASSERT_EQUAL(errno, EPIPE);
    CU_ASSERT_FALSE(link_is_connected(the_link));
    CU_ASSERT_PTR_NULL(link_take(the_link));
    CU_ASSERT_EQUAL(errno, EPIPE);
    check_far("quit\n");
    check_trace("lost:ECANCELED:sent ");
    end();

    begin_with(0); /* never used */
    link_close(the_link);
    run_turns(1);
    CU_ASSERT(LIST_EMPTY(&core.links));
    end();
}

/* The worker ends with questions under way: no callback, nothing forgotten. */
static void test_worker_ends(void)
{
    begin_with(2);
    prove();
    client_says(0, "a\n");
    client_says(1, "b\n");
    run_turns(2);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 2);
    end();
    check_trace("");

    begin_with(1); /* before the connection stands */
    client_says(0, "a\n");
    run_turns(1);
    ask_for(sessions[0], "b", 1);
    end();
    check_trace("");
}

static void test_misuse(void)
{
    struct reply *reply;

    begin();
    world_configure();
    target.framing.kind = FRAMING_RAW;
    CU_ASSERT_PTR_NULL(link_open(&listener.section, &target));
    CU_ASSERT_EQUAL(errno, EINVAL);
    target.framing.kind = FRAMING_FUNCTION; /* without one */
    CU_ASSERT_PTR_NULL(link_open(&listener.section, &target));
    CU_ASSERT_EQUAL(errno, EINVAL);
    target.framing.kind = FRAMING_LINE;
    target.address = NULL;
    CU_ASSERT_PTR_NULL(link_open(&listener.section, &target));
    CU_ASSERT_EQUAL(errno, EINVAL);
    target.address = &address;
    open_link();
    connect_client();
    reply = session_reply(sessions[0]);
    session_end(sessions[0], CLOSE_done);
    run_turns(1);
    CU_ASSERT_EQUAL(core.session_count, 0);
    CU_ASSERT_EQUAL(link_ask(the_link, reply, "late\n", 5), 0); /* it may still have an effect */
    check_far("late\n");
    far_says("A\n");
    run_turns(5);
    CU_ASSERT_EQUAL(link_unanswered(the_link), 0);
    end();
}

/* ---- where it leads ---- */

static void test_unix(void)
{
    static const char path[] = "unix:/tmp/test_link";
    char why[128];

    begin();
    close(listening);
    unlink(path + 5);
    CU_ASSERT_EQUAL(sock_parse(&address, path, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, &listening, 1), 0);
    open_link();
    connect_client();
    prove();
    unlink(path + 5);
    end();
}

static void test_next_address(void)
{
    struct sock_address nobody;

    begin();
    close(listen_tcp(&nobody, 1));
    address.more[address.more_count++] = address.inet;
    address.inet = nobody.inet;
    open_link();
    connect_client();
    prove();
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].upstream_failures), 0);
    end();
}

static void test_unwatched(void)
{
    begin_with(1);
    add_error = ENOSPC;
    client_says(0, "a\n");
    run_turns(1);
    add_error = 0;
    check_client(0, "lost\n");
    check_trace("lost:ENOSPC ");
    CU_ASSERT(run_until(far_has_ended));
    far_hangs_up();
    let_pass(60);
    prove();
    modify_error = ENOMEM; /* EPOLLOUT cannot be asked for */
    send_limit = 0;
    client_says(0, "b\n");
    run_turns(1);
    modify_error = 0;
    send_limit = SIZE_MAX;
    receive_far();
    far_hangs_up();
    check_far("b\n");
    end();
}

/* epoll has no room for a moment: that is no failure. */
static void test_unwatched_for_a_moment(void)
{
    begin_with(1);
    add_error = ENOSPC;
    ask_for(sessions[0], "a", 1);
    link_end_turn(&core);
    add_error = 0;
    ask_for(sessions[0], "b", 1);
    link_end_turn(&core);
    check_far("a\nb\n");
    CU_ASSERT(link_is_connected(the_link));
    far_says("A\nB\n");
    check_client(0, "A\nB\n");
    end();
}

/* ---- one's own ---- */

static void test_take(void)
{
    begin();
    target.taken_max = 2;
    open_link();
    connect_client();
    prove();
    int shared = far;
    far = -1;
    struct link *first = asked = link_take(the_link);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NULL(link_take(first));
    prove(); /* over a connection of its own */
    CU_ASSERT_EQUAL(far_count, 2);
    struct link *second = link_take(the_link);
    CU_ASSERT(second && second != first && second != the_link);
    CU_ASSERT_PTR_NULL(link_take(the_link));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    link_return(second); /* was never connected: it is gone */
    link_return(first);
    CU_ASSERT_PTR_EQUAL(link_take(the_link), first);
    CU_ASSERT(link_is_connected(first));
    far_hangs_up();
    run_turns(3);
    CU_ASSERT_EQUAL(link_ask(first, NULL, "a\n", 2), -1); /* what it had begun is over */
    CU_ASSERT_EQUAL(errno, EPIPE);
    link_return(first);
    asked = the_link;
    far = shared;
    prove();
    CU_ASSERT_EQUAL(far_count, 2);
    end();
}

static void test_take_and_lose(void)
{
    begin_with(1);
    prove();
    int shared = far;
    far = -1;
    asked = link_take(the_link);
    prove();
    client_says(0, "a\n");
    check_far("a\n");
    send_limit = 0;
    client_says(0, "b\n");
    run_turns(2);
    far_hangs_up();
    run_turns(2);
    send_limit = SIZE_MAX;
    check_client(0, "lost\nlost\n"); /* a part of a transaction is not asked elsewhere */
    check_trace("lost:0:sent lost:0 ");
    client_says(0, "c\n");
    check_client(0, "no:EPIPE\n");
    link_return(asked);
    asked = link_take(the_link); /* another one */
    prove();
    client_says(0, "d\n");
    check_far("d\n");
    link_return(asked); /* owes an answer: closed */
    check_client(0, "lost\n");
    close(shared);
    end();
}

static void test_kept(void)
{
    begin();
    target.linger_ms = 60;
    open_link();
    connect_client();
    asked = link_take(the_link);
    prove();
    let_pass(100);
    CU_ASSERT(link_is_connected(asked)); /* it lingers only when nobody has it */
    link_return(asked);
    CU_ASSERT(run_until(far_has_ended));
    run_turns(2);
    CU_ASSERT_EQUAL(the_link->taken_count, 0);
    far_hangs_up();
    asked = link_take(the_link);
    prove();
    link_return(asked);
    far_hangs_up(); /* its server ends it */
    run_turns(3);
    CU_ASSERT_EQUAL(the_link->taken_count, 0);
    asked = link_take(the_link);
    prove();
    struct link *other = link_take(the_link);
    link_return(asked);
    link_close(the_link);
    run_turns(2);
    receive_far();
    CU_ASSERT(far_end); /* the one that was kept ended with it */
    far_hangs_up();
    asked = other;
    prove(); /* the one in use did not */
    link_return(other);
    run_turns(1);
    CU_ASSERT(LIST_EMPTY(&core.links));
    end();
}

/* Nobody has it: what its server says then is nobody's, and the next user gets another connection. */
static void test_kept_and_told(void)
{
    begin();
    target.push = note_push;
    open_link();
    connect_client();
    asked = link_take(the_link);
    prove();
    link_return(asked);
    far_says("news\n");
    CU_ASSERT(run_until(far_has_ended));
    run_turns(2);
    CU_ASSERT_EQUAL(the_link->taken_count, 0);
    CU_ASSERT_PTR_NULL(strstr(trace, "push"));
    end();
}

static enum verdict note_closed(struct session *session, struct conn *conn, int error)
{
    (void)session;
    (void)conn;
    note("closed:%s ", error ? strerrorname_np(error) : "0");
    return SESSION_CLOSE;
}

static bool is_coupled(void)
{
    return the_link->taken_count == 0;
}

static const struct upstream coupled = {.framing.kind = FRAMING_RAW, .closed = note_closed};

static enum verdict couples(struct session *session, const char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    CU_ASSERT_PTR_NULL(link_detach(the_link, session, &coupled)); /* it is shared */
    CU_ASSERT_EQUAL(errno, EBUSY);
    struct conn *conn = link_detach(asked, session, &coupled);
    if (!conn)
        note("%s ", strerrorname_np(errno));
    else
        session_couple(session, conn);
    return SESSION_CONTINUE;
}

/* From then on it is one pipe, with what the server remembers of the connection. */
static void test_detach(void)
{
    begin();
    open_link();
    connect_client();
    asked = link_take(the_link);
    on_line = couples;
    client_says(0, "too early\n"); /* it has never been connected */
    await_trace("EBUSY ");
    on_line = NULL;
    client_says(0, "watch\n");
    check_far("watch\n");
    on_line = couples;
    client_says(0, "too early\n"); /* it owes an answer */
    await_trace("EBUSY ");
    far_says("ok\n");
    check_client(0, "ok\n");
    client_says(0, "now\n");
    CU_ASSERT(run_until(is_coupled));
    client_says(0, "anything");
    check_far("anything");
    far_says("whatever");
    check_client(0, "whatever");
    CU_ASSERT_EQUAL(far_count, 1);
    CU_ASSERT_EQUAL(the_link->taken_count, 0);
    shutdown(peers[0], SHUT_WR);
    CU_ASSERT(run_until(far_has_ended));
    far_says("the rest");
    check_client(0, "the rest");
    far_hangs_up();
    CU_ASSERT(run_until(is_over));
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"answers in order", test_answers_in_order},
        {"how long it took", test_durations},
        {"one send a turn", test_one_send_a_turn},
        {"dead session", test_dead_session},
        {"half-close waits", test_half_close_waits},
        {"client gone", test_client_gone},
        {"greeting", test_greeting},
        {"greets first", test_greets_first},
        {"closed when connected", test_closed_when_connected},
        {"refused", test_refused},
        {"back-off", test_back_off},
        {"connect timeout", test_connect_timeout},
        {"reset at first", test_reset_at_first},
        {"reset later", test_reset_later},
        {"closed while idle", test_closed_while_idle},
        {"a send fails", test_send_fails},
        {"ask in lost", test_ask_in_lost},
        {"close in lost", test_close_in_lost},
        {"answer timeout", test_answer_timeout},
        {"push", test_push},
        {"nonsense", test_nonsense},
        {"pressure", test_pressure},
        {"pressure and pause", test_pressure_and_pause},
        {"pressure of bytes", test_pressure_of_bytes},
        {"pressure and loss", test_pressure_and_loss},
        {"bounds", test_bounds},
        {"many", test_many},
        {"linger", test_linger},
        {"close", test_close},
        {"worker ends", test_worker_ends},
        {"misuse", test_misuse},
        {"unix", test_unix},
        {"next address", test_next_address},
        {"unwatched", test_unwatched},
        {"unwatched for a moment", test_unwatched_for_a_moment},
        {"take", test_take},
        {"take and lose", test_take_and_lose},
        {"kept and told", test_kept_and_told},
        {"kept", test_kept},
        {"detach", test_detach},
        {0},
    };
    return unit_main("link", tests);
}
