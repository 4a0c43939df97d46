#include "worker/core/timer.h"
#include <stddef.h>
#include <string.h>

/* How far ahead the next busy slot is searched: further than any caller sleeps. */
enum { LOOK_AHEAD = 32 };

void timer_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ms / TIMER_TICK_MS;
    wheel->next_tick = wheel->tick + 1;
}

/* The first tick at which a deadline has passed. */
static uint64_t tick_of(uint64_t due_ms)
{
    return due_ms / TIMER_TICK_MS + (due_ms % TIMER_TICK_MS != 0);
}

static uint64_t lap_of(uint64_t tick)
{
    return tick / TIMER_NEAR_SLOTS;
}

/* Put into the slot it belongs to; what is overdue goes off at `earliest`, which is this tick or the next. */
static void file(struct timer_wheel *wheel, struct timer *timer, uint64_t earliest)
{
    uint64_t tick = tick_of(timer->due_ms);
    uint64_t last_lap = lap_of(wheel->tick) + TIMER_FAR_SLOTS - 1;

    if (tick < earliest)
        tick = earliest;
    if (tick - wheel->tick < TIMER_NEAR_SLOTS) {
        LIST_INSERT_HEAD(&wheel->near[tick % TIMER_NEAR_SLOTS], timer, link);
        if (tick < wheel->next_tick)
            wheel->next_tick = tick;
    } else {
        uint64_t lap = lap_of(tick) < last_lap ? lap_of(tick) : last_lap;
        LIST_INSERT_HEAD(&wheel->far[lap % TIMER_FAR_SLOTS], timer, link);
    }
}

void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    timer_clear(timer);
    timer->due_ms = due_ms ? due_ms : 1;
    file(wheel, timer, wheel->tick + 1);
}

void timer_clear(struct timer *timer)
{
    if (timer->due_ms)
        LIST_REMOVE(timer, link);
    timer->due_ms = 0;
}

/* A lap of the near tier begins: spread the far slot of that lap over it. */
static void begin_lap(struct timer_wheel *wheel)
{
    struct timer_list *slot = &wheel->far[lap_of(wheel->tick) % TIMER_FAR_SLOTS];

    for (struct timer *timer; (timer = LIST_FIRST(slot));) {
        LIST_REMOVE(timer, link);
        file(wheel, timer, wheel->tick);
    }
}

static void find_next(struct timer_wheel *wheel)
{
    uint64_t tick = wheel->tick + 1;

    while (tick % TIMER_NEAR_SLOTS != 0 && tick < wheel->tick + LOOK_AHEAD &&
           LIST_EMPTY(&wheel->near[tick % TIMER_NEAR_SLOTS]))
        tick++;
    wheel->next_tick = tick;
}

void timer_run(struct timer_wheel *wheel, uint64_t now_ms)
{
    uint64_t now = now_ms / TIMER_TICK_MS;

    if (now < wheel->next_tick) {
        if (now > wheel->tick)
            wheel->tick = now; /* the slots in between are empty */
        return;
    }
    while (wheel->tick < now) {
        wheel->tick++;
        if (wheel->tick % TIMER_NEAR_SLOTS == 0)
            begin_lap(wheel);
        struct timer_list *slot = &wheel->near[wheel->tick % TIMER_NEAR_SLOTS];
        for (struct timer *timer; (timer = LIST_FIRST(slot));) {
            timer_clear(timer);
            timer->expired(wheel, timer);
        }
    }
    find_next(wheel);
}
