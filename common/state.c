#include "common/state.h"
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <bsd/string.h>

enum { TRIES = 1000 };

unsigned state_serving(const struct state *state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < state->worker_count; i++)
        count += state->workers[i].part == STATE_SERVES;
    return count;
}

size_t state_size(const struct state *state)
{
    uint32_t count = state->worker_count < STATE_WORKERS_MAX ? state->worker_count : STATE_WORKERS_MAX;

    return offsetof(struct state, workers) + count * sizeof(state->workers[0]);
}

void state_note_change(struct state_change *change, bool failed, const char *text)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    change->at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    change->failed = failed;
    strlcpy(change->text, text, sizeof(change->text));
    atomic_fetch_add(&change->count, 1);
}

void state_write(struct state_record *record, const struct state *state)
{
    uint32_t sequence = atomic_load(&record->sequence);

    /* A writer that has died in the middle leaves an odd number. */
    atomic_store(&record->sequence, sequence | 1);
    atomic_thread_fence(memory_order_release);
    memcpy(&record->state, state, state_size(state));
    atomic_thread_fence(memory_order_release);
    atomic_store(&record->sequence, (sequence | 1) + 1);
}

bool state_read(const struct state_record *record, struct state *state)
{
    for (unsigned i = 0; i < TRIES; i++, sched_yield()) {
        uint32_t before = atomic_load(&record->sequence);
        if (before % 2 != 0)
            continue;
        if (before == 0)
            return false;
        memcpy(state, &record->state, offsetof(struct state, workers));
        size_t size = state_size(state);
        memcpy(state->workers, record->state.workers, size - offsetof(struct state, workers));
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&record->sequence) == before)
            return true;
    }
    return false;
}
