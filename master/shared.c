#include "master/shared.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bsd/string.h>
#include <bsd/sys/queue.h>

struct shared {
    LIST_ENTRY(shared) link;
    char section[LISTENER_NAME_SIZE], pool[OPTION_STRING_SIZE];
    const struct service *service;
    void *memory; /* `service->shared_size` bytes */
};

static LIST_HEAD(, shared) all = LIST_HEAD_INITIALIZER(all);

static bool is_of(const struct shared *shared, const struct listener_config *listener)
{
    return shared->service == listener->service && strcmp(shared->section, listener->name) == 0 &&
           strcmp(shared->pool, listener->pool_name) == 0;
}

static void release(struct shared *shared)
{
    LIST_REMOVE(shared, link);
    munmap(shared->memory, shared->service->shared_size);
    free(shared);
}

static struct shared *find(const struct listener_config *listener)
{
    struct shared *shared;

    LIST_FOREACH(shared, &all, link)
        if (is_of(shared, listener))
            return shared;
    return NULL;
}

/* NULL with errno. What nobody writes to takes no memory. */
static struct shared *make(const struct listener_config *listener)
{
    struct shared *shared = calloc(1, sizeof(*shared));

    if (!shared)
        return NULL;
    shared->memory = mmap(NULL, listener->service->shared_size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared->memory == MAP_FAILED) {
        free(shared);
        return NULL;
    }
    strlcpy(shared->section, listener->name, sizeof(shared->section));
    strlcpy(shared->pool, listener->pool_name, sizeof(shared->pool));
    shared->service = listener->service;
    LIST_INSERT_HEAD(&all, shared, link);
    return shared;
}

int shared_claim(struct conf *conf, char *error, size_t error_size)
{
    for (unsigned i = 0; i < conf->listener_count; i++) {
        struct listener_config *listener = &conf->listeners[i];
        if (listener->service->shared_size == 0)
            continue;
        const struct shared *shared = find(listener);
        if (!shared)
            shared = make(listener);
        if (!shared) {
            snprintf(error, error_size, "no shared memory for [listen %s]: %s", listener->name, strerror(errno));
            return -1;
        }
        listener->shared = shared->memory;
    }
    return 0;
}

void shared_keep(const struct conf *conf)
{
    struct shared *shared, *next;

    LIST_FOREACH_SAFE(shared, &all, link, next) {
        bool used = false;
        for (unsigned i = 0; i < conf->listener_count; i++)
            used |= is_of(shared, &conf->listeners[i]);
        if (!used)
            release(shared);
    }
}

void shared_leave(const char *pool_name)
{
    struct shared *shared, *next;

    LIST_FOREACH_SAFE(shared, &all, link, next)
        if (strcmp(shared->pool, pool_name) != 0)
            release(shared);
}
