/*
 * What is to be done for sessions at the end of a turn: sessions that something has happened to outside of their own
 * events. An answer has come, another session has sent to it, it has been woken, its input goes on.
 *
 *   turn_touch(session) ... turn_end(core): enter -> woken, input, one send for all that has been queued -> leave
 *
 * So none of that happens in the middle of another session's callback, and costs one system call per session and turn.
 */
#ifndef WORKER_TURN_H
#define WORKER_TURN_H

#include "worker/core/session.h"

/* Note it; may be called at any time, also for a session that has ended. Where memory is out, the session ends. */
void turn_touch(struct session *session);

/* Send to the client, also one that is closing and waits for answers. */
void turn_send(struct session *session, const void *bytes, size_t size);

/* Do what has been noted, also by what is done. The loop is in a hurry while there is something. */
void turn_catch_up(struct core *core);

static inline void turn_end(struct core *core)
{
    if (core->loop.reactor.hurry)
        turn_catch_up(core);
}

/* It is freed: after the end of the turn, when another session's `close` has ended it. */
void turn_forget(struct session *session);

/* The worker ends. */
void turn_fini(struct core *core);

#endif
