#include "worker/life.h"
#include "worker/link.h"
#include <stdlib.h>

/*
 * A section with several addresses has a listener for each; they share what the first of them has, which is the one
 * that is started.
 */
static struct section *first_of(const struct listeners *listeners, const struct listener_config *config)
{
    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        if (listeners->array[i].section.config == config)
            return &listeners->array[i].section;
    return NULL;
}

static bool is_first(const struct listeners *listeners, unsigned index)
{
    const struct section *section = &listeners->array[index].section;

    return first_of(listeners, section->config) == section;
}

static void tick_expired(struct timer_wheel *wheel, struct timer *timer)
{
    struct section *section = container_of(timer, struct section, tick);
    const struct service *service = section->config->service;

    service->tick(section);
    timer_set(wheel, timer, section->core->loop.reactor.now_ms + service->tick_ms);
}

static int start(struct section *section, char *error, size_t error_size)
{
    const struct service *service = section->config->service;
    struct reactor *reactor = &section->core->loop.reactor;

    section->state = calloc(1, service->section_size ? service->section_size : 1);
    if (!section->state) {
        snprintf(error, error_size, "[listen %s]: out of memory", section->config->name);
        return -1;
    }
    if (service->start && service->start(section, error, error_size) < 0) {
        if (error[0] == '\0')
            snprintf(error, error_size, "[listen %s]: its service cannot start", section->config->name);
        free(section->state);
        section->state = NULL;
        return -1;
    }
    section->tick.expired = tick_expired;
    if (service->tick)
        timer_set(&reactor->wheel, &section->tick, reactor->now_ms + service->tick_ms);
    return 0;
}

static void stop(struct section *section)
{
    const struct service *service = section->config->service;

    timer_clear(&section->tick);
    if (service->stop)
        service->stop(section);
    free(section->state);
    section->state = NULL;
}

int life_start(struct listeners *listeners, char *error, size_t error_size)
{
    for (unsigned i = 0; i < listeners->env->socket_count; i++) {
        struct section *section = &listeners->array[i].section;
        if (is_first(listeners, i)) {
            if (start(section, error, error_size) < 0) {
                life_stop(listeners);
                return -1;
            }
        } else {
            section->state = first_of(listeners, section->config)->state;
        }
    }
    return 0;
}

void life_end_turn(struct listeners *listeners)
{
    for (unsigned i = 0; i < listeners->env->socket_count; i++) {
        struct section *section = &listeners->array[i].section;
        if (section->config->service->turn_end && is_first(listeners, i))
            section->config->service->turn_end(section);
    }
}

void life_stop(struct listeners *listeners)
{
    for (unsigned i = 0; i < listeners->env->socket_count; i++)
        if (is_first(listeners, i) && listeners->array[i].section.state)
            stop(&listeners->array[i].section);
    link_fini(listeners->core);
}
