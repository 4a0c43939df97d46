/*
 * What comes of something that was asked of the master: watched in its state, so that a process that hangs keeps nobody
 * waiting for ever. Used by ccserverctl and by the control service.
 */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include "common/stats.h"
#include <stdio.h>

enum progress_kind {
    PROGRESS_RELOAD,
    PROGRESS_UPGRADE,
    PROGRESS_RESIZE,  /* until a pool has `number` workers that are ready, or stay down */
    PROGRESS_RESTART, /* until no worker of a pool is older than this */
    PROGRESS_DRAIN,   /* until the process `number` is gone */
};

struct progress {
    enum progress_kind kind;
    uint32_t number;
    char pool[STATE_POOL_SIZE];
    uint32_t changes;    /* how many there have been before its own */
    uint64_t serial;     /* of the youngest worker then */
    uint64_t reloads;    /* generations that had taken over then */
    uint32_t generation; /* that served then */
    unsigned all, ready; /* workers of the next generation, as told last */
    unsigned misses;     /* looks at which a pool was not to have `number` workers */
};

enum progress_result { PROGRESS_GOES_ON, PROGRESS_DONE, PROGRESS_FAILED };

enum { PROGRESS_TEXT_SIZE = STATE_TEXT_SIZE + 64 };

/* Of these the first ones may have come before the state was written; then it is somebody else who has resized it. */
enum { PROGRESS_MISSES_MAX = 50 };

/* Begin, before it is asked for. `pool` may be NULL. */
void progress_begin(struct progress *progress, enum progress_kind kind, const char *pool, uint32_t number,
                    const struct stats_area *area, const struct master_state *state);

/* Print what is new, a line each. At its end, what has come of it is in `text`. To be called some 50 times a second. */
enum progress_result progress_look(struct progress *progress, const struct stats_area *area,
                                   const struct master_state *state, FILE *out, char text[PROGRESS_TEXT_SIZE]);

#endif
