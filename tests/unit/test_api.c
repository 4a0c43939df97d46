/*
 * What a service sets and asks for: pause and resume, timers, wake and find, and who is connected to what.
 */
#include "tests/unit/crowd.h"
#include <sys/un.h>

/* ---- pause and resume ---- */

static enum verdict pause_at_p(struct session *session, const char *bytes, size_t size)
{
    (void)size;
    switch (bytes[0]) {
    case 'p': session_pause(session); break;
    case 'q': session_pause(session), session_pause(session), session_resume(session); break;
    case 'r': session_resume(guests[0].session); break;
    default:;
    }
    return SESSION_CONTINUE;
}

static void test_pause(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = pause_at_p;
    struct guest *one = crowd_connect(), *other = crowd_connect();
    session_resume(one->session); /* not paused */
    crowd_say(one, "a\np\nb\nq\nc\n");
    run_turns(SOON);
    crowd_trace("a[a] a[p] ");
    shutdown(one->peer, SHUT_WR); /* is not read either */
    run_turns(SOON);
    crowd_say(other, "r\n");
    run_turns(SOON);
    crowd_trace("b[r] a[b] a[q] a[c] a:peer ");
    crowd_end();

    crowd_begin(FRAMING_LINE); /* a paused session sends, its timers go off, and a drain waits for what is unread */
    act.message = pause_at_p;
    one = crowd_connect();
    crowd_say(one, "p\n");
    run_turns(SOON);
    session_send(one->session, "x", 1);
    session_set_timer(one->session, 1);
    crowd_say(one, "b\n");
    usleep(20000);
    run_turns(SOON);
    crowd_got(one, "x");
    crowd_trace("a[p] a:timer0 ");
    one->session->active_ms -= 5000;
    drain_begin(&core, true, 0);
    run_turns(SOON);
    crowd_trace("");
    session_resume(one->session);
    run_turns(SOON);
    crowd_trace("a[b] ");
    CU_ASSERT_EQUAL(crowd_got_end(one), true);
    crowd_end();
}

/* ---- timers ---- */

static enum verdict set_again(struct session *session, unsigned number)
{
    if (number == 3)
        session_set_timer_of(session, 3, 30);
    return SESSION_CONTINUE;
}

static uint64_t until_ms;

static bool is_later(void)
{
    return clock_now_ms() >= until_ms;
}

static bool has_come_twice(void)
{
    return strstr(trace, "timer3 a:timer3") != NULL;
}

static void test_timers(void)
{
    crowd_begin(FRAMING_LINE);
    act.timer = set_again;
    struct guest *guest = crowd_connect();
    core.loop.reactor.now_ms = clock_now_ms();
    CU_ASSERT_EQUAL(session_now_ms(guest->session), core.loop.reactor.now_ms);
    session_set_timer_of(guest->session, 2, 0); /* was never set */
    session_set_timer_of(guest->session, SESSION_TIMERS, 1);
    session_set_timer_of(guest->session, 3, 40);
    session_set_timer_of(guest->session, 1, 1000);
    session_set_timer_of(guest->session, 1, 20); /* earlier after all */
    session_set_timer(guest->session, 1);
    session_set_timer_of(guest->session, 2, 1);
    session_set_timer_of(guest->session, 2, 0);
    CU_ASSERT(run_busily(has_come_twice));
    session_set_timer_of(guest->session, 3, 0);
    crowd_trace("a:timer0 a:timer1 a:timer3 a:timer3 ");
    session_set_timer(guest->session, 1);
    session_set_timer_of(guest->session, 2, 1);
    session_end(guest->session, CLOSE_done);
    session_set_timer_of(guest->session, 1, 1);
    until_ms = clock_now_ms() + 30;
    CU_ASSERT(run_until(is_later));
    crowd_trace("a:done ");
    crowd_end();
}

static enum verdict close_at_1(struct session *session, unsigned number)
{
    (void)session;
    return number == 1 ? SESSION_CLOSE : SESSION_CONTINUE;
}

/* The verdict of one takes the others back, also those that are due in the same moment. */
static void test_timer_closes(void)
{
    crowd_begin(FRAMING_LINE);
    act.timer = close_at_1;
    struct guest *guest = crowd_connect();
    for (unsigned i = 0; i < SESSION_TIMERS; i++)
        session_set_timer_of(guest->session, i, 1);
    until_ms = clock_now_ms() + 30;
    CU_ASSERT(run_until(is_later));
    CU_ASSERT_TRUE(crowd_got_end(guest));
    crowd_hang_up(guest);
    CU_ASSERT(run_until(is_over));
    crowd_trace("a:timer0 a:timer1 a:done ");
    crowd_end();
}

/* ---- wake and find ---- */

static unsigned wakes;

static enum verdict wake_others(struct session *session, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        struct session *other = session_find(guests[bytes[i] - '0'].id);
        CU_ASSERT_PTR_EQUAL(other, guests[bytes[i] - '0'].session);
        if (other) {
            session_send(other, "w", 1);
            session_wake(other);
        }
    }
    session_send(session, "m", 1);
    return SESSION_CONTINUE;
}

static enum verdict wake_again(struct session *session)
{
    wakes++;
    session_send(session, ".", 1);
    session_wake(session);
    return SESSION_CONTINUE;
}

static enum verdict wake_once(struct session *session)
{
    session_send(session, ".", 1);
    return session == guests[2].session ? SESSION_CLOSE : SESSION_CONTINUE;
}

static void test_wake(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = wake_others;
    act.woken = wake_once;
    for (unsigned i = 0; i < 3; i++) {
        struct guest *guest = crowd_connect();
        guest->id = session_id(guest->session);
        CU_ASSERT(guest->id != 0 && session_id(guest->session) == guest->id);
        CU_ASSERT(i == 0 || guest->id != guests[i - 1].id);
    }
    CU_ASSERT_PTR_NULL(session_find(0));
    CU_ASSERT_PTR_NULL(session_find(UINT64_MAX));
    crowd_say(&guests[0], "0112\n");
    run_turns(1);
    crowd_trace("a[0112] a:woken b:woken c:woken ");
    sends = 0;
    run_turns(SOON);
    crowd_got(&guests[0], "wm.");
    crowd_got(&guests[1], "ww.");
    crowd_got(&guests[2], "w.");
    CU_ASSERT_EQUAL(sends, 0); /* all of it went out in that turn */
    CU_ASSERT_PTR_NULL(session_find(guests[2].id));
    session_wake(guests[2].session); /* it lingers */
    run_turns(1);
    uint64_t id = guests[1].id;
    session_end(guests[1].session, CLOSE_done);
    CU_ASSERT_PTR_NULL(session_find(id));
    session_wake(guests[1].session);
    run_turns(2);
    CU_ASSERT_PTR_NULL(session_find(id));
    CU_ASSERT_PTR_NOT_NULL(session_find(guests[0].id));
    crowd_trace("b:done ");
    crowd_end();
}

static void test_wake_for_ever(void)
{
    crowd_begin(FRAMING_LINE);
    wakes = 0;
    act.woken = wake_again;
    trace_messages = false;
    struct guest *one = crowd_connect(), *other = crowd_connect();
    session_wake(one->session);
    turns_left = 20; /* the pulse is off: the loop does not sleep of itself */
    reactor_run(&core.loop.reactor);
    CU_ASSERT(core.loop.reactor.hurry);
    CU_ASSERT(wakes >= 20 && wakes <= 20 * 10);
    uint64_t messages = stats_read(&stats.listeners[0].messages_in);
    crowd_say(other, "a\n");
    run_turns(3);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_in), messages + 1);
    crowd_hang_up(one);
    run_turns(3);
    CU_ASSERT_PTR_NULL(one->session);
    CU_ASSERT_FALSE(core.loop.reactor.hurry);
    crowd_end();
}

/* Many numbers, many ends: each finds its own. */
static void test_find_many(void)
{
    enum { MANY = 2000 };
    static struct session_more more[MANY];
    static struct session *sessions;

    crowd_begin(FRAMING_LINE);
    struct guest *guest = crowd_connect();
    uint64_t own = session_id(guest->session), first = 0;
    sessions = calloc(MANY, sizeof(*sessions));
    for (unsigned i = 0; i < MANY; i++) {
        sessions[i].more = &more[i];
        more[i] = (struct session_more){.session = &sessions[i]};
        uint64_t id = session_id(&sessions[i]);
        first = first ? first : id;
        CU_ASSERT_EQUAL(id, first + i);
        sessions[i].client.phase = CONN_OPEN;
    }
    for (unsigned i = 0; i < MANY; i += 2)
        identity_forget(&more[i]);
    for (unsigned i = 0; i < MANY; i++)
        CU_ASSERT_PTR_EQUAL(session_find(first + i), i % 2 ? &sessions[i] : NULL);
    CU_ASSERT_PTR_EQUAL(session_find(own), guest->session);
    for (unsigned i = 1; i < MANY; i += 2)
        identity_forget(&more[i]);
    free(sessions);
    crowd_end();
}

/* ---- who is connected to what ---- */

static struct session_info info;

static void get_info(struct session *session)
{
    session_get_info(session, &info);
}

static void test_info(void)
{
    char local[64];

    world_begin(FRAMING_LINE);
    script.close = get_info;
    world_connect_tcp();
    struct sockaddr_in far;
    socklen_t size = sizeof(far);
    getpeername(peer, (struct sockaddr *)&far, &size);
    snprintf(local, sizeof(local), "127.0.0.1:%u", ntohs(far.sin_port));
    session_end(the_session, CLOSE_done);
    run_turns(1);
    CU_ASSERT_STRING_EQUAL(info.local, local);
    CU_ASSERT_EQUAL(strncmp(info.peer, "127.0.0.1:", 10), 0);
    CU_ASSERT(info.pid == -1 && info.uid == (uid_t)-1 && info.gid == (gid_t)-1);
    world_end();

    world_begin(FRAMING_LINE);
    world_connect();
    session_get_info(the_session, &info);
    CU_ASSERT_STRING_EQUAL(info.peer, "unix:");
    CU_ASSERT_EQUAL(strncmp(info.local, "unix:", 5), 0);
    CU_ASSERT(info.pid == getpid() && info.uid == getuid() && info.gid == getgid());
    world_end();
}

static const struct unit_test tests[] = {
    {"pause and resume", test_pause},         {"several timers", test_timers},
    {"a timer's verdict", test_timer_closes}, {"wake and find", test_wake},
    {"waking for ever", test_wake_for_ever},  {"many numbers", test_find_many},
    {"who is connected to what", test_info},  {NULL, NULL},
};

int main(void)
{
    return unit_main("api", tests);
}
