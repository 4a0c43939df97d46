/*
 * The timer wheel under a clock of our own.
 */
#include "tests/unit/unit.h"
#include "worker/core/timer.h"
#include <string.h>

enum { START_MS = 1234567, FARTHEST_MS = 1100000, MANY = 64 };

struct alarm {
    struct timer timer; /* first: `expired` gets the alarm from it */
    uint64_t due_ms;
    uint64_t last_tick; /* by the run at this tick it must have gone off */
    unsigned count;     /* how often it has */
    void (*then)(struct timer_wheel *wheel, struct alarm *alarm);
    struct alarm *other;
};

static struct timer_wheel wheel;
static uint64_t now_ms;
static struct alarm alarms[MANY];

static void expired(struct timer_wheel *of, struct timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;

    CU_ASSERT_PTR_EQUAL(of, &wheel);
    CU_ASSERT_EQUAL(timer->due_ms, 0);
    CU_ASSERT(alarm->due_ms != 0);
    CU_ASSERT(alarm->due_ms <= now_ms);
    alarm->due_ms = 0;
    alarm->count++;
    if (alarm->then)
        alarm->then(of, alarm);
}

static void begin(void)
{
    memset(alarms, 0, sizeof(alarms));
    now_ms = START_MS;
    timer_init(&wheel, now_ms);
    for (unsigned i = 0; i < MANY; i++)
        alarms[i].timer.expired = expired;
}

static void set(struct alarm *alarm, uint64_t due_ms)
{
    uint64_t tick = (due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
    uint64_t next = now_ms / TIMER_TICK_MS + 1;

    alarm->due_ms = due_ms;
    alarm->last_tick = tick > next ? tick : next;
    timer_set(&wheel, &alarm->timer, due_ms);
}

static void clear(struct alarm *alarm)
{
    alarm->due_ms = 0;
    timer_clear(&alarm->timer);
}

/* What the wheel says about its next work fits what is filed. */
static void check_wait(void)
{
    int wait = timer_wait(&wheel, now_ms, 100);

    CU_ASSERT(wait >= 0 && wait <= 100);
    for (unsigned i = 0; i < MANY; i++)
        if (alarms[i].due_ms && now_ms + (unsigned)wait > alarms[i].last_tick * TIMER_TICK_MS) {
            CU_FAIL("it would sleep past a due timer");
            return;
        }
}

/* Time goes on to `ms`, in one step. Whatever had to go off has. */
static void run_at(uint64_t ms)
{
    now_ms = ms;
    timer_run(&wheel, now_ms);
    for (unsigned i = 0; i < MANY; i++)
        if (alarms[i].due_ms && alarms[i].last_tick <= now_ms / TIMER_TICK_MS) {
            CU_FAIL("a timer is late");
            return;
        }
    check_wait();
}

static void run_every_ms(uint64_t until_ms)
{
    while (now_ms < until_ms)
        run_at(now_ms + 1);
}

static const uint64_t distances[] = {
    1,      7,      8,      9,      100,    255,    256,    257,     1999,    2039,    2040,
    2041,   2047,   2048,   2049,   2056,   3000,   4096,   10000,   60000,   120000,  521000,
    522240, 524287, 524288, 524289, 524296, 530000, 600000, 1000000, 1048576, 1100000,
};
enum { DISTANCES = sizeof(distances) / sizeof(distances[0]) };

/* Whatever the distance and wherever the clock stands in its lap: on time, once. */
static void test_on_time(void)
{
    for (unsigned offset = 0; offset < 3; offset++) {
        begin();
        run_every_ms(START_MS + offset * 1003);
        for (unsigned i = 0; i < DISTANCES; i++)
            set(&alarms[i], now_ms + distances[i]);
        run_every_ms(now_ms + FARTHEST_MS + TIMER_TICK_MS);
        for (unsigned i = 0; i < DISTANCES; i++)
            CU_ASSERT_EQUAL(alarms[i].count, 1);
    }
}

/* A sleeper that wakes when it is told to is on time too, and wakes seldom. */
static void test_sleeper(void)
{
    unsigned turns = 0;

    begin();
    for (unsigned i = 0; i < DISTANCES; i++)
        set(&alarms[i], now_ms + distances[i]);
    for (uint64_t end = now_ms + FARTHEST_MS + TIMER_TICK_MS; now_ms < end; turns++) {
        int wait = timer_wait(&wheel, now_ms, 100);
        run_at(now_ms + (wait > 0 ? (unsigned)wait : 1));
    }
    for (unsigned i = 0; i < DISTANCES; i++)
        CU_ASSERT_EQUAL(alarms[i].count, 1);
    CU_ASSERT(turns < FARTHEST_MS / 80);
}

static void test_nothing_to_do(void)
{
    unsigned turns = 0;

    begin();
    for (uint64_t end = now_ms + 600000; now_ms < end; turns++) {
        int wait = timer_wait(&wheel, now_ms, 100);
        CU_ASSERT(wait > 0);
        run_at(now_ms + (wait > 0 ? (unsigned)wait : 1));
    }
    CU_ASSERT(turns < 600000 / 80);
    CU_ASSERT(timer_wait(&wheel, now_ms, 0) == 0);
}

static void test_overdue(void)
{
    begin();
    set(&alarms[0], 0 + 1);
    set(&alarms[1], now_ms);
    set(&alarms[2], now_ms - 5000);
    CU_ASSERT(timer_wait(&wheel, now_ms, 100) <= TIMER_TICK_MS);
    run_every_ms(now_ms + TIMER_TICK_MS);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(alarms[i].count, 1);
}

static void test_zero_is_a_deadline(void)
{
    begin();
    set(&alarms[0], 1);
    timer_set(&wheel, &alarms[0].timer, 0);
    CU_ASSERT(alarms[0].timer.due_ms != 0);
    run_at(now_ms + TIMER_TICK_MS);
    CU_ASSERT_EQUAL(alarms[0].count, 1);
}

static void test_never(void)
{
    begin();
    set(&alarms[0], UINT64_MAX - 1000);
    set(&alarms[1], now_ms + 50);
    run_every_ms(now_ms + 2000000);
    CU_ASSERT_EQUAL(alarms[0].count, 0);
    CU_ASSERT_EQUAL(alarms[1].count, 1);
    clear(&alarms[0]);
}

static void test_refile(void)
{
    begin();
    set(&alarms[0], now_ms + 100000);
    set(&alarms[0], now_ms + 20); /* far to near */
    set(&alarms[1], now_ms + 20);
    set(&alarms[1], now_ms + 100000); /* near to far */
    set(&alarms[2], now_ms + 1000000);
    set(&alarms[2], now_ms + 500);
    set(&alarms[3], now_ms + 500);
    set(&alarms[3], now_ms + 400);
    set(&alarms[3], now_ms + 600);
    run_every_ms(now_ms + 610);
    CU_ASSERT_EQUAL(alarms[0].count, 1);
    CU_ASSERT_EQUAL(alarms[1].count, 0);
    CU_ASSERT_EQUAL(alarms[2].count, 1);
    CU_ASSERT_EQUAL(alarms[3].count, 1);
    run_every_ms(now_ms + 100000);
    CU_ASSERT_EQUAL(alarms[1].count, 1);
}

static void test_clear(void)
{
    begin();
    for (unsigned i = 0; i < DISTANCES; i++)
        set(&alarms[i], now_ms + distances[i]);
    for (unsigned i = 0; i < DISTANCES; i++) {
        clear(&alarms[i]);
        clear(&alarms[i]);
    }
    run_every_ms(now_ms + 1200000);
    for (unsigned i = 0; i < DISTANCES; i++)
        CU_ASSERT_EQUAL(alarms[i].count, 0);
}

static void clear_other(struct timer_wheel *of, struct alarm *alarm)
{
    (void)of;
    clear(alarm->other);
}

static void set_other_now(struct timer_wheel *of, struct alarm *alarm)
{
    (void)of;
    set(alarm->other, now_ms);
}

static void set_again(struct timer_wheel *of, struct alarm *alarm)
{
    (void)of;
    if (alarm->count < 5)
        set(alarm, now_ms + 3000);
}

/* Neighbours in one slot: whichever comes first takes the other out. */
static void test_clear_neighbour(void)
{
    begin();
    for (unsigned i = 0; i < 2; i++) {
        set(&alarms[i], now_ms + 50);
        alarms[i].then = clear_other;
        alarms[i].other = &alarms[1 - i];
    }
    set(&alarms[2], now_ms + 50);
    run_every_ms(now_ms + 70);
    CU_ASSERT_EQUAL(alarms[0].count + alarms[1].count, 1);
    CU_ASSERT_EQUAL(alarms[2].count, 1);
}

static void test_set_within(void)
{
    begin();
    set(&alarms[0], now_ms + 50);
    alarms[0].then = set_other_now;
    alarms[0].other = &alarms[1];
    set(&alarms[1], now_ms + 50);
    set(&alarms[2], now_ms + 50);
    alarms[2].then = set_again;
    set(&alarms[3], now_ms + 50);
    alarms[3].then = set_other_now;
    alarms[3].other = &alarms[4];
    set(&alarms[4], now_ms + 200000);
    run_every_ms(now_ms + 6 * 3000 + 100);
    CU_ASSERT_EQUAL(alarms[0].count, 1);
    CU_ASSERT(alarms[1].count == 1 || alarms[1].count == 2);
    CU_ASSERT_EQUAL(alarms[2].count, 5);
    CU_ASSERT_EQUAL(alarms[4].count, 1);
}

/* The process was stopped for a while: nothing is lost, whatever is due goes off in the first run. */
static void test_jumps(void)
{
    static const uint64_t jumps[] = {9, 2048, 2049, 5000, 524288, 524289, 600000, 5000000};

    for (unsigned j = 0; j < sizeof(jumps) / sizeof(jumps[0]); j++) {
        begin();
        for (unsigned i = 0; i < DISTANCES; i++)
            set(&alarms[i], now_ms + distances[i]);
        alarms[0].then = set_again;
        run_at(now_ms + jumps[j]);
        run_every_ms(now_ms + FARTHEST_MS + TIMER_TICK_MS);
        for (unsigned i = 1; i < DISTANCES; i++)
            CU_ASSERT_EQUAL(alarms[i].count, 1);
        CU_ASSERT_EQUAL(alarms[0].count, 5);
    }
}

static uint64_t chance = 4711;

static uint64_t some_distance(void)
{
    return unit_below(&chance, (size_t)1 << (1 + unit_below(&chance, 21)));
}

static void do_something(struct timer_wheel *of, struct alarm *alarm)
{
    struct alarm *other = &alarms[unit_below(&chance, MANY)];

    (void)of;
    if (unit_below(&chance, 3) == 0)
        clear(other);
    else
        set(unit_below(&chance, 2) ? other : alarm, now_ms + some_distance());
}

/* run_at() holds what is filed against the model after every step, `expired` every single call. */
static void test_chance(void)
{
    unsigned count = 0;

    begin();
    for (unsigned i = 0; i < MANY; i++)
        alarms[i].then = do_something;
    for (unsigned step = 0; step < 100000; step++) {
        for (size_t i = unit_below(&chance, 4); i > 0; i--)
            do_something(&wheel, &alarms[unit_below(&chance, MANY)]);
        check_wait();
        run_at(now_ms + (unit_below(&chance, 500) == 0 ? some_distance() : unit_below(&chance, 40)));
    }
    for (unsigned i = 0; i < MANY; i++)
        count += alarms[i].count;
    CU_ASSERT(count > 10000);
}

/* ---- the wheel as the reactor turns it ---- */

enum { LONGEST_SLEEP_MS = 100, LONGEST_TURN_MS = 300, STEPS = 200000 };

static uint64_t latest[MANY]; /* by then it must have gone off, if the reactor is not busy */

/* Filed by a handler, when the wheel has not been turned since the last sleep: its tick lags behind the clock. */
static void file_late(struct timer_wheel *of, struct alarm *alarm)
{
    uint64_t due_ms = now_ms + (unit_below(&chance, 8) ? some_distance() : 0);
    uint64_t tick = (due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
    size_t index = (size_t)(alarm - alarms);

    if (unit_below(&chance, 8) == 0)
        due_ms -= unit_below(&chance, 50); /* overdue when it is filed */
    alarm->due_ms = due_ms;
    latest[index] = (tick > now_ms / TIMER_TICK_MS ? tick : now_ms / TIMER_TICK_MS + 1) * TIMER_TICK_MS;
    alarm->last_tick = latest[index] / TIMER_TICK_MS;
    timer_set(of, &alarm->timer, due_ms);
}

static void something_late(struct timer_wheel *of, struct alarm *alarm)
{
    struct alarm *other = &alarms[unit_below(&chance, MANY)];

    if (unit_below(&chance, 4) == 0)
        clear(other);
    else if (unit_below(&chance, 2))
        file_late(of, unit_below(&chance, 2) ? other : alarm);
}

static bool would_oversleep(unsigned wait)
{
    for (unsigned i = 0; i < MANY; i++)
        if (alarms[i].due_ms && now_ms + wait > (latest[i] > now_ms ? latest[i] : now_ms))
            return true;
    return false;
}

/*
 * A turn as reactor.c has it: sleep no longer than timer_wait() says, or be woken before; then events, whose handlers
 * set and clear timers while the wheel still stands where the last turn has left it; then the wheel. `expired` holds
 * that nothing goes off early, this that nothing is later than its tick but for the time that the turn itself has
 * taken.
 */
static void test_turns(void)
{
    unsigned count = 0;

    begin();
    for (unsigned i = 0; i < MANY; i++)
        alarms[i].then = something_late;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned wait = (unsigned)timer_wait(&wheel, now_ms, LONGEST_SLEEP_MS);
        if (would_oversleep(wait)) {
            CU_FAIL("it sleeps past a due timer");
            return;
        }
        now_ms += unit_below(&chance, 3) ? wait : unit_below(&chance, wait + 1);
        uint64_t woken_ms = now_ms;
        for (size_t i = unit_below(&chance, 6); i > 0; i--)
            something_late(&wheel, &alarms[unit_below(&chance, MANY)]);
        timer_run(&wheel, woken_ms);
        for (unsigned i = 0; i < MANY; i++)
            if (alarms[i].due_ms && latest[i] <= woken_ms) {
                CU_FAIL("a timer is later than its tick");
                return;
            }
        now_ms += unit_below(&chance, 20) ? 0 : unit_below(&chance, LONGEST_TURN_MS); /* the turn took its time */
    }
    for (unsigned i = 0; i < MANY; i++)
        count += alarms[i].count;
    CU_ASSERT(count > 10000);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"on time", test_on_time},
        {"sleeper", test_sleeper},
        {"nothing to do", test_nothing_to_do},
        {"overdue", test_overdue},
        {"zero is a deadline", test_zero_is_a_deadline},
        {"never", test_never},
        {"re-file", test_refile},
        {"clear", test_clear},
        {"clear a neighbour", test_clear_neighbour},
        {"set within", test_set_within},
        {"jumps", test_jumps},
        {"chance", test_chance},
        {"turns", test_turns},
        {0},
    };
    return unit_main("timer", tests);
}
