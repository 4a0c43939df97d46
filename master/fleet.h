/*
 * The fleet: all slots that the master has, by generation and pool. A generation is all the workers of one
 * configuration.
 *
 *   fleet --- current    the generation that serves: pools of slots                             pool.h
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
    struct names names;                /* what the names in it stand for */
    bool pidfile_stays;                /* the configuration wants another one, which takes a restart */
    unsigned pool_count;               /* 0 until it is started */
    struct pool pools[CONF_POOLS_MAX]; /* as in the configuration */
};

struct fleet {
    struct generation *current, *next;
    struct slot_list leaving;
    struct endpoints endpoints;
    struct slot_context context;
    uint64_t next_due_ms;    /* real time; `next` must be READY by then */
    uint64_t recycle_due_ms; /* by the supervisor's clock */
    bool singles_wait;       /* single pools of this master have to wait for those of its predecessor */
};

/* NULL when out of memory. The names and the configuration, which are empty at first, are freed with it. */
struct generation *generation_new(unsigned number);
void generation_free(struct generation *generation);

/* Its pools are those of its configuration, without workers yet. */
void generation_set_pools(struct generation *generation);

/* The present number of its slots; true when that is what is wanted, and when all of them stay down. */
unsigned generation_count(const struct generation *generation);
bool generation_is_complete(const struct generation *generation);
bool generation_is_down(const struct generation *generation);

/* Count the workers of each pool that are READY and beat. */
void generation_note_running(struct generation *generation);

/* The number of a generation to come. Numbers go on across an upgrade: no two generations of a service share one. */
unsigned fleet_next_number(struct fleet *fleet);

/* Give the listeners of `conf` their places in the statistics. 0, or -1 with a sentence in `error`. */
int fleet_index_listeners(const struct fleet *fleet, struct conf *conf, char *error, size_t error_size);

/* All slots that have, or may get, a process: of the current and the next generation, and those that leave. */
void fleet_each_slot(struct fleet *fleet, void (*visit)(struct fleet *fleet, struct slot *slot));

/* Those of one generation; nothing when it is NULL. */
void generation_each_slot(struct fleet *fleet, struct generation *generation,
                          void (*visit)(struct fleet *fleet, struct slot *slot));

/* The slot whose process this is; NULL: none. */
struct slot *fleet_find(const struct fleet *fleet, pid_t pid);

/* Give an event to a slot, see slot_handle(). */
void fleet_handle(struct fleet *fleet, struct slot *slot, enum supervisor_event event);

/* ---- more workers ---- */

enum fleet_progress {
    FLEET_DONE,   /* all that are wanted have been started */
    FLEET_MORE,   /* there are more to be started now */
    FLEET_FAILED, /* no memory, which is logged and tried again later; of the next generation, one without a process */
};

/* Start `wanted[pool]` slots of a generation, for this reason: the first few now, more at each fleet_start_some(). */
enum fleet_progress fleet_start(struct fleet *fleet, struct generation *generation, const unsigned *wanted,
                                enum stats_respawn reason);
enum fleet_progress fleet_start_some(struct fleet *fleet, struct generation *generation);

/* Some worker that is not READY yet beats: its start takes long, but goes on. */
bool fleet_is_starting(const struct fleet *fleet, const struct generation *generation);

/* One slot more of a pool of `current`, with a process. 0, or -1 with a sentence in `error` and all as it was. */
int fleet_add(struct fleet *fleet, struct pool *pool, enum stats_respawn reason, char *error, size_t error_size);

/*
 * A single pool makes room for its next worker, which another generation or another binary starts: have its worker
 * leave. Release: it is not made use of, so the worker is started again, as soon as the one that was to replace it is
 * gone, too.
 */
void fleet_hold(struct fleet *fleet, struct pool *pool);
void fleet_release(struct fleet *fleet, enum stats_respawn reason);

/* Replace a worker that serves, for this reason; the sentence "worker 0 (pid 4711) WHY: ..." says more. */
void fleet_recycle(struct fleet *fleet, struct slot *slot, enum stats_respawn reason, const char *why);

/* Replace a worker that drains without an order of ours (by a signal, for example), at once or when there is memory. */
void fleet_replace(struct fleet *fleet, struct slot *slot);
void fleet_retry_replacements(struct fleet *fleet);

/* ---- fewer ---- */

/* Tell the last slot of a pool, or all of a generation, to drain, and move them to those that leave. */
void fleet_retire_last(struct fleet *fleet, struct pool *pool);
void fleet_retire_all(struct fleet *fleet, struct generation *generation);

/* The whole server stops: workers that drain close their quiet sessions at once. */
void fleet_hurry(struct fleet *fleet);

/* End all processes at once. */
void fleet_kill(struct fleet *fleet);

/* Free the slots whose process has left and is gone, and log when they were the last of their generation. */
void fleet_free_gone_slots(struct fleet *fleet);

#endif
