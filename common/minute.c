#include "common/minute.h"
#include <string.h>

enum { TRIES = 100 };

static bool is_written(const struct minute_reading *reading)
{
    uint32_t sequence = atomic_load(&reading->sequence);

    return sequence != 0 && sequence % 2 == 0;
}

/* How old it is: older than anything when it is not there, or says that it comes from the future. */
static uint64_t age_ms(const struct minute_reading *reading, uint64_t now_ms)
{
    return is_written(reading) ? now_ms - atomic_load(&reading->at_ms) : UINT64_MAX;
}

bool minute_is_due(const struct minute_ring *ring, uint64_t now_ms)
{
    for (unsigned i = 0; i < MINUTE_READINGS; i++)
        if (age_ms(&ring->readings[i], now_ms) < MINUTE_PERIOD_MS)
            return false;
    return true;
}

/* Copy what means something: of most places for a listener nothing does. */
static void copy(struct minute_counts *to, const struct minute_counts *from)
{
    memcpy(to->names, from->names, sizeof(to->names));
    memcpy(to->turn_times, from->turn_times, sizeof(to->turn_times));
    for (unsigned i = 0; i < MINUTE_LISTENERS_MAX; i++) {
        to->names[i][MINUTE_NAME_SIZE - 1] = '\0';
        if (to->names[i][0])
            memcpy(to->listeners[i], from->listeners[i], sizeof(to->listeners[i]));
    }
}

/* The oldest one, or one that was never finished. */
static struct minute_reading *place_of_next(struct minute_ring *ring, uint64_t now_ms)
{
    struct minute_reading *oldest = &ring->readings[0];

    for (unsigned i = 1; i < MINUTE_READINGS; i++)
        if (age_ms(&ring->readings[i], now_ms) > age_ms(oldest, now_ms))
            oldest = &ring->readings[i];
    return oldest;
}

void minute_write(struct minute_ring *ring, uint64_t at_ms, const struct minute_counts *counts)
{
    struct minute_reading *reading = place_of_next(ring, at_ms);
    uint32_t sequence = atomic_load(&reading->sequence) | 1;

    atomic_store(&reading->sequence, sequence);
    atomic_thread_fence(memory_order_release);
    atomic_store(&reading->at_ms, at_ms);
    copy(&reading->counts, counts);
    atomic_store(&reading->sequence, sequence + 1);
}

/* Take a copy of what is `age` milliseconds old, unless it is replaced meanwhile. */
static bool read_copy(const struct minute_reading *reading, uint64_t now_ms, uint64_t age, struct minute_counts *counts)
{
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load(&reading->sequence);
        if (age_ms(reading, now_ms) != age)
            return false;
        copy(counts, &reading->counts);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&reading->sequence) == before)
            return true;
    }
    return false;
}

/* A copy of the reading that the window begins with. Returns its age; 0: there is none. */
static uint64_t read_oldest(const struct minute_ring *ring, uint64_t now_ms, struct minute_counts *counts)
{
    const struct minute_reading *oldest = NULL;
    uint64_t oldest_ms = 0;

    for (unsigned i = 0; i < MINUTE_READINGS; i++) {
        uint64_t age = age_ms(&ring->readings[i], now_ms);
        if (age > oldest_ms && age <= MINUTE_AGE_MAX_MS) {
            oldest = &ring->readings[i];
            oldest_ms = age;
        }
    }
    return oldest && read_copy(oldest, now_ms, oldest_ms, counts) ? oldest_ms : 0;
}

static void subtract(uint64_t *counts, const uint64_t *then, size_t count)
{
    for (size_t i = 0; i < count; i++)
        counts[i] = counts[i] > then[i] ? counts[i] - then[i] : 0;
}

uint64_t minute_subtract(const struct minute_ring *ring, uint64_t now_ms, struct minute_counts *counts)
{
    static struct minute_counts then; /* too large for the stack */
    uint64_t window_ms = read_oldest(ring, now_ms, &then);

    if (window_ms == 0) {
        memset(counts->turn_times, 0, sizeof(counts->turn_times));
        memset(counts->listeners, 0, sizeof(counts->listeners));
        return 0;
    }
    subtract(counts->turn_times, then.turn_times, DURATION_BUCKETS);
    for (unsigned i = 0; i < MINUTE_LISTENERS_MAX; i++)
        if (counts->names[i][0] && strcmp(counts->names[i], then.names[i]) == 0)
            subtract(counts->listeners[i][0], then.listeners[i][0], sizeof(then.listeners[i]) / sizeof(uint64_t));
    return window_ms;
}
