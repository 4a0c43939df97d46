#include "worker/adoption.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int adoption_take(struct listeners *listeners, unsigned slot, unsigned index, int fd)
{
    struct queue *queue = index < listeners->env->socket_count ? malloc(sizeof(*queue)) : NULL;

    if (!queue || listener_add_queue(&listeners->array[index], queue, fd, slot) < 0) {
        int error = queue ? errno : ENOMEM;
        free(queue);
        close(fd);
        errno = error;
        return -1;
    }
    LIST_INSERT_HEAD(&listeners->adopted, queue, link);
    return 0;
}

static void release(struct listeners *listeners, struct queue *queue)
{
    reactor_want(&listeners->core->loop.reactor, &queue->handler, REACTOR_OFF);
    LIST_REMOVE(queue, link);
    LIST_INSERT_HEAD(&listeners->released, queue, link);
}

void adoption_release(struct listeners *listeners, unsigned slot)
{
    struct queue *queue, *next;

    LIST_FOREACH_SAFE(queue, &listeners->adopted, link, next) {
        if (queue->slot == slot)
            release(listeners, queue);
    }
}

void adoption_release_all(struct listeners *listeners)
{
    for (struct queue *queue; (queue = LIST_FIRST(&listeners->adopted));)
        release(listeners, queue);
}

void adoption_free(struct listeners *listeners)
{
    for (struct queue *queue; (queue = LIST_FIRST(&listeners->released)); free(queue)) {
        LIST_REMOVE(queue, link);
        if (queue->handler.fd >= 0)
            close(queue->handler.fd);
    }
}
