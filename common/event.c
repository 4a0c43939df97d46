#include "common/event.h"
#include <time.h>

#include <bsd/string.h>

void event_add(struct event_ring *ring, uint32_t level, const char *text)
{
    uint64_t number = atomic_fetch_add(&ring->count, 1) + 1;
    struct event *event = &ring->places[number % EVENTS_MAX].event;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    atomic_store(&ring->places[number % EVENTS_MAX].number, 0);
    atomic_thread_fence(memory_order_release);
    event->at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    event->level = level;
    strlcpy(event->text, text, sizeof(event->text));
    atomic_store(&ring->places[number % EVENTS_MAX].number, number);
}

static void copy(struct event *to, const struct event *from)
{
    *to = *from;
    to->text[EVENT_TEXT_SIZE - 1] = '\0';
}

unsigned event_read(const struct event_ring *ring, struct event events[EVENTS_MAX])
{
    uint64_t last = atomic_load(&ring->count);
    unsigned count = 0;

    /* Whatever the count is, each place is looked at once. */
    for (uint64_t back = last < EVENTS_MAX ? last : EVENTS_MAX; back > 0; back--) {
        uint64_t number = last - back + 1;
        if (atomic_load(&ring->places[number % EVENTS_MAX].number) != number)
            continue;
        copy(&events[count], &ring->places[number % EVENTS_MAX].event);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&ring->places[number % EVENTS_MAX].number) == number)
            count++;
    }
    return count;
}

unsigned event_read_next(const struct event_ring *ring, uint64_t *last, uint64_t *lost, struct event events[EVENTS_MAX])
{
    uint64_t end = atomic_load(&ring->count), begin = *last;
    unsigned count = 0;

    if (end > EVENTS_MAX && *last < end - EVENTS_MAX)
        *last = end - EVENTS_MAX;
    while (*last < end) {
        uint64_t number = *last + 1, found = atomic_load(&ring->places[number % EVENTS_MAX].number);
        if (found < number)
            break; /* it is being written */
        copy(&events[count], &ring->places[number % EVENTS_MAX].event);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&ring->places[number % EVENTS_MAX].number) == number)
            count++;
        *last = number;
    }
    *lost = *last > begin ? *last - begin - count : 0;
    return count;
}
