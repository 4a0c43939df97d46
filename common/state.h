/*
 * The state of the server as the master in charge knows it: what is not a counter, but what a report needs. It lies in
 * the area of the statistics (stats.h), where it can be read without asking any process: by one writer, with a sequence
 * number that is odd while it writes. A reader takes a copy.
 */
#ifndef COMMON_STATE_H
#define COMMON_STATE_H

#include "common/sock.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    STATE_NAME_SIZE = 48,
    STATE_POOL_SIZE = 32,
    STATE_TEXT_SIZE = 256,
    STATE_POOLS_MAX = 16,
    STATE_LISTENERS_MAX = 64,
    STATE_ADDRESSES_MAX = 16,
    STATE_COUNTERS_MAX = 16,
    STATE_WORKERS_MAX = 4096,
};

/* Which generation a worker is of. */
enum state_part { STATE_SERVES, STATE_STARTS, STATE_LEAVES };

struct state_worker {
    char pool[STATE_POOL_SIZE];
    uint32_t id; /* in its pool */
    uint32_t generation;
    uint32_t part; /* enum state_part */
    pid_t pid;     /* 0: there is no process now */
    char state[16];
    uint32_t reason;               /* enum stats_respawn: why the process was started */
    bool is_adopted;               /* its accept queues are served by its siblings */
    uint32_t adopts;               /* slots whose queues it serves */
    uint64_t started_ms, ready_ms; /* monotonic; 0: not yet */
    uint64_t serial;               /* of its block in the statistics; 0: it has none */
};

struct state_counter {
    char name[STATE_NAME_SIZE], help[96];
};

struct state_listener {
    char name[STATE_NAME_SIZE], service[STATE_NAME_SIZE], pool[STATE_POOL_SIZE];
    bool is_disabled; /* by an operator: who connects is turned away */
    uint32_t index;   /* in the statistics */
    uint32_t address_count;
    char addresses[STATE_ADDRESSES_MAX][SOCK_TEXT_SIZE];
    uint32_t counter_count; /* of its service's own */
    struct state_counter counters[STATE_COUNTERS_MAX];
};

struct state_pool {
    char name[STATE_POOL_SIZE];
    uint32_t wanted, running; /* workers */
    bool cannot_run;          /* all its workers have given up, or crash again and again */
};

/* How the last reload, or upgrade, has ended. */
struct state_change {
    _Atomic uint32_t count; /* of them, so that the next one can be awaited; 0: there was none yet */
    bool failed;
    uint64_t at_ms;             /* since 1970 */
    char text[STATE_TEXT_SIZE]; /* why it has failed, or what it has changed */
};

struct master_state {
    pid_t pid; /* of the master in charge */
    char version[STATE_NAME_SIZE];
    char phase[16]; /* starting, serving, stopping soon, stopping, killing, handed over */
    char conf_path[STATE_TEXT_SIZE];
    bool is_busy;           /* a reload, a resize or an upgrade is refused, or has to wait */
    bool is_reloading;      /* a reload is under way; one that is asked for now comes after it */
    uint32_t reloads_ended; /* `last_reload.count` at the same moment */
    bool is_ready;          /* in charge; all workers serve that can, and it does not stop */
    uint32_t generation;
    uint64_t master_started_ms; /* monotonic */
    uint64_t log_dropped;       /* lines of this master */
    uint32_t pool_count, listener_count, worker_count;
    struct state_pool pools[STATE_POOLS_MAX];
    struct state_listener listeners[STATE_LISTENERS_MAX];
    struct state_worker workers[STATE_WORKERS_MAX];
};

/* As it lies in shared memory. */
struct state_record {
    _Atomic uint32_t sequence; /* odd: it is being written */
    struct master_state state;
};

/* Note the end of a reload or upgrade. */
void state_note_change(struct state_change *change, bool failed, const char *text);

/* What stands between the phase and the time since the start: "serving for 2h", but "stopping, up 2h". */
const char *state_phase_joint(const struct master_state *state);

/* How many workers serve, or are about to. */
unsigned state_serving(const struct master_state *state);

/*
 * Why no load balancer should send anybody here: a phase, such as "stopping", or a sentence about a pool that has no
 * worker that is ready. NULL: it may.
 */
const char *state_unready(const struct master_state *state);

/* The worker that serves and is called `name`: "0" of the pool main, "POOL/0", or else its pid. NULL: there is none. */
const struct state_worker *state_find_worker(const struct master_state *state, const char *name);

/* For the one writer. */
void state_write(struct state_record *record, const struct master_state *state);

/* Take a copy. False when the writer does not come to an end of it within a second, or has never been there. */
bool state_read(const struct state_record *record, struct master_state *state);

/* The same without sleeping, for who has others to serve: false also when it is being written at this moment. */
bool state_try_read(const struct state_record *record, struct master_state *state);

#endif
