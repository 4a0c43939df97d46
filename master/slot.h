/*
 * A slot: one worker number of one generation, and the process it has now. What the supervisor's table decides is done
 * here: forking, signalling, reaping, and talking over the control pipe.
 *
 *   slot    supervised state    pid, control pipe    block of counters in shared memory
 *           (supervisor.c)                           (folded into the totals of the number when the process is gone)
 *
 * The accept queues are not the slot's: they belong to the master (endpoint.h) and outlive it.
 */
#ifndef MASTER_SLOT_H
#define MASTER_SLOT_H

#include "common/channel.h"
#include "common/stats.h"
#include "master/conf/conf.h"
#include "master/endpoint.h"
#include "master/supervisor.h"
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

/* What all slots share. */
struct slot_context {
    const struct endpoints *endpoints;
    struct stats_area *stats;
    struct supervisor_patience patience;
    uint64_t now_ms;        /* by the supervisor's clock */
    unsigned running;       /* workers of the current generation that could adopt the queues of another */
    bool for_good;          /* who is told to stop is to let new connections be refused: the whole server stops */
    void (*in_child)(void); /* called first thing in a child: closes what is the master's alone */
};

struct role; /* what its processes do: a row of a table in slot.c */

/*
 * What a process is still to be told, because its control pipe has not taken it: it is said again at every tick until
 * it has been, or until the process is gone.
 */
struct slot_words {
    bool drain, reopen_log;
    unsigned refused_count;
    uint8_t refused[CONF_LISTENERS_MAX * LISTENER_ADDRESSES_MAX / 8]; /* bits, by index of the address */
};

struct slot {
    LIST_ENTRY(slot) link; /* of those that leave */
    const struct role *role;
    unsigned number, generation;
    const struct conf *conf; /* of its generation; NULL once it leaves */
    struct supervisor_slot supervised;
    pid_t pid;                 /* 0: none */
    int channel;               /* the master's end; -1: none */
    struct stats_block *block; /* NULL: none */
    uint64_t turns_seen;       /* the heartbeat when it was last looked at */
    uint64_t ready_ms;         /* real time; 0: not yet */
    enum stats_respawn reason; /* it will be, or was, started */
    struct slot_words words;
    uint8_t assigned[CONF_WORKERS_MAX / 8]; /* numbers whose queues it has been told to adopt */
    unsigned assigned_count;
    uint64_t
        adopt_again_ms; /* real time; until then it is left alone, since it had no descriptors for what it was told */
    /* What its process has done so far, to hold what it says against. */
    unsigned adopts_sent, adopts_missed; /* messages */
    unsigned shutdowns;                  /* how often it has asked for the end of the server */
    uint64_t closed_ms; /* real time; its end of the control pipe was seen to be closed; 0: it was not */
    bool left;          /* it has said LEAVING */
    bool replace_due;   /* there was no memory for its replacement then */
    bool suspect;       /* its counters contradicted each other when they were last looked at */
    bool expelled;      /* it is killed for an error of its own */
};

LIST_HEAD(slot_list, slot);

/* Without a process. `reason` is counted when the first one starts. NULL when out of memory. */
struct slot *slot_new(unsigned number, unsigned generation, const struct conf *conf, enum stats_respawn reason);
void slot_free(struct slot *slot);

/* Take an event in and carry out what the supervisor says. */
void slot_handle(struct slot_context *context, struct slot *slot, enum supervisor_event event);

/* Look at the heartbeat and at the clock. */
void slot_tick(struct slot_context *context, struct slot *slot);

/*
 * Its process has said or written what no sound one does: one line says so ("worker 1 (pid 4711) WHAT: ..."), it is
 * killed, and replaced as one that has crashed.
 */
void slot_expel(struct slot_context *context, struct slot *slot, const char *what);

/* Tell a worker that is leaving once more: then its quiet sessions go at once, instead of within drain_spread. */
void slot_hurry(struct slot_context *context, struct slot *slot);

/* Look at the counters, which cost more than what slot_tick() looks at. */
void slot_check_counters(struct slot_context *context, struct slot *slot);

/* Its process is gone: `status` as from waitpid(), NULL when somebody else has had it. Logs why. */
void slot_reaped(struct slot_context *context, struct slot *slot, const int *status);

/* The other end of the control pipe is closed. */
void slot_close_channel(struct slot *slot);

/* Reopen the log; refuse connections to the address with this index when it drains. Said again until it has been. */
void slot_send_reopen_log(struct slot_context *context, struct slot *slot);
void slot_send_refuse(struct slot_context *context, struct slot *slot, uint32_t index);

/* False when it is to be said again. A process that is gone need not be told. */
bool slot_send(const struct slot *slot, enum channel_type type, uint32_t value);

#endif
