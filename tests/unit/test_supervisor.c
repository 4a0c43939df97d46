/*
 * The supervisor: every cell of its table, and the waiting times.
 */
#include "master/supervisor.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

#define S(name) SUPERVISOR_##name
#define E(name) SUPERVISOR_EVENT_##name
#define A(name) SUPERVISOR_ACT_##name

enum { NOW_MS = 1000000 };

/* What a first crash, and with it every cell, leads to. From the picture and the words in the header. */
static const struct {
    enum supervisor_state state;
    enum supervisor_event event;
    enum supervisor_action action;
    enum supervisor_state next;
} cells[] = {
    {S(EMPTY), E(START), A(SPAWN), S(STARTING)},   {S(EMPTY), E(READY), A(BUG), S(EMPTY)},
    {S(EMPTY), E(DIED), A(BUG), S(EMPTY)},         {S(EMPTY), E(GAVE_UP), A(BUG), S(EMPTY)},
    {S(EMPTY), E(RETRY), A(BUG), S(EMPTY)},        {S(EMPTY), E(STOP), A(NONE), S(EMPTY)},

    {S(STARTING), E(START), A(NONE), S(STARTING)}, {S(STARTING), E(READY), A(NONE), S(RUNNING)},
    {S(STARTING), E(DIED), A(SPAWN), S(STARTING)}, {S(STARTING), E(GAVE_UP), A(TELL_DOWN), S(DOWN)},
    {S(STARTING), E(RETRY), A(BUG), S(STARTING)},  {S(STARTING), E(STOP), A(DRAIN), S(STOPPING)},

    {S(RUNNING), E(START), A(NONE), S(RUNNING)},   {S(RUNNING), E(READY), A(BUG), S(RUNNING)},
    {S(RUNNING), E(DIED), A(SPAWN), S(STARTING)},  {S(RUNNING), E(GAVE_UP), A(TELL_DOWN), S(DOWN)},
    {S(RUNNING), E(RETRY), A(BUG), S(RUNNING)},    {S(RUNNING), E(STOP), A(DRAIN), S(STOPPING)},

    {S(BACKOFF), E(START), A(NONE), S(BACKOFF)},   {S(BACKOFF), E(READY), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(DIED), A(BUG), S(BACKOFF)},     {S(BACKOFF), E(GAVE_UP), A(BUG), S(BACKOFF)},
    {S(BACKOFF), E(RETRY), A(SPAWN), S(STARTING)}, {S(BACKOFF), E(STOP), A(NONE), S(EMPTY)},

    {S(STOPPING), E(START), A(NONE), S(STOPPING)}, {S(STOPPING), E(READY), A(NONE), S(STOPPING)},
    {S(STOPPING), E(DIED), A(NONE), S(EMPTY)},     {S(STOPPING), E(GAVE_UP), A(NONE), S(EMPTY)},
    {S(STOPPING), E(RETRY), A(BUG), S(STOPPING)},  {S(STOPPING), E(STOP), A(NONE), S(STOPPING)},

    {S(DOWN), E(START), A(NONE), S(DOWN)},         {S(DOWN), E(READY), A(BUG), S(DOWN)},
    {S(DOWN), E(DIED), A(BUG), S(DOWN)},           {S(DOWN), E(GAVE_UP), A(BUG), S(DOWN)},
    {S(DOWN), E(RETRY), A(BUG), S(DOWN)},          {S(DOWN), E(STOP), A(NONE), S(EMPTY)},
};
enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void check_cell(unsigned i)
{
    struct supervisor_slot slot = {.state = cells[i].state, .since_ms = 5, .started_ms = NOW_MS - 100};
    enum supervisor_action action = supervisor_handle(&slot, cells[i].event, true, NOW_MS);

    if (action != cells[i].action || slot.state != cells[i].next) {
        printf("\ncell %u (%s): action %u, state %s\n", i, supervisor_state_name(cells[i].state), (unsigned)action,
               supervisor_state_name(slot.state));
        CU_FAIL("a cell of the table");
    }
    CU_ASSERT_EQUAL(slot.since_ms, action == A(SPAWN) || cells[i].next != cells[i].state ? NOW_MS : 5);
    CU_ASSERT_EQUAL(slot.started_ms, action == A(SPAWN) ? NOW_MS : NOW_MS - 100);
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

/* Crash at `now_ms`; returns the wait until its replacement, which has then been started. */
static uint64_t crash(struct supervisor_slot *slot, bool own_fault, uint64_t now_ms)
{
    enum supervisor_action action = supervisor_handle(slot, E(DIED), own_fault, now_ms);

    CU_ASSERT(slot->retry_ms >= now_ms || action == A(SPAWN));
    if (action == A(SPAWN)) {
        CU_ASSERT_EQUAL(slot->state, S(STARTING));
        return 0;
    }
    CU_ASSERT_EQUAL(action, A(WAIT));
    CU_ASSERT_EQUAL(slot->state, S(BACKOFF));
    uint64_t wait_ms = slot->retry_ms - now_ms;
    CU_ASSERT_EQUAL(supervisor_handle(slot, E(RETRY), false, slot->retry_ms), A(SPAWN));
    CU_ASSERT_EQUAL(slot->state, S(STARTING));
    return wait_ms;
}

static const uint64_t waits[] = {0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000};
enum { WAITS = sizeof(waits) / sizeof(waits[0]) };

static void test_backoff(void)
{
    for (unsigned ready = 0; ready < 2; ready++) {
        struct supervisor_slot slot = {0};
        uint64_t now_ms = NOW_MS;
        CU_ASSERT_EQUAL(supervisor_handle(&slot, E(START), false, now_ms), A(SPAWN));
        for (unsigned i = 0; i < WAITS; i++) {
            if (ready)
                CU_ASSERT_EQUAL(supervisor_handle(&slot, E(READY), false, now_ms), A(NONE));
            now_ms += 3;
            uint64_t wait_ms = crash(&slot, true, now_ms);
            CU_ASSERT_EQUAL(wait_ms, waits[i]);
            now_ms += wait_ms;
        }
    }
}

static void test_backoff_for_ever(void)
{
    struct supervisor_slot slot = {.state = S(STARTING), .started_ms = NOW_MS, .crashes = 0x7fffffff};

    CU_ASSERT_EQUAL(crash(&slot, true, NOW_MS + 1), 1000);
}

static void test_healthy_life(void)
{
    for (unsigned healthy = 0; healthy < 2; healthy++) {
        struct supervisor_slot slot = {.state = S(STARTING), .started_ms = NOW_MS};
        uint64_t now_ms = NOW_MS;
        for (unsigned i = 0; i < 5; i++)
            now_ms += crash(&slot, true, now_ms + 1) + 1;
        CU_ASSERT_EQUAL(slot.crashes, 5);
        CU_ASSERT_EQUAL(supervisor_handle(&slot, E(READY), false, now_ms), A(NONE));
        now_ms = slot.started_ms + SUPERVISOR_HEALTHY_MS - (healthy ? 0 : 1);
        CU_ASSERT_EQUAL(crash(&slot, true, now_ms), healthy ? 0 : waits[5]);
        CU_ASSERT_EQUAL(slot.crashes, healthy ? 1 : 6);
    }
}

/* Killed by somebody: replaced at once, however often, and not held against it. */
static void test_not_its_fault(void)
{
    struct supervisor_slot slot = {.state = S(STARTING), .started_ms = NOW_MS};
    uint64_t now_ms = NOW_MS;

    for (unsigned i = 0; i < 3; i++)
        now_ms += crash(&slot, true, now_ms);
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(supervisor_handle(&slot, E(READY), false, now_ms), A(NONE));
        CU_ASSERT_EQUAL(crash(&slot, false, ++now_ms), 0);
        CU_ASSERT_EQUAL(slot.crashes, 3);
    }
    CU_ASSERT_EQUAL(supervisor_handle(&slot, E(READY), false, now_ms), A(NONE));
    CU_ASSERT_EQUAL(crash(&slot, true, now_ms + 1), waits[3]);
}

/* Who was never READY has crashed, whatever killed it: a start that cannot succeed must not become a busy loop. */
static void test_killed_before_ready(void)
{
    struct supervisor_slot slot = {.state = S(STARTING), .started_ms = NOW_MS};
    uint64_t now_ms = NOW_MS;

    for (unsigned i = 0; i < WAITS; i++) {
        uint64_t wait_ms = crash(&slot, false, now_ms);
        CU_ASSERT_EQUAL(wait_ms, waits[i]);
        now_ms += wait_ms;
    }
}

static void test_names(void)
{
    CU_ASSERT_STRING_EQUAL(supervisor_state_name(S(EMPTY)), "empty");
    CU_ASSERT_STRING_EQUAL(supervisor_state_name(S(RUNNING)), "ready");
    CU_ASSERT_STRING_EQUAL(supervisor_state_name(S(DOWN)), "down");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"table", test_table},
        {"backoff", test_backoff},
        {"backoff for ever", test_backoff_for_ever},
        {"healthy life", test_healthy_life},
        {"not its fault", test_not_its_fault},
        {"killed before ready", test_killed_before_ready},
        {"names", test_names},
        {0},
    };
    return unit_main("supervisor", tests);
}
