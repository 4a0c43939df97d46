/*
 * Constants and files: sent piece by piece, in order with everything else, each descriptor closed once, in every way a
 * session can end.
 */
#include "tests/unit/crowd.h"
#include "worker/reply.h"
#include <sys/mman.h>

enum { LARGE = 300 * 1000, FDS = 1024 };

/* ---- the kernel ---- */

static unsigned given[FDS], closed[FDS]; /* how often each descriptor was given away, and closed */

static void note_closed(int fd)
{
    if (fd >= 0 && fd < FDS && given[fd] > closed[fd])
        closed[fd]++;
}

/* ---- contents ---- */

static char content[LARGE];

/* A file that holds the first `size` bytes of `content`. */
static int make_file(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    CU_ASSERT_FATAL(fd >= 0 && fd < FDS);
    CU_ASSERT_EQUAL_FATAL(write(fd, content, size), (ssize_t)size);
    given[fd]++;
    return fd;
}

static void begin(void)
{
    unit_closing = note_closed;
    for (size_t i = 0; i < LARGE; i++)
        content[i] = (char)(i ^ i >> 8 ^ i >> 16);
    memset(given, 0, sizeof(given));
    memset(closed, 0, sizeof(closed));
    crowd_begin(FRAMING_LINE);
}

static void end(void)
{
    crowd_end();
    CU_ASSERT_EQUAL(memcmp(given, closed, sizeof(given)), 0);
}

static struct guest *watched;
static size_t wanted;

static bool has_all(void)
{
    crowd_receive(watched);
    return watched->got_size >= wanted || watched->got_end;
}

static bool has_end(void)
{
    return crowd_got_end(watched);
}

/* The client gets these pieces of text and (NULL) of content[from] onwards. */
static void expect(struct guest *guest, const char *text, size_t from, size_t size, const char *after)
{
    size_t text_size = strlen(text), after_size = strlen(after);

    watched = guest;
    wanted = text_size + size + after_size;
    CU_ASSERT(run_busily(has_all));
    CU_ASSERT_FATAL(guest->got_size >= wanted);
    CU_ASSERT_EQUAL(memcmp(guest->got, text, text_size), 0);
    CU_ASSERT_EQUAL(memcmp(guest->got + text_size, content + from, size), 0);
    CU_ASSERT_EQUAL(memcmp(guest->got + text_size + size, after, after_size), 0);
    guest->got_size -= wanted;
    memmove(guest->got, guest->got + wanted, guest->got_size);
}

static struct reply *place;

/* f: a file between two texts; c: a constant; r: a place; F: a file in a place; q: a file, then close */
static enum verdict serve(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    switch (bytes[0]) {
    case 'f':
    case 'q': session_send_file(session, make_file(LARGE), 100, LARGE - 100); break;
    case 'c': session_send_static(session, content, LARGE); break;
    case 's': session_send_file(session, make_file(10), 2, 4); break;
    case 'r': place = session_reply(session); break;
    case 'F':
        reply_send_file(place, make_file(LARGE), 0, LARGE);
        reply_end(place);
        break;
    default:;
    }
    session_send(session, "!", 1);
    return bytes[0] == 'q' ? SESSION_CLOSE : SESSION_CONTINUE;
}

static void test_large(void)
{
    begin();
    act.message = serve;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "f\n");
    expect(guest, "f", 100, LARGE - 100, "!");
    crowd_say(guest, "c\n");
    expect(guest, "c", 0, LARGE, "!");
    CU_ASSERT_EQUAL(session_queued(guest->session), 0);
    CU_ASSERT_FALSE(session_has_segments(guest->session));
    CU_ASSERT_EQUAL(guest->session->client.handler.events, EPOLLIN);
    end();
}

/* The kernel takes little at a time, the client reads when it likes, and max_output is less than a piece. */
static void test_slow_client(void)
{
    for (unsigned way = 0; way < 4; way++) {
        begin();
        act.message = serve;
        if (way & 1)
            config.max_output = config.high_water = config.low_water = 4096;
        struct guest *guest = crowd_connect();
        send_limit = way & 2 ? 1000 : 70001;
        crowd_say(guest, "f\nx\n");
        run_turns(10);
        expect(guest, "f", 100, LARGE - 100, "!x!");
        CU_ASSERT_PTR_NOT_NULL(guest->session);
        crowd_got(guest, "");
        end();
    }
}

/* What a callback sends while older output drains comes before the file that it sends next, also when it is cut. */
static enum verdict fill(struct session *session, const char *bytes, size_t size)
{
    (void)size;
    if (bytes[0] == 'a') {
        session_send(session, content, 500);
        return SESSION_CONTINUE;
    }
    send_limit = 200;
    session_send(session, content, 300);
    session_send_file(session, make_file(LARGE), 300, LARGE - 300);
    return SESSION_CONTINUE;
}

static void test_corked(void)
{
    begin();
    act.message = fill;
    config.high_water = config.low_water = 400;
    struct guest *guest = crowd_connect();
    send_limit = 0;
    crowd_say(guest, "a\nb\n");
    run_turns(SOON);
    crowd_trace("a[a] ");
    send_limit = 500;
    run_turns(2);
    send_limit = SIZE_MAX;
    crowd_receive(guest);
    CU_ASSERT_FATAL(guest->got_size > 500);
    guest->got_size -= 500;
    memmove(guest->got, guest->got + 500, guest->got_size);
    expect(guest, "", 0, LARGE, "");
    end();
}

static void test_places(void)
{
    begin();
    act.message = serve;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "r\nc\n");
    run_turns(SOON);
    crowd_got(guest, "r");
    reply_send_file(place, make_file(LARGE), 0, 1000);
    reply_send(place, "+", 1);
    reply_send_static(place, "-", 1);
    CU_ASSERT_EQUAL(session_queued(guest->session), 4);
    reply_end(place);
    expect(guest, "", 0, 1000, "+-!c");
    expect(guest, "", 0, LARGE, "!");
    crowd_say(guest, "r\nF\n");
    expect(guest, "r", 0, LARGE, "!F!");
    CU_ASSERT_EQUAL(guest->session->more->segment_count, 0);
    CU_ASSERT_EQUAL(guest->session->more->kept, 0);
    crowd_got(guest, "");
    end();
}

/* A client that asks for files and takes none is not asked for more. */
static void test_many(void)
{
    begin();
    act.message = serve;
    struct guest *guest = crowd_connect();
    char text[2 * 1000 + 1];
    for (unsigned i = 0; i < 1000; i++)
        memcpy(text + 2 * i, "s\n", 3);
    send_limit = 0;
    trace_messages = false;
    crowd_say(guest, text);
    run_turns(20);
    CU_ASSERT(guest->session->more->segment_count <= SESSION_SEGMENTS_MAX + 3);
    CU_ASSERT_EQUAL(guest->session->client.input, INPUT_PAUSED);
    send_limit = SIZE_MAX;
    watched = guest;
    wanted = 6 * 1000;
    CU_ASSERT(run_busily(has_all));
    for (unsigned i = 0; i < 6000; i += 6)
        CU_ASSERT(guest->got[i] == 's' && memcmp(guest->got + i + 1, content + 2, 4) == 0 && guest->got[i + 5] == '!');
    CU_ASSERT_EQUAL(guest->session->client.input, INPUT_ON);
    end();
}

/* What is sent behind a file is bounded, and counted as queued. */
static void test_bounded(void)
{
    begin();
    act.message = serve;
    config.max_output = 100000;
    config.high_water = config.low_water = 70000;
    struct guest *guest = crowd_connect();
    send_limit = 0;
    crowd_say(guest, "f\n");
    run_turns(SOON);
    size_t queued = session_queued(guest->session);
    session_send(guest->session, content, 10000);
    session_send_file(guest->session, make_file(10), 0, 10);
    session_send(guest->session, content, 10000);
    CU_ASSERT_EQUAL(session_queued(guest->session), queued + 20000);
    session_send_file(guest->session, make_file(10), 0, 10);
    session_send(guest->session, content, 81000);
    session_send_file(guest->session, make_file(10), 0, 10); /* of the dead */
    run_turns(SOON);
    CU_ASSERT(is_over());
    CU_ASSERT_EQUAL(count_closed(CLOSE_overflow), 1);
    end();
}

static void test_shorter(void)
{
    begin();
    act.message = serve;
    struct guest *guest = crowd_connect();
    log_set_level(LOG_LEVEL_FATAL);
    session_send_file(guest->session, make_file(1000), 500, 600);
    run_turns(SOON);
    CU_ASSERT(is_over());
    crowd_receive(guest);
    CU_ASSERT(guest->got_size <= 500);
    end();

    begin(); /* not a file at all */
    int pair[2];
    CU_ASSERT_EQUAL(pipe2(pair, 0), 0);
    given[pair[0]]++;
    guest = crowd_connect();
    session_send_file(guest->session, pair[0], 0, 10);
    run_turns(SOON);
    CU_ASSERT(is_over());
    close(pair[1]);
    log_set_level(LOG_LEVEL_INFO);
    end();
}

/* A file under way holds the end back: of a half-close, of a verdict, of a drain. */
static void test_end_waits(void)
{
    begin();
    act.message = serve;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "f\n");
    shutdown(guest->peer, SHUT_WR);
    expect(guest, "f", 100, LARGE - 100, "!");
    watched = guest;
    CU_ASSERT(run_until(has_end));
    crowd_trace("a[f] a:peer ");
    end();

    begin();
    act.message = serve;
    guest = crowd_connect();
    crowd_say(guest, "q\nf\n");
    expect(guest, "q", 100, LARGE - 100, "!");
    watched = guest;
    CU_ASSERT(run_until(has_end));
    crowd_hang_up(guest);
    CU_ASSERT(run_until(is_over));
    crowd_trace("a[q] a:done ");
    end();

    begin();
    act.message = serve;
    guest = crowd_connect();
    send_limit = 0;
    crowd_say(guest, "f\n");
    run_turns(SOON);
    guest->session->active_ms -= 5000;
    core.loop.reactor.now_ms = clock_now_ms();
    drain_begin(&core, true, 0);
    run_turns(SOON);
    crowd_trace("a[f] ");
    send_limit = SIZE_MAX;
    expect(guest, "f", 100, LARGE - 100, "!");
    watched = guest;
    CU_ASSERT(run_until(has_end));
    end();
}

static enum verdict after_it(struct session *session)
{
    session_send(session, "D", 1);
    return SESSION_CLOSE;
}

/* `drained` comes when the file is out, not before. */
static void test_drained(void)
{
    begin();
    act.message = serve;
    act.drained = after_it;
    service.drained = guest_drained;
    struct guest *guest = crowd_connect();
    crowd_say(guest, "f\n");
    expect(guest, "f", 100, LARGE - 100, "!D");
    crowd_trace("a[f] a:drained ");
    end();
}

static void send_late(struct session *session)
{
    session_send_file(session, make_file(10), 0, 10);
    session_send_static(session, content, LARGE);
    reply_send_file(place, make_file(10), 0, 10);
    reply_end(place);
}

/* The descriptor is closed once, wherever it is given away. */
static void test_descriptors(void)
{
    begin(); /* nothing of it, and in `close`, while another file is under way */
    act.message = serve;
    act.close = send_late;
    struct guest *guest = crowd_connect();
    session_send_file(guest->session, make_file(10), 0, 0);
    send_limit = 0;
    crowd_say(guest, "f\nr\n");
    run_turns(SOON);
    reply_send_file(place, make_file(10), 0, 0);
    session_send_file(guest->session, make_file(10), 0, 10);
    crowd_hang_up(guest);
    session_end(guest->session, CLOSE_reset);
    session_send_file(guest->session, make_file(10), 0, 10);
    reply_send_file(place, make_file(10), 0, 10);
    run_turns(SOON);
    CU_ASSERT(is_over());
    end();

    begin(); /* long after the end */
    guest = crowd_connect();
    struct reply *reply = session_reply(guest->session);
    session_end(guest->session, CLOSE_reset);
    run_turns(SOON);
    reply_send_file(reply, make_file(10), 0, 10);
    reply_end(reply);
    end();
}

static const struct unit_test tests[] = {
    {"larger than a piece", test_large},
    {"a slow client, and little room", test_slow_client},
    {"behind what is corked", test_corked},
    {"in and behind places of answers", test_places},
    {"many files at once", test_many},
    {"what waits behind a file is bounded", test_bounded},
    {"a file that is shorter", test_shorter},
    {"the end waits for a file", test_end_waits},
    {"drained after a file", test_drained},
    {"every descriptor is closed once", test_descriptors},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("segment", tests);
}
