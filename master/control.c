#include "master/control.h"
#include "common/channel.h"
#include "common/log.h"
#include "master/recycle.h"
#include "master/resize.h"
#include "master/slot_words.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request, as it is carried out: the answer to it, and what comes along. */
struct act {
    struct master *master;
    const struct request *request;
    const char *name; /* of the request, with an end */
    struct request_answer answer;
    int fd; /* -1: none */
};

static void say(struct act *act, bool is_refused, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct act *act, bool is_refused, const char *format, ...)
{
    va_list arguments;

    act->answer.is_refused = is_refused;
    va_start(arguments, format);
    vsnprintf(act->answer.text, sizeof(act->answer.text), format, arguments);
    va_end(arguments);
}

/* ---- names ---- */

static struct pool *find_pool(struct act *act)
{
    struct generation *current = act->master->fleet.current;

    for (unsigned i = 0; i < current->pool_count; i++)
        if (strcmp(current->pools[i].config->name, act->name) == 0)
            return &current->pools[i];
    say(act, true, "there is no pool %s", act->name);
    return NULL;
}

static const struct listener_config *find_listener(struct act *act)
{
    const struct conf *conf = &act->master->fleet.current->conf;

    for (unsigned i = 0; i < conf->listener_count; i++)
        if (strcmp(conf->listeners[i].name, act->name) == 0)
            return &conf->listeners[i];
    say(act, true, "there is no listener %s", act->name);
    return NULL;
}

/* The worker with the pid that is asked for, when it serves. */
static struct slot *find_worker(struct act *act)
{
    struct slot *slot = fleet_find(&act->master->fleet, (pid_t)act->request->number);

    if (slot && slot->ready_ms)
        return slot;
    say(act, true, "there is no worker with pid %u that is ready", act->request->number);
    return NULL;
}

/* ---- requests ---- */

static void resize(struct act *act)
{
    struct pool *pool = find_pool(act);
    char error[sizeof(act->answer.text)];

    if (!pool)
        return;
    if (master_is_busy(act->master))
        say(act, true, "%s", resize_busy);
    else if (resize_to(&act->master->fleet, pool, act->request->number, error, sizeof(error)) < 0)
        say(act, true, "%s", error);
}

static void restart(struct act *act)
{
    struct pool *pool = find_pool(act);

    if (!pool)
        return;
    if (master_is_busy(act->master)) {
        say(act, true, "%s", resize_busy);
        return;
    }
    if (pool->running == 0) {
        say(act, true, "the pool %s has no worker that is ready", act->name);
        return;
    }
    log_notice("restart: the workers of the pool %s are replaced, one after the other", act->name);
    recycle_restart(&act->master->fleet, pool);
}

static void drain(struct act *act)
{
    struct slot *slot = find_worker(act);

    if (!slot)
        return;
    if (!slot->pool || slot->conf != &act->master->fleet.current->conf)
        say(act, true, "%s leaves already, or is about to start", slot->name);
    else if (slot->supervised.state != SUPERVISOR_RUNNING)
        say(act, true, "%s hangs", slot->name);
    else
        say(act, false, "pid %d drains", (int)slot->pid);
    if (!act->answer.is_refused)
        fleet_recycle(&act->master->fleet, slot, RESPAWN_operator, "is drained by an operator");
}

/* The generation that starts has been told what was disabled when it began. */
static void enable(struct act *act, bool enabled)
{
    struct fleet *fleet = &act->master->fleet;
    const struct listener_config *listener = find_listener(act);

    if (!listener)
        return;
    if (listener->service->operates && !enabled) {
        say(act, true, "nobody could enable a control listener again");
        return;
    }
    conf_disable(&fleet->current->conf, act->name, !enabled);
    if (fleet->next)
        conf_disable(&fleet->next->conf, act->name, !enabled);
    say(act, false, "the listener %s is %s", act->name, enabled ? "enabled" : "disabled");
    log_notice("[listen %s] is %s by an operator", act->name, enabled ? "enabled" : "disabled");
}

static void set_log_level(struct act *act)
{
    uint32_t level = act->request->number;

    if (level > LOG_LEVEL_ERROR) {
        say(act, true, "there is no such level");
        return;
    }
    act->master->fleet.current->conf.log_level = level;
    log_set_level((enum log_level)level);
    say(act, false, "log_level is %s, until the next reload", log_level_name((enum log_level)level));
    log_notice("%s", act->answer.text);
}

/* One end of a connection for the worker, the other one for who asks: what they say to each other is not heard here. */
static void inspect(struct act *act)
{
    const struct slot *slot = find_worker(act);
    int ends[2];

    if (!slot)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) {
        say(act, true, "%s", strerror(errno));
        return;
    }
    if (slot_send_inspect(slot, ends[0]))
        act->fd = ends[1];
    else
        say(act, true, "%s cannot be told", slot->name);
    close(ends[0]);
    if (act->fd < 0)
        close(ends[1]);
}

/* What a signal does, too; the loop does it. */
static void note(struct act *act, enum master_request what)
{
    if (what == MASTER_UPGRADE && master_is_busy(act->master))
        say(act, true, "%s", resize_busy);
    else
        act->master->requests |= what;
}

static void carry_out(struct act *act)
{
    switch ((enum request_kind)act->request->kind) {
    case REQUEST_RELOAD: note(act, MASTER_RELOAD); break;
    case REQUEST_UPGRADE: note(act, MASTER_UPGRADE); break;
    case REQUEST_STOP: note(act, MASTER_STOP); break;
    case REQUEST_RESIZE: resize(act); break;
    case REQUEST_RESTART: restart(act); break;
    case REQUEST_DRAIN: drain(act); break;
    case REQUEST_DISABLE: enable(act, false); break;
    case REQUEST_ENABLE: enable(act, true); break;
    case REQUEST_LOG_LEVEL: set_log_level(act); break;
    case REQUEST_INSPECT: inspect(act); break;
    default: say(act, true, "this master cannot do that");
    }
}

void control_carry_out(struct master *master, struct slot *slot, const struct request *request)
{
    char name[REQUEST_NAME_SIZE];
    struct act act = {.master = master, .request = request, .name = name, .fd = -1, .answer = {.id = request->id}};

    snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, request->name); /* it may have no end */
    bool in_charge = handover_is_in_charge(master->upgrade.state);
    if (master_is_serving(master) && in_charge)
        carry_out(&act);
    else if (request->kind == REQUEST_INSPECT)
        inspect(&act);
    else
        say(&act, true, "%s", in_charge ? "the server stops" : REQUEST_NOT_IN_CHARGE);
    slot_answer(slot, &act.answer, act.fd);
    if (act.fd >= 0)
        close(act.fd);
}
