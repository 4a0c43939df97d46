/*
 * Counters in shared memory: written by one worker each, read by the masters at any time, without a question or an
 * answer. A worker is trusted with nothing but its own counters, so there are two kinds of memory:
 *
 *   area: a memory file that only masters map                 block: a memory file for each worker
 *     names of listeners, slots, totals of the dead           mapped by its worker, which writes it,
 *     entries[]: number, pid, owner of each worker            and by the masters, which only read its counters
 *
 *   master                             worker (the one writer of its block)
 *   stats_take() -- fork() ----------> stats_enter(): unmaps the area, maps its own block and nobody else's
 *       |                              stats_count(&block->listeners[k].bytes_in, n)
 *       |                                dies, for whatever reason
 *       +-- stats_fold(area, block)    what it had counted goes to the totals of its slot; open sessions become `lost`
 *
 * A new binary that takes over maps the same area, so that totals go on across an upgrade. While there are two masters,
 * each maps the blocks of the other's workers too, through /proc/OWNER/fd (stats_watch), so that nothing is lost when
 * one of them dies. Without /proc only those rows are missing.
 *
 * For every listener, at any moment between two turns of its reactor:
 *     accepted = open + all of closed + lost       (`open` is therefore not stored but derived)
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include "common/close_reason.h"
#include "common/duration.h"
#include "common/event.h"
#include "common/minute.h"
#include "common/queue_table.h"
#include "common/state.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    STATS_LISTENERS_MAX = 128, /* names in one area: those of two generations of a configuration */
    STATS_NAME_SIZE = 48,
    STATS_NUMBERS_MAX = 2048,   /* numbers of slots: twice as many as there are workers at a time */
    STATS_OWN_COUNTERS = 16,    /* of a service */
    STATS_POOL_SIZE = 32,       /* the name of a pool */
    STATS_PROCESSES_MAX = 4096, /* at the same time: also those that drain */
};

/* What is counted for each listener (and so for each service). */
#define STATS_COUNTERS(X)                                                                                              \
    X(accepted, sessions_accepted, "connections accepted")                                                             \
    X(refused, sessions_refused, "connections closed at once: their listener is disabled, or there was no memory")     \
    X(lost, sessions_lost, "sessions that ended with their worker")                                                    \
    X(messages_in, messages_received, "messages handed to the service (raw framing: reads)")                           \
    X(messages_out, messages_sent, "messages sent by the service")                                                     \
    X(bytes_in, received_bytes, "bytes received from clients")                                                         \
    X(bytes_out, sent_bytes, "bytes the kernel took for clients")                                                      \
    X(protocol_errors, protocol_errors, "messages that were answered with an error")                                   \
    X(upstream_failures, upstream_failures, "upstream connections that could not be made")                             \
    X(published, publications, "messages published to the other workers")                                              \
    X(publications_lost, publications_lost, "published messages that another worker had no room for, once for each")

/* Why a process was started, other than as the first of its slot. */
#define STATS_RESPAWNS(X)                                                                                              \
    X(signal, "its predecessor was killed by a signal")                                                                \
    X(exit, "its predecessor exited")                                                                                  \
    X(hang, "its predecessor hung and was killed")                                                                     \
    X(reload, "a new configuration")                                                                                   \
    X(resize, "one worker more was asked for")                                                                         \
    X(recycle, "its predecessor had served long enough")                                                               \
    X(operator, "an operator has had its predecessor drained, or its pool restarted")                                  \
    X(upgrade, "a new binary")

typedef _Atomic uint64_t stats_counter;

enum stats_respawn {
#define X(name, help) RESPAWN_##name,
    STATS_RESPAWNS(X)
#undef X
        RESPAWNS,
    RESPAWN_none = RESPAWNS
};

struct stats_listener {
#define X(name, metric, help) stats_counter name;
    STATS_COUNTERS(X)
#undef X
    stats_counter closed[CLOSE_REASONS];
    stats_counter own[STATS_OWN_COUNTERS]; /* what its service counts */
    stats_counter durations[DURATIONS][DURATION_BUCKETS];
};

/*
 * What one worker counts. The first three members are the master's, which has written them before the worker was there:
 * who finds anything else in them knows that this memory can no longer be believed (stats_count.h).
 */
struct stats_block {
    uint64_t layout;               /* STATS_LAYOUT */
    _Atomic uint32_t taken;        /* number of its slot, plus 1 */
    pid_t owner;                   /* the master that has started it */
    stats_counter turns;           /* of the event loop; also the heartbeat */
    stats_counter longest_turn_us; /* from the return of epoll_wait to the next call */
    stats_counter accept_pauses;   /* accepting stopped for a while: no descriptors, or max_sessions reached */
    stats_counter log_dropped;     /* log lines that could not be written */
    stats_counter turn_times[DURATION_BUCKETS]; /* turns by how long they took */
    struct stats_listener listeners[STATS_LISTENERS_MAX];
} __attribute__((aligned(64)));

/* A worker, as the masters know it. */
struct stats_entry {
    _Atomic uint32_t taken; /* number of its slot, plus 1; 0: free */
    pid_t owner;            /* the master that has started it */
    pid_t pid;              /* 0 until it is known */
    int fd;                 /* the memory file of its block, in the owner */
    /* Which of all workers there have ever been it is, so that nobody takes it for the last one that was entered here.
     * 0 until all of the above is there. */
    _Atomic uint64_t serial;
};

/* The slot that a number stands for. */
struct stats_slot {
    _Atomic uint32_t state; /* of stats_number.c; 0: no slot */
    uint32_t id;            /* in its pool */
    char pool[STATS_POOL_SIZE];
};

/* What is known of all the workers that a slot number has had. */
struct stats_totals {
    stats_counter respawns[RESPAWNS];
    struct stats_block total;        /* of those that are gone */
    struct stats_listener forgotten; /* what they counted for listeners whose index has gone to another name */
};

/* What concerns the service as a whole. It survives an upgrade: two masters may count here at the same time. */
struct stats_service {
    struct state_change last_reload, last_upgrade;
    stats_counter started_ms;  /* monotonic, when the first master started; 0: not yet */
    stats_counter generations; /* numbers given to generations: no two have the same */
    stats_counter reloads, reload_failures, upgrade_failures;
    struct event_ring events;
};

struct stats_area {
    uint64_t layout;        /* STATS_LAYOUT of the binary that has made it */
    stats_counter upgrades; /* binaries that have taken over */
    struct stats_service service;
    _Atomic uint32_t blocks_used;                     /* no entry from here on has ever been taken */
    _Atomic uint32_t numbers_used;                    /* nor for a slot with such a number */
    _Atomic uint64_t serials_used;                    /* workers that have been entered */
    char names[STATS_LISTENERS_MAX][STATS_NAME_SIZE]; /* of listeners; "": free */
    uint32_t kinds[STATS_LISTENERS_MAX];              /* of their own counters */
    struct stats_slot slots[STATS_NUMBERS_MAX];
    struct stats_totals totals[STATS_NUMBERS_MAX];
    struct stats_totals renumbered; /* of slots whose number has been given to another one */
    struct stats_entry entries[STATS_PROCESSES_MAX];
    struct state_record state;  /* of the server, as the master in charge knows it */
    struct queue_record queues; /* of its accept queues, the same */
    struct minute_ring minute;  /* what durations were, written by the master in charge */
};

_Static_assert((int)MINUTE_LISTENERS_MAX == (int)STATS_LISTENERS_MAX, "a reading has a place for each listener");
_Static_assert((int)MINUTE_NAME_SIZE == (int)STATS_NAME_SIZE, "and for its name");

/* Of no two binaries that lay it out differently: the first number grows with every change of these structures. */
#define STATS_LAYOUT ((UINT64_C(20) << 48) + sizeof(struct stats_area))

/* ---- the area: for masters ---- */

/* A memory file for an area, zeroed, close-on-exec. -1 with errno. Memory is used where something has been counted. */
int stats_create(void);

/* Map it. NULL with errno; EPROTO when its layout is that of another binary. A process has one area at a time. */
struct stats_area *stats_attach(int fd);

/* The same, only to be read, by somebody who is no master. */
struct stats_area *stats_view(int fd);

/* An area that processes forked later share as well, but no binary that takes over. NULL with errno. */
struct stats_area *stats_without_file(void);
/* Unmap it, with all blocks. */
void stats_detach(struct stats_area *area);

/*
 * The index of the listener called `name`, in all blocks and totals. A name that is new gets a free one, or else that
 * of a name which is not marked in `keep` (STATS_LISTENERS_MAX flags): its counts move to `forgotten` of the totals, so
 * that no sum changes. -1: none is left.
 */
int stats_index(struct stats_area *area, const char *name, uint32_t kind, const bool *keep);

/* ---- workers ---- */

/*
 * A zeroed block for a worker of slot `number`, in a memory file of its own which can neither shrink nor grow, and
 * whose memory is there already: nobody meets a shortage later. NULL with errno; ENOMEM also when all entries are
 * taken.
 */
struct stats_block *stats_take(struct stats_area *area, unsigned number, pid_t owner);

/* In the master: the worker that `block` was taken for has this pid. */
void stats_set_pid(struct stats_area *area, const struct stats_block *block, pid_t pid);

/*
 * In the worker, first thing after the fork: `block`, mapped where a child of this process will not have it. Everything
 * else that the masters share is unmapped and closed. NULL with errno.
 */
struct stats_block *stats_enter(struct stats_area *area, const struct stats_block *block);

/*
 * Add what the worker that had `block` has counted to the totals of its slot, and free the block. Only when the worker
 * is gone. Counters of a listener that contradict each other are dropped: the totals keep their identity. So is the
 * whole block when its head is damaged.
 */
void stats_fold(struct stats_area *area, struct stats_block *block);

/* ---- workers of the other master ---- */

/* Map the blocks of workers that other masters than `self` have started meanwhile, unmap those of workers that are
 * gone.
 */
void stats_watch(struct stats_area *area, pid_t self);

/* Fold the blocks of all other masters than `self` that are gone, and so are the workers. */
void stats_sweep(struct stats_area *area, pid_t self);

/*
 * The next worker, from `*at` (0 at first), of another master than `self` that is gone; NULL when there is none. Its
 * pid is 0 when that master died in the moment of starting it, until the worker has entered it itself.
 */
const struct stats_entry *stats_orphan(const struct stats_area *area, pid_t self, uint32_t *at);

/* The same for workers of any other master, whether it lives or not. */
const struct stats_entry *stats_other(const struct stats_area *area, pid_t self, uint32_t *at);

/* ---- sums ---- */

/* What the living and the dead of slot `number` have counted, for the first `listeners` of all. */
void stats_sum(const struct stats_area *area, unsigned number, unsigned listeners, struct stats_block *total);

/*
 * Add the durations that the living and the dead of slot `number` have counted, of the listeners that are named in
 * `total`.
 */
void stats_sum_durations(const struct stats_area *area, unsigned number, struct minute_counts *total);

/* Which of all workers `block` belongs to; the block of a worker that is mapped here, NULL: it is not. */
uint64_t stats_serial(const struct stats_area *area, const struct stats_block *block);
const struct stats_block *stats_block_of(const struct stats_area *area, uint64_t serial);

/* Add to a counter of our own block. There is one writer, so no locked instruction is needed. */
static inline void stats_count(stats_counter *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

/* Count something that has taken so long. */
static inline void stats_count_duration(stats_counter counts[DURATION_BUCKETS], uint64_t ns)
{
    stats_count(&counts[duration_bucket(ns)], 1);
}

static inline uint64_t stats_read(const stats_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
