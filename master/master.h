/*
 * The master while it serves: starts the workers, replaces the dead, answers signals, stops.
 *
 *   master --- current   the generation that serves          generation.c: start, switch, resize
 *         |--- next      the one that a reload has started, until all its workers are READY
 *         |--- leaving   slots of older generations, and retired ones: they drain and go
 *         |--- workers   what they say, that they died       workers.c
 *         |--- endpoints the accept queues                   endpoint.c; adopt.c: who serves whose
 *         |--- reload    the next configuration, while its names are resolved      reload.c, names.c
 *         |--- upgrade   the other master, during a change of the binary      upgrade.c
 *         |--- guardian  who waits for us, or what we become then             guardian.c
 *         `--- world     counters in shared memory, patience, the clock       slot.c
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "master/conf.h"
#include "master/endpoint.h"
#include "master/guardian.h"
#include "master/handover.h"
#include "master/names.h"
#include "master/slot.h"
#include <stdbool.h>
#include <stdint.h>

struct generation {
    unsigned number;
    struct conf conf;
    struct names names;     /* what the names in it stand for */
    unsigned wanted, count; /* slots that there are to be, and that there are: numbers 0 .. count - 1 */
    enum stats_respawn why; /* they are started */
    struct slot *slots[CONF_WORKERS_MAX];
};

enum master_phase {
    MASTER_SERVING,
    MASTER_STOPPING, /* the whole server drains */
    MASTER_KILLING,  /* it has been told to be quick */
};

/* The other master, while a binary takes over from another: the predecessor, or the candidate and later successor. */
struct upgrade {
    enum handover_state state; /* who is in charge */
    int channel;               /* to the other master; -1: there is none, or it has closed its end */
    pid_t pid;                 /* of the other master; 0: there is none */
    uint64_t due_ms;           /* real time until which a predecessor waits for the candidate; 0: it does not */
    unsigned workers;          /* of this candidate that have been READY at a time */
    char why[512];             /* the candidate has failed */
    int status;                /* with which the successor has ended, as from waitpid() */
    unsigned unsaid;           /* set of enum upgrade_word: what could not be sent yet */
    uint64_t deaf_until_ms;    /* real time; until then the channel is left alone, since reading from it has failed */
};

/* Names that a child resolves. */
struct reload {
    enum {
        RELOAD_IDLE,
        RELOAD_RESOLVING, /* for SIGHUP: nothing else may begin meanwhile */
        RELOAD_RETRYING,  /* those that the current configuration goes without; anything may interrupt that */
    } state;
    struct names names;
    bool same_text; /* the file is the one that the current generation was started with */
    uint64_t retry_ms;
    uint32_t retry_delay_ms; /* 0: all names of the current configuration have been resolved */
};

struct master {
    const struct conf_overrides *overrides;
    char *binary, **arguments; /* argv[0], argv: how we were started, and how an upgrade starts the next one */
    struct generation *current, *next;
    struct slot_list leaving;
    struct endpoints endpoints;
    struct slot_world world;
    struct supervisor_clock clock;
    struct reload reload;
    struct upgrade upgrade;
    struct guardian guardian;
    int stats_fd; /* the memory file behind world.stats */
    int signal_fd;
    uint64_t started_ms, next_due_ms; /* real time; `next` must be READY by then */
    uint64_t stop_ms;                 /* real time; it was told to stop */
    uint64_t check_ms;                /* real time; then the workers are looked at again */
    enum master_phase phase;
    bool reload_pending, was_ready;
    bool adopted[CONF_WORKERS_MAX]; /* whose queues are served by the others */
    struct pid_file *pidfile;       /* NULL: none */
    /* Told once: all workers are READY (true), or none can be (false). */
    void (*started)(bool ready);
};

/* In charge, or a candidate; neither stopping nor draining for a successor. */
static inline bool master_is_serving(const struct master *master)
{
    return master->phase == MASTER_SERVING && !handover_has_handed_over(master->upgrade.state);
}

/* Serve until stopped. Returns the exit code. The first generation's sockets are claimed, the signals are blocked,
 * `signal_fd` reads them. */
int master_run(struct master *master);

/* Kill all workers, and be gone when they are. */
void master_stop_at_once(struct master *master, const char *why);

/* The whole server stops: workers that are leaving close their quiet sessions at once. */
void master_hurry(struct master *master);

/* A client has asked for the end of the server. */
void master_shut_down(struct master *master);

/* All slots that have, or may get, a process: of the current and the next generation, and those that leave. */
void master_each_slot(struct master *master, void (*visit)(struct master *master, struct slot *slot));

/* Give it to a slot, see slot_handle(). */
void master_handle(struct master *master, struct slot *slot, enum supervisor_event event);

/* ---- workers.c ---- */

/* Read from the control pipe of a worker, a few messages at a time. */
void workers_receive(struct master *master, struct slot *slot);

/* SIGCHLD: children have died. */
void workers_reap(struct master *master);

/* Look for the dead whose SIGCHLD went astray, and at what the living have counted. To be called at each tick. */
void workers_check(struct master *master);

/* ---- pid.c: nothing happens where no pid file is configured ---- */

/*
 * Put a file with our pid in place, locked: at the start, and in the place of that of the other master of an upgrade.
 * Returns 0, or -1 with a sentence in `why` (which names the pid of another master that has it) and everything as it
 * was. pid_check() finds out whether pid_replace() would succeed, and changes nothing.
 */
int pid_lock(struct master *master, char *why, size_t why_size);
int pid_replace(struct master *master, char *why, size_t why_size);
int pid_check(const struct master *master, char *why, size_t why_size);

/* Let go of it, as it stands. pid_remove(): remove it, too, unless another master has put its own in its place. */
void pid_close(struct master *master);
void pid_remove(struct master *master);

/* ---- generation.c ---- */

/* The number of a generation to come. Numbers go on across an upgrade: no two generations of a service share one. */
unsigned generation_next_number(struct master *master);

struct generation *generation_new(unsigned number);
void generation_free(struct generation *generation);

/* What the supervisor's table waits for is what the current configuration says. */
void generation_apply_patience(struct master *master);

/* Give the listeners of `conf` their places in the statistics. 0, or -1 with a sentence in `why`. */
int generation_index_listeners(struct master *master, struct conf *conf, char *why, size_t why_size);

/*
 * Start all slots of a generation, for this reason: the first few, and as many more at each later call (for NULL,
 * none). Returns whether there are more.
 */
void generation_start(struct master *master, struct generation *generation, enum stats_respawn why);
bool generation_start_some(struct master *master, struct generation *generation);

/*
 * How many workers the first generation starts with: as many as are configured, but in a candidate no more than there
 * are queues. It must not open others, where clients would wait in vain if it failed. In
 * charge it starts the rest.
 */
unsigned generation_first_count(const struct master *master);
void generation_start_rest(struct master *master);

/* Start the next generation, whose configuration has been claimed; or give it back with a line that says why not. */
void generation_start_next(struct master *master, struct generation *next);
void generation_refuse(struct master *master, struct generation *next, const char *why);

/* A slot of `next` is READY: when all are, it takes over. A slot of it has died: the reload is given up. */
void generation_check_next(struct master *master);
void generation_give_up_next(struct master *master, const char *why);

/* A worker drains because somebody else has told it to: it is replaced at once, or as soon as there is memory. */
void generation_replace(struct master *master, struct slot *slot);
void generation_retry_replacements(struct master *master);

/* SIGTTIN, SIGTTOU: one worker more or one fewer. */
void generation_resize(struct master *master, int change);

/* Tell all slots of `current` to drain, and move them to those that leave. */
void generation_retire_all(struct master *master);

/* ---- reload.c ---- */

/*
 * SIGHUP: read the configuration. If it is the current one, start again the slots that have given up, and leave all
 * else alone; otherwise start the next generation with it, or say why not. Waits for what is under way, and for names.
 */
void reload_request(struct master *master);

/* Go on when names have been resolved, when what was under way is over, and when it is time to try a name again. */
void reload_tick(struct master *master);

/* ---- adopt.c ---- */

/* Tell every worker that serves what has changed about whose queues it is to serve. */
void adopt_settle(struct master *master);

/* `slot` could not take all the queues of `number`: it will be told again. */
void adopt_missed(struct slot *slot, unsigned number);

/* How many foreign numbers `slot` serves now. */
unsigned adopt_count(const struct slot *slot);

/* ---- upgrade.c ---- */

/* SIGUSR2: start the binary anew, with our sockets. */
void upgrade_start(struct master *master);

/* In a candidate: tell the predecessor why this master cannot go on. */
void upgrade_fail(const struct master *master, const char *why);

/* In a candidate, while something takes its time: its silence must not be taken for a hang. */
void upgrade_tell_alive(struct master *master);

/* In a candidate: so many workers are READY, or all that can be. */
void upgrade_tell_ready(struct master *master, unsigned workers, bool all);

/*
 * This master has been told to stop, or none of its workers can run: a candidate is killed. A predecessor is told of
 * the first, so that it does not serve again, but not of the second, so that it does.
 */
void upgrade_stop(struct master *master, bool at_once);
void upgrade_break_down(struct master *master);

/*
 * Workers of a candidate that failed have become our children. They drain by themselves, but not for ever; where one
 * may just have been started, it has a moment to say so. Other children, which we may have been born with, are none of
 * our business.
 */
bool upgrade_has_orphans(const struct master *master);

/* What is the business of the master in charge, where that is the other one. */
void upgrade_pass_hup(const struct master *master);
bool upgrade_pass_shutdown(struct master *master);

/*
 * The same for signals, in a process that stays as the guardian, or that the guardian takes for the one in charge since
 * it has not heard of the change yet. True when there is nothing more to be done with this one.
 */
bool upgrade_pass_signal(struct master *master, const struct signalfd_siginfo *info);

/* The other master has said something (the descriptor can be read), or has been silent for too long. */
int upgrade_poll_fd(const struct master *master);
void upgrade_hear(struct master *master);
void upgrade_tick(struct master *master);

/* A child has been reaped. False when it was not the other master. */
bool upgrade_reaped(struct master *master, pid_t pid, int status);

#endif
