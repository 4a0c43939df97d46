/*
 * The master believes no worker. A message that no sound worker can have sent ends the one that sent it (slot_expel),
 * and no other.
 *
 *   control pipe ---> READY, MISSED, LEAVING, SHUTDOWN, REQUEST      a few in each turn: nobody can keep the master busy
 *   SIGCHLD --------> waitpid()                             once a second, too: a signal can get lost
 *   shared memory --> head of the block (at each tick), counters (once a second)
 */
#include "master/workers.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/adopt.h"
#include "master/control.h"
#include "master/master.h"
#include "master/process.h"
#include "master/recycle.h"
#include "master/rollout.h"
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
    ORPHANS_MS = 5000,      /* a worker that has lost its master has ended by itself long before */
};

/* ---- deaths ---- */

static void reaped(struct master *master, struct slot *slot, const int *status)
{
    if (master->fleet.next && slot->conf == &master->fleet.next->conf)
        rollout_give_up(&master->fleet, "a worker of it died before all were ready");
    slot_reaped(&master->fleet.context, slot, status);
}

struct reaping {
    struct master *master;
    bool stranger; /* a child that is neither a worker nor the other master: a worker of a failed candidate */
};

static void ended(void *user, pid_t pid, int status)
{
    struct reaping *reaping = user;
    struct slot *slot = fleet_find(&reaping->master->fleet, pid);

    if (slot)
        reaped(reaping->master, slot, &status);
    else if (!upgrade_reaped(reaping->master, pid, status))
        reaping->stranger = true;
}

void workers_reap(struct master *master)
{
    struct reaping reaping = {.master = master};

    process_reap(ended, &reaping);
    if (reaping.stranger)
        stats_sweep(master->fleet.context.stats, getpid());
}

/* Who is found dead is dealt with when all have been looked at: a death can end a whole generation. */
static struct {
    struct slot *slot; /* NULL: nobody */
    bool has_status;
    int status;
} found;

static void look_at(struct fleet *fleet, struct slot *slot)
{
    (void)fleet;
    if (slot->pid == 0 || found.slot)
        return;
    enum process_end end = process_check(slot->pid, slot->channel >= 0, &found.status);
    found.has_status = end == PROCESS_ENDED;
    if (end != PROCESS_LIVES)
        found.slot = slot;
}

/* Who has closed its control pipe has died, or is about to. */
static void look_at_ended(struct fleet *fleet, struct slot *slot)
{
    if (slot->channel < 0)
        look_at(fleet, slot);
}

static void reap_found(struct master *master, void (*look)(struct fleet *fleet, struct slot *slot))
{
    do {
        found.slot = NULL;
        fleet_each_slot(&master->fleet, look);
        if (found.slot)
            reaped(master, found.slot, found.has_status ? &found.status : NULL);
    } while (found.slot);
}

static void check_counters(struct fleet *fleet, struct slot *slot)
{
    slot_check_counters(&fleet->context, slot);
}

void workers_check(struct master *master)
{
    uint64_t now_ms = clock_now_ms();

    if (!handover_may_reload(master->upgrade.state)) /* another master counts, too */
        stats_watch(master->fleet.context.stats, getpid());
    reap_found(master, look_at_ended);
    if (!master_is_busy(master))
        recycle_check(&master->fleet);
    if (now_ms < master->check_ms)
        return;
    master->check_ms = now_ms + CHECK_MS;
    workers_reap(master);
    reap_found(master, look_at);
    fleet_each_slot(&master->fleet, check_counters);
}

bool workers_have_orphans(const struct stats_area *stats, uint64_t stop_ms, bool at_once)
{
    uint64_t stopping_ms = clock_now_ms() - stop_ms;
    bool late = stopping_ms >= ORPHANS_MS, any = false;
    siginfo_t info;
    uint32_t at = 0;

    for (const struct stats_entry *worker; (worker = stats_orphan(stats, getpid(), &at));) {
        pid_t pid = worker->pid;
        if (pid == 0)
            any |= stopping_ms < SUPERVISOR_GRACE_MS;
        else if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
            any = true;
            if (late || at_once)
                kill(pid, SIGKILL);
        }
    }
    return any;
}

/* ---- words ---- */

static void worker_is_ready(struct master *master, struct slot *slot)
{
    slot->ready_ms = clock_now_ms();
    fleet_handle(&master->fleet, slot, SUPERVISOR_EVENT_READY);
    if (slot->supervised.state == SUPERVISOR_RUNNING)
        log_notice("%s (pid %d) ready after %u ms", slot->name, (int)slot->pid,
                   (unsigned)(master->fleet.context.now_ms - slot->supervised.started_ms));
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
    case CHANNEL_REQUEST: return slot->operates ? NULL : "asks for what only a control service may ask for";
    default: return "has said what only a master says";
    }
}

static void handle(struct master *master, struct slot *slot, const struct channel_message *message)
{
    const char *error = message_error(slot, message);

    if (error) {
        slot_expel(&master->fleet.context, slot, error);
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
        slot->operator_asks = message->value == 1;
        if (master->fleet.next && slot->conf == &master->fleet.next->conf)
            rollout_give_up(&master->fleet, "a worker of it leaves");
        else
            fleet_replace(&master->fleet, slot);
        break;
    case CHANNEL_REQUEST: control_carry_out(master, slot, &message->request); break;
    default: slot->shutdowns++; master->requests |= MASTER_SHUT_DOWN;
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
        slot_expel(&master->fleet.context, slot,
                   errno == EBADMSG ? "has sent what is no message" : "cannot be read from its control pipe");
    }
    return false;
}

void workers_receive(struct master *master, struct slot *slot)
{
    for (unsigned i = 0; i < MESSAGES_PER_TURN && receive_one(master, slot); i++)
        ;
}
