/*
 * The sessions of all workers: one worker after the other is asked over a connection that the master makes, see
 * worker/inspect.h. One that does not answer is left out, with a line that says so.
 *
 *   listing_begin() --> REQUEST_INSPECT --> connection --> "list" --> lines ... "end" --> the next worker
 *                             ^                                                              |
 *                             '--------------------------------------------------------------'
 */
#ifndef CONTROL_LISTING_H
#define CONTROL_LISTING_H

#include "worker/admin.h"
#include "worker/session.h"

struct listing_worker {
    pid_t pid;
    char pool[STATE_POOL_SIZE];
};

struct listing {
    struct listing_worker *workers; /* to be asked; its own */
    unsigned count, at;
    uint32_t asked;    /* the id of the answer that is awaited; 0: none */
    struct conn *conn; /* to the present one; NULL: none */
    char question[256];
    bool is_silent; /* the present one has said nothing since it was looked at */
    bool kills;     /* the question is for one session, and its answer says whether it was there */
    /* For a line of the answer; it is over: NULL, or why it was refused. */
    void (*line)(struct session *session, const char *line, size_t size);
    void (*ended)(struct session *session, const char *refusal);
};

/* Ask for the sessions of a pool, a listener, a peer (the beginning of its address); "" is any. `listing` is zeroed but
 * for its callbacks, and where listing_of() finds it. -1 with errno. */
int listing_begin(struct session *session, const char *pool, const char *listener, const char *peer);

/* End one session, by its id; 0, or -1 with EINVAL for what is none, or as listing_begin(). */
int listing_kill(struct session *session, const char *id);

/* To be called every LISTING_PATIENCE_MS until it has ended. */
enum { LISTING_PATIENCE_MS = 1000 };
void listing_look(struct session *session);

/* It is not wanted any more. */
void listing_clear(struct listing *listing);

/* The one of a session, which its service keeps. */
struct listing *listing_of(struct session *session);

#endif
