/*
 * Answers that come later: their order, what waits behind them, and how much may.
 */
#include "tests/unit/crowd.h"

static void test_in_order(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "a\nb\nc\n");
    run_turns(SOON);
    crowd_got(guest, "a");
    CU_ASSERT_TRUE(session_owes(guest->session));
    answer(places[2], "3");
    run_turns(SOON);
    crowd_got(guest, "");
    send_text(places[0], "1");
    run_turns(SOON);
    crowd_got(guest, "1");
    send_text(places[1], "2");
    answer(places[0], "!");
    run_turns(SOON);
    crowd_got(guest, "!ab2");
    answer(places[1], "?");
    run_turns(SOON);
    crowd_got(guest, "?bc3c");
    CU_ASSERT_FALSE(session_owes(guest->session));
    crowd_end();
}

/* Every order in which five places can be filled and ended, with output in between. */
static void test_any_order(void)
{
    uint64_t chance = 11;

    for (unsigned run = 0; run < 200; run++) {
        unsigned left = 5, turn[5] = {0, 1, 2, 3, 4};
        crowd_begin(FRAMING_LINE);
        act.message = keep_place;
        struct guest *guest = crowd_connect();
        crowd_say(guest, "a\n?\nb\n?\nc\n");
        run_turns(2);
        for (; left > 0; left--) {
            size_t i = unit_below(&chance, left);
            send_text(places[turn[i]], "<");
            if (unit_below(&chance, 2))
                run_turns(1);
            answer(places[turn[i]], ">");
            turn[i] = turn[left - 1];
        }
        run_turns(SOON);
        crowd_got(guest, "a<>a<>b<>b<>c<>c");
        crowd_end();
    }
}

/* One system call for all that has become ready in one turn. */
static void test_one_send(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "?\n?\n?\n");
    run_turns(SOON);
    sends = 0;
    for (unsigned i = 3; i > 0; i--)
        answer(places[i - 1], "x");
    run_turns(SOON);
    CU_ASSERT_EQUAL(sends, 1);
    crowd_got(guest, "xxx");
    crowd_end();
}

static enum verdict reserve_between(struct session *session, const char *bytes, size_t size)
{
    char *room = session_reserve(session, 100);

    CU_ASSERT_PTR_NOT_NULL_FATAL(room);
    memcpy(room, bytes, size);
    session_commit(session, size);
    if (bytes[0] == 'c')
        return SESSION_CONTINUE;
    places[place_count++] = session_reply(session);
    room = session_reserve(session, 100);
    CU_ASSERT_PTR_NOT_NULL_FATAL(room);
    memcpy(room, "-", 1);
    session_commit(session, 1);
    CU_ASSERT_PTR_NOT_NULL(session_reserve(session, 10));
    session_commit(session, 0);
    CU_ASSERT_PTR_NOT_NULL(session_reserve(session, 10)); /* never committed */
    return SESSION_CONTINUE;
}

static void test_reserve_behind(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = reserve_between;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "a\nb\nc\n");
    run_turns(SOON);
    crowd_got(guest, "a");
    answer(places[1], "2");
    answer(places[0], "1");
    run_turns(SOON);
    crowd_got(guest, "1-b2-c");
    crowd_end();
}

/* Two sessions build a message each, at the same time. */
static enum verdict reserve_two(struct session *session, const char *bytes, size_t size)
{
    struct session *other = guests[session == guests[0].session].session;
    char *mine, *its;

    (void)size;
    if (bytes[0] == 'p') {
        places[place_count++] = session_reply(session);
        return SESSION_CONTINUE;
    }
    mine = session_reserve(session, 50);
    its = session_reserve(other, 50);
    CU_ASSERT_FATAL(mine && its);
    memcpy(mine, "mine", 4);
    memcpy(its, "its", 3);
    if (bytes[0] == '1') {
        session_commit(other, 3);
        session_commit(session, 4);
    } else {
        session_commit(session, 4);
        session_commit(other, 3);
    }
    return SESSION_CONTINUE;
}

static void test_reserve_two(void)
{
    for (unsigned i = 0; i < 8; i++) {
        crowd_begin(FRAMING_LINE);
        act.message = reserve_two;
        struct guest *one = crowd_connect(), *other = crowd_connect();
        if (i & 2)
            crowd_say(one, "p\n");
        run_turns(2);
        if (i & 4)
            crowd_say(other, "p\n");
        run_turns(2);
        crowd_say(one, i & 1 ? "1\n" : "2\n");
        run_turns(SOON);
        while (place_count > 0)
            reply_end(places[--place_count]);
        run_turns(SOON);
        crowd_got(one, "mine");
        crowd_got(other, "its");
        crowd_end();
    }
}

static void test_limit(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    trace_messages = false;
    struct guest *guest = crowd_connect();
    char text[2 * (SESSION_REPLIES_MAX + 10) + 1] = "";
    for (unsigned i = 0; i < SESSION_REPLIES_MAX + 10; i++)
        memcpy(text + 2 * i, "?\n", 3);
    crowd_say(guest, text);
    run_turns(SOON);
    CU_ASSERT_EQUAL(place_count, SESSION_REPLIES_MAX);
    answer(places[1], "1");
    run_turns(SOON);
    CU_ASSERT_EQUAL(place_count, SESSION_REPLIES_MAX);
    answer(places[0], "0"); /* and with it the next one */
    run_turns(SOON);
    CU_ASSERT_EQUAL(place_count, SESSION_REPLIES_MAX + 2);
    for (unsigned i = 2; i < place_count; i++)
        reply_end(places[i]);
    run_turns(SOON);
    CU_ASSERT_EQUAL(place_count, SESSION_REPLIES_MAX + 10);
    crowd_got(guest, "01");
    CU_ASSERT_EQUAL(guest->session->client.input, INPUT_ON);
    for (unsigned i = SESSION_REPLIES_MAX + 2; i < place_count; i++)
        reply_end(places[i]);
    CU_ASSERT_FALSE(session_owes(guest->session));
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_out), SESSION_REPLIES_MAX + 10);
    crowd_end();
}

/* All that is kept is bounded together, not each place by itself. */
static void test_overflow(void)
{
    static const char much[4096] = "";

    for (unsigned where = 0; where < 3; where++) {
        crowd_begin(FRAMING_LINE);
        act.message = keep_place;
        config.high_water = config.low_water = 8192;
        config.max_output = 32768;
        struct guest *guest = crowd_connect();
        crowd_say(guest, "?\n?\n?\n?\n");
        run_turns(SOON);
        for (unsigned i = 0; i < 8; i++) {
            CU_ASSERT_PTR_NOT_NULL(guest->session);
            if (where == 0)
                reply_send(places[1], much, sizeof(much));
            else if (where == 1)
                reply_send(places[1 + i % 3], much, sizeof(much));
            else
                session_send(guest->session, much, sizeof(much));
        }
        CU_ASSERT_EQUAL(session_queued(guest->session), 32768);
        run_turns(SOON);
        CU_ASSERT_EQUAL(guest->session->client.input, INPUT_PAUSED);
        crowd_say(guest, "?\n");
        run_turns(SOON);
        CU_ASSERT_EQUAL(place_count, 4);
        if (where < 2)
            reply_send(places[2], "x", 1);
        else
            session_send(guest->session, "x", 1);
        for (unsigned i = 0; i < 4; i++) {
            CU_ASSERT_PTR_NULL(reply_session(places[i]));
            reply_end(places[i]);
        }
        run_turns(SOON);
        CU_ASSERT_EQUAL(count_closed(CLOSE_overflow), 1);
        crowd_end();
    }
}

/* A client that reads what had to wait gets it, and its input goes on. */
static void test_kept_goes_out(void)
{
    static const char much[4096] = "";

    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    config.high_water = config.low_water = 8192;
    config.max_output = 32768;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "?\n?\n");
    run_turns(SOON);
    for (unsigned i = 0; i < 8; i++)
        reply_send(places[1], much, sizeof(much));
    crowd_say(guest, "?\n");
    run_turns(SOON);
    CU_ASSERT_EQUAL(place_count, 2);
    reply_end(places[1]);
    reply_end(places[0]);
    run_turns(SOON);
    crowd_receive(guest);
    CU_ASSERT_EQUAL(guest->got_size, 32768);
    CU_ASSERT_EQUAL(session_queued(guest->session), 0);
    CU_ASSERT_EQUAL(place_count, 3);
    reply_end(places[2]);
    crowd_end();
}

/* ---- how long it took ---- */

static uint64_t answered_within(uint64_t least_ms, uint64_t limit_ms)
{
    return durations_within(DURATION_answered, least_ms, limit_ms);
}

static enum verdict answer_at_once(struct session *session, const char *bytes, size_t size)
{
    struct reply *reply = session_reply(session);

    reply_send(reply, bytes, size);
    reply_end(reply);
    return SESSION_CONTINUE;
}

/* A message counts once: in its own turn, or when the answer is there whose place was reserved. */
static void test_durations(void)
{
    crowd_begin(FRAMING_LINE);
    act.message = keep_place;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "a\n?\n?\nb\n");
    run_turns(SOON);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_in), 4);
    uint64_t at_once = answered_within(0, 60000);
    CU_ASSERT_EQUAL(at_once, 0);
    skipped_ms += 3000;
    run_turns(1);
    answer(places[0], "x");
    CU_ASSERT_EQUAL(answered_within(2500, 4000), 1);
    CU_ASSERT_EQUAL(answered_within(0, 60000), at_once + 1);
    skipped_ms += 20000;
    run_turns(1);
    answer(places[1], "x");
    CU_ASSERT_EQUAL(answered_within(20000, 30000), 1);
    CU_ASSERT_EQUAL(answered_within(0, 60000), at_once + 2);
    answer(places[2], "x");
    answer(places[3], "x");
    CU_ASSERT_EQUAL(answered_within(0, 60000), stats_read(&stats.listeners[0].messages_in));
    act.message = answer_at_once;
    uint64_t soon = answered_within(0, 1000);
    crowd_say(guest, "?\n?\n");
    run_turns(SOON);
    CU_ASSERT_EQUAL(answered_within(0, 1000), soon + 2);
    CU_ASSERT_EQUAL(answered_within(0, 60000), stats_read(&stats.listeners[0].messages_in));
    /* A place that no message has asked for is nobody's answer. */
    struct reply *unasked = session_reply(guest->session);
    skipped_ms += 3000;
    run_turns(1);
    answer(unasked, "y");
    CU_ASSERT_EQUAL(answered_within(0, 60000), stats_read(&stats.listeners[0].messages_in));
    crowd_end();
}

static const struct unit_test tests[] = {
    {"answers go out in the order of their places", test_in_order},
    {"any order of filling them", test_any_order},
    {"one send for a turn's answers", test_one_send},
    {"reserved output waits, too", test_reserve_behind},
    {"two sessions build a message at the same time", test_reserve_two},
    {"1,024 places stop the input", test_limit},
    {"what is kept is bounded", test_overflow},
    {"what is kept goes out", test_kept_goes_out},
    {"how long it took", test_durations},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("reply", tests);
}
