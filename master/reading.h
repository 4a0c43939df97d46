/*
 * Readings of the durations for the last minute (common/minute.h), taken by the master that is in charge.
 *
 *   every ten seconds: slots 0 .. 15     slots 16 .. 31     ...     the last ones: written
 *                      this turn         the next turn
 *
 * However many slots there are, a turn costs no more than a few of them: nobody waits for a sum of thousands.
 */
#ifndef MASTER_READING_H
#define MASTER_READING_H

#include "common/stats.h"

enum { READING_SLOTS = 16 }; /* in one turn */

/* At each turn: begin a reading when one is due, go on with one that has begun. */
void reading_tick(struct stats_area *area, uint64_t now_ms);

#endif
