/*
 * A slot: one worker number of one generation, and the process it has now. What the supervisor's table decides is done
 * here: forking, signalling, reaping, and talking over the control pipe.
 *
 *   slot    supervised state    pid, control pipe    block of counters in shared memory
 *           (supervisor.c)                           (folded into the book of the number when the process is gone)
 *
 * The accept queues are not the slot's: they belong to the master (endpoint.h) and outlive it.
 */
#ifndef MASTER_SLOT_H
#define MASTER_SLOT_H

#include "common/channel.h"
#include "common/stats.h"
#include "master/conf.h"
#include "master/endpoint.h"
#include "master/supervisor.h"
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

/* What all slots share. */
struct slot_world {
    const struct endpoints *endpoints;
    struct stats_area *stats;
    struct supervisor_patience patience;
    uint64_t now_ms;        /* by the supervisor's clock */
    unsigned running;       /* workers of the current generation that could adopt the queues of another */
    bool for_good;          /* who is told to stop is to let new connections be refused: the whole server stops */
    void (*in_child)(void); /* called first thing in a child: closes what is the master's alone */
};

struct role; /* what its processes do: a row of a table in slot.c */

struct slot {
    LIST_ENTRY(slot) link; /* of those that leave */
    const struct role *role;
    unsigned number, generation;
    const struct conf *conf; /* of its generation; NULL once it leaves */
    struct supervisor_slot supervised;
    pid_t pid;                          /* 0: none */
    int channel;                        /* the master's end; -1: none */
    struct stats_block *block;          /* NULL: none */
    uint64_t turns_seen;                /* the heartbeat when it was last looked at */
    uint64_t ready_ms;                  /* real time; 0: not yet */
    enum stats_respawn why;             /* it will be, or was, started */
    bool untold;                        /* that it is to drain: its control pipe was full */
    uint8_t told[CONF_WORKERS_MAX / 8]; /* numbers whose queues it has been told to adopt */
    unsigned told_count;
    uint64_t
        adopt_again_ms; /* real time; until then it is left alone, since it had no descriptors for what it was told */
};

LIST_HEAD(slot_list, slot);

/* Without a process. `why` is counted when the first one starts. NULL when out of memory. */
struct slot *slot_new(unsigned number, unsigned generation, const struct conf *conf, enum stats_respawn why);
void slot_free(struct slot *slot);

/* Take an event in and carry out what the supervisor says. */
void slot_handle(struct slot_world *world, struct slot *slot, enum supervisor_event event, bool own_fault);

/* Look at the heartbeat and at the clock. */
void slot_tick(struct slot_world *world, struct slot *slot);

/* Its process has been reaped: `status` as from waitpid(). Logs why. */
void slot_reaped(struct slot_world *world, struct slot *slot, int status);

/* Tell a worker that is leaving once more: then its quiet sessions go at once, instead of within drain_spread. */
void slot_hurry(struct slot_world *world, struct slot *slot);

/* To a worker that is dying or that will be killed it makes no difference: only CHANNEL_AGAIN is told apart. */
enum channel_result slot_tell(const struct slot *slot, enum channel_type type, uint32_t value);

#endif
