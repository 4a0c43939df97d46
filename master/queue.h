/*
 * The accept queues of one endpoint: opened, opened again, and what becomes of the file of a unix socket.
 */
#ifndef MASTER_QUEUE_H
#define MASTER_QUEUE_H

#include "master/endpoint.h"

bool queue_is_unix(const struct endpoint *endpoint);

/* Grows whenever this process opens, replaces or closes accept queues: who has listed them looks again. */
uint64_t queue_changes(void);

/* Have queues for the numbers below `slots`. 0, or -1 with errno and no queue where there had been none. */
int queue_open(const struct endpoints *endpoints, struct endpoint *endpoint, const struct listener_config *listener,
               unsigned slots);

/* Listen again at queue `number` if a process has shut it down, and log that. */
void queue_reopen(struct endpoint *endpoint, const struct listener_config *listener, unsigned number);

/*
 * Make a unix socket again when its file has been removed. The former socket is kept until queue_commit()
 * (which closes it) or queue_restore() (which takes it back). 0, or -1 with errno. Nothing happens where the file
 * is there, or another server listens.
 */
int queue_renew(struct endpoint *endpoint, const struct listener_config *listener);
void queue_commit(struct endpoint *endpoint);
void queue_restore(struct endpoint *endpoint);

/*
 * Who may connect to a unix socket may have changed in the configuration: whether that can be done (0, or -1 with
 * errno), and do it. What fails is logged, and done the next time.
 */
int queue_try_access(const struct endpoint *endpoint, const struct listener_config *listener);
void queue_set_access(struct endpoint *endpoint, const struct listener_config *listener);

/* Remove the file of a unix socket, if it is still ours. */
void queue_remove_file(const struct endpoint *endpoint);

/* Close all of them. */
void queue_close(struct endpoint *endpoint);

#endif
