#include "master/siblings.h"
#include "common/container_of.h"
#include "master/inbox.h"

/* The oldest inbox that has been opened after the last one of which this slot knows. */
static struct inbox *first_unknown(const struct slot *slot)
{
    struct inbox *first = NULL;

    for (struct inbox *inbox = TAILQ_LAST(&inboxes, inbox_list); inbox && inbox->number > slot->siblings_known;
         inbox = TAILQ_PREV(inbox, inbox_list, link))
        first = inbox;
    return first;
}

/* In one message, as many as it has room for. False: there is no room for it in the control pipe, or no memory. */
static bool send_some(struct slot *slot, struct inbox **next)
{
    struct channel_message message = {.type = CHANNEL_SIBLING};
    int fds[CHANNEL_FDS_MAX];
    uint32_t known = slot->siblings_known;

    for (; *next && message.count < CHANNEL_FDS_MAX; *next = TAILQ_NEXT(*next, link)) {
        known = (*next)->number;
        if (slot_are_siblings(slot, container_of(*next, struct slot, inbox)))
            fds[message.count++] = (*next)->writer;
    }
    if (message.count > 0) {
        enum channel_result result = channel_send_fds(slot->channel, &message, fds);
        if (result != CHANNEL_OK && result != CHANNEL_CLOSED)
            return false;
    }
    slot->siblings_known = known;
    return true;
}

static void sync_slot(struct fleet *fleet, struct slot *slot)
{
    (void)fleet;
    if (slot->inbox.number == 0 || slot->channel < 0)
        return;
    struct inbox *next = first_unknown(slot);
    while (next && send_some(slot, &next))
        ;
}

void siblings_sync(struct fleet *fleet)
{
    if (!TAILQ_EMPTY(&inboxes))
        fleet_each_slot(fleet, sync_slot);
}
