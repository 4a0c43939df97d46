/*
 * The life of a worker, as its services see it: start, tick, turn_end, stop, once for each of their sections.
 */
#ifndef WORKER_LIFE_H
#define WORKER_LIFE_H

#include "worker/core/listener.h"

/* Call `start`, with state of the size that the service wants. -1 with a sentence in `error`: those that have been
 * started are stopped again. */
int life_start(struct listeners *listeners, char *error, size_t error_size);

/* The batch of events is over. */
void life_end_turn(struct listeners *listeners);

/* Call `stop`, free the state and close what links are left. All sessions have ended. */
void life_stop(struct listeners *listeners);

#endif
