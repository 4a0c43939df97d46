/*
 * The last lines that the masters of a server have logged, in the memory that they share: for whoever looks at the
 * server without its log.
 */
#ifndef COMMON_EVENT_H
#define COMMON_EVENT_H

#include <stdatomic.h>
#include <stdint.h>

enum { EVENTS_MAX = 64, EVENT_TEXT_SIZE = 232 };

struct event {
    uint64_t at_ms; /* since 1970 */
    uint32_t level; /* enum log_level */
    char text[EVENT_TEXT_SIZE];
};

/* As they lie in shared memory: a ring. Two masters may write at the same time, each to a place of its own. */
struct event_ring {
    _Atomic uint64_t count; /* of events that were ever added: the id of the last one */
    struct {
        _Atomic uint64_t id; /* of the event, from 1; 0: it is being written */
        struct event event;
    } places[EVENTS_MAX];
};

/* Add a line, cut to its room. */
void event_add(struct event_ring *ring, uint32_t level, const char *text);

/* Copy the last ones, the oldest first. What is being written at this moment is left out. Returns how many. */
unsigned event_read(const struct event_ring *ring, struct event events[EVENTS_MAX]);

/*
 * For whoever follows the ring: copy those behind the id `*last`, the oldest first, up to one that is being written at
 * this moment, and set `*last` to the id of the last one; `*lost`: how many on the way have been overwritten. Returns
 * how many. A master that dies while it writes leaves one that is never finished: the caller skips it after a while, with
 * ++*last.
 */
unsigned event_read_next(const struct event_ring *ring, uint64_t *last, uint64_t *lost,
                         struct event events[EVENTS_MAX]);

#endif
