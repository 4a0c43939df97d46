/*
 * The supervisor: every cell of its table, the waiting times, and what happens when nothing happens.
 */
#include "master/supervisor.h"
#include "tests/unit/unit.h"
#include <string.h>

#define S(name) SUPERVISOR_##name
#define E(name) SUPERVISOR_EVENT_##name
#define A(name) SUPERVISOR_ACT_##name

enum { NOW_MS = 1000000, ADOPT_MS = 250, WATCHDOG_MS = 5000, DRAIN_MS = 30000 };

#define NEVER UINT64_MAX

static const struct supervisor_patience patience = {
    .adopt_after_ms = ADOPT_MS, .watchdog_ms = WATCHDOG_MS, .drain_ms = DRAIN_MS};

/* ---- the table ---- */

/* What a first crash, and with it every cell, leads to. From the picture and the words in the header. */
static const struct {
    enum supervisor_state state;
    enum supervisor_event event;
    enum supervisor_action action;
    enum supervisor_state next;
} cells[] = {
    {S(EMPTY), E(START), A(SPAWN), S(STARTING)},
    {S(EMPTY), E(READY), A(BUG), S(EMPTY)},
    {S(EMPTY), E(BEAT), A(BUG), S(EMPTY)},
    {S(EMPTY), E(DUE), A(BUG), S(EMPTY)},
    {S(EMPTY), E(DIED), A(BUG), S(EMPTY)},
    {S(EMPTY), E(CRASHED), A(BUG), S(EMPTY)},
    {S(EMPTY), E(GAVE_UP), A(BUG), S(EMPTY)},
    {S(EMPTY), E(STOP), A(NONE), S(EMPTY)},
    {S(EMPTY), E(KILL), A(NONE), S(EMPTY)},
    {S(EMPTY), E(ERROR), A(BUG), S(EMPTY)},

    {S(STARTING), E(START), A(NONE), S(STARTING)},
    {S(STARTING), E(READY), A(NONE), S(RUNNING)},
    {S(STARTING), E(BEAT), A(NONE), S(STARTING)},
    {S(STARTING), E(DUE), A(NONE), S(SLOW)},
    {S(STARTING), E(DIED), A(SPAWN), S(STARTING)},
    {S(STARTING), E(CRASHED), A(SPAWN), S(STARTING)},
    {S(STARTING), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(STARTING), E(STOP), A(DRAIN), S(STOPPING)},
    {S(STARTING), E(KILL), A(KILL), S(ENDING)},
    {S(STARTING), E(ERROR), A(KILL), S(KILLED)},

    {S(SLOW), E(START), A(NONE), S(SLOW)},
    {S(SLOW), E(READY), A(NONE), S(RUNNING)},
    {S(SLOW), E(BEAT), A(NONE), S(SLOW)},
    {S(SLOW), E(DUE), A(ABORT), S(ABORTED)},
    {S(SLOW), E(DIED), A(SPAWN), S(SLOW)},
    {S(SLOW), E(CRASHED), A(SPAWN), S(SLOW)},
    {S(SLOW), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(SLOW), E(STOP), A(DRAIN), S(STOPPING)},
    {S(SLOW), E(KILL), A(KILL), S(ENDING)},
    {S(SLOW), E(ERROR), A(KILL), S(KILLED)},

    {S(RUNNING), E(START), A(NONE), S(RUNNING)},
    {S(RUNNING), E(READY), A(KILL), S(KILLED)},
    {S(RUNNING), E(BEAT), A(NONE), S(RUNNING)},
    {S(RUNNING), E(DUE), A(LOG_SILENT), S(SILENT)},
    {S(RUNNING), E(DIED), A(SPAWN), S(STARTING)},
    {S(RUNNING), E(CRASHED), A(SPAWN), S(STARTING)},
    {S(RUNNING), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(RUNNING), E(STOP), A(DRAIN), S(STOPPING)},
    {S(RUNNING), E(KILL), A(KILL), S(ENDING)},
    {S(RUNNING), E(ERROR), A(KILL), S(KILLED)},

    {S(SILENT), E(START), A(NONE), S(SILENT)},
    {S(SILENT), E(READY), A(KILL), S(KILLED)},
    {S(SILENT), E(BEAT), A(LOG_AWAKE), S(RUNNING)},
    {S(SILENT), E(DUE), A(ABORT), S(ABORTED)},
    {S(SILENT), E(DIED), A(SPAWN), S(SLOW)},
    {S(SILENT), E(CRASHED), A(SPAWN), S(SLOW)},
    {S(SILENT), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(SILENT), E(STOP), A(DRAIN), S(STOPPING)},
    {S(SILENT), E(KILL), A(KILL), S(ENDING)},
    {S(SILENT), E(ERROR), A(KILL), S(KILLED)},

    {S(ABORTED), E(START), A(NONE), S(ABORTED)},
    {S(ABORTED), E(READY), A(NONE), S(ABORTED)},
    {S(ABORTED), E(BEAT), A(NONE), S(ABORTED)},
    {S(ABORTED), E(DUE), A(KILL), S(KILLED)},
    {S(ABORTED), E(DIED), A(SPAWN), S(SLOW)},
    {S(ABORTED), E(CRASHED), A(SPAWN), S(SLOW)},
    {S(ABORTED), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(ABORTED), E(STOP), A(KILL), S(ENDING)}, /* it will not drain any more */
    {S(ABORTED), E(KILL), A(KILL), S(ENDING)},
    {S(ABORTED), E(ERROR), A(KILL), S(KILLED)},

    {S(KILLED), E(START), A(NONE), S(KILLED)},
    {S(KILLED), E(READY), A(NONE), S(KILLED)},
    {S(KILLED), E(BEAT), A(NONE), S(KILLED)},
    {S(KILLED), E(DUE), A(BUG), S(KILLED)},
    {S(KILLED), E(DIED), A(SPAWN), S(SLOW)},
    {S(KILLED), E(CRASHED), A(SPAWN), S(SLOW)},
    {S(KILLED), E(GAVE_UP), A(LOG_DOWN), S(DOWN)},
    {S(KILLED), E(STOP), A(NONE), S(ENDING)},
    {S(KILLED), E(KILL), A(NONE), S(ENDING)},
    {S(KILLED), E(ERROR), A(NONE), S(KILLED)},

    {S(BACKOFF), E(START), A(NONE), S(BACKOFF)},
    {S(BACKOFF), E(READY), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(BEAT), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(DUE), A(SPAWN), S(SLOW)},
    {S(BACKOFF), E(DIED), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(CRASHED), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(GAVE_UP), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(STOP), A(NONE), S(EMPTY)},
    {S(BACKOFF), E(KILL), A(NONE), S(EMPTY)},
    {S(BACKOFF), E(ERROR), A(BUG), S(BACKOFF)},

    {S(STOPPING), E(START), A(NONE), S(STOPPING)},
    {S(STOPPING), E(READY), A(NONE), S(STOPPING)},
    {S(STOPPING), E(BEAT), A(NONE), S(STOPPING)},
    {S(STOPPING), E(DUE), A(KILL), S(ENDING)},
    {S(STOPPING), E(DIED), A(NONE), S(EMPTY)},
    {S(STOPPING), E(CRASHED), A(NONE), S(EMPTY)},
    {S(STOPPING), E(GAVE_UP), A(NONE), S(EMPTY)},
    {S(STOPPING), E(STOP), A(NONE), S(STOPPING)},
    {S(STOPPING), E(KILL), A(KILL), S(ENDING)},
    {S(STOPPING), E(ERROR), A(KILL), S(ENDING)},

    {S(ENDING), E(START), A(NONE), S(ENDING)},
    {S(ENDING), E(READY), A(NONE), S(ENDING)},
    {S(ENDING), E(BEAT), A(NONE), S(ENDING)},
    {S(ENDING), E(DUE), A(BUG), S(ENDING)},
    {S(ENDING), E(DIED), A(NONE), S(EMPTY)},
    {S(ENDING), E(CRASHED), A(NONE), S(EMPTY)},
    {S(ENDING), E(GAVE_UP), A(NONE), S(EMPTY)},
    {S(ENDING), E(STOP), A(NONE), S(ENDING)},
    {S(ENDING), E(KILL), A(NONE), S(ENDING)},
    {S(ENDING), E(ERROR), A(NONE), S(ENDING)},

    {S(DOWN), E(START), A(SPAWN), S(SLOW)},
    {S(DOWN), E(READY), A(BUG), S(DOWN)},
    {S(DOWN), E(BEAT), A(BUG), S(DOWN)},
    {S(DOWN), E(DUE), A(BUG), S(DOWN)},
    {S(DOWN), E(DIED), A(BUG), S(DOWN)},
    {S(DOWN), E(CRASHED), A(BUG), S(DOWN)},
    {S(DOWN), E(GAVE_UP), A(BUG), S(DOWN)},
    {S(DOWN), E(STOP), A(NONE), S(EMPTY)},
    {S(DOWN), E(KILL), A(NONE), S(EMPTY)},
    {S(DOWN), E(ERROR), A(BUG), S(DOWN)},
};
enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void check_cell(unsigned i)
{
    const struct supervisor_slot before = {.state = cells[i].state, .since_ms = 5, .started_ms = NOW_MS - 100};
    struct supervisor_slot after = before;
    enum supervisor_action action = supervisor_handle(&after, cells[i].event, &patience, NOW_MS);

    if (action != cells[i].action || after.state != cells[i].next) {
        printf("\ncell %u (%s): action %u, state %s\n", i, supervisor_state_name(cells[i].state), (unsigned)action,
               supervisor_state_name(after.state));
        CU_FAIL("a cell of the table");
    }
    CU_ASSERT_EQUAL(after.since_ms, action == A(SPAWN) || cells[i].next != cells[i].state ? NOW_MS : 5);
    CU_ASSERT_EQUAL(after.started_ms, action == A(SPAWN) ? NOW_MS : NOW_MS - 100);
    if (action == A(BUG))
        CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof(before)), 0);
}

static void test_table(void)
{
    bool answered[SUPERVISOR_STATE_COUNT][SUPERVISOR_EVENT_COUNT] = {{false}};

    CU_ASSERT_EQUAL(CELLS, SUPERVISOR_STATE_COUNT * SUPERVISOR_EVENT_COUNT);
    for (unsigned i = 0; i < CELLS; i++) {
        CU_ASSERT_FALSE(answered[cells[i].state][cells[i].event]);
        answered[cells[i].state][cells[i].event] = true;
        check_cell(i);
    }
}

/* What the state means for the others. DUE is given only where something is waited for. */
static void test_states(void)
{
    static const struct {
        const char *name;
        bool alive, adopted;
    } states[] = {
        [S(EMPTY)] = {"empty", false, true},      [S(STARTING)] = {"starting", true, false},
        [S(SLOW)] = {"starting", true, true},     [S(RUNNING)] = {"ready", true, false},
        [S(SILENT)] = {"silent", true, true},     [S(ABORTED)] = {"aborted", true, true},
        [S(KILLED)] = {"killed", true, true},     [S(BACKOFF)] = {"backoff", false, true},
        [S(STOPPING)] = {"stopping", true, true}, [S(ENDING)] = {"ending", true, true},
        [S(DOWN)] = {"down", false, true},
    };

    for (unsigned i = 0; i < SUPERVISOR_STATE_COUNT; i++) {
        enum supervisor_state state = (enum supervisor_state)i;
        CU_ASSERT_STRING_EQUAL(supervisor_state_name(state), states[i].name);
        CU_ASSERT_EQUAL(supervisor_is_alive(state), states[i].alive);
        CU_ASSERT_EQUAL(supervisor_is_adopted(state), states[i].adopted);
    }
}

/* ---- a life, by a clock that the test turns ---- */

static struct supervisor_slot slot;
static uint64_t now_ms;

static enum supervisor_action give(enum supervisor_event event)
{
    return supervisor_handle(&slot, event, &patience, now_ms);
}

static void begin(void)
{
    slot = (struct supervisor_slot){.state = S(EMPTY)};
    now_ms = NOW_MS;
    CU_ASSERT_EQUAL(give(E(START)), A(SPAWN));
}

static void begin_running(void)
{
    begin();
    now_ms += 30;
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(RUNNING));
}

/* Nothing happens until `after_ms` have passed; then this does. */
static void expect_due(uint64_t after_ms, enum supervisor_action action, enum supervisor_state next)
{
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + after_ms);
    now_ms = slot.due_ms;
    CU_ASSERT_EQUAL(give(E(DUE)), action);
    CU_ASSERT_EQUAL(slot.state, next);
    CU_ASSERT_EQUAL(slot.since_ms, now_ms);
}

/* Beat every 100 ms, `count` times: nobody loses patience. */
static void beat(unsigned count)
{
    enum supervisor_state state = slot.state;

    for (unsigned i = 0; i < count; i++) {
        now_ms += 100;
        CU_ASSERT(slot.due_ms > now_ms);
        CU_ASSERT_EQUAL(give(E(BEAT)), A(NONE));
        CU_ASSERT_EQUAL(slot.state, state);
    }
}

static void test_hang(void)
{
    begin_running();
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + ADOPT_MS); /* READY is a sign of life */
    beat(1000);
    expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
    expect_due(WATCHDOG_MS - ADOPT_MS, A(ABORT), S(ABORTED));
    expect_due(SUPERVISOR_ABORT_MS, A(KILL), S(KILLED));
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
    now_ms += 3;
    CU_ASSERT_EQUAL(give(E(CRASHED)), A(SPAWN));
    CU_ASSERT_EQUAL(slot.state, S(SLOW)); /* its queues stay adopted until there is somebody */
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + WATCHDOG_MS);
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(RUNNING));
    beat(3);
}

/* Signs of life at the last moment. What else happens is none. */
static void test_last_moment(void)
{
    begin_running();
    for (unsigned i = 0; i < 5; i++) {
        now_ms += ADOPT_MS - 1;
        CU_ASSERT_EQUAL(give(E(BEAT)), A(NONE));
        CU_ASSERT_EQUAL(slot.due_ms, now_ms + ADOPT_MS);
    }
    now_ms += 100;
    CU_ASSERT_EQUAL(give(E(START)), A(NONE));
    expect_due(ADOPT_MS - 100, A(LOG_SILENT), S(SILENT));
    now_ms += 17;
    CU_ASSERT_EQUAL(give(E(START)), A(NONE));
    now_ms = slot.due_ms - 1;
    CU_ASSERT_EQUAL(give(E(BEAT)), A(LOG_AWAKE));
    CU_ASSERT_EQUAL(slot.state, S(RUNNING));
    beat(5);
    expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
    expect_due(WATCHDOG_MS - ADOPT_MS, A(ABORT), S(ABORTED));
}

/* Once it has been told to abort it is too late, whatever it says. */
static void test_too_late(void)
{
    begin_running();
    expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
    expect_due(WATCHDOG_MS - ADOPT_MS, A(ABORT), S(ABORTED));
    now_ms += 400;
    CU_ASSERT_EQUAL(give(E(BEAT)), A(NONE));
    expect_due(SUPERVISOR_ABORT_MS - 400, A(KILL), S(KILLED));
    CU_ASSERT_EQUAL(give(E(BEAT)), A(NONE));
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
}

/* A start may take its time, as long as it beats. Its siblings have its queues meanwhile. */
static void test_never_ready(void)
{
    begin();
    now_ms += 100;
    CU_ASSERT_EQUAL(give(E(BEAT)), A(NONE));
    expect_due(ADOPT_MS - 100, A(NONE), S(SLOW));
    beat(10 * WATCHDOG_MS / 100);
    CU_ASSERT_EQUAL(slot.state, S(SLOW));
    expect_due(WATCHDOG_MS, A(ABORT), S(ABORTED));
    CU_ASSERT_EQUAL(now_ms, slot.beat_ms + WATCHDOG_MS);
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    expect_due(SUPERVISOR_ABORT_MS, A(KILL), S(KILLED));
}

static void test_slow_start(void)
{
    begin();
    expect_due(ADOPT_MS, A(NONE), S(SLOW));
    now_ms = slot.due_ms - 1;
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(RUNNING));
    expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
}

/* ---- stopping ---- */

static void test_stop_in_time(void)
{
    begin_running();
    CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
    beat(50);
    CU_ASSERT_EQUAL(give(E(DIED)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(EMPTY));
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
    now_ms += 1000; /* and another life */
    CU_ASSERT_EQUAL(give(E(START)), A(SPAWN));
    CU_ASSERT_EQUAL(slot.state, S(STARTING));
    CU_ASSERT_EQUAL(slot.started_ms, now_ms);
    expect_due(ADOPT_MS, A(NONE), S(SLOW));
}

/* It drains as long as it may and a moment longer, and is told only once. */
static void test_stop_late(void)
{
    begin_running();
    uint64_t stop_ms = now_ms;
    CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
    beat(100);
    CU_ASSERT_EQUAL(give(E(STOP)), A(NONE));
    CU_ASSERT_EQUAL(give(E(START)), A(NONE));
    beat((DRAIN_MS + SUPERVISOR_GRACE_MS) / 100 - 101);
    expect_due(100, A(KILL), S(ENDING));
    CU_ASSERT_EQUAL(now_ms, stop_ms + DRAIN_MS + SUPERVISOR_GRACE_MS);
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
    CU_ASSERT_EQUAL(give(E(DIED)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(EMPTY));
}

/* It hangs while it drains. Its patience begins when it is told. */
static void test_stop_silent(void)
{
    begin_running();
    now_ms += 200;
    CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + WATCHDOG_MS);
    beat(30);
    expect_due(WATCHDOG_MS, A(KILL), S(ENDING));
}

/* Also who is silent when it is told, or not READY yet. */
static void test_stop_who_is_silent(void)
{
    begin_running();
    expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
    now_ms += 4000;
    CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
    expect_due(WATCHDOG_MS, A(KILL), S(ENDING));

    begin();
    CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
    now_ms += 1000;
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(STOPPING));
    expect_due(WATCHDOG_MS, A(KILL), S(ENDING));
}

static void test_short_drain(void)
{
    static const struct supervisor_patience none = {.adopt_after_ms = ADOPT_MS, .watchdog_ms = WATCHDOG_MS};

    begin_running();
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(STOP), &none, now_ms), A(DRAIN));
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + SUPERVISOR_GRACE_MS);
    now_ms += 10;
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(BEAT), &none, now_ms), A(NONE));
    expect_due(SUPERVISOR_GRACE_MS - 10, A(KILL), S(ENDING));
}

/* A new configuration counts from the next sign of life on. */
static void test_other_patience(void)
{
    static const struct supervisor_patience more = {.adopt_after_ms = 1000, .watchdog_ms = 60000};

    begin_running();
    now_ms += 50;
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(BEAT), &more, now_ms), A(NONE));
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + 1000);
    now_ms += 1000;
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(DUE), &more, now_ms), A(LOG_SILENT));
    CU_ASSERT_EQUAL(slot.due_ms, now_ms + 59000);
}

/* ---- waiting ---- */

/* Die in this way now; returns the wait until its replacement, which has then been started. */
static uint64_t replace_after(enum supervisor_event event)
{
    bool served = !supervisor_is_adopted(slot.state);
    enum supervisor_action action = supervisor_handle(&slot, event, &patience, now_ms);
    uint64_t wait_ms = 0;

    if (action != A(SPAWN)) {
        CU_ASSERT_EQUAL(action, A(WAIT));
        CU_ASSERT_EQUAL(slot.state, S(BACKOFF));
        CU_ASSERT(slot.due_ms > now_ms);
        wait_ms = slot.due_ms - now_ms;
        expect_due(wait_ms, A(SPAWN), S(SLOW));
        CU_ASSERT_EQUAL(slot.due_ms, now_ms + WATCHDOG_MS);
    } else {
        CU_ASSERT_EQUAL(slot.state, served ? S(STARTING) : S(SLOW));
        CU_ASSERT_EQUAL(slot.due_ms, now_ms + (served ? ADOPT_MS : WATCHDOG_MS));
    }
    CU_ASSERT_EQUAL(slot.started_ms, now_ms);
    return wait_ms;
}

static const uint64_t waits[] = {0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000};
enum { WAITS = sizeof(waits) / sizeof(waits[0]) };

static void test_backoff(void)
{
    for (unsigned ready = 0; ready < 2; ready++) {
        begin();
        for (unsigned i = 0; i < WAITS; i++) {
            if (ready)
                CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
            now_ms += 3;
            CU_ASSERT_EQUAL(replace_after(E(CRASHED)), waits[i]);
        }
    }
}

static void test_backoff_for_ever(void)
{
    begin();
    slot.crashes = 0x7fffffff;
    now_ms++;
    CU_ASSERT_EQUAL(replace_after(E(CRASHED)), 1000);
}

static void test_healthy_life(void)
{
    for (unsigned healthy = 0; healthy < 2; healthy++) {
        begin();
        for (unsigned i = 0; i < 5; i++) {
            now_ms++;
            replace_after(E(CRASHED));
        }
        CU_ASSERT_EQUAL(slot.crashes, 5);
        CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
        now_ms = slot.started_ms + SUPERVISOR_HEALTHY_MS - (healthy ? 0 : 1);
        CU_ASSERT_EQUAL(replace_after(E(CRASHED)), healthy ? 0 : waits[5]);
        CU_ASSERT_EQUAL(slot.crashes, healthy ? 1 : 6);
    }
}

/* Killed by somebody, silent or not: replaced at once, however often, and not held against it. */
static void test_not_its_fault(void)
{
    begin();
    for (unsigned i = 0; i < 3; i++)
        replace_after(E(CRASHED));
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
        if (i % 2)
            expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
        now_ms += SUPERVISOR_BRIEF_MS;
        CU_ASSERT_EQUAL(replace_after(E(DIED)), 0);
        CU_ASSERT_EQUAL(slot.crashes, 3);
    }
    CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
    now_ms++;
    CU_ASSERT_EQUAL(replace_after(E(CRASHED)), waits[3]);
}

/* But a life of a moment is a crash, whoever ends it: what kills it (the kernel, for want of memory) will do so again.
 */
static void test_brief_lives(void)
{
    begin();
    for (unsigned i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
        now_ms += SUPERVISOR_BRIEF_MS - 1;
        CU_ASSERT_EQUAL(replace_after(E(DIED)), waits[i]);
    }
}

/* Who was never READY has crashed, whatever killed it: a start that cannot succeed must not become a busy loop. */
static void test_killed_before_ready(void)
{
    begin();
    for (unsigned i = 0; i < WAITS; i++)
        CU_ASSERT_EQUAL(replace_after(E(DIED)), waits[i]);
}

/* One that hangs again and again, shortly after its start, is held back like one that crashes. */
static void test_hangs_again_and_again(void)
{
    begin();
    for (unsigned i = 0; i < WAITS; i++) {
        CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
        expect_due(ADOPT_MS, A(LOG_SILENT), S(SILENT));
        expect_due(WATCHDOG_MS - ADOPT_MS, A(ABORT), S(ABORTED));
        CU_ASSERT_EQUAL(replace_after(E(CRASHED)), waits[i]);
    }
}

static void test_stop_while_waiting(void)
{
    begin();
    replace_after(E(CRASHED));
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(CRASHED), &patience, now_ms), A(WAIT));
    CU_ASSERT_EQUAL(give(E(STOP)), A(NONE));
    CU_ASSERT_EQUAL(slot.state, S(EMPTY));
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
}

static void test_gave_up(void)
{
    begin();
    CU_ASSERT_EQUAL(give(E(GAVE_UP)), A(LOG_DOWN));
    CU_ASSERT_EQUAL(slot.due_ms, NEVER);
}

/* ---- the clock ---- */

enum { SLEEP_MS = 50 };

static void test_clock_goes(void)
{
    struct supervisor_clock clock = {0};

    for (uint64_t real_ms = NOW_MS; real_ms < NOW_MS + 100 * SLEEP_MS; real_ms += SLEEP_MS)
        CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms, SLEEP_MS), real_ms);
    uint64_t real_ms = clock.last_ms;
    CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms, SLEEP_MS), real_ms);             /* at the same time */
    CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms + 1, SLEEP_MS), real_ms + 1);     /* woken up early */
    CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms + 101, SLEEP_MS), real_ms + 101); /* a little late */
    CU_ASSERT_EQUAL(clock.lost_ms, 0);
    CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms + 9000, 9000), real_ms + 9000); /* as long as was wanted */
}

/* What is lost stays lost, however many times. */
static void test_clock_stands(void)
{
    struct supervisor_clock clock = {0};
    uint64_t real_ms = NOW_MS, lost_ms = 0;

    CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms, 0), real_ms);
    for (unsigned pause_ms = 1000; pause_ms < 100000000; pause_ms *= 10) {
        uint64_t before_ms = real_ms - lost_ms;
        real_ms += pause_ms;
        uint64_t after_ms = supervisor_clock_now(&clock, real_ms, SLEEP_MS);
        CU_ASSERT(after_ms >= before_ms && after_ms - before_ms < ADOPT_MS);
        lost_ms = real_ms - after_ms;
        for (unsigned i = 0; i < 10; i++) {
            real_ms += SLEEP_MS;
            CU_ASSERT_EQUAL(supervisor_clock_now(&clock, real_ms, SLEEP_MS), real_ms - lost_ms);
        }
    }
}

/* Never backwards, and no faster than time. */
static void test_clock_by_chance(void)
{
    struct supervisor_clock clock = {0};
    uint64_t seed = 7, real_ms = 1, before_ms = supervisor_clock_now(&clock, real_ms, 0);

    for (unsigned i = 0; i < 100000; i++) {
        uint32_t sleep_ms = (uint32_t)unit_below(&seed, 1000);
        uint64_t step_ms = unit_below(&seed, 10) ? unit_below(&seed, 1000) : unit_below(&seed, 1000000);
        real_ms += step_ms;
        uint64_t after_ms = supervisor_clock_now(&clock, real_ms, sleep_ms);
        CU_ASSERT(after_ms >= before_ms && after_ms - before_ms <= step_ms);
        CU_ASSERT(step_ms > sleep_ms || after_ms - before_ms == step_ms);
        before_ms = after_ms;
    }
}

/* The master is stopped for an hour, with workers in all states of being watched: nobody is late when it is back. */
static void test_pause_pushes_deadlines(void)
{
    static const enum supervisor_state states[] = {S(STARTING), S(SLOW),    S(RUNNING),
                                                   S(SILENT),   S(ABORTED), S(STOPPING)};
    enum { COUNT = sizeof(states) / sizeof(states[0]), HOUR_MS = 3600 * 1000 };

    for (unsigned i = 0; i < COUNT; i++) {
        struct supervisor_clock clock = {0};
        uint64_t real_ms = NOW_MS, due_real_ms = 0;
        begin();
        now_ms = supervisor_clock_now(&clock, real_ms, SLEEP_MS);
        slot.started_ms = slot.beat_ms = now_ms;
        if (states[i] == S(SLOW))
            CU_ASSERT_EQUAL(give(E(DUE)), A(NONE));
        if (states[i] == S(RUNNING) || states[i] == S(SILENT) || states[i] == S(ABORTED) || states[i] == S(STOPPING))
            CU_ASSERT_EQUAL(give(E(READY)), A(NONE));
        if (states[i] == S(SILENT) || states[i] == S(ABORTED))
            CU_ASSERT_EQUAL(give(E(DUE)), A(LOG_SILENT));
        if (states[i] == S(ABORTED))
            CU_ASSERT_EQUAL(give(E(DUE)), A(ABORT));
        if (states[i] == S(STOPPING))
            CU_ASSERT_EQUAL(give(E(STOP)), A(DRAIN));
        CU_ASSERT_EQUAL_FATAL(slot.state, states[i]);
        uint64_t patience_ms = slot.due_ms - now_ms;
        real_ms += HOUR_MS;
        now_ms = supervisor_clock_now(&clock, real_ms, SLEEP_MS);
        CU_ASSERT(slot.due_ms > now_ms);
        for (; due_real_ms == 0 && real_ms < NOW_MS + 2 * HOUR_MS; real_ms += SLEEP_MS) {
            now_ms = supervisor_clock_now(&clock, real_ms, SLEEP_MS);
            due_real_ms = now_ms >= slot.due_ms ? real_ms : 0; /* it does come */
        }
        CU_ASSERT(due_real_ms >= NOW_MS + HOUR_MS + patience_ms - 200);
        CU_ASSERT(due_real_ms <= NOW_MS + HOUR_MS + patience_ms + SLEEP_MS);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"table", test_table},
        {"states", test_states},
        {"hang", test_hang},
        {"last moment", test_last_moment},
        {"too late", test_too_late},
        {"never ready", test_never_ready},
        {"slow start", test_slow_start},
        {"stop in time", test_stop_in_time},
        {"stop late", test_stop_late},
        {"stop silent", test_stop_silent},
        {"stop who is silent", test_stop_who_is_silent},
        {"short drain", test_short_drain},
        {"other patience", test_other_patience},
        {"backoff", test_backoff},
        {"backoff for ever", test_backoff_for_ever},
        {"healthy life", test_healthy_life},
        {"not its fault", test_not_its_fault},
        {"brief lives", test_brief_lives},
        {"killed before ready", test_killed_before_ready},
        {"hangs again and again", test_hangs_again_and_again},
        {"stop while waiting", test_stop_while_waiting},
        {"gave up", test_gave_up},
        {"the clock goes", test_clock_goes},
        {"the clock stands", test_clock_stands},
        {"the clock by chance", test_clock_by_chance},
        {"a pause pushes deadlines", test_pause_pushes_deadlines},
        {0},
    };
    return unit_main("supervisor", tests);
}
