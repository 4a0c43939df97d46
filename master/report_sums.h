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
#ifndef MASTER_REPORT_SUMS_H
#define MASTER_REPORT_SUMS_H

#include "master/master.h"

/* The number of a slot (common/stats_number.h): all processes it has had. Or one process. */
struct report_row {
    struct stats_listener traffic; /* all listeners together */
    uint64_t turns, longest_turn_us, accept_pauses, log_dropped;
};

struct report_sums {
    uint64_t at_ms; /* real time */
    struct stats_listener listeners[STATS_LISTENERS_MAX], forgotten;
    char names[STATS_LISTENERS_MAX][STATS_NAME_SIZE]; /* of the listeners at that time */
    uint64_t respawns[RESPAWNS];
    struct report_row renumbered; /* slots that no number stands for any more */
    unsigned numbers; /* rows: numbers that have ever had a worker; what follows is not touched, and costs no memory */
    struct report_row rows[STATS_NUMBERS_MAX];
};

/* Read all counters. */
void report_sums_take(const struct master *master, struct report_sums *sums);

void report_sums_copy(struct report_sums *to, const struct report_sums *from);

/* What the process that has `block` has counted, all listeners together. */
void report_sums_process(const struct stats_block *block, struct report_row *row);

/* The row of a slot, zeros when it has none; why its processes were started; the sum of those that have no worker in
 * the current generation. */
const struct report_row *report_sums_slot(const struct master *master, const struct report_sums *sums,
                                          const struct slot *slot);
void report_slot_respawns(const struct master *master, const struct slot *slot, uint64_t respawns[RESPAWNS]);
void report_sums_gone_workers(const struct master *master, const struct report_sums *sums, struct report_row *gone);

/* The sum of the listeners that the current configuration does not have. */
void report_sums_gone_listeners(const struct master *master, const struct report_sums *sums,
                                struct stats_listener *gone);

/* The traffic of `listener` in `sums`; nothing when its place belonged to another name by then. */
const struct stats_listener *report_sums_listener(const struct report_sums *sums,
                                                  const struct listener_config *listener);

/* ---- words and times that the table and the JSON share ---- */

const char *report_master_state(const struct master *master);
const char *report_respawn_name(enum stats_respawn reason);

/* Milliseconds of real time; 0 for a `then_ms` of 0, which means "not yet". */
uint64_t report_ms_since(uint64_t then_ms);

/* How long its process has been there, and ready. */
uint64_t report_slot_up_ms(const struct master *master, const struct slot *slot);
uint64_t report_slot_ready_ms(const struct slot *slot);

/* True when its accept queues are served by its siblings. */
bool report_is_adopted(const struct master *master, const struct slot *slot);

#endif
