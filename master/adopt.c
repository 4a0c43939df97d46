/*
 * Accept queues of a slot whose worker cannot serve (supervisor_is_adopted) are adopted by the next siblings that run;
 * those of a slot beyond the workers wanted by all of them. Siblings are the workers of one pool. The descriptors
 * travel with the message, since a worker holds no queues but its own. Each slot remembers in `assigned` what its
 * worker has been sent, so a message that does not fit into the control pipe now is sent at a later tick.
 */
#include "master/adopt.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/slot_words.h"
#include <errno.h>
#include <string.h>

enum { MISSED_MS = 100 };

static bool is_assigned(const struct slot *slot, unsigned id)
{
    return slot->assigned[id / 8] & (1 << id % 8);
}

static void note_assigned(struct slot *slot, unsigned id, bool adopted)
{
    uint8_t bit = (uint8_t)(1 << id % 8);

    slot->assigned_count += adopted ? 1 : -1;
    slot->assigned[id / 8] = (uint8_t)(adopted ? slot->assigned[id / 8] | bit : slot->assigned[id / 8] & ~bit);
}

void adopt_missed(struct slot *slot, unsigned id)
{
    if (is_assigned(slot, id))
        note_assigned(slot, id, false);
    slot->adopt_again_ms = clock_now_ms() + MISSED_MS;
}

unsigned adopt_count(const struct slot *slot)
{
    return slot->supervised.state == SUPERVISOR_RUNNING ? slot->assigned_count : 0;
}

/* False when the message must be sent again: the pipe is full, or the kernel has no room for descriptors under way. */
static bool send_some(struct slot *slot, const struct channel_message *message, const int *fds)
{
    static struct log_limit limit;
    enum channel_result result = channel_send_fds(slot->channel, message, fds);

    slot->adopts_sent += result == CHANNEL_OK;
    if (result == CHANNEL_BROKEN) {
        log_limited(&limit, 1, LOG_LEVEL_ERROR, "%s cannot be given queues: %s", slot->name, strerror(errno));
        slot->adopt_again_ms = clock_now_ms() + MISSED_MS;
    }
    return result == CHANNEL_OK || result == CHANNEL_CLOSED;
}

/* Send all TCP queues of slot `id`, in as few messages as hold them. False when they must be sent again. */
static bool send_queues(const struct fleet *fleet, struct slot *slot, unsigned id)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .value = id};
    const struct conf *conf = slot->conf;
    int fds[CHANNEL_FDS_MAX];
    uint16_t address = 0;

    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; conf->listeners[i].pool == slot->pool->index && j < conf->listeners[i].address_count;
             j++, address++) {
            const struct endpoint *endpoint = endpoints_find(&fleet->endpoints, &conf->listeners[i].addresses[j]);
            if (id >= endpoint->count || endpoint->queues[id] < 0 || endpoint->address.any.sa_family == AF_UNIX)
                continue;
            message.address[message.count] = address;
            fds[message.count++] = endpoint->queues[id];
            if (message.count < CHANNEL_FDS_MAX)
                continue;
            if (!send_some(slot, &message, fds))
                return false;
            message.count = 0;
        }
    return message.count == 0 || send_some(slot, &message, fds);
}

/*
 * Workers that serve a slot beside their own. Two, so that one of them may hang as well; not all, so that a machine on
 * which many are silent, because it is overloaded, is not given more to do.
 */
enum { ADOPTERS = 2 };

struct adopters {
    const struct slot *slots[ADOPTERS];
};

static bool is_running(const struct slot *slot)
{
    return slot->supervised.state == SUPERVISOR_RUNNING && slot->channel >= 0;
}

static struct adopters find_adopters(const struct pool *pool, unsigned id)
{
    struct adopters adopters = {{NULL}};
    unsigned found = 0;

    for (unsigned i = 1; i < pool->count && found < ADOPTERS; i++) {
        const struct slot *slot = pool->slots[(id + i) % pool->count];
        if (is_running(slot))
            adopters.slots[found++] = slot;
    }
    return adopters;
}

static bool wants(const struct slot *slot, unsigned id, const struct adopters *adopters)
{
    if (!slot->pool->adopted[id] || id == slot->id)
        return false;
    return id >= slot->pool->wanted || adopters->slots[0] == slot || adopters->slots[1] == slot;
}

/* A queue that is sent twice, because the first message was one of several, is polled twice: it costs a wake-up. */
static void sync_slot(const struct fleet *fleet, struct slot *slot, const struct adopters *adopters, unsigned ids)
{
    if (slot->adopt_again_ms > clock_now_ms())
        return;
    for (unsigned i = 0; i < ids; i++) {
        bool wanted = wants(slot, i, &adopters[i]);
        if (wanted == is_assigned(slot, i))
            continue;
        bool sent = wanted ? send_queues(fleet, slot, i) : slot_send(slot, CHANNEL_RELEASE, i);
        if (!sent)
            return;
        note_assigned(slot, i, wanted);
    }
}

static void sync_pool(const struct fleet *fleet, struct pool *pool)
{
    static struct adopters adopters[CONF_WORKERS_MAX];
    unsigned ids = endpoints_numbers(&fleet->endpoints, pool->conf, pool->index), stranded = 0;

    for (unsigned i = 0; i < ids; i++) {
        bool retired = i >= pool->wanted;
        /* A slot that has not been started for the first time yet is about to be served. */
        pool->adopted[i] = retired || (i < pool->count && supervisor_is_adopted(pool->slots[i]->supervised.state));
        stranded += pool->adopted[i];
        if (pool->adopted[i] && !retired)
            adopters[i] = find_adopters(pool, i);
    }
    for (unsigned i = 0; i < pool->count; i++)
        if (is_running(pool->slots[i]) && (stranded || pool->slots[i]->assigned_count))
            sync_slot(fleet, pool->slots[i], adopters, ids);
}

void adopt_sync(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->current->pool_count; i++)
        sync_pool(fleet, &fleet->current->pools[i]);
}
