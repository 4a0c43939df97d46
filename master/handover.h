/*
 * Who is in charge while one binary takes over from another: a table of state x event -> action, as seen by one of the
 * two masters. No system calls and no clock; upgrade.c receives the words and carries the actions out.
 *
 *   the predecessor, which starts the new binary
 *
 *                            YIELDING
 *                    YIELD ^   | EMPTIED
 *                START     |   v      READY             MINE                  STOPPING
 *   IN_CHARGE ----------> STARTING ------> OFFERED ---------> HANDED_OVER -----------> ENDING
 *    ^  ^  ^                 |                |                 |      |                 |
 *    |  |  |           FAILED, late, stop     |            DIED |      | EXITED          | its end
 *    |  |  |                 v                v                 |      v                 v
 *    |  |  '-- its end -- REJECTED         REVOKED              |      '--> OUTLIVED <---'
 *    |  '----- its end ----------------------'                  |
 *    '---------------------------------------------------------'
 *
 *   the candidate, which the predecessor has started and which becomes its successor
 *
 *    ASKING
 *     ^  | YIELDED
 *     |  v      YOURS             MINE is sent
 *   CANDIDATE ---------> CLAIMED --------------> SUCCESSOR ------ end of the predecessor ----> IN_CHARGE
 *       | stop             | stop                    ^
 *       v                  v       MINE is sent      |
 *   WITHDRAWN           CLOSING ---------------------'
 *
 * A candidate asks when all its workers are READY but those of single pools (OTHERS_READY).
 * The end of the predecessor puts a candidate in charge from each of its states.
 */
#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

#include <stdbool.h>

#define HANDOVER_STATES(X)                                                                                             \
    X(IN_CHARGE, "in charge") /* this master is in charge, and there is no other one */                                \
    X(STARTING, "starting")   /* in charge; a candidate starts its workers */                                          \
    X(YIELDING, "yielding")   /* the same; workers that there may be only one of leave for those of the candidate */   \
    X(OFFERED, "offered")     /* in charge; the candidate has been sent YOURS and may have begun to take over */       \
    X(REJECTED, "rejected")   /* in charge; a candidate without an offer was killed, and not reaped yet */             \
    X(REVOKED, "revoked")     /* the same after an offer: what it has changed must be put right */                     \
    X(HANDED_OVER, "handed over") /* the successor is in charge; this master drains, and serves again if it dies */    \
    X(ENDING, "ending")           /* the same, but the server stops: nobody serves again */                            \
    X(OUTLIVED, "outlived")       /* the successor has ended as it was told to; this master still drains */            \
    X(CANDIDATE, "candidate")     /* the predecessor is in charge until this master is offered all */                  \
    X(ASKING, "asking")           /* the same; it has been sent YIELD */                                               \
    X(WITHDRAWN, "withdrawn")     /* a candidate that stops: it accepts no offer */                                    \
    X(CLAIMED, "claimed")         /* the pid file is this master's; in charge as soon as MINE has been sent */         \
    X(CLOSING, "closing")         /* the same, but this master stops: it will serve nobody */                          \
    X(SUCCESSOR, "successor")     /* this master is in charge; the predecessor drains */

/* The words of the other master first (upgrade_words.h), then what else happens. */
#define HANDOVER_EVENTS(X)                                                                                             \
    X(ALIVE)        /* the candidate is busy with its start */                                                         \
    X(YIELD)        /* all workers of the candidate are READY but those that there may be only one of */               \
    X(YIELDED)      /* the predecessor has none of those any more */                                                   \
    X(READY)        /* the workers of the candidate are READY */                                                       \
    X(YOURS)        /* the predecessor offers all that it has */                                                       \
    X(MINE)         /* the candidate is in charge from here on */                                                      \
    X(FAILED)       /* the candidate cannot go on, and says why */                                                     \
    X(STOPPING)     /* the other master has been told to stop, also by a signal that this one has passed on */         \
    X(QUICKLY)      /* at once */                                                                                      \
    X(START)        /* a candidate has been forked */                                                                  \
    X(EMPTIED)      /* the workers that leave for those of the candidate are gone */                                   \
    X(OTHERS_READY) /* of this candidate, all but those that wait for the predecessor's */                             \
    X(SENT)         /* MINE is on its way */                                                                           \
    X(LATE)         /* the candidate has been silent for too long */                                                   \
    X(CLOSED)       /* the other end of the channel is closed */                                                       \
    X(EXITED)       /* the candidate or successor was reaped: exit code 0 */                                           \
    X(DIED)         /* the same, but it was killed or has failed */                                                    \
    X(STOP)         /* this master has been told to stop */                                                            \
    X(BREAK_DOWN)   /* it stops because none of its workers can run */

#define HANDOVER_ACTIONS(X)                                                                                            \
    X(NONE)            /* only the state changes, or nothing: another version may send words out of place */           \
    X(WAIT)            /* give the candidate its time from now on */                                                   \
    X(OFFER)           /* the same, and send YOURS */                                                                  \
    X(YIELD)           /* have the workers leave that there may be only one of */                                      \
    X(SEND_YIELDED)    /* they are gone; the candidate is given its time from now on */                                \
    X(SEND_YIELD)      /* so that this candidate may start its own */                                                  \
    X(START_SINGLES)   /* it may */                                                                                    \
    X(KILL)            /* send SIGKILL to the candidate or successor */                                                \
    X(FAIL)            /* log the failure: this master goes on */                                                      \
    X(RECOVER)         /* the same, and put right what the candidate may have changed */                               \
    X(HAND_OVER)       /* drain, and let the successor serve */                                                        \
    X(RESUME_SERVICE)  /* serve again */                                                                               \
    X(OUTLIVE)         /* note how the successor has ended */                                                          \
    X(HURRY)           /* quiet sessions of workers that drain are closed at once: the server stops */                 \
    X(STOP_AT_ONCE)    /* kill the workers that drain */                                                               \
    X(CLOSE)           /* close the channel; the process behind it will be reaped */                                   \
    X(FORGET)          /* close the channel: the predecessor is gone */                                                \
    X(CLAIM)           /* put the pid file in place, and send MINE */                                                  \
    X(SEND_MINE)       /* say it again */                                                                              \
    X(TAKE_OVER)       /* serve alone from now on: drop what the predecessor had and this master does not want */      \
    X(TAKE_OVER_ALONE) /* CLAIM, TAKE_OVER and FORGET in one: there is no predecessor any more */                      \
    X(SEND_STOPPING)   /* so that the predecessor does not serve again */                                              \
    X(BUG)             /* cannot happen: our own bookkeeping is broken */

enum handover_state {
#define X(name, text) HANDOVER_##name,
    HANDOVER_STATES(X)
#undef X
        HANDOVER_STATE_COUNT
};

enum handover_event {
#define X(name) HANDOVER_EVENT_##name,
    HANDOVER_EVENTS(X)
#undef X
        HANDOVER_EVENT_COUNT
};

enum handover_action {
#define X(name) HANDOVER_ACT_##name,
    HANDOVER_ACTIONS(X)
#undef X
};

/* Take in an event and return what to do. BUG leaves the state as it was. */
enum handover_action handover_handle(enum handover_state *state, enum handover_event event);

/* This master answers to the service manager and writes the statistics. */
bool handover_is_in_charge(enum handover_state state);

/*
 * The files of the sockets are this master's to remove when it ends. A successor that has failed leaves them to the
 * predecessor, which serves again.
 */
bool handover_owns_sockets(enum handover_state state, bool has_failed);

/* There is no other master: a reload, a change of the number of workers or an upgrade may begin. */
bool handover_may_reload(enum handover_state state);

/* Another binary has started this master, which is not in charge yet: it does nothing that could not be taken back. */
bool handover_is_candidate(enum handover_state state);

/* The pid file is this master's, but MINE is not on its way yet. */
bool handover_has_claimed(enum handover_state state);

/* This master is in charge no more, and drains. */
bool handover_has_handed_over(enum handover_state state);

/* Signals and requests are passed on to the successor. */
bool handover_has_successor(enum handover_state state);

/* The predecessor still drains, and serves again if this master fails. */
bool handover_has_predecessor(enum handover_state state);

/* The end of a candidate or successor will be reaped: it is a child of this master. */
bool handover_awaits_end(enum handover_state state);

const char *handover_state_name(enum handover_state state);

#endif
