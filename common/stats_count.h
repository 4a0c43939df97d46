/*
 * What workers have counted: whether it can be believed, and sums of it.
 */
#ifndef COMMON_STATS_COUNT_H
#define COMMON_STATS_COUNT_H

#include "common/stats.h"

/*
 * What the worker that has `block` has done to it and no sound one does, as the end of a sentence; NULL: nothing. The
 * head of a block taken for slot `number` by `owner`, at the price of one look; and its counters, which other stores
 * may overtake on their way: only when it is found twice, some time apart, it is no accident.
 */
const char *stats_error(const struct stats_block *block, unsigned number, pid_t owner);
const char *stats_counters_error(const struct stats_area *area, const struct stats_block *block);

/* Sessions of this listener that have neither been closed nor lost. */
uint64_t stats_open(const struct stats_listener *listener);

/* Sum `listener`, or what the dead have counted for the first `listeners` of them, into `total`. */
void stats_add(struct stats_listener *total, const struct stats_listener *listener);
void stats_add_totals(struct stats_block *total, const struct stats_totals *totals, unsigned listeners);

/* Sum the durations that have been counted in `block`, of the listeners that are named in `total`; without those that
 * cannot be. */
void stats_add_durations(struct minute_counts *total, const struct stats_block *block);

/*
 * Sum what the worker of slot `number`, started by `owner`, has counted in `block`: nothing when its head is damaged, nor
 * of a listener whose counters contradict each other. stats_add_dead(): what it has not closed is lost.
 */
void stats_add_block(struct stats_block *total, const struct stats_block *block, unsigned number, pid_t owner,
                     unsigned listeners);
void stats_add_dead(struct stats_block *total, const struct stats_block *block, unsigned number, pid_t owner);

#endif
