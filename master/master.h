/*
 * The master while it serves: starts the workers, replaces the dead, answers signals, stops.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "master/conf.h"
#include "master/slot.h"

struct master {
    struct conf *conf;
    struct slots slots;
    int signal_fd;
    uint64_t started_ms;
    enum { MASTER_SERVING, MASTER_STOPPING, MASTER_KILLING } phase;
    uint64_t kill_ms; /* MASTER_STOPPING: workers that are still there then are killed */
    bool was_ready;   /* all workers have been READY at the same time once */
    /* Told once: all workers are READY (true), or none can be (false). */
    void (*started)(bool ready);
};

/* Serve until stopped. Returns the exit code. `master->slots` is bound, the signals are blocked, `signal_fd` reads
 * them. */
int master_run(struct master *master);

#endif
