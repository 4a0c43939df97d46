/*
 * Counters in shared memory: written by one child each, read by a master at any time, without a question or an answer.
 *
 *   master                           child (one writer)
 *   stats_take() -- a block -------> stats_count(&block->listeners[k].bytes_in, n)
 *       |                               dies, for whatever reason
 *       +-- stats_fold(area, block)     what it had counted goes to the book of its slot; open sessions become `lost`
 *
 * The area is a memory file. A new binary that takes over maps the same one, so that totals go on across an upgrade.
 *
 * For every listener, at any moment between two turns of its reactor:
 *     accepted = open + all of closed + lost       (`open` is therefore not stored but derived)
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    STATS_LISTENERS_MAX = 128, /* names in one area: those of two generations of a configuration */
    STATS_NAME_SIZE = 48,
    STATS_NUMBERS_MAX = 1024,   /* slot numbers */
    STATS_PROCESSES_MAX = 4096, /* at the same time: also those that drain */
};

/* Why a session ended. One list: the enum, the counters and the report are made from it. */
#define STATS_CLOSE_REASONS(X)                                                                                         \
    X(done, "closed by the service")                                                                                   \
    X(peer, "closed by the client")                                                                                    \
    X(reset, "reset by the client, or another socket error")                                                           \
    X(idle, "idle_timeout passed")                                                                                     \
    X(oversize, "message larger than max_frame")                                                                       \
    X(protocol, "protocol violation")                                                                                  \
    X(overflow, "unsent output larger than max_output")                                                                \
    X(upstream, "upstream failed")                                                                                     \
    X(leaving, "quiet when its worker left: reload, resize, upgrade")                                                  \
    X(drain, "still busy at drain_timeout")                                                                            \
    X(memory, "out of memory")

/* What is counted for each listener (and so for each service). */
#define STATS_COUNTERS(X)                                                                                              \
    X(accepted, "connections accepted")                                                                                \
    X(refused, "connections closed at once: no memory or no descriptor for a session")                                 \
    X(lost, "sessions that ended with their worker")                                                                   \
    X(messages_in, "messages handed to the service (raw framing: reads)")                                              \
    X(messages_out, "messages sent by the service")                                                                    \
    X(bytes_in, "bytes received from clients")                                                                         \
    X(bytes_out, "bytes the kernel took for clients")                                                                  \
    X(protocol_errors, "messages that were answered with an error")                                                    \
    X(upstream_failures, "upstream connections that could not be made")

/* Why a process was started, other than as the first of its slot. */
#define STATS_RESPAWNS(X)                                                                                              \
    X(signal, "its predecessor was killed by a signal")                                                                \
    X(exit, "its predecessor exited")                                                                                  \
    X(hang, "its predecessor hung and was killed")                                                                     \
    X(reload, "a new configuration")                                                                                   \
    X(resize, "one worker more was asked for")                                                                         \
    X(upgrade, "a new binary")

typedef _Atomic uint64_t stats_counter;

enum close_reason {
#define X(name, help) CLOSE_##name,
    STATS_CLOSE_REASONS(X)
#undef X
        CLOSE_REASONS
};

enum stats_respawn {
#define X(name, help) RESPAWN_##name,
    STATS_RESPAWNS(X)
#undef X
        RESPAWNS,
    RESPAWN_none = RESPAWNS
};

struct stats_listener {
#define X(name, help) stats_counter name;
    STATS_COUNTERS(X)
#undef X
    stats_counter closed[CLOSE_REASONS];
};

/* One process. */
struct stats_block {
    _Atomic uint32_t taken;        /* number of its slot, plus 1; 0: free */
    pid_t pid;                     /* 0 until it is known */
    pid_t owner;                   /* the master that started it */
    stats_counter turns;           /* of the event loop; also the heartbeat */
    stats_counter longest_turn_us; /* from the return of epoll_wait to the next call */
    stats_counter accept_pauses;   /* accepting stopped for a while: no descriptors, or max_sessions reached */
    struct stats_listener listeners[STATS_LISTENERS_MAX];
} __attribute__((aligned(64)));

/* What is known of all the processes that a slot number has had. */
struct stats_book {
    stats_counter respawns[RESPAWNS];
    struct stats_block total;        /* of those that are gone */
    struct stats_listener forgotten; /* what they counted for listeners whose index has gone to another name */
};

/* What concerns the service as a whole. It survives an upgrade: two masters may count here at the same time. */
struct stats_service {
    stats_counter started_ms;  /* monotonic, when the first master started; 0: not yet */
    stats_counter generations; /* numbers given to generations: no two have the same */
    stats_counter reloads, reload_failures, upgrade_failures;
};

struct stats_area {
    uint64_t layout;        /* STATS_LAYOUT of the binary that has made it */
    stats_counter upgrades; /* binaries that have taken over */
    struct stats_service service;
    _Atomic uint32_t blocks_used;                     /* no block from here on has ever been taken */
    _Atomic uint32_t numbers_used;                    /* nor for a slot with such a number */
    char names[STATS_LISTENERS_MAX][STATS_NAME_SIZE]; /* of listeners; "": free */
    struct stats_book books[STATS_NUMBERS_MAX];
    struct stats_block blocks[STATS_PROCESSES_MAX];
};

/* Of no two binaries that lay it out differently: the first number grows with every change of these structures. */
#define STATS_LAYOUT ((UINT64_C(3) << 48) + sizeof(struct stats_area))

/* A memory file for an area, zeroed, close-on-exec. -1 with errno. Memory is used where something has been counted. */
int stats_create(void);

/* Map it, shared with every process forked later. NULL with errno; EPROTO when its layout is that of another binary. */
struct stats_area *stats_attach(int fd);

/* An area that processes forked later share as well, but no binary that takes over. NULL with errno. */
struct stats_area *stats_without_file(void);

/*
 * The index of the listener called `name`, in all blocks and books. A name that is new gets a free one, or else that of
 * a name which is not marked in `keep` (STATS_LISTENERS_MAX flags): its counts move to `forgotten` of the books, so
 * that no sum changes. -1: none is left.
 */
int stats_index(struct stats_area *area, const char *name, const bool *keep);

/* A zeroed block for a process of slot `number`. NULL with ENOMEM when all are taken. */
struct stats_block *stats_take(struct stats_area *area, unsigned number, pid_t owner);

/* Add what the process that had `block` has counted to the book of its slot, and free the block. Only when it is gone.
 */
void stats_fold(struct stats_area *area, struct stats_block *block);

/* The same for all blocks of other masters than `self` that are gone, and so are the processes. */
void stats_sweep(struct stats_area *area, pid_t self);

/*
 * The next block, from `*at` (0 at first), of another master than `self` that is gone; NULL when there is none. Its pid
 * is 0 when that master died in the moment of starting the process, until the process has written it itself.
 */
const struct stats_block *stats_orphan(const struct stats_area *area, pid_t self, uint32_t *at);

/* What the living and the dead of slot `number` have counted. */
void stats_sum(const struct stats_area *area, unsigned number, struct stats_block *total);

/* Sessions of this listener that have neither been closed nor lost. */
uint64_t stats_open(const struct stats_listener *listener);

/* Sum `listener` into `total`. */
void stats_add(struct stats_listener *total, const struct stats_listener *listener);

/* Add to a counter of our own block. There is one writer, so no locked instruction is needed. */
static inline void stats_count(stats_counter *counter, uint64_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static inline uint64_t stats_read(const stats_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
