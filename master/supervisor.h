/*
 * Supervision of a child process: a table of slot state x event -> action. No system calls, no clock of its own; slot.c
 * carries the actions out. Roles (worker, later ledger) share the table.
 *
 *            START            READY             silence            silence
 *   EMPTY ---------> STARTING ------> RUNNING <--------> SILENT ------------> ABORTED --> KILLED
 *                     |    \ late        |       beat      |                     |           |
 *                     |     SLOW --------+-----------------+------ death --------+-----------+
 *                     v                                    v
 *               BACKOFF (after fast deaths) ---------> STARTING, SLOW ...
 *
 *   STOP in any of them: STOPPING (drains) -- late --> ENDING (killed) -- death --> EMPTY.
 *   Exit code 2: DOWN, until START: SLOW.
 *   ERROR, or READY once more: KILLED, and so replaced; while its end is wanted: ENDING.
 *
 * While nobody serves a slot (supervisor_is_adopted) its accept queues are adopted by the others.
 */
#ifndef MASTER_SUPERVISOR_H
#define MASTER_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISOR_STATES(X)                                                                                           \
    X(EMPTY, "empty")       /* no process, none wanted */                                                              \
    X(STARTING, "starting") /* forked, not READY yet */                                                                \
    X(SLOW, "starting")     /* the same, and the slot has not been served for adopt_after */                           \
    X(RUNNING, "ready")                                                                                                \
    X(SILENT, "silent")     /* no heartbeat for adopt_after */                                                         \
    X(ABORTED, "aborted")   /* none for watchdog_timeout, READY or not: SIGABRT is sent */                             \
    X(KILLED, "killed")     /* that did not help, or it cannot be believed: SIGKILL is sent */                         \
    X(BACKOFF, "backoff")   /* no process; one will be started */                                                      \
    X(STOPPING, "stopping") /* it drains; its end is wanted, and it is watched as before */                            \
    X(ENDING, "ending")     /* SIGKILL is sent; its end is wanted */                                                   \
    X(DOWN, "down")         /* no process; it asked not to be started again, until somebody wants it */

#define SUPERVISOR_EVENTS(X)                                                                                           \
    X(START, "start")     /* a process is wanted */                                                                    \
    X(READY, "ready")     /* it sent READY */                                                                          \
    X(BEAT, "beat")       /* its loop has turned */                                                                    \
    X(DUE, "due")         /* due_ms has come */                                                                        \
    X(DIED, "died")       /* reaped: it exited with 0, or somebody sent it SIGKILL */                                  \
    X(CRASHED, "crashed") /* reaped after any other end, or could not be forked */                                     \
    X(GAVE_UP, "gave up") /* reaped, exit code WORKER_EXIT_STAY_DOWN */                                                \
    X(STOP, "stop")       /* no process is wanted any more; it may drain */                                            \
    X(KILL, "kill")       /* the same, at once */                                                                      \
    X(ERROR, "error")     /* it has sent or written what no sound process does */

#define SUPERVISOR_ACTIONS(X)                                                                                          \
    X(NONE)       /* only the state changes, or nothing does */                                                        \
    X(SPAWN)      /* fork now */                                                                                       \
    X(WAIT)       /* log that it will be forked at due_ms */                                                           \
    X(LOG_SILENT) /* log that it is silent */                                                                          \
    X(LOG_AWAKE)  /* log that it beats again */                                                                        \
    X(ABORT)      /* send SIGABRT */                                                                                   \
    X(KILL)       /* send SIGKILL */                                                                                   \
    X(DRAIN)      /* send DRAIN to the child */                                                                        \
    X(LOG_DOWN)   /* log that the slot stays down */                                                                   \
    X(BUG)        /* cannot happen: our own bookkeeping is broken */

enum supervisor_state {
#define X(name, text) SUPERVISOR_##name,
    SUPERVISOR_STATES(X)
#undef X
        SUPERVISOR_STATE_COUNT
};

enum supervisor_event {
#define X(name, text) SUPERVISOR_EVENT_##name,
    SUPERVISOR_EVENTS(X)
#undef X
        SUPERVISOR_EVENT_COUNT
};

enum supervisor_action {
#define X(name) SUPERVISOR_ACT_##name,
    SUPERVISOR_ACTIONS(X)
#undef X
};

enum {
    SUPERVISOR_BACKOFF_MIN_MS = 10,
    SUPERVISOR_BACKOFF_MAX_MS = 1000,
    SUPERVISOR_HEALTHY_MS = 10 * 1000, /* who has lived that long has not crashed at start */
    SUPERVISOR_BRIEF_MS = 50,          /* a process that dies that soon has crashed, whatever its status */
    SUPERVISOR_ABORT_MS = 500,         /* from SIGABRT to SIGKILL */
    SUPERVISOR_GRACE_MS = 1000,        /* a child closes what is left at the drain timeout by itself, then has this */
};

/* From the configuration, in milliseconds. */
struct supervisor_patience {
    uint32_t adopt_after_ms, watchdog_ms, drain_ms;
};

struct supervisor_slot {
    enum supervisor_state state;
    uint64_t since_ms; /* when the state was entered */
    uint64_t started_ms;
    uint64_t beat_ms; /* when the last heartbeat was seen */
    uint64_t due_ms;  /* time of the event DUE; UINT64_MAX: never */
    uint64_t end_ms;  /* STOPPING: when it must have drained */
    unsigned crashes; /* in a row, none of them after a healthy life */
};

/*
 * Take in an event at `now_ms` (monotonic) and return what to do. A child that was RUNNING for more than a moment and
 * then DIED is replaced without delay; one that DIED sooner counts as CRASHED.
 */
enum supervisor_action supervisor_handle(struct supervisor_slot *slot, enum supervisor_event event,
                                         const struct supervisor_patience *patience, uint64_t now_ms);

/* True when no process serves the slot now or soon, so that its siblings adopt its queues. */
bool supervisor_is_adopted(enum supervisor_state state);

/* There is a process. */
bool supervisor_is_alive(enum supervisor_state state);

const char *supervisor_state_name(enum supervisor_state state);

/*
 * The clock that deadlines are held against. It stands still while the master itself does (stopped or suspended): who
 * is late must not punish those whose heartbeats it has not been there to see.
 */
struct supervisor_clock {
    uint64_t last_ms; /* monotonic, at the last call; 0: none yet */
    uint64_t lost_ms;
};

/* `real_ms` is monotonic; the caller wanted to be back after at most `sleep_ms`. More than that, and some, is lost. */
uint64_t supervisor_clock_now(struct supervisor_clock *clock, uint64_t real_ms, uint32_t sleep_ms);

#endif
