/*
 * Accepting: the listeners of a worker and the accept queues it serves.
 *
 *   listeners --- * listener --- 1 queue     one per address; the queue is the one of this worker's slot
 *       |               ^  \------ * queue   adopted from slots that nobody serves, see adoption.c
 *       `--- parked                          accepted, but without a session yet, see admission.c
 */
#ifndef WORKER_CORE_LISTENER_H
#define WORKER_CORE_LISTENER_H

#include "worker/core/session.h"
#include "worker/core/wall.h"

/* Accepts from one queue on behalf of a listener: the queue of this worker's own slot, or one that it has adopted. */
struct queue {
    struct reactor_handler handler;
    struct listener *listener;
    LIST_ENTRY(queue) link; /* adopted ones */
    unsigned slot;          /* whose it is */
};

LIST_HEAD(queue_list, queue);

struct listener {
    struct section section;
    struct queue queue;
    struct listeners *all;
    bool disabled; /* by an operator: who connects is closed at once */
    bool closing;  /* its address leaves the configuration: nobody may connect when this worker has stopped accepting */
};

/* A connection that has been accepted when there was no memory, or no epoll watch, for its session. */
struct parked {
    struct listener *listener; /* NULL: none */
    int fd;
    struct peer_address peer;
};

struct listeners {
    struct core *core;
    const struct worker_env *env;
    struct listener *array; /* env->socket_count of them */
    struct queue_list adopted, released;
    struct parked parked;
    uint64_t paused_until_ms; /* accepting is tried again then; 0: it is not paused */
};

/* Accept from the sockets of `listeners->env`; `array` has room for them. Returns 0, or -1 with errno. */
int listener_start(struct listeners *listeners);

/* Accept nobody at the listener in this position of the configuration, or accept again. */
void listener_disable(struct listeners *listeners, uint32_t position, bool disabled);

/* Why a worker stops accepting, and what becomes of its queues. */
enum stop {
    STOP_LEAVE,  /* others go on accepting from them */
    STOP_REFUSE, /* the whole server stops: who waits is accepted, nobody else may connect */
    STOP_ORPHAN, /* there is no master: who waits is accepted, since the queues end with us */
};

/* Accept no more. Our descriptors of our own queues are closed; adopted ones are to be released. */
void listener_stop(struct listeners *listeners, enum stop reason);

/* Accept from one queue more. -1 with errno. */
int listener_add_queue(struct listener *listener, struct queue *queue, int fd, unsigned slot);

/* Accept again if the pause is over, or if `freed` says that something has been freed. */
void listener_end_pause(struct listeners *listeners);

static inline void listener_resume(struct listeners *listeners, bool freed)
{
    if (listeners->paused_until_ms && (freed || listeners->core->loop.reactor.now_ms >= listeners->paused_until_ms))
        listener_end_pause(listeners);
}

#endif
