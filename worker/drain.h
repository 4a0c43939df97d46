/*
 * Leaving in good order: sessions that have nothing to finish go at once, the others when they have finished.
 */
#ifndef WORKER_DRAIN_H
#define WORKER_DRAIN_H

#include "worker/core/session.h"

/*
 * Close quiet sessions, now and whenever another becomes quiet. `quickly`: without the courtesy of lingering, in which
 * a request that crosses our end is read away instead of being answered by a reset. With `spread_ms` every session goes
 * on as before for a random part of that time, so that not all clients come back in one moment. May be called again, to
 * be quicker.
 */
void drain_begin(struct core *core, bool quickly, uint32_t spread_ms);

/* The time is up: nothing more is answered. A client that has taken the last byte gets a FIN, and what it sends is read
 * away. */
void drain_close(struct core *core);

/* End all sessions that are left. */
void drain_end(struct core *core);

/* True when closing loses nothing: no partial or unread input, no unsent output, no pending reply, no newcomer. */
bool drain_is_quiet(const struct session *session);

#endif
