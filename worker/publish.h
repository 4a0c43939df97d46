/*
 * Publishing: what one worker says to the others of its pool.
 *
 *   section_publish() --> batch --- at the end of the turn, one datagram each ---> inboxes of the siblings
 *   published()       <-- own inbox
 *
 * Inboxes are the master's (master/inbox.h), which tells of new ones; that one is closed shows when it is written to.
 */
#ifndef WORKER_PUBLISH_H
#define WORKER_PUBLISH_H

#include "worker/core/listener.h"

/* 0, also when no service of this worker has anything to do with it; -1 with errno. */
int publish_start(struct listeners *listeners);
void publish_fini(struct core *core);

/* Publish to this inbox, too; it is the publisher's from now on. */
void publish_add_sibling(struct core *core, int fd);

/* Send what has been published in this turn. */
void publish_flush(struct publisher *publisher);

static inline void publish_end_turn(struct core *core)
{
    if (core->publisher)
        publish_flush(core->publisher);
}

#endif
