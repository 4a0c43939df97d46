/*
 * What an operator asks of the master, through a worker whose service is `control`: a packet of a fixed size over the
 * control pipe, and its answer. The master does at once what it does at a signal, or refuses; what comes of it is to be
 * seen in its state (state.h).
 */
#ifndef COMMON_REQUEST_H
#define COMMON_REQUEST_H

#include <stdint.h>

/* What can be asked, and what `number` and `name` are then. */
enum request_kind {
    REQUEST_RELOAD,    /* open the logs anew, and read the configuration */
    REQUEST_UPGRADE,   /* start the binary that is on disk now */
    REQUEST_STOP,      /* finish all sessions and end */
    REQUEST_RESIZE,    /* so many workers, of this pool */
    REQUEST_RESTART,   /* replace the workers of this pool, one after the other */
    REQUEST_DRAIN,     /* replace the worker with this pid */
    REQUEST_DISABLE,   /* accept nobody at this listener */
    REQUEST_ENABLE,    /* accept again */
    REQUEST_LOG_LEVEL, /* log what is at least as important as this level */
    REQUEST_INSPECT,   /* a connection to the worker with this pid, which answers questions about its sessions */
    REQUEST_KINDS
};

/* Why a request is refused just after an upgrade, whose workers may still answer: the next connection is another one's. */
#define REQUEST_NOT_IN_CHARGE "this master is not in charge any more"

enum { REQUEST_NAME_SIZE = 48, REQUEST_TEXT_SIZE = 240 };

struct request {
    uint32_t id; /* the asker's, for the answer */
    uint32_t kind;
    uint32_t number;
    char name[REQUEST_NAME_SIZE];
};

struct request_answer {
    uint32_t id;
    uint32_t is_refused;
    char text[REQUEST_TEXT_SIZE]; /* why it is refused, or what is done */
};

#endif
