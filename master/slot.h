/*
 * Slots: one per worker number. A slot owns the sockets that its worker accepts from, for the life of the server, so
 * that what waits in an accept queue survives the worker; and it owns the totals of all the processes it has had.
 *
 *   slot 0   sockets (one per address)   totals   pid, channel, shared counters of the process it has now
 *   slot 1   ...
 */
#ifndef MASTER_SLOT_H
#define MASTER_SLOT_H

#include "common/stats.h"
#include "master/conf.h"
#include "master/supervisor.h"
#include "worker/worker.h"
#include <stdint.h>
#include <sys/types.h>

struct slot {
    struct supervisor_slot supervised;
    struct worker_env env; /* what the process is given; `env.stats` are its live counters */
    struct worker_socket *sockets;
    struct stats_block total; /* of the processes that are gone */
    pid_t pid;                /* 0: none */
    int channel;              /* the master's end; -1: none */
    bool greeted;             /* it has been READY once */
    unsigned respawns_signal, respawns_exit;
};

struct slots {
    unsigned count;
    struct slot *all;
    struct stats_block *blocks; /* shared memory, one per slot */
    int *fds;                   /* all listening sockets; the slots refer to them */
    unsigned fd_count;
    uint32_t drain_ms;      /* what a worker that is told to stop may take */
    void (*in_child)(void); /* called first thing in a child: closes what is the master's alone */
};

/*
 * Bind every address for every slot. Rewrites ports of 0 in `conf`. Returns 0, or -1 with a sentence in `why`; close
 * with slots_fini() in either case.
 */
int slots_init(struct slots *slots, struct conf *conf, char *why, size_t why_size);
void slots_fini(struct slots *slots);

/* Remove the files of unix sockets. */
void slots_unlink(const struct conf *conf);

/* Take an event in and carry out what the supervisor says. */
void slot_handle(struct slots *slots, struct slot *slot, enum supervisor_event event, bool own_fault);

/* Tell the workers that the log file was renamed. */
void slots_reopen_log(const struct slots *slots);

/* A child has been reaped: `status` as from waitpid(). Logs why. Nothing happens when `pid` is not ours. */
void slots_reaped(struct slots *slots, pid_t pid, int status);

/* Fork what has waited long enough. Returns milliseconds to the next one, -1: none waits. */
int slots_retry(struct slots *slots, uint64_t now_ms);

/* Number of slots that have a process. */
unsigned slots_alive(const struct slots *slots);

#endif
