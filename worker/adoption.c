/*
 * The queues of other slots: while nobody serves them, because their worker hangs, waits to be started again or has
 * been retired, this one accepts from them, too. The sessions are its own, as if they had come in through its own
 * queues.
 */
#include "worker/core/core.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int adoption_take(struct core *core, unsigned slot, unsigned index, int fd)
{
    struct queue *queue = index < core->env->socket_count ? malloc(sizeof(*queue)) : NULL;

    if (!queue || listener_add_queue(&core->listeners[index], queue, fd, slot) < 0) {
        int error = queue ? errno : ENOMEM;
        free(queue);
        close(fd);
        errno = error;
        return -1;
    }
    LIST_INSERT_HEAD(&core->adopted, queue, link);
    return 0;
}

void adoption_release(struct core *core, unsigned slot)
{
    struct queue *queue, *next;

    LIST_FOREACH_SAFE(queue, &core->adopted, link, next)
    {
        if (queue->slot != slot)
            continue;
        reactor_want(&core->reactor, &queue->handler, REACTOR_OFF);
        LIST_REMOVE(queue, link);
        LIST_INSERT_HEAD(&core->released, queue, link);
    }
}

void adoption_bury(struct core *core)
{
    for (struct queue *queue; (queue = LIST_FIRST(&core->released)); free(queue)) {
        LIST_REMOVE(queue, link);
        if (queue->handler.fd >= 0)
            close(queue->handler.fd);
    }
}
