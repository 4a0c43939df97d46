/*
 * The fleet: all slots that the master has, by generation. A generation is all the workers of one configuration.
 *
 *   fleet --- current    the generation that serves
 *        |--- next       the one that a reload has started, until all its workers are READY      rollout.c
 *        |--- leaving    slots of older generations, and retired ones: they drain and go
 *        |--- endpoints  the accept queues                                  endpoint.c; adopt.c: who serves whose
 *        '--- context    what all slots share                                 slot.h
 *
 * A slot is in exactly one of the three; it moves from a generation to the leaving ones, and is freed there. Somebody
 * accepts at every time, and no queue is closed whose address is still served.
 */
#ifndef MASTER_FLEET_H
#define MASTER_FLEET_H

#include "master/conf/conf.h"
#include "master/endpoint.h"
#include "master/names.h"
#include "master/slot.h"
#include <stdbool.h>
#include <stdint.h>

struct generation {
    unsigned number;
    struct conf conf;
    struct names names;        /* what the names in it stand for */
    unsigned wanted, count;    /* target and present number of slots; ids 0 .. count - 1 */
    enum stats_respawn reason; /* why its slots are started */
    struct slot *slots[CONF_WORKERS_MAX];
};

struct fleet {
    struct generation *current, *next;
    struct slot_list leaving;
    struct endpoints endpoints;
    struct slot_context context;
    uint64_t next_due_ms;           /* real time; `next` must be READY by then */
    bool adopted[CONF_WORKERS_MAX]; /* by id: the queues of this slot are served by the others */
};

/* NULL when out of memory. The names and the configuration, which are empty at first, are freed with it. */
struct generation *generation_new(unsigned number);
void generation_free(struct generation *generation);

/* The number of its workers that are READY and beat; true when all of them stay down. */
unsigned generation_running(const struct generation *generation);
bool generation_is_down(const struct generation *generation);

/* The number of a generation to come. Numbers go on across an upgrade: no two generations of a service share one. */
unsigned fleet_next_number(struct fleet *fleet);

/* Give the listeners of `conf` their places in the statistics. 0, or -1 with a sentence in `error`. */
int fleet_index_listeners(const struct fleet *fleet, struct conf *conf, char *error, size_t error_size);

/* What the supervisor's table waits for is what the current configuration says. */
void fleet_apply_patience(struct fleet *fleet);

/* All slots that have, or may get, a process: of the current and the next generation, and those that leave. */
void fleet_each_slot(struct fleet *fleet, void (*visit)(struct fleet *fleet, struct slot *slot));

/* The slot whose process this is; NULL: none. */
struct slot *fleet_find(const struct fleet *fleet, pid_t pid);

/* Give an event to a slot, see slot_handle(). */
void fleet_handle(struct fleet *fleet, struct slot *slot, enum supervisor_event event);

/* ---- more workers ---- */

/* Start `wanted` slots of a generation, for this reason: the first few now, more at each fleet_start_some(). */
void fleet_start(struct fleet *fleet, struct generation *generation, unsigned wanted, enum stats_respawn reason);

enum fleet_progress {
    FLEET_DONE,   /* all that are wanted have been started */
    FLEET_MORE,   /* there are more to be started now */
    FLEET_FAILED, /* no memory, which is logged and tried again later; of the next generation, one without a process */
};
enum fleet_progress fleet_start_some(struct fleet *fleet, struct generation *generation);

/* One slot more of `current`, with a process. 0, or -1 with a sentence in `error` and everything as it was. */
int fleet_add(struct fleet *fleet, enum stats_respawn reason, char *error, size_t error_size);

/* Replace a worker that drains without an order of ours (by a signal, for example), at once or when there is memory. */
void fleet_replace(struct fleet *fleet, struct slot *slot);
void fleet_retry_replacements(struct fleet *fleet);

/* ---- fewer ---- */

/* Tell the last slot of `current`, or all of a generation, to drain, and move them to those that leave. */
void fleet_retire_last(struct fleet *fleet);
void fleet_retire_all(struct fleet *fleet, struct generation *generation);

/* The whole server stops: workers that drain close their quiet sessions at once. */
void fleet_hurry(struct fleet *fleet);

/* End all processes at once. */
void fleet_kill(struct fleet *fleet);

/* Free the slots whose process has left and is gone, and log when they were the last of their generation. */
void fleet_free_gone_slots(struct fleet *fleet);

#endif
