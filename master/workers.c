/*
 * What the master learns of its workers: what they say, what they count, and that they have died. It believes none of
 * them. Whatever a sound worker cannot have said ends the one that did (slot_expel), and nobody else.
 *
 *   control pipe ---> READY, MISSED, LEAVING, SHUTDOWN      a few messages in each turn: nobody can keep the master
 * busy SIGCHLD --------> waitpid()                             looked for once a second, too: a signal can get lost
 *   shared memory --> head of the block (at each tick), counters (once a second)
 */
#include "common/clock.h"
#include "common/log.h"
#include "master/master.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MESSAGES_PER_TURN = 16,
    CHECK_MS = 1000,
    SHUTDOWN_EACH_MS = 100, /* no worker asks more often for the end of the server, */
    SHUTDOWNS_MAX = 16,     /* but for what has waited in its control pipe */
};

/* ---- deaths ---- */

static struct slot *find_slot(const struct master *master, pid_t pid)
{
    const struct generation *const generations[] = {master->current, master->next};
    struct slot *slot;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; generations[i] && j < generations[i]->count; j++)
            if (generations[i]->slots[j]->pid == pid)
                return generations[i]->slots[j];
    LIST_FOREACH(slot, &master->leaving, link)
    if (slot->pid == pid)
        return slot;
    return NULL;
}

static void reaped(struct master *master, struct slot *slot, const int *status)
{
    if (master->next && slot->conf == &master->next->conf)
        generation_give_up_next(master, "a worker of it died before all were ready");
    slot_reaped(&master->world, slot, status);
}

void workers_reap(struct master *master)
{
    bool stranger = false;
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        struct slot *slot = find_slot(master, pid);
        if (slot)
            reaped(master, slot, &status);
        else if (!upgrade_reaped(master, pid, status))
            stranger = true;
    }
    if (stranger)
        stats_sweep(master->world.stats, getpid());
}

/* Who is found dead is dealt with when all have been looked at: a death can end a whole generation. */
static struct {
    struct slot *slot; /* NULL: nobody */
    bool has_status;
    int status;
} found;

/*
 * Somebody else may have been given its status: a process that is no child of ours is gone if its pipe has ended, or if
 * there is no such process at all.
 */
static void find_dead(struct slot *slot)
{
    if (slot->pid == 0 || found.slot)
        return;
    pid_t pid = waitpid(slot->pid, &found.status, WNOHANG);
    found.has_status = pid == slot->pid;
    if (found.has_status ||
        (pid < 0 && errno == ECHILD && (slot->channel < 0 || (kill(slot->pid, 0) < 0 && errno == ESRCH))))
        found.slot = slot;
}

static void look_at(struct master *master, struct slot *slot)
{
    (void)master;
    find_dead(slot);
}

/* Who has closed its control pipe has died, or is about to. */
static void look_at_ended(struct master *master, struct slot *slot)
{
    (void)master;
    if (slot->channel < 0)
        find_dead(slot);
}

static void reap_found(struct master *master, void (*look)(struct master *master, struct slot *slot))
{
    do {
        found.slot = NULL;
        master_each_slot(master, look);
        if (found.slot)
            reaped(master, found.slot, found.has_status ? &found.status : NULL);
    } while (found.slot);
}

static void check_counters(struct master *master, struct slot *slot)
{
    slot_check_counters(&master->world, slot);
}

void workers_check(struct master *master)
{
    uint64_t now_ms = clock_now_ms();

    if (!handover_may_reload(master->upgrade.state)) /* another master counts, too */
        stats_watch(master->world.stats, getpid());
    reap_found(master, look_at_ended);
    if (now_ms < master->check_ms)
        return;
    master->check_ms = now_ms + CHECK_MS;
    workers_reap(master);
    reap_found(master, look_at);
    master_each_slot(master, check_counters);
}

/* ---- words ---- */

static void worker_is_ready(struct master *master, struct slot *slot)
{
    slot->ready_ms = clock_now_ms();
    master_handle(master, slot, SUPERVISOR_EVENT_READY);
    if (slot->supervised.state == SUPERVISOR_RUNNING)
        log_notice("worker %u (pid %d) ready after %u ms", slot->number, (int)slot->pid,
                   (unsigned)(master->world.now_ms - slot->supervised.started_ms));
}

/* A worker that cannot take the queues it is sent says so once for each message. */
static const char *missed_error(const struct slot *slot, uint32_t number)
{
    bool sent = slot->adopts_missed < slot->adopts_sent;

    return number < CONF_WORKERS_MAX && sent ? NULL : "has missed queues that it was never sent";
}

static const char *shutdown_error(const struct slot *slot)
{
    uint64_t possible = SHUTDOWNS_MAX + (clock_now_ms() - slot->ready_ms) / SHUTDOWN_EACH_MS;

    return slot->shutdowns < possible ? NULL : "asks for the end of the server without end";
}

/* What is wrong with this message at this moment, as the end of a sentence; NULL: nothing. */
static const char *message_error(const struct slot *slot, const struct channel_message *message)
{
    if (message->type == CHANNEL_READY)
        return slot->ready_ms ? "has said READY twice" : NULL;
    if (!slot->ready_ms)
        return "has said something before READY";
    switch (message->type) {
    case CHANNEL_MISSED: return missed_error(slot, message->value);
    case CHANNEL_LEAVING: return slot->left ? "has said LEAVING twice" : NULL;
    case CHANNEL_SHUTDOWN: return shutdown_error(slot);
    default: return "has said what only a master says";
    }
}

static void handle(struct master *master, struct slot *slot, const struct channel_message *message)
{
    const char *error = message_error(slot, message);

    if (error) {
        slot_expel(&master->world, slot, error);
        return;
    }
    switch (message->type) {
    case CHANNEL_READY: worker_is_ready(master, slot); break;
    case CHANNEL_MISSED:
        slot->adopts_missed++;
        adopt_missed(slot, message->value);
        break;
    case CHANNEL_LEAVING:
        slot->left = true;
        generation_replace(master, slot);
        break;
    default: slot->shutdowns++; master_shut_down(master);
    }
}

/* Returns false when there is nothing more to read now. */
static bool receive_one(struct master *master, struct slot *slot)
{
    struct channel_message message;

    if (slot->channel < 0)
        return false;
    switch (channel_receive(slot->channel, &message, NULL)) {
    case CHANNEL_AGAIN: return false;
    case CHANNEL_OK: handle(master, slot, &message); return true;
    case CHANNEL_CLOSED: /* it has died, or is about to */
        slot_close_channel(slot);
        slot->closed_ms = clock_now_ms();
        return false;
    case CHANNEL_BROKEN:
        slot_expel(&master->world, slot,
                   errno == EBADMSG ? "has sent what is no message" : "cannot be read from its control pipe");
    }
    return false;
}

void workers_receive(struct master *master, struct slot *slot)
{
    for (unsigned i = 0; i < MESSAGES_PER_TURN && receive_one(master, slot); i++)
        ;
}
