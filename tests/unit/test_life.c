/*
 * The life of a worker and of its sessions' ends: start, tick, turn_end, stop; what `close` may do to others; draining;
 * and upstreams that the service closes.
 */
#include "tests/unit/crowd.h"
#include "worker/life.h"
#include "worker/upstream.h"

/* ---- start, tick, turn_end, stop ---- */

static struct listener_config configs[3];
static struct worker_socket sockets[4];
static struct listener array[4];
static const char *fails; /* name of the section that cannot start */
static unsigned ticks, turn_ends;

static int life_begins(struct section *section, char *error, size_t error_size)
{
    unsigned char *state = section_state(section);

    for (unsigned i = 0; i < 32; i++)
        CU_ASSERT_EQUAL(state[i], 0);
    memset(state, section_name(section)[0], 32);
    CU_ASSERT_PTR_EQUAL(section_config(section), &configs[section_name(section)[0] - 'x']);
    uint64_t turns = stats_read(&stats.turns);
    section_beat(section);
    CU_ASSERT_EQUAL(stats_read(&stats.turns), turns + 1);
    note("start:%s ", section_name(section));
    if (fails && strcmp(fails, section_name(section)) == 0) {
        if (fails[0] == 'y')
            snprintf(error, error_size, "because");
        return -1;
    }
    return 0;
}

static void life_ticks(struct section *section)
{
    CU_ASSERT_EQUAL(*(char *)section_state(section), section_name(section)[0]);
    ticks++;
    if (guests[0].session)
        session_send(guests[0].session, "t", 1);
}

static void life_turns(struct section *section)
{
    CU_ASSERT_EQUAL(*(char *)section_state(section), section_name(section)[0]);
    turn_ends++;
    if (guests[0].session)
        session_send(guests[0].session, "e", 1);
}

static void life_stops(struct section *section)
{
    CU_ASSERT_EQUAL(*(char *)section_state(section), section_name(section)[0]);
    note("stop:%s ", section_name(section));
}

/* Sections x, y (with two addresses) and z. */
static void begin_life(void)
{
    static const unsigned config_of[4] = {0, 1, 1, 2};

    crowd_begin(FRAMING_LINE);
    ticks = turn_ends = 0;
    fails = NULL;
    service.section_size = 32;
    service.start = life_begins;
    service.stop = life_stops;
    for (unsigned i = 0; i < 4; i++) {
        unsigned which = config_of[i];
        configs[which] = config;
        snprintf(configs[which].name, sizeof(config.name), "%c", (char)('x' + which));
        configs[which].service_config = &configs[which];
        sockets[i] = (struct worker_socket){.fd = -1, .listener = &configs[which]};
        array[i] = (struct listener){.all = &listeners};
        client_section_init(&array[i].section, &core, &configs[which], &stats.listeners[0]);
    }
    env.sockets = sockets;
    env.socket_count = 4;
    listeners.array = array;
    core.loop.reactor.now_ms = clock_now_ms();
}

static void end_life(void)
{
    env.socket_count = 0;
    crowd_end();
}

static void test_start_and_stop(void)
{
    char error[64] = "";

    begin_life();
    CU_ASSERT_EQUAL(life_start(&listeners, error, sizeof(error)), 0);
    CU_ASSERT_PTR_EQUAL(section_state(&array[1].section), section_state(&array[2].section));
    CU_ASSERT_PTR_NOT_EQUAL(section_state(&array[0].section), section_state(&array[1].section));
    life_stop(&listeners);
    crowd_trace("start:x start:y start:z stop:x stop:y stop:z ");
    end_life();

    for (unsigned i = 0; i < 2; i++) {
        begin_life();
        fails = i ? "z" : "y";
        error[0] = '\0';
        CU_ASSERT_EQUAL(life_start(&listeners, error, sizeof(error)), -1);
        CU_ASSERT_STRING_EQUAL(error, i ? "[listen z]: its service cannot start" : "because");
        crowd_trace(i ? "start:x start:y start:z stop:x stop:y " : "start:x start:y stop:x ");
        end_life();
    }
}

static bool more_ticks(void)
{
    skipped_ms += 4;
    return ticks >= got_wanted;
}

static void test_tick(void)
{
    char error[64] = "";

    begin_life();
    service.tick = life_ticks;
    service.tick_ms = 1000;
    config = configs[0];
    struct guest *guest = crowd_connect();
    uint64_t begin_ms = clock_now_ms();
    CU_ASSERT_EQUAL(life_start(&listeners, error, sizeof(error)), 0);
    got_wanted = 3 * 10;
    while (ticks < got_wanted)
        run_busily(more_ticks);
    uint64_t waited_ms = clock_now_ms() - begin_ms;
    CU_ASSERT(waited_ms >= 10 * 1000 && waited_ms < 12 * 1000);
    run_turns(1);
    crowd_receive(guest);
    CU_ASSERT_EQUAL(guest->got_size, 30);
    life_stop(&listeners);
    skipped_ms += 5000;
    run_turns(3);
    CU_ASSERT_EQUAL(ticks, got_wanted); /* no more after `stop` */
    end_life();
}

static void turn_with_end(struct reactor *reactor)
{
    life_end_turn(&listeners);
    world_after_batch(reactor);
}

static void test_turn_end(void)
{
    char error[64] = "";

    begin_life();
    service.turn_end = life_turns;
    config = configs[0];
    struct guest *guest = crowd_connect();
    CU_ASSERT_EQUAL(life_start(&listeners, error, sizeof(error)), 0);
    core.loop.reactor.after_batch = turn_with_end;
    crowd_say(guest, "a\nb\nc\n");
    sends = 0;
    run_turns(1);
    CU_ASSERT_EQUAL(turn_ends, 3); /* once for each section, not for each message or address */
    CU_ASSERT_EQUAL(sends, 1);
    crowd_got(guest, "eee");
    run_turns(4);
    CU_ASSERT_EQUAL(turn_ends, 15);
    life_stop(&listeners);
    end_life();
}

/* ---- what `close` does to others ---- */

static struct reply *place;
static const char much[1 << 16] = "";

static void close_others(struct session *session)
{
    struct session *other = guests[1].session;

    if (session != guests[0].session)
        return;
    session_send(other, "bye", 3);
    session_wake(other);
    if (guests[2].session)
        session_wake(guests[2].session);
    if (place)
        reply_end(place);
    while (other->client.phase == CONN_OPEN && config.max_output < sizeof(much))
        session_send(other, much, sizeof(much));
}

/* Others go on at once, with no sleep in between; and who has been ended by that is told and freed in the same pass. */
static void test_close_and_others(void)
{
    for (unsigned ends = 0; ends < 2; ends++) {
        crowd_begin(FRAMING_LINE);
        act.close = close_others;
        if (ends)
            config.max_output = config.high_water = config.low_water = 4096;
        for (unsigned i = 0; i < 3; i++)
            crowd_connect();
        place = session_reply(guests[2].session);
        session_send(guests[2].session, "behind", 6);
        session_end(guests[0].session, CLOSE_done);
        run_turns(1);
        CU_ASSERT(core.loop.reactor.hurry); /* the next turn does not sleep */
        run_turns(1);
        crowd_trace(ends ? "a:done b:overflow c:woken " : "a:done b:woken c:woken ");
        crowd_got(&guests[1], ends ? "" : "bye");
        crowd_got(&guests[2], "behind");
        CU_ASSERT_EQUAL(core.session_count, ends ? 1 : 2);
        place = NULL;
        session_end(guests[2].session, CLOSE_done);
        run_turns(1);
        CU_ASSERT_FALSE(core.loop.reactor.hurry);
        crowd_end();
    }

    crowd_begin(FRAMING_LINE); /* nobody is left to whom something is to be done */
    act.close = close_others;
    config.max_output = config.high_water = config.low_water = 4096;
    for (unsigned i = 0; i < 3; i++)
        crowd_connect();
    session_end(guests[2].session, CLOSE_done);
    run_turns(1);
    session_end(guests[0].session, CLOSE_done);
    run_turns(2);
    CU_ASSERT(is_over());
    CU_ASSERT_FALSE(core.loop.reactor.hurry);
    crowd_end();
}

/* ---- draining ---- */

static enum verdict drain_verdict;
static bool drain_ends_others;

static enum verdict say_goodbye(struct session *session)
{
    session_send(session, "1001", 4);
    if (drain_ends_others && session == guests[2].session)
        for (unsigned i = 0; i < guest_count; i++)
            if (guests[i].session && i % 2)
                session_end(guests[i].session, CLOSE_done);
    return drain_verdict;
}

static void begin_drain(bool quickly, uint32_t spread_ms)
{
    core.loop.reactor.now_ms = clock_now_ms();
    drain_begin(&core, quickly, spread_ms);
}

static void test_draining(void)
{
    for (unsigned i = 0; i < 8; i++) {
        bool quickly = i & 1, newcomer = i & 4;
        crowd_begin(FRAMING_LINE);
        service.draining = guest_draining;
        act.draining = say_goodbye;
        drain_verdict = i & 2 ? SESSION_CLOSE : SESSION_CONTINUE;
        struct guest *guest = crowd_connect();
        guest->session->got_input = !newcomer;
        begin_drain(quickly, 0);
        begin_drain(quickly, 0); /* said again */
        run_turns(SOON);
        crowd_got(guest, "1001");
        CU_ASSERT_EQUAL(guest->got_end, !newcomer || (i & 2));
        crowd_hang_up(guest);
        run_turns(SOON);
        CU_ASSERT(is_over());
        CU_ASSERT_EQUAL(strncmp(trace, "a:draining a:", 13), 0);
        CU_ASSERT_PTR_NULL(strstr(trace + 10, "draining"));
        crowd_end();
    }
}

/* All are told, though the first ones that are told end others. */
static void test_draining_ends_others(void)
{
    crowd_begin(FRAMING_LINE);
    service.draining = guest_draining;
    act.draining = say_goodbye;
    drain_verdict = SESSION_CONTINUE;
    drain_ends_others = true;
    for (unsigned i = 0; i < 4; i++)
        crowd_connect();
    begin_drain(false, 0);
    drain_ends_others = false;
    CU_ASSERT_PTR_NOT_NULL(strstr(trace, "a:draining"));
    CU_ASSERT_PTR_NOT_NULL(strstr(trace, "c:draining"));
    run_turns(2);
    CU_ASSERT_EQUAL(closes, 2);
    crowd_end();
}

/* 100 requests are under way when the worker is told to leave: 100 answers. Or, when the time is up, none. */
static void test_drain_answers(void)
{
    for (unsigned late = 0; late < 2; late++) {
        crowd_begin(FRAMING_LINE);
        act.message = keep_place;
        trace_messages = false;
        struct guest *guest = crowd_connect();
        char text[201] = "";
        for (unsigned i = 0; i < 100; i++)
            memcpy(text + 2 * i, "?\n", 3);
        crowd_say(guest, text);
        if (late)
            run_turns(SOON);
        guest->session->active_ms -= 5000;
        begin_drain(true, 0);
        run_turns(SOON);
        CU_ASSERT_EQUAL_FATAL(place_count, 100);
        CU_ASSERT_FALSE(crowd_got_end(guest));
        reply_send(places[99], "z", 1);
        reply_end(places[99]);
        if (late) {
            drain_close(&core);
            run_turns(SOON);
            CU_ASSERT_TRUE(crowd_got_end(guest));
            CU_ASSERT_PTR_NULL(reply_session(places[0]));
        }
        for (unsigned i = 0; i < 99; i++) {
            reply_send(places[i], "a", 1);
            reply_end(places[i]);
        }
        run_turns(SOON);
        CU_ASSERT_TRUE(crowd_got_end(guest));
        CU_ASSERT_EQUAL(guest->got_size, late ? 0 : 100);
        CU_ASSERT(late || guest->got[99] == 'z');
        crowd_hang_up(guest);
        run_turns(SOON);
        crowd_trace(late ? "a:drain " : "a:done ");
        crowd_end();
    }
}

/* A body that nobody wants is under way: that is not quiet. */
static void test_drain_skips(void)
{
    crowd_begin(FRAMING_LINE);
    struct guest *guest = crowd_connect();
    guest->session->got_input = true;
    session_skip(guest->session, 10);
    begin_drain(true, 0);
    crowd_say(guest, "12345");
    run_turns(SOON);
    CU_ASSERT_FALSE(crowd_got_end(guest));
    crowd_say(guest, "67890");
    run_turns(SOON);
    CU_ASSERT_TRUE(crowd_got_end(guest));
    crowd_end();
}

static const struct unit_test tests[] = {
    {"start and stop", test_start_and_stop},
    {"tick", test_tick},
    {"turn_end", test_turn_end},
    {"close acts on others", test_close_and_others},
    {"draining", test_draining},
    {"draining ends others", test_draining_ends_others},
    {"a drain answers first", test_drain_answers},
    {"a drain waits for a body", test_drain_skips},
    {NULL, NULL},
};

int main(void)
{
    return unit_main("life", tests);
}
