/*
 * A slot: the place of one worker of one pool of one generation, and the process it has now. What the supervisor's
 * table decides is done here: forking, signalling, reaping, and talking over the control pipe.
 *
 *   slot    supervised state    pid, control pipe    block of counters in shared memory
 *           (supervisor.c)                           (folded into the totals of the slot when the process is gone)
 *
 * The accept queues are not the slot's: they belong to the master (endpoint.h) and outlive it.
 */
#ifndef MASTER_SLOT_H
#define MASTER_SLOT_H

#include "common/channel.h"
#include "common/stats.h"
#include "master/conf/conf.h"
#include "master/endpoint.h"
#include "master/inbox.h"
#include "master/pool.h"
#include "master/supervisor.h"
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

/* What all slots share. */
struct slot_context {
    const struct endpoints *endpoints;
    struct stats_area *stats;
    uint64_t now_ms;        /* by the supervisor's clock */
    bool for_good;          /* the whole server stops: a worker that drains lets new connections be refused */
    void (*in_child)(void); /* called first thing in a child: closes what is the master's alone */
};

struct role; /* what its processes do: a row of a table in slot.c */

/* Messages that the control pipe has not taken yet. They are sent again at every tick until the process is gone. */
struct slot_words {
    bool drain, reopen_log;
    unsigned removed_count;
    uint8_t removed[CONF_LISTENERS_MAX * LISTENER_ADDRESSES_MAX /
                    8]; /* bits, by index: addresses that have left the configuration */
};

struct slot {
    LIST_ENTRY(slot) link; /* of those that leave */
    const struct role *role;
    char name[POOL_NAME_SIZE + 24]; /* "worker 0", "bank worker 1" */
    char pool_name[POOL_NAME_SIZE];
    unsigned id, generation; /* the id, in its pool, is also the number of its queue in each endpoint */
    const struct pool *pool; /* of its generation; NULL once it leaves, and so is the next one */
    const struct conf *conf;
    bool operates; /* a service of its pool may ask the master for changes */
    struct supervisor_patience patience;
    struct supervisor_slot supervised;
    enum stats_respawn reason; /* why its process will be, or was, started */
    struct inbox inbox;        /* open when a service of the pool publishes */

    /* Its process; reset when the next one starts. */
    pid_t pid;                 /* 0: none */
    int channel;               /* the master's end of the control pipe; -1: none */
    struct stats_block *block; /* NULL: none */
    unsigned number;           /* of the slot in the statistics, while there is a block */
    uint64_t serial;           /* of the block */
    uint64_t turns_seen;       /* the heartbeat when it was last looked at */
    uint64_t ready_ms;         /* real time; 0: not yet */
    struct slot_words words;
    uint64_t told_disabled; /* `disabled` and `log_level` of the configuration as the process has been told last */
    uint32_t told_log_level;
    uint8_t assigned[CONF_WORKERS_MAX / 8]; /* bits, by id: slots whose queues it has been sent to adopt */
    unsigned assigned_count;
    uint64_t adopt_again_ms; /* real time; until then nothing is sent to adopt: it had no room for descriptors */

    uint32_t siblings_known; /* number of the newest inbox that it has been sent, or that is none of a sibling */

    /* What the process has done so far, to hold its messages against. */
    unsigned adopts_sent, adopts_missed; /* messages */
    unsigned shutdowns;                  /* requests for the end of the server */
    uint64_t closed_ms; /* real time when its end of the control pipe was found closed; 0: it is open */
    bool left;          /* it has sent LEAVING, */
    bool operator_asks; /* and says that an operator has asked it to */
    bool replace_due;   /* it must be replaced as soon as there is memory */
    bool suspect;       /* its counters contradicted each other when they were last looked at */
    bool expelled;      /* it is killed for an error of its own */
};

LIST_HEAD(slot_list, slot);

/* Without a process. `reason` is counted when the first one starts. NULL when out of memory. */
struct slot *slot_new(unsigned id, unsigned generation, const struct pool *pool, enum stats_respawn reason);
void slot_free(struct slot *slot);

/* Take an event in and carry out what the supervisor says. */
void slot_handle(struct slot_context *context, struct slot *slot, enum supervisor_event event);

/* Look at the heartbeat and at the clock. */
void slot_tick(struct slot_context *context, struct slot *slot);

/*
 * Kill a process that has sent or written what no sound one does, and log "worker 1 (pid 4711) WHAT: ...". It is
 * replaced as one that has crashed.
 */
void slot_expel(struct slot_context *context, struct slot *slot, const char *what);

/* Send DRAIN to a worker that drains already: its quiet sessions are closed at once, not within drain_spread. */
void slot_hurry(struct slot_context *context, struct slot *slot);

/* Check the counters, which costs more than the checks of slot_tick(). */
void slot_check_counters(struct slot_context *context, struct slot *slot);

/* The process is gone: `status` as from waitpid(), NULL when somebody else has reaped it. Logs the end. */
void slot_reaped(struct slot_context *context, struct slot *slot, const int *status);

/* The other end of the control pipe is closed. */
void slot_close_channel(struct slot *slot);

/* Two workers of one pool, of whichever generation. */
bool slot_are_siblings(const struct slot *slot, const struct slot *other);

#endif
