/*
 * What few sessions need, in memory of its own: most sessions are idle, and an idle session is to be small.
 */
#ifndef WORKER_MORE_H
#define WORKER_MORE_H

#include "worker/core/session.h"

/* The session's, made when it is not there yet; NULL with ENOMEM. */
struct session_more *more_of(struct session *session);

/* Give it back; what it names has been freed. */
void more_free(struct session *session);

#endif
