/*
 * Whose accept queues are served by whom. A number whose worker cannot serve (supervisor_is_adopted) or that is beyond
 * the number of workers wanted is adopted by all workers that run; the descriptors go along with the word, since a
 * worker holds no queues but its own. Each worker's state is mirrored in `told`, so what does not fit into its control
 * pipe now is said later.
 */
#include "common/log.h"
#include "master/master.h"

static bool is_told(const struct slot *slot, unsigned number)
{
    return slot->told[number / 8] & (1 << number % 8);
}

static void note_told(struct slot *slot, unsigned number, bool adopted)
{
    uint8_t bit = (uint8_t)(1 << number % 8);

    slot->told[number / 8] = (uint8_t)(adopted ? slot->told[number / 8] | bit : slot->told[number / 8] & ~bit);
}

unsigned adopt_count(const struct slot *slot)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CONF_WORKERS_MAX && slot->supervised.state == SUPERVISOR_RUNNING; i++)
        count += is_told(slot, i);
    return count;
}

/* All TCP queues of `number`, in as few messages as hold them. False when the pipe is full. */
static bool send_queues(const struct master *master, const struct slot *slot, unsigned number)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .value = number};
    const struct conf *conf = slot->conf;
    int fds[CHANNEL_FDS_MAX];
    uint16_t address = 0;

    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++, address++) {
            const struct endpoint *endpoint = endpoints_find(&master->endpoints, &conf->listeners[i].addresses[j]);
            if (number >= endpoint->count || endpoint->queues[number] < 0 || endpoint->address.any.sa_family == AF_UNIX)
                continue;
            message.address[message.count] = address;
            fds[message.count++] = endpoint->queues[number];
            if (message.count < CHANNEL_FDS_MAX)
                continue;
            if (channel_send_fds(slot->channel, &message, fds) == CHANNEL_AGAIN)
                return false;
            message.count = 0;
        }
    return message.count == 0 || channel_send_fds(slot->channel, &message, fds) != CHANNEL_AGAIN;
}

/* Said in part and then again, a queue is served twice by the same worker: that costs a wake-up, nothing else. */
static void settle_slot(const struct master *master, struct slot *slot, unsigned numbers)
{
    for (unsigned i = 0; i < numbers; i++) {
        bool wanted = master->adopted[i] && i != slot->number;
        if (wanted == is_told(slot, i))
            continue;
        bool sent = wanted ? send_queues(master, slot, i) : slot_tell(slot, CHANNEL_RELEASE, i) != CHANNEL_AGAIN;
        if (!sent)
            return;
        note_told(slot, i, wanted);
    }
}

void adopt_settle(struct master *master)
{
    struct generation *current = master->current;
    unsigned numbers = endpoints_numbers(&master->endpoints);

    if (master->phase != MASTER_SERVING)
        return;
    for (unsigned i = 0; i < numbers; i++)
        master->adopted[i] = i >= current->count || supervisor_is_adopted(current->slots[i]->supervised.state);
    for (unsigned i = 0; i < current->count; i++)
        if (current->slots[i]->supervised.state == SUPERVISOR_RUNNING && current->slots[i]->channel >= 0)
            settle_slot(master, current->slots[i], numbers);
}
