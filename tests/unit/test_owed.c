/*
 * Answers that are owed hold back the end of a session, and outlive it.
 */
#include "tests/unit/crowd.h"

static void test_half_close(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "?\n?\n");
    shutdown(guest->peer, SHUT_WR);
    run_turns(SOON);
    CU_ASSERT_FALSE(crowd_got_end(guest));
    answer(places[1], "2");
    run_turns(SOON);
    CU_ASSERT_FALSE(crowd_got_end(guest));
    answer(places[0], "1");
    run_turns(SOON);
    crowd_got(guest, "12");
    CU_ASSERT_TRUE(guest->got_end);
    crowd_trace("a[?] a[?] a:peer ");
    crowd_end();
}

/* A half-close with places that are ended, but have output to be sent. */
static void test_half_close_slowly(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "?\n");
    shutdown(guest->peer, SHUT_WR);
    run_turns(SOON);
    send_limit = 0;
    answer(places[0], "late");
    run_turns(SOON);
    crowd_trace("a[?] ");
    send_limit = 1;
    run_turns(SOON);
    crowd_got(guest, "late");
    crowd_trace("a:peer ");
    crowd_end();
}

static enum verdict close_verdict;

static enum verdict close_with_place(struct session *session, const char *bytes, size_t size)
{
    if (bytes[0] == '?')
        return keep_place(session, bytes, size);
    session_send(session, "bye", 3);
    return close_verdict;
}

static void test_close_answers_first(void)
{
    for (close_verdict = SESSION_CLOSE; close_verdict <= SESSION_ABORT; close_verdict++) {
        crowd_begin(FRAMING_LINE);
        act.message = close_with_place;
        struct guest *guest = crowd_connect();
        crowd_say(guest, "?\n?\nquit\n?\n");
        run_turns(SOON);
        crowd_trace(close_verdict == SESSION_ABORT ? "a[?] a[?] a[quit] a:done " : "a[?] a[?] a[quit] ");
        if (close_verdict != SESSION_ABORT) {
            CU_ASSERT_PTR_NULL(session_reply(guest->session));
            session_send(guest->session, "no", 2);
            session_pause(guest->session);
            session_resume(guest->session);
            session_wake(guest->session);
            session_set_framing(guest->session, NULL);
            session_skip(guest->session, 10);
            session_set_timer_of(guest->session, 1, 10);
            CU_ASSERT_PTR_NULL(session_reserve(guest->session, 10));
            CU_ASSERT_PTR_NULL(session_find(session_id(guest->session)));
        }
        answer(places[1], "2");
        answer(places[0], "1");
        run_turns(SOON);
        crowd_got(guest, close_verdict == SESSION_ABORT ? "" : "12bye");
        CU_ASSERT_TRUE(crowd_got_end(guest));
        crowd_hang_up(guest);
        run_turns(SOON);
        crowd_trace(close_verdict == SESSION_REJECT ? "a:protocol " : close_verdict == SESSION_CLOSE ? "a:done " : "");
        crowd_end();
    }
}

/* The client resets while its session closes and waits for an answer: it is noticed, at once and without a spin. */
static void test_reset_while_owed(void)
{
    close_verdict = SESSION_CLOSE;
    for (unsigned orderly = 0; orderly < 2; orderly++) {
        crowd_begin(FRAMING_LINE);
        act.message = close_with_place;
        struct guest *guest = crowd_connect();
        crowd_say(guest, orderly ? "?\nquit\n" : "?\nquit\nmore\n");
        run_turns(SOON);
        crowd_hang_up(guest);
        uint64_t turns = stats_read(&stats.turns), begin_ms = clock_now_ms();
        awaited = is_over;
        deadline_ms = begin_ms + 300;
        reactor_run(&core.loop.reactor);
        awaited = NULL;
        CU_ASSERT(stats_read(&stats.turns) - turns < 20);
        answer(places[0], "1");
        run_turns(SOON);
        CU_ASSERT(is_over());
        CU_ASSERT_EQUAL(closes, 1);
        crowd_end();
    }
}

static struct reply *late;

static void end_late(struct session *session)
{
    (void)session;
    CU_ASSERT_PTR_NULL(reply_session(late));
    answer(late, "nobody hears it");
}

static void test_end_of_the_session(void)
{
    crowd_begin(FRAMING_LINE); /* in `close` */
    act.message = keep_place;
    act.close = end_late;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "?\n?\n?\n?\n");
    run_turns(SOON);
    late = places[0];
    reply_end(places[1]);
    answer(places[3], "lost");
    session_end(guest->session, CLOSE_done);
    CU_ASSERT_PTR_NULL(reply_session(places[2]));
    run_turns(SOON);
    CU_ASSERT(is_over());
    CU_ASSERT_PTR_NULL(reply_session(places[2])); /* long after it */
    send_text(places[2], "nobody hears it");
    reply_send_static(places[2], "nor this", 8);
    reply_end(places[2]);
    crowd_trace("a[?] a[?] a[?] a[?] a:done ");
    crowd_end();

    crowd_begin(FRAMING_LINE); /* between the end and `close` */
    act.message = keep_place;
    guest = crowd_connect();
    crowd_say(guest, "?\n");
    run_turns(SOON);
    session_end(guest->session, CLOSE_done);
    answer(places[0], "nobody hears it");
    run_turns(SOON);
    CU_ASSERT(is_over());
    crowd_end();
}

/* An answer of nothing counts as an activity: the idle timeout begins with it, and not before. */
static void test_timeouts(void)
{
    crowd_begin(FRAMING_LINE); /* idle_timeout does not end it, answer_timeout does */
    act.message = keep_place;
    config.idle_timeout_ms = 40;
    config.answer_timeout_ms = 200;
    struct guest *guest = crowd_connect();
    uint64_t begin_ms = clock_now_ms();
    crowd_say(guest, "?\n");
    CU_ASSERT(run_until(is_over));
    uint64_t waited_ms = clock_now_ms() - begin_ms;
    CU_ASSERT(waited_ms >= 200 && waited_ms < 2000);
    reply_end(places[0]);
    crowd_trace("a[?] a:idle ");
    crowd_end();

    crowd_begin(FRAMING_LINE); /* idle_timeout ends it when it owes nothing more */
    act.message = keep_place;
    config.idle_timeout_ms = 80;
    config.answer_timeout_ms = 5000;
    guest = crowd_connect();
    crowd_say(guest, "?\n");
    uint64_t until_ms = clock_now_ms() + 160;
    while (clock_now_ms() < until_ms)
        run_turns(1);
    crowd_trace("a[?] ");
    begin_ms = core.loop.reactor.now_ms;
    reply_end(places[0]);
    CU_ASSERT(run_until(is_over));
    waited_ms = clock_now_ms() - begin_ms;
    CU_ASSERT(waited_ms >= 80 && waited_ms < 2000);
    crowd_end();
}

static const struct unit_test tests[] = {
    {"a half-close waits for answers", test_half_close},
    {"a half-close waits for the last byte", test_half_close_slowly},
    {"a verdict waits for answers", test_close_answers_first},
    {"a reset while an answer is owed", test_reset_while_owed},
    {"places outlive their session", test_end_of_the_session},
    {"answer_timeout and idle_timeout", test_timeouts},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("owed", tests);
}
