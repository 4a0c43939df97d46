#include "common/event.h"
#include "common/clock.h"
#include <stdbool.h>

#include <bsd/string.h>

void event_add(struct event_ring *ring, uint32_t level, const char *text)
{
    uint64_t id = atomic_fetch_add(&ring->count, 1) + 1;
    struct event *event = &ring->places[id % EVENTS_MAX].event;

    atomic_store(&ring->places[id % EVENTS_MAX].id, 0);
    atomic_thread_fence(memory_order_release);
    event->at_ms = clock_date_ms();
    event->level = level;
    strlcpy(event->text, text, sizeof(event->text));
    atomic_store(&ring->places[id % EVENTS_MAX].id, id);
}

/* Copy one event. False: it is being written, has been overwritten, or is not there. */
static bool copy(const struct event_ring *ring, uint64_t id, struct event *event)
{
    const _Atomic uint64_t *found = &ring->places[id % EVENTS_MAX].id;

    if (atomic_load(found) != id)
        return false;
    *event = ring->places[id % EVENTS_MAX].event;
    event->text[EVENT_TEXT_SIZE - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load(found) == id;
}

unsigned event_read(const struct event_ring *ring, struct event events[EVENTS_MAX])
{
    uint64_t last = atomic_load(&ring->count);
    unsigned count = 0;

    /* Whatever the count is, each place is looked at once. */
    for (uint64_t back = last < EVENTS_MAX ? last : EVENTS_MAX; back > 0; back--)
        count += copy(ring, last - back + 1, &events[count]);
    return count;
}

unsigned event_read_next(const struct event_ring *ring, uint64_t *last, uint64_t *lost, struct event events[EVENTS_MAX])
{
    uint64_t end = atomic_load(&ring->count), begin = *last;
    unsigned count = 0;

    if (end > EVENTS_MAX && *last < end - EVENTS_MAX)
        *last = end - EVENTS_MAX;
    for (; *last < end; ++*last) {
        uint64_t id = *last + 1;
        if (atomic_load(&ring->places[id % EVENTS_MAX].id) < id)
            break; /* it is being written */
        count += copy(ring, id, &events[count]);
    }
    *lost = *last > begin ? *last - begin - count : 0;
    return count;
}
