/*
 * A two-tier timer wheel: near deadlines are looked at every tick, far ones once in a turn of the near tier.
 *
 *   near:  256 slots of 8 ms      far:  256 slots of 2 s      beyond: filed in the last far slot and looked at again
 *
 * Filing and taking out are O(1). A timer may be filed earlier than its owner needs: when it goes off the owner looks
 * at its own deadlines and files it anew. So activity costs nothing; it only stamps the owner.
 */
#ifndef WORKER_CORE_TIMER_H
#define WORKER_CORE_TIMER_H

#include "worker/core/wall.h"
#include <stdint.h>

#include <bsd/sys/queue.h>

enum { TIMER_TICK_MS = 8, TIMER_NEAR_SLOTS = 256, TIMER_FAR_SLOTS = 256 };

struct timer_wheel;

struct timer {
    LIST_ENTRY(timer) link;
    uint64_t due_ms; /* monotonic; 0: not filed */
    /* Set by the owner; called when the timer has been taken out. */
    void (*expired)(struct timer_wheel *wheel, struct timer *timer);
};

LIST_HEAD(timer_list, timer);

struct timer_wheel {
    struct timer_list near[TIMER_NEAR_SLOTS];
    struct timer_list far[TIMER_FAR_SLOTS];
    uint64_t tick;      /* everything due at or before this tick has gone off */
    uint64_t next_tick; /* nothing is to be done before this one */
};

void timer_init(struct timer_wheel *wheel, uint64_t now_ms);

/* File `timer` to go off at `due_ms` or within one tick after it, never before. Moves it when it is filed already. */
void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);

/* Take it out; nothing happens when it is not filed. */
void timer_clear(struct timer *timer);

/* Let everything that is due go off. The callbacks may set and clear any timer. */
void timer_run(struct timer_wheel *wheel, uint64_t now_ms);

/* Milliseconds from `now_ms` to the next thing to do, at most `limit_ms`. */
static inline int timer_wait(const struct timer_wheel *wheel, uint64_t now_ms, int limit_ms)
{
    uint64_t due_ms = wheel->next_tick * TIMER_TICK_MS;

    if (due_ms <= now_ms)
        return 0;
    return due_ms - now_ms < (uint64_t)limit_ms ? (int)(due_ms - now_ms) : limit_ms;
}

#endif
