#include "worker/publish.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH_MAX = 2 * SECTION_PUBLISH_MAX, /* bytes of one datagram */
    RECEIVED_MAX = 16,                   /* datagrams of one event: others are served in between */
};

/* What stands before each publication in a datagram. A sibling may be of another generation, and may be damaged. */
struct heading {
    uint32_t section; /* its index in the statistics, which is that of its name */
    uint32_t service; /* hash of its name */
    uint32_t size;    /* bytes that follow */
};

struct publisher {
    const struct listeners *listeners;
    struct reactor_handler inbox;
    int *siblings;
    unsigned sibling_count, sibling_room;
    size_t batch_size;
    char batch[BATCH_MAX], received[BATCH_MAX];
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261;

    while (*name)
        hash = (hash ^ (uint8_t)*name++) * 16777619;
    return hash;
}

/* The section of a heading in this worker; NULL: it has none, or one with another service. */
static struct section *section_named(const struct publisher *publisher, const struct heading *heading)
{
    for (unsigned i = 0; i < publisher->listeners->env->socket_count; i++) {
        struct section *section = &publisher->listeners->array[i].section;
        if (section->config->index == heading->section && hash_of(section->config->service->name) == heading->service)
            return section;
    }
    return NULL;
}

/* Take the next publication off `*bytes`. False when nothing is left, or nothing that makes sense. */
static bool next_publication(const char **bytes, size_t *size, struct heading *heading, const char **text)
{
    if (*size < sizeof(*heading))
        return false;
    memcpy(heading, *bytes, sizeof(*heading));
    if (heading->size > *size - sizeof(*heading))
        return false;
    *text = *bytes + sizeof(*heading);
    *bytes = *text + heading->size;
    *size -= sizeof(*heading) + heading->size;
    return true;
}

/* ---- to the others ---- */

static void count_lost(const struct publisher *publisher)
{
    const char *bytes = publisher->batch, *text;
    size_t size = publisher->batch_size;
    struct heading heading;

    while (next_publication(&bytes, &size, &heading, &text))
        stats_count(&section_named(publisher, &heading)->stats->publications_lost, 1);
}

/* False when the sibling is gone. */
static bool send_batch(const struct publisher *publisher, int fd)
{
    ssize_t sent = -1;

    do
        sent = send(fd, publisher->batch, publisher->batch_size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return true;
    if (errno == ECONNREFUSED || errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return false;
    count_lost(publisher);
    return true;
}

static void drop_sibling(struct publisher *publisher, unsigned i)
{
    close(publisher->siblings[i]);
    publisher->siblings[i] = publisher->siblings[--publisher->sibling_count];
}

void publish_flush(struct publisher *publisher)
{
    for (unsigned i = 0; i < publisher->sibling_count && publisher->batch_size > 0;) {
        if (send_batch(publisher, publisher->siblings[i]))
            i++;
        else
            drop_sibling(publisher, i);
    }
    publisher->batch_size = 0;
}

int section_publish(struct section *section, const void *bytes, size_t size)
{
    struct publisher *publisher = section->core->publisher;
    const struct heading heading = {
        .section = section->config->index, .service = hash_of(section->config->service->name), .size = (uint32_t)size};

    if (!publisher || !section->config->service->published) {
        errno = ENOTSUP;
        return -1;
    }
    if (size > SECTION_PUBLISH_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    if (publisher->batch_size + sizeof(heading) + size > sizeof(publisher->batch))
        publish_flush(publisher);
    memcpy(publisher->batch + publisher->batch_size, &heading, sizeof(heading));
    if (size > 0)
        memcpy(publisher->batch + publisher->batch_size + sizeof(heading), bytes, size);
    publisher->batch_size += sizeof(heading) + size;
    stats_count(&section->stats->published, 1);
    return 0;
}

/* Inboxes that their readers have left are noticed when something is sent, or here: a worker may have nothing to say. */
static void close_left(struct publisher *publisher)
{
    for (unsigned i = 0; i < publisher->sibling_count;) {
        struct pollfd inbox = {.fd = publisher->siblings[i]};
        if (poll(&inbox, 1, 0) == 1)
            drop_sibling(publisher, i);
        else
            i++;
    }
}

void publish_add_sibling(struct core *core, int fd)
{
    struct publisher *publisher = core->publisher;

    if (publisher)
        close_left(publisher);
    if (publisher && publisher->sibling_count == publisher->sibling_room) {
        unsigned room = publisher->sibling_room ? 2 * publisher->sibling_room : 8;
        int *more = realloc(publisher->siblings, room * sizeof(*more));
        if (more) {
            publisher->siblings = more;
            publisher->sibling_room = room;
        }
    }
    if (!publisher || publisher->sibling_count == publisher->sibling_room) {
        log_error("nothing can be published to a sibling: %s", strerror(ENOMEM));
        close(fd);
        return;
    }
    publisher->siblings[publisher->sibling_count++] = fd;
}

/* ---- from the others ---- */

static void deliver(const struct publisher *publisher, size_t size)
{
    const char *bytes = publisher->received, *text;
    struct heading heading;

    while (next_publication(&bytes, &size, &heading, &text)) {
        struct section *section = section_named(publisher, &heading);
        if (section && section->config->service->published)
            section->config->service->published(section, text, heading.size);
    }
}

static void inbox_ready(struct reactor_handler *handler, uint32_t events)
{
    struct publisher *publisher = container_of(handler, struct publisher, inbox);
    ssize_t size = 1;

    (void)events;
    for (unsigned i = 0; i < RECEIVED_MAX && size > 0; i++) {
        size = recv(handler->fd, publisher->received, sizeof(publisher->received), MSG_DONTWAIT);
        if (size > 0)
            deliver(publisher, (size_t)size);
    }
    if (size == 0) /* the master is gone, and so are all siblings */
        reactor_want(&publisher->listeners->core->loop.reactor, handler, REACTOR_OFF);
}

/* ---- life ---- */

static bool is_wanted(const struct worker_env *env)
{
    for (unsigned i = 0; i < env->socket_count; i++)
        if (env->sockets[i].listener->service->published)
            return true;
    return false;
}

int publish_start(struct listeners *listeners)
{
    struct core *core = listeners->core;

    if (!is_wanted(listeners->env))
        return 0;
    core->publisher = calloc(1, sizeof(*core->publisher));
    if (!core->publisher)
        return -1;
    core->publisher->listeners = listeners;
    for (unsigned i = 0; i < listeners->env->sibling_count; i++)
        publish_add_sibling(core, listeners->env->siblings[i]);
    core->publisher->inbox = (struct reactor_handler){
        .fd = listeners->env->inbox, .events = REACTOR_OFF, .ready = inbox_ready};
    return listeners->env->inbox <= 0 ? 0 : reactor_want(&core->loop.reactor, &core->publisher->inbox, EPOLLIN);
}

void publish_fini(struct core *core)
{
    struct publisher *publisher = core->publisher;

    if (!publisher)
        return;
    publish_flush(publisher);
    for (unsigned i = 0; i < publisher->sibling_count; i++)
        close(publisher->siblings[i]);
    if (publisher->inbox.fd > 0)
        close(publisher->inbox.fd);
    free(publisher->siblings);
    free(publisher);
    core->publisher = NULL;
}
