/*
 * The inbox of a slot: where its siblings put what they publish (worker/publish.h). It is the master's, as the accept
 * queues are: what waits there when a worker dies is read by the one that replaces it.
 */
#ifndef MASTER_INBOX_H
#define MASTER_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

struct inbox {
    TAILQ_ENTRY(inbox) link; /* all that are open, the oldest first */
    uint32_t number;         /* of all that there have been; 0: not open */
    int reader;              /* for the worker of the slot */
    int writer;              /* for its siblings */
};

TAILQ_HEAD(inbox_list, inbox);

/* All that are open. */
extern struct inbox_list inboxes;

/* 0, or -1 with errno. */
int inbox_open(struct inbox *inbox);

/* A mark for what is newer than all that there are now. */
uint32_t inbox_newest(void);

/* Somebody has shut it for good: whoever has one of its ends can do that. */
bool inbox_is_shut(const struct inbox *inbox);

/* Nothing happens when it is not open. */
void inbox_close(struct inbox *inbox);

#endif
