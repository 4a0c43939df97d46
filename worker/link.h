/*
 * Links: connections of the worker that its sessions share, see session.h. Their connections are in link_conn.c.
 */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H

#include "worker/core/session.h"

/* Send what has been asked in this turn, one system call per link; free what has been closed. Calls no service. */
void link_catch_up(struct core *core);

static inline void link_end_turn(struct core *core)
{
    if (!LIST_EMPTY(&core->due))
        link_catch_up(core);
}

/* The worker ends: close and free all that are left. Calls no service. */
void link_fini(struct core *core);

#endif
