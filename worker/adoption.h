/*
 * The queues of other slots: while nobody serves them, because their worker hangs, waits to be started again or has
 * been retired, this one accepts from them, too. The sessions are its own, as if they had come in through its own
 * queues.
 */
#ifndef WORKER_ADOPTION_H
#define WORKER_ADOPTION_H

#include "worker/core/listener.h"

/* Accept from `fd`, a queue of `slot` at address `index`, too. Owns `fd` from now on; -1 with errno when it cannot. */
int adoption_take(struct listeners *listeners, unsigned slot, unsigned index, int fd);

/* No longer from the queues of `slot`; of nobody. */
void adoption_release(struct listeners *listeners, unsigned slot);
void adoption_release_all(struct listeners *listeners);

/* Free what has been released: when no event of a batch can point to it any more. */
void adoption_free(struct listeners *listeners);

static inline void adoption_free_released(struct listeners *listeners)
{
    if (!LIST_EMPTY(&listeners->released))
        adoption_free(listeners);
}

#endif
