/*
 * How a client's bytes are cut when its service changes its mind: framing and skip in the middle of a stream, and
 * measuring that goes on where it has stopped.
 */
#include "tests/unit/crowd.h"

/* '!' f ...: another framing from the next message on; '-' n: skip so many bytes. */
static const struct framing by_line = {.kind = FRAMING_LINE}, raw = {.kind = FRAMING_RAW},
                            by_length = {.kind = FRAMING_LENGTH32};

static ssize_t measure_three(const char *bytes, size_t size)
{
    (void)bytes;
    return size >= 3 ? 3 : 0;
}

/* Digits up to a dot. */
static unsigned long looked_at;
static uint32_t begun_at;

static ssize_t measure_dot(const char *bytes, size_t size, struct scan *scan)
{
    CU_ASSERT(scan->at <= size);
    CU_ASSERT_EQUAL(scan->state, scan->at * UINT64_C(3)); /* kept together */
    for (begun_at = scan->at; scan->at < size; scan->at++, scan->state += 3, looked_at++)
        if (bytes[scan->at] == '.')
            return scan->at + 1;
        else if (bytes[scan->at] == '#')
            return -1;
    return 0;
}

static const struct framing by_three = {.kind = FRAMING_FUNCTION, .measure = measure_three},
                            by_dot = {.kind = FRAMING_FUNCTION, .measure_on = measure_dot};

static enum verdict change(struct session *session, const char *bytes, size_t size)
{
    static const struct framing *const framings[] = {&raw, &by_line, &by_length, &by_three, &by_dot, NULL};

    for (size_t i = 0; i + 1 < size; i++) {
        if (bytes[i] == '!')
            session_set_framing(session, framings[bytes[i + 1] - '0']);
        else if (bytes[i] == '-')
            session_skip(session, (uint64_t)(bytes[i + 1] - '0'));
        else if (bytes[i] == 'p')
            session_pause(session), session_resume(session);
    }
    return SESSION_CONTINUE;
}

#define STREAM(bytes) bytes, sizeof(bytes) - 1
static const struct {
    const char *bytes;
    size_t size;
    const char *trace;
} streams[] = {
    {STREAM("a\n!3\nabcdefg!5l\nm\n"), "a[a] a[!3] a[abc] a[def] a[g!5] a[l] a[m] "},
    {STREAM("a\n-5\n12345b\n-3-2-0\n1\n345c\n"), "a[a] a[-5] a[b] a[-3-2-0] a[c] "},
    {STREAM("!4-2p\nxx12.3..!1.l\n!2\n\0\0\0\1y\0\0\0\2!1z\n"), NULL},
    {STREAM("!4p\n12.345.!3p.ab\n!5px\n"), "a[!4p] a[12.] a[345.] a[!3p.] a[ab\n] a[!5p] a[x] "},
    {STREAM("!4-9p\n123456789-4p.1.2.3."), "a[!4-9p] a[-4p.] a[3.] "},
};

/* However the bytes arrive, the messages are the same. */
static void test_framing(void)
{
    for (unsigned i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        for (size_t first = 0; first <= streams[i].size; first++)
            for (size_t second = first; second <= streams[i].size; second += first == second ? 1 : 3) {
                static char whole[TRACE_SIZE];
                crowd_begin(FRAMING_LINE);
                act.message = change;
                struct guest *guest = crowd_connect();
                const char *bytes = streams[i].bytes;
                CU_ASSERT_FATAL(write(guest->peer, bytes, first) >= 0);
                run_turns(3);
                CU_ASSERT_FATAL(write(guest->peer, bytes + first, second - first) >= 0);
                run_turns(3);
                CU_ASSERT_FATAL(write(guest->peer, bytes + second, streams[i].size - second) >= 0);
                run_turns(5);
                if (streams[i].trace)
                    check_trace(streams[i].trace);
                else if (first == 0 && second == 0)
                    strcpy(whole, trace);
                else
                    check_trace(whole);
                CU_ASSERT(buffer_is_empty(&guest->session->client.in));
                crowd_end();
            }
}

/* Outside of the session's own messages: what has been kept is cut anew, at once. */
static void test_framing_from_outside(void)
{
    crowd_begin(FRAMING_LINE); /* another client's progress is not taken for its own */
    service.framing = by_dot;
    struct guest *one = crowd_connect(), *other = crowd_connect();
    crowd_say(other, "12345678");
    run_turns(2);
    session_set_framing(one->session, &by_line);
    act.message = change;
    crowd_say(one, "!4\n1.2.3.4.");
    run_turns(3);
    crowd_trace("a[!4] a[1.] a[2.] a[3.] a[4.] ");
    crowd_say(other, "9.");
    run_turns(2);
    crowd_trace("b[123456789.] ");
    crowd_end();

    crowd_begin(FRAMING_LENGTH32);
    config.max_frame = UINT32_MAX; /* messages that have been in it all the time, also with more bytes in this turn */
    one = crowd_connect();
    crowd_say(one, "aa\nb\nc");
    run_turns(2);
    crowd_trace("");
    crowd_say(one, "c\nd");
    session_set_framing(one->session, &by_line);
    run_turns(3);
    crowd_trace("a[aa] a[b] a[cc] ");
    session_set_framing(one->session, &raw);
    run_turns(3);
    crowd_trace("a[d] ");
    CU_ASSERT_EQUAL(one->session->client.input, INPUT_ON);
    crowd_end();

    crowd_begin(FRAMING_LINE); /* progress of what was kept before */
    one = crowd_connect();
    crowd_say(one, "123456");
    run_turns(2);
    session_set_framing(one->session, &by_dot);
    run_turns(2);
    crowd_say(one, "7.8");
    run_turns(2);
    session_skip(one->session, 1);
    session_set_framing(one->session, NULL);
    session_set_framing(one->session, &by_dot);
    crowd_say(one, "9.");
    run_turns(3);
    crowd_trace("a[1234567.] a[9.] ");
    crowd_end();

    crowd_begin(FRAMING_LINE); /* skip what is there, and more; paused meanwhile */
    one = crowd_connect();
    crowd_say(one, "abc");
    run_turns(2);
    session_skip(one->session, 5);
    session_pause(one->session);
    crowd_say(one, "dexyz\n");
    run_turns(3);
    crowd_trace("");
    session_resume(one->session);
    run_turns(3);
    crowd_trace("a[xyz] ");
    session_skip(one->session, UINT64_MAX - 1);
    session_skip(one->session, UINT64_MAX - 1); /* for ever */
    crowd_say(one, "dexyz\n");
    run_turns(3);
    crowd_trace("");
    crowd_end();
}

static void say_why(struct session *session)
{
    session_send(session, "why", 3);
}

static void test_nonsense(void)
{
    for (unsigned known = 0; known < 2; known++) {
        crowd_begin(FRAMING_LINE);
        service.framing = by_dot;
        service.nonsense = known ? guest_nonsense : NULL;
        act.nonsense = say_why;
        struct guest *guest = crowd_connect();
        crowd_say(guest, "12");
        run_turns(2);
        crowd_say(guest, ".12#4.");
        run_turns(SOON);
        crowd_got(guest, known ? "why" : "");
        crowd_hang_up(guest);
        CU_ASSERT(run_until(is_over));
        crowd_trace(known ? "a[12.] a:nonsense a:protocol " : "a[12.] a:oversize a:oversize ");
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].protocol_errors), 1);
        crowd_end();
    }
}

/* 100,000 parts in small pieces: each is looked at once, whatever the buffer and pauses do. */
static void test_progress(void)
{
    uint64_t chance = 7;
    enum { PARTS = 100000 };
    static char text[PARTS];

    crowd_begin(FRAMING_LINE);
    service.framing = by_dot;
    config.max_frame = 2 * PARTS;
    trace_messages = false;
    struct guest *guest = crowd_connect();
    for (unsigned round = 0; round < 2; round++) {
        looked_at = 0;
        memset(text, '1', sizeof(text));
        text[PARTS - 1] = '.';
        for (size_t done = 0, size; done < PARTS; done += size) {
            size = 1 + unit_below(&chance, 300);
            size = size < PARTS - done ? size : PARTS - done;
            if (unit_below(&chance, 10) == 0)
                session_pause(guest->session);
            CU_ASSERT_EQUAL_FATAL(write(guest->peer, text + done, size), (ssize_t)size);
            run_turns(1);
            session_resume(guest->session);
            if (unit_below(&chance, 3) == 0)
                run_turns(1);
        }
        run_turns(3);
        CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_in), round + 1);
        CU_ASSERT(looked_at < PARTS + 10);
    }
    crowd_end();
}

static const struct unit_test tests[] = {
    {"framing and skip, split anywhere", test_framing},
    {"framing and skip from outside", test_framing_from_outside},
    {"nonsense is told from oversize", test_nonsense},
    {"measuring with progress is linear", test_progress},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("input", tests);
}
