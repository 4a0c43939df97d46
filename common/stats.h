/*
 * Counters in shared memory: written by one child each, read by the master at any time, without a question or an
 * answer.
 *
 *   master                          child (one writer)
 *   stats_map() -- blocks[i] -----> stats_count(&block->listeners[k].bytes_in, n)
 *       |                              dies, for whatever reason
 *       +-- stats_fold(total, block)   what it had counted is kept; sessions it had open become `lost`
 *
 * For every listener, at any moment between two turns of its reactor:
 *     accepted = open + all of closed + lost       (`open` is therefore not stored but derived)
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum { STATS_LISTENERS_MAX = 64 };

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

typedef _Atomic uint64_t stats_counter;

enum close_reason {
#define X(name, help) CLOSE_##name,
    STATS_CLOSE_REASONS(X)
#undef X
        CLOSE_REASONS
};

struct stats_listener {
#define X(name, help) stats_counter name;
    STATS_COUNTERS(X)
#undef X
    stats_counter closed[CLOSE_REASONS];
};

/* One process. */
struct stats_block {
    stats_counter turns;           /* of the event loop; also the heartbeat */
    stats_counter longest_turn_us; /* from the return of epoll_wait to the next call */
    stats_counter accept_pauses;   /* accepting stopped for a while: no descriptors, or max_sessions reached */
    struct stats_listener listeners[STATS_LISTENERS_MAX];
} __attribute__((aligned(64)));

/* `count` zeroed blocks, shared with every process forked later. NULL with errno. Pages are used when they are written.
 */
struct stats_block *stats_map(unsigned count);

/* Add what the process that owned `block` has counted to `total` and zero `block`. Only after the process has been
 * reaped. */
void stats_fold(struct stats_block *total, struct stats_block *block);

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
