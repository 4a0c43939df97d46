/*
 * The master while it serves: starts the workers, replaces the dead, answers signals, stops.
 *
 *   master.c   the loop: signals, words and deaths become requests to the files below
 *      |--- readiness which pools run, and which cannot
 *      |--- workers   messages, counters and deaths of workers       --> control, rollout, adopt, recycle, fleet
 *      |--- control   what an operator asks for                     --> resize, recycle, fleet
 *      |--- reload    from SIGHUP to the next generation; names     --> rollout --> fleet
 *      |--- resize    one worker more, one fewer                    --> fleet
 *      |--- upgrade   the other master, during a change of the binary: handover says what to do
 *      |--- guardian  who waits for us, or what we become then
 *      |--- report    statistics
 *      '--- fleet     generations, their pools and slots            --> single, slot --> process, supervisor
 *
 * Calls go down only. What a file below asks of the loop is noted in `requests`, and done when it has returned.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "master/fleet.h"
#include "master/guardian.h"
#include "master/pid.h"
#include "master/reload.h"
#include "master/upgrade.h"
#include <stdbool.h>
#include <stdint.h>

enum master_phase {
    MASTER_SERVING,
    MASTER_STOPPING_SOON, /* it serves as before for `stop_delay`, but is not ready any more, and changes nothing */
    MASTER_STOPPING,      /* the whole server drains */
    MASTER_KILLING,       /* it ends at once */
};

enum master_request {
    MASTER_SHUT_DOWN = 1,    /* a client has asked for the end of the server */
    MASTER_STOP_AT_ONCE = 2, /* the master in charge stops at once, and so does this one, which drains */
    MASTER_STOP = 4,         /* these three: an operator has asked for what the signals TERM, HUP and USR2 do */
    MASTER_RELOAD = 8,
    MASTER_UPGRADE = 16,
};

struct master {
    const struct conf_overrides *overrides;
    char *binary, **arguments; /* argv[0], argv: how we were started, and how an upgrade starts the next one */
    struct fleet fleet;
    struct supervisor_clock clock;
    struct reload reload;
    struct upgrade upgrade;
    struct names known; /* in a candidate: what names stand for in its predecessor */
    struct guardian guardian;
    int stats_fd; /* the memory file behind fleet.context.stats */
    int signal_fd;
    uint64_t started_ms;     /* real time */
    uint64_t stop_ms;        /* real time; when it stops, or has begun to */
    const char *stop_reason; /* of a stop that is to come */
    uint64_t check_ms;       /* real time; then the workers are looked at again */
    enum master_phase phase;
    unsigned requests; /* set of enum master_request */
    bool was_ready;
    struct pid_file *pidfile; /* NULL: none */
    /* Told once: all workers are READY (true), or none can be (false). */
    void (*started)(bool ready);
};

/* In charge, or a candidate; neither stopping nor draining for a successor. */
static inline bool master_is_serving(const struct master *master)
{
    return master->phase <= MASTER_STOPPING_SOON && !handover_has_handed_over(master->upgrade.state);
}

/* A reload, a resize or an upgrade would have to wait, or comes too late. */
static inline bool master_is_busy(const struct master *master)
{
    return !master_is_serving(master) || master->phase == MASTER_STOPPING_SOON || master->fleet.next ||
           master->reload.state == RELOAD_RESOLVING || !handover_may_reload(master->upgrade.state);
}

/* Serve until stopped. Returns the exit code. The first generation's sockets are claimed, the signals are blocked,
 * `signal_fd` reads them. */
int master_run(struct master *master);

#endif
