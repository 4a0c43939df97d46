/*
 * What is to be done with a child process: a table of slot state x event -> action. No system calls, no clock of its
 * own; slot.c carries the actions out. Roles (worker, later ledger) share the table.
 *
 *            START            READY             STOP
 *   EMPTY ---------> STARTING ------> RUNNING ---------> STOPPING
 *                     ^  | death        | death             | death
 *                     |  v              v                   v
 *             RETRY  BACKOFF <----------+                 EMPTY         exit code 2, in any state: DOWN
 */
#ifndef MASTER_SUPERVISOR_H
#define MASTER_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISOR_STATES(X)                                                                                           \
    X(EMPTY, "empty")       /* no process, none wanted */                                                              \
    X(STARTING, "starting") /* forked, not READY yet */                                                                \
    X(RUNNING, "ready")                                                                                                \
    X(BACKOFF, "backoff")   /* no process; one will be started at retry_ms */                                          \
    X(STOPPING, "stopping") /* told to drain; its end is wanted */                                                     \
    X(DOWN, "down")         /* no process; it asked not to be started again */

#define SUPERVISOR_EVENTS(X)                                                                                           \
    X(START, "start")     /* a process is wanted */                                                                    \
    X(READY, "ready")     /* it said READY */                                                                          \
    X(DIED, "died")       /* reaped, or could not be forked */                                                         \
    X(GAVE_UP, "gave up") /* reaped, exit code WORKER_EXIT_STAY_DOWN */                                                \
    X(RETRY, "retry")     /* retry_ms has come */                                                                      \
    X(STOP, "stop")       /* no process is wanted any more */

#define SUPERVISOR_ACTIONS(X)                                                                                          \
    X(NONE)      /* only the state changes, or nothing does */                                                         \
    X(SPAWN)     /* fork now */                                                                                        \
    X(WAIT)      /* fork at retry_ms */                                                                                \
    X(DRAIN)     /* tell the child to stop */                                                                          \
    X(TELL_DOWN) /* log that the slot stays down */                                                                    \
    X(BUG)       /* cannot happen: our own bookkeeping is broken */

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
};

struct supervisor_slot {
    enum supervisor_state state;
    uint64_t since_ms; /* when the state was entered */
    uint64_t started_ms;
    uint64_t retry_ms; /* BACKOFF */
    unsigned crashes;  /* in a row, none of them after a healthy life */
};

/*
 * Take in an event at `now_ms` (monotonic) and return what to do. `own_fault` counts for DIED only: a child that was
 * READY and then killed with SIGKILL, or that exited because somebody told it to, has not crashed and is replaced
 * without delay.
 */
enum supervisor_action supervisor_handle(struct supervisor_slot *slot, enum supervisor_event event, bool own_fault,
                                         uint64_t now_ms);

const char *supervisor_state_name(enum supervisor_state state);

#endif
