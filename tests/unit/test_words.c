/*
 * What master and worker have to say to each other while the control pipe is full: it is said when there is room again,
 * once, in the right order.
 */
#include "master/slot_words.h"
#include "tests/unit/unit.h"
#include "worker/words.h"
#include <string.h>

enum { NOW_MS = 1000000 };

static int fds[2]; /* the master's end, the worker's */
static unsigned filled[2];

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_open(fds), 0);
    memset(filled, 0, sizeof(filled));
}

static void end(void)
{
    close(fds[0]);
    close(fds[1]);
}

static void fill(unsigned side)
{
    while (channel_send(fds[side], CHANNEL_TYPES - 1, 4711) == CHANNEL_OK)
        filled[side]++;
    CU_ASSERT_FATAL(filled[side] > 0);
}

/* Read away what filled the pipe from this side. */
static void empty(unsigned side)
{
    struct channel_message message;

    for (; filled[side] > 0; filled[side]--) {
        CU_ASSERT_EQUAL(channel_receive(fds[1 - side], &message, NULL), CHANNEL_OK);
        CU_ASSERT_EQUAL(message.value, 4711);
    }
}

static void expect(unsigned side, enum channel_type type, uint32_t value)
{
    struct channel_message message;

    CU_ASSERT_EQUAL_FATAL(channel_receive(fds[1 - side], &message, NULL), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.type, type);
    CU_ASSERT_EQUAL(message.value, value);
}

static void expect_nothing(unsigned side)
{
    struct channel_message message;

    CU_ASSERT_EQUAL(channel_receive(fds[1 - side], &message, NULL), CHANNEL_AGAIN);
}

/* ---- the worker's ---- */

static void test_worker(void)
{
    struct words words = {.ready = true, .leaving = true, .shutdown = true};
    uint64_t now_ms = NOW_MS;

    begin();
    fill(1);
    words.operator_asks = true;
    words_miss(&words, 1000);
    words_miss(&words, 7);
    words_miss(&words, 7);
    for (unsigned i = 0; i < 100; i++)
        words_send(&words, fds[1], now_ms++);
    empty(1);
    expect_nothing(1);
    words_send(&words, fds[1], now_ms + 100);
    expect(1, CHANNEL_READY, 0);
    expect(1, CHANNEL_LEAVING, 1);
    expect(1, CHANNEL_SHUTDOWN, 0);
    expect(1, CHANNEL_MISSED, 7);
    expect(1, CHANNEL_MISSED, 1000);
    words_send(&words, fds[1], now_ms + 1000);
    expect_nothing(1);
    end();
}

/* There is room for the first word only: the others come after it. */
static void test_little_room(void)
{
    struct words words = {.ready = true, .leaving = true};
    struct channel_message message;

    begin();
    fill(1);
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_OK);
    filled[1]--;
    words_send(&words, fds[1], NOW_MS);
    CU_ASSERT(!words.ready && words.leaving);
    empty(1);
    expect(1, CHANNEL_READY, 0);
    words_send(&words, fds[1], NOW_MS + 1000);
    expect(1, CHANNEL_LEAVING, 0);
    expect_nothing(1);
    end();
}

/* However many clients ask for it. */
static void test_shutdowns(void)
{
    struct words words = {0};
    struct channel_message message;
    unsigned count = 0;

    begin();
    for (uint64_t now_ms = NOW_MS; now_ms < NOW_MS + 1000; now_ms++) {
        words.shutdown = true;
        words_send(&words, fds[1], now_ms);
        while (channel_receive(fds[0], &message, NULL) == CHANNEL_OK)
            count++;
    }
    CU_ASSERT_EQUAL(count, 10);
    end();
}

/* A master that is gone need not be told anything. */
static void test_no_master(void)
{
    struct words words = {.ready = true, .leaving = true, .shutdown = true};

    begin();
    close(fds[0]);
    words_miss(&words, 3);
    words_miss(&words, UINT32_MAX);
    words_send(&words, fds[1], NOW_MS);
    CU_ASSERT(!words.ready && !words.leaving && !words.shutdown && words.missed_count == 0);
    close(fds[1]);
}

/* ---- the master's ---- */

static struct slot_context context = {.now_ms = NOW_MS};
static const struct pool_config pool_config = {
    .name = "main", .adopt_after_ms = 250, .watchdog_timeout_ms = 3600000, .drain_timeout_ms = 30000};
static const struct pool pool = {.config = &pool_config};

static struct slot *begin_slot(void)
{
    struct slot *slot = slot_new(3, 1, &pool, RESPAWN_none);

    CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
    begin();
    slot->channel = fds[0];
    slot->supervised = (struct supervisor_slot){.state = SUPERVISOR_RUNNING, .due_ms = UINT64_MAX};
    context.now_ms = NOW_MS;
    context.for_good = false;
    return slot;
}

static void end_slot(struct slot *slot)
{
    slot_free(slot); /* and the master's end */
    close(fds[1]);
}

static void say_everything(struct slot *slot)
{
    slot_send_refuse(&context, slot, 900);
    slot_send_refuse(&context, slot, 5);
    slot_send_refuse(&context, slot, 900);
    slot_handle(&context, slot, SUPERVISOR_EVENT_STOP);
    slot_send_reopen_log(&context, slot);
    slot_send_reopen_log(&context, slot);
}

static void test_master(void)
{
    struct slot *slot = begin_slot();

    fill(0);
    say_everything(slot);
    for (unsigned i = 0; i < 20; i++)
        slot_tick(&context, slot);
    empty(0);
    expect_nothing(0);
    context.now_ms += 1200;
    slot_tick(&context, slot);
    expect(0, CHANNEL_REOPEN_LOG, 0);
    expect(0, CHANNEL_REFUSE, 5); /* before it drains, which is when it counts */
    expect(0, CHANNEL_REFUSE, 900);
    expect(0, CHANNEL_DRAIN, 30000 - 1200); /* until the same moment as if it had been told in time */
    slot_tick(&context, slot);
    expect_nothing(0);
    end_slot(slot);
}

static void test_room_for_one(void)
{
    struct slot *slot = begin_slot();
    struct channel_message message;

    fill(0);
    say_everything(slot);
    for (unsigned left = 4; left > 0; left--) {
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK);
        filled[0]--;
        slot_tick(&context, slot);
    }
    empty(0);
    expect(0, CHANNEL_REOPEN_LOG, 0);
    expect(0, CHANNEL_REFUSE, 5);
    expect(0, CHANNEL_REFUSE, 900);
    expect(0, CHANNEL_DRAIN, 30000);
    expect_nothing(0);
    end_slot(slot);
}

static void test_stop(void)
{
    struct slot *slot = begin_slot();

    fill(0);
    context.for_good = true;
    slot_handle(&context, slot, SUPERVISOR_EVENT_STOP);
    context.now_ms += 30500; /* later than it was to have drained: at once, then */
    empty(0);
    slot_tick(&context, slot);
    expect(0, CHANNEL_STOP, 0);
    expect_nothing(0);
    end_slot(slot);
}

/* A process that is gone is not told, and nothing is kept for the next one. */
static void test_no_worker(void)
{
    struct slot *slot = begin_slot();

    fill(0);
    say_everything(slot);
    close(fds[1]);
    slot_tick(&context, slot);
    CU_ASSERT(!slot->words.drain && !slot->words.reopen_log && slot->words.removed_count == 0);
    slot_close_channel(slot);
    slot_send_refuse(&context, slot, 1);
    slot_send_reopen_log(&context, slot);
    CU_ASSERT(!slot->words.reopen_log && slot->words.removed_count == 0);
    CU_ASSERT(slot_send(slot, CHANNEL_RELEASE, 0));
    slot_free(slot);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"worker", test_worker},       {"little room", test_little_room}, {"shutdowns", test_shutdowns},
        {"no master", test_no_master}, {"master", test_master},           {"room for one", test_room_for_one},
        {"stop", test_stop},           {"no worker", test_no_worker},     {0},
    };
    return unit_main("words", tests);
}
