/*
 * Why a session ended: what its service is told, what is counted, and what the reports show.
 */
#ifndef COMMON_CLOSE_REASON_H
#define COMMON_CLOSE_REASON_H

#include <stdbool.h>

/* One list: the enum, the counters and the report are made from it. */
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
    X(memory, "out of memory")                                                                                         \
    X(killed, "ended by an operator")

enum close_reason {
#define X(name, help) CLOSE_##name,
    STATS_CLOSE_REASONS(X)
#undef X
        CLOSE_REASONS
};

/* "peer" */
static inline const char *close_reason_name(enum close_reason reason)
{
    static const char *const names[] = {
#define X(name, help) #name,
        STATS_CLOSE_REASONS(X)
#undef X
    };
    return names[reason];
}

/* True when the session has come to its end: service or client ended it, or nothing was going on when its worker left. */
static inline bool close_is_orderly(enum close_reason reason)
{
    return reason == CLOSE_done || reason == CLOSE_peer || reason == CLOSE_leaving;
}

#endif
