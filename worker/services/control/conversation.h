/*
 * A conversation with an operator: the command that is being carried out, and its answer.
 */
#ifndef CONTROL_CONVERSATION_H
#define CONTROL_CONVERSATION_H

#include "common/progress.h"
#include "worker/admin.h"
#include "worker/services/control/answer.h"
#include "worker/services/control/listing.h"
#include <stdbool.h>
#include <stdio.h>

/* Timers of a session: what has come of a change; whether a worker that was asked answers. */
enum { WATCH = 1, LOOK = 2, WATCH_MS = 20 };

struct state {
    struct reply *reply; /* the place of the answer that is due; NULL: none */
    bool asks, watches;  /* what it waits for: the master's answer; what comes of it */
    struct progress progress;
    struct listing listing;
};

struct command;
typedef enum verdict run(struct session *session, const struct command *command, char *const *words);

struct command {
    const char *name;
    unsigned least, most; /* words behind it */
    run *run;
    uint32_t kind; /* of the request, where it makes one */
    bool changes;
    const char *help;
};

/* End the answer: the next command can come. Nothing happens when it has been ended. */
enum verdict conversation_end(struct session *session, enum answer_end how, const char *sentence);
enum verdict conversation_out_of_memory(struct session *session);

/* Lines are collected in a stream, and sent when it is closed. */
struct lines {
    FILE *out;
    char *text;
    size_t size;
};

/* False: out of memory; of lines_send() nothing is sent then. */
bool lines_open(struct lines *lines);
bool lines_send(struct session *session, struct lines *lines);

#endif
