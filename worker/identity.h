/*
 * Numbers of sessions, by which others find them: a table of those whose number somebody has asked for.
 */
#ifndef WORKER_IDENTITY_H
#define WORKER_IDENTITY_H

#include "worker/core/session.h"

/* It is found no more; nothing happens when it has no number. */
void identity_forget(struct session_more *more);

/* The worker ends. */
void identity_fini(void);

#endif
