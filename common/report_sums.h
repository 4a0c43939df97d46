/*
 * What a report is made from: every counter is read once, then summed in two ways, by number of a slot and by listener.
 * So both add up to the same, however busy the workers are meanwhile.
 *
 *                   listener 0   listener 1   ...   forgotten names
 *   worker 0             .            .                   .            --> rows[0]
 *   worker 1             .            .                   .            --> rows[1]
 *     ...                |            |                   |
 *                   listeners[0] listeners[1] ...     forgotten
 *
 * A forgotten name is one that was removed from the configuration long ago, and whose place another one has taken.
 */
#ifndef COMMON_REPORT_SUMS_H
#define COMMON_REPORT_SUMS_H

#include "common/report_process.h"
#include "common/report_queues.h"
#include "common/state.h"
#include "common/stats.h"

/* The number of a slot (common/stats_number.h): all processes it has had. Or one process. */
struct report_row {
    struct stats_listener traffic; /* all listeners together */
    uint64_t turns, longest_turn_us, accept_pauses, log_dropped;
    uint64_t turn_times[DURATION_BUCKETS];
};

struct report_sums {
    uint64_t at_ms; /* real time */
    struct stats_listener listeners[STATS_LISTENERS_MAX], forgotten;
    char names[STATS_LISTENERS_MAX][STATS_NAME_SIZE]; /* of the listeners at that time */
    unsigned listeners_used;                          /* no listener from here on has ever had a name */
    uint64_t respawns[RESPAWNS];
    uint64_t minute_ms; /* how long `minute` is: less in a young server; 0: nobody knows yet what has been in it */
    struct minute_counts minute;  /* durations of the last minute; names are as above */
    struct report_row renumbered; /* slots that no number stands for any more */
    unsigned numbers; /* rows: numbers that have ever had a worker; what follows is not touched, and costs no memory */
    struct report_row rows[STATS_NUMBERS_MAX];
};

/* What a report is about: who reads it has mapped the area, and taken a copy of the state and of the counters. */
struct report {
    const struct stats_area *area;
    const struct master_state *state;
    const struct report_sums *sums;
    const struct report_process *processes; /* of the workers of `state`, in their order; NULL: nobody has looked */
    const struct report_queues *queues;     /* NULL: nobody has looked */
};

/* Read all counters. */
void report_sums_take(const struct stats_area *area, struct report_sums *sums);

void report_sums_copy(struct report_sums *to, const struct report_sums *from);

/* What the process that has `block` has counted, all listeners together. */
void report_sums_process(const struct stats_block *block, struct report_row *row);

/* The row of a worker's slot, zeros when it has none; why its processes were started. */
const struct report_row *report_sums_worker(const struct report *report, const struct state_worker *worker);
void report_respawns(const struct report *report, const struct state_worker *worker, uint64_t respawns[RESPAWNS]);

/* The sum of the slots that have no worker that serves; of the listeners that the configuration does not have. */
void report_sums_gone_workers(const struct report *report, struct report_row *gone);
void report_sums_gone_listeners(const struct report *report, struct stats_listener *gone);

/* The traffic of `listener` in `sums`; nothing when its place belonged to another name by then. */
const struct stats_listener *report_sums_listener(const struct report_sums *sums,
                                                  const struct state_listener *listener);

/* ---- durations: counts by buckets ---- */

/* Those of a listener, of the turns of all workers: since the start. Of a listener in the last minute. */
void report_counts(const stats_counter from[DURATION_BUCKETS], uint64_t to[DURATION_BUCKETS]);
void report_turn_times(const struct report_sums *sums, uint64_t to[DURATION_BUCKETS]);
const uint64_t *report_minute(const struct report_sums *sums, const struct state_listener *listener,
                              enum duration duration);

/* How many durations there are in all buckets. */
uint64_t report_duration_count(const uint64_t counts[DURATION_BUCKETS]);

/* ---- words and times that the table and the JSON share ---- */

/* "1" in the pool main, "bank/1" elsewhere. */
enum { REPORT_WORKER_SIZE = STATE_POOL_SIZE + 16 };
void report_worker_name(char name[REPORT_WORKER_SIZE], const char *pool, unsigned id);

/* Of a number that may have come from another process. */
const char *report_respawn_name(uint32_t reason);

/* The time that a share of so many durations, 0 to 1, has not been longer than, in microseconds; 0: there was none. */
double report_quantile_us(const uint64_t counts[DURATION_BUCKETS], double share);

/* Milliseconds of real time; 0 for a `then_ms` of 0, which means "not yet". */
uint64_t report_ms_since(uint64_t then_ms);

#endif
