/*
 * What ccserverctl top shows: rows made of two readings of the server, in an order, filtered by name, and cut to the
 * height of a screen.
 *
 *   reading then, reading now --> top_rows_make() --> filtered, sorted rows --> top_share(): how many of them fit
 */
#ifndef MASTER_CTL_TOP_ROWS_H
#define MASTER_CTL_TOP_ROWS_H

#include "common/report_sums.h"
#include <stdbool.h>

enum { TOP_FILTER_SIZE = 32 };

enum top_order { TOP_BY_CPU, TOP_BY_MEMORY, TOP_BY_SESSIONS, TOP_BY_MESSAGES, TOP_BY_NAME };

struct top_view {
    enum top_order order; /* numbers: the largest first */
    bool reverse;
    char filter[TOP_FILTER_SIZE]; /* what a name must contain, in small or capital letters */
};

/* A worker's process at one moment. */
struct top_process {
    uint64_t serial; /* of its block; 0: it has none, or that cannot be read */
    uint64_t messages, sessions, longest_turn_us;
    struct report_process kernel;
};

struct top_reading {
    struct report_sums sums;
    unsigned count;
    struct top_process processes[STATE_WORKERS_MAX]; /* in the order of the state */
};

struct top_worker {
    const struct state_worker *worker;
    struct top_process now;
    bool has_rates; /* there was the same process before */
    double cpu, messages;
};

struct top_traffic {
    uint64_t sessions, failures[3];                 /* refused, lost, errors */
    double accepted, messages, bytes_in, bytes_out; /* per second */
};

struct top_listener {
    const char *name;
    unsigned index; /* in the configuration */
    struct top_traffic traffic;
};

struct top_rows {
    struct top_traffic total; /* with what is gone or filtered */
    unsigned worker_count, listener_count;
    struct top_worker workers[STATE_WORKERS_MAX];
    struct top_listener listeners[STATE_LISTENERS_MAX];
};

/* Read everything that the rows of `state` are made of. */
void top_read(const struct stats_area *area, const struct master_state *state, struct top_reading *reading);

/* `now` is a reading of `state`, which the rows point into. */
void top_rows_make(const struct master_state *state, const struct top_reading *then, const struct top_reading *now,
                   const struct top_view *view, struct top_rows *rows);

/* Share `room` lines between two tables: each gets half, and what the other one leaves. */
void top_share(unsigned room, unsigned *first, unsigned *second);

/* "0" in the pool main, "bank/1" elsewhere. What is too long is cut, with a '+', but for the number. */
enum { TOP_NAME_WIDTH = 16 };
void top_worker_name(char name[TOP_NAME_WIDTH + 1], const struct state_worker *worker);
void top_listener_name(char name[TOP_NAME_WIDTH + 1], const char *full);

#endif
