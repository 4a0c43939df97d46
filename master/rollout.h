/*
 * The rollout of a new configuration: the next generation, from its start beside the current one, on the same sockets,
 * until all its workers are READY and it takes over, or until it is given up.
 */
#ifndef MASTER_ROLLOUT_H
#define MASTER_ROLLOUT_H

#include "master/fleet.h"

/* Start the next generation, whose configuration has been claimed; it belongs to the fleet from here on. */
void rollout_start(struct fleet *fleet, struct generation *next);

/* Start more of its workers. When all are READY, it takes over; when they take too long, it is given up. */
enum fleet_progress rollout_start_some(struct fleet *fleet);
void rollout_check(struct fleet *fleet);

/* A slot of the next generation has died, or the server stops: its workers drain. Nothing happens without one. */
void rollout_give_up(struct fleet *fleet, const char *error);

/* Log and count that a reload is refused. */
void rollout_note_refused(struct fleet *fleet, const char *error);

/* The same for one that has begun: tell the service manager, too, and free what there is of its generation. */
void rollout_refuse(struct fleet *fleet, struct generation *next, const char *error);

#endif
