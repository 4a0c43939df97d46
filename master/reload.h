/*
 * A reload: from SIGHUP to the start of the next generation, or to the line that says why there is none.
 */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include "master/names.h"
#include <stdbool.h>
#include <stdint.h>

struct master;

/* The names that a child resolves for the next configuration. */
struct reload {
    enum {
        RELOAD_IDLE,
        RELOAD_RESOLVING, /* for SIGHUP: nothing else may begin meanwhile */
        RELOAD_RETRYING,  /* those that the current configuration goes without; anything may interrupt that */
    } state;
    struct names names;
    bool same_text; /* the file is the one that the current generation was started with */
    bool pending;   /* SIGHUP has come while something else was under way */
    uint64_t retry_ms;
    uint32_t retry_delay_ms; /* 0: all names of the current configuration have been resolved */
};

/*
 * SIGHUP: read the configuration. If it is the current one, start again the slots that have given up, and leave all
 * else alone; otherwise start the next generation with it, or log why not. Waits for what is under way, and for names.
 */
void reload_request(struct master *master);

/* Refuse whatever is under way or waits, with this reason: the server stops. */
void reload_give_up(struct master *master, const char *error);

/* Go on when names have been resolved, when what was under way is over, and when it is time to try a name again. */
void reload_tick(struct master *master);

#endif
