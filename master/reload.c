/*
 *   SIGHUP --> request() --> go_on() --- names without an answer ---> a child resolves (names.c)
 *                              ^  |                                        |
 *                              |  `--> same text, same addresses: nothing  |
 *                              |  `--> start_next()                        |
 *                              `--------------- answered() <--------- reload_tick()
 *
 * A configuration that has been accepted without an address for an upstream (at the start) is completed in the same
 * way: its names are asked for again and again, and when one resolves, the next generation gets the same text.
 */
#include "master/reload.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/conf/conf.h"
#include "master/master.h"
#include "master/rollout.h"
#include "master/shared.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30 * 1000 };

/* ---- may it begin? ---- */

static const struct slot *older_slot(const struct master *master)
{
    const struct slot *slot;

    LIST_FOREACH(slot, &master->fleet.leaving, link)
        if (slot->generation != master->fleet.current->number)
            return slot;
    return NULL;
}

/* True when a reload has to wait, with a sentence in `error`. */
static bool is_busy(const struct master *master, char *error, size_t error_size)
{
    const struct slot *older = older_slot(master);
    bool resolving = master->reload.state == RELOAD_RESOLVING;
    bool upgrading = !handover_may_reload(master->upgrade.state);
    bool stopping = master->phase != MASTER_SERVING;

    if (stopping)
        snprintf(error, error_size, "the server stops");
    else if (resolving)
        snprintf(error, error_size, "names are being resolved");
    else if (master->fleet.next)
        snprintf(error, error_size, "generation %u is starting", master->fleet.next->number);
    else if (upgrading)
        snprintf(error, error_size, "an upgrade is under way");
    else if (older)
        snprintf(error, error_size, "generation %u still drains", older->generation);
    return stopping || resolving || master->fleet.next || upgrading || older;
}

static void stop_resolving(struct master *master)
{
    names_fini(&master->reload.names);
    master->reload.state = RELOAD_IDLE;
}

static void refuse(struct master *master, struct generation *next, const char *error)
{
    stop_resolving(master);
    rollout_refuse(&master->fleet, next, error);
}

/* ---- nothing has changed ---- */

static bool same_text(const struct conf *a, const struct conf *b)
{
    return a->text_size == b->text_size && memcmp(a->text, b->text, a->text_size) == 0;
}

/* Somebody may have mended what made them give up, a file or a disk: that does not show in the configuration. */
static void start_given_up(struct fleet *fleet, struct slot *slot)
{
    if (slot->supervised.state != SUPERVISOR_DOWN)
        return;
    log_notice("%s has given up and is started again", slot->name);
    slot->reason = RESPAWN_reload;
    fleet_handle(fleet, slot, SUPERVISOR_EVENT_START);
}

static void change_nothing(struct master *master)
{
    stop_resolving(master);
    state_note_change(&master->fleet.context.stats->service.last_reload, false, "nothing has changed");
    log_notice("reload: nothing has changed; logs reopened");
    generation_each_slot(&master->fleet, master->fleet.current, start_given_up);
    notify("READY=1\nSTATUS=%u workers, generation %u", generation_count(master->fleet.current),
           master->fleet.current->number);
}

/* ---- something has ---- */

/* A key that the running master cannot change keeps its old value, and that is logged. */
static void keep_fixed(struct generation *next, const struct conf *old)
{
    struct conf *conf = &next->conf;

    next->pidfile_stays = strcmp(conf->pidfile, old->pidfile) != 0;
    if (next->pidfile_stays) {
        log_warn("reload: pidfile cannot be changed while running; it stays '%s'", old->pidfile);
        memcpy(conf->pidfile, old->pidfile, sizeof(conf->pidfile));
    }
}

/* Have all that the next generation needs, or nothing. */
static int claim(struct master *master, struct generation *next, char *error, size_t error_size)
{
    unsigned workers[CONF_POOLS_MAX];
    char place[CONF_PLACE_SIZE];

    if (conf_override(&next->conf, master->overrides, error, error_size) < 0 ||
        fleet_index_listeners(&master->fleet, &next->conf, error, error_size) < 0)
        return -1;
    if (!file_is_replaceable(next->conf.stats_file, error, error_size))
        return -1;
    keep_fixed(next, &master->fleet.current->conf);
    if (log_open(next->conf.log) < 0) {
        int number = errno;
        snprintf(error, error_size, "%slog = %s: %s", conf_place(&next->conf, NULL, place), next->conf.log,
                 strerror(number));
        return -1;
    }
    conf_each_pool_workers(&next->conf, workers);
    if (endpoints_claim(&master->fleet.endpoints, &next->conf, workers, error, error_size) < 0 ||
        endpoints_renew(&master->fleet.endpoints, &next->conf, error, error_size) < 0 ||
        shared_claim(&next->conf, error, error_size) < 0) {
        endpoints_forget_added(&master->fleet.endpoints);
        shared_keep(&master->fleet.current->conf);
        log_open(master->fleet.current->conf.log);
        return -1;
    }
    return 0;
}

static void start_next(struct master *master, struct generation *next)
{
    char error[512];

    if (claim(master, next, error, sizeof(error)) < 0) {
        refuse(master, next, error);
        return;
    }
    if (same_text(&next->conf, &master->fleet.current->conf))
        log_notice("reload: names stand for other addresses than before");
    next->names = master->reload.names;
    names_init(&master->reload.names);
    master->reload.state = RELOAD_IDLE;
    rollout_start(&master->fleet, next);
}

/* ---- reading it, as often as it takes until there is an answer for every name ---- */

static int load(struct master *master, struct generation *next, char *error, size_t error_size)
{
    struct reload *reload = &master->reload;
    const struct conf *current = &master->fleet.current->conf;
    struct conf_source source = {.path = conf_file(master->overrides),
                                 .resolver = &reload->names.resolver,
                                 .lenient = reload->state == RELOAD_RETRYING || reload->same_text};

    if (reload->state == RELOAD_RETRYING) { /* the file may be half edited: there was no SIGHUP */
        source.text = current->text;
        source.text_size = current->text_size;
    }
    /* It may be another file than the one whose names have been asked for meanwhile. */
    names_begin_reading(&reload->names);
    int result = conf_load_from(&next->conf, &source, error, error_size);
    names_end_reading(&reload->names);
    return result;
}

static void go_on(struct master *master)
{
    struct reload *reload = &master->reload;
    struct generation *next = generation_new(0);
    char error[512] = "out of memory";

    if (!next || load(master, next, error, sizeof(error)) < 0) {
        refuse(master, next, error);
        return;
    }
    reload->same_text = same_text(&next->conf, &master->fleet.current->conf);
    if (names_are_open(&reload->names)) {
        if (names_ask(&reload->names) == 0) {
            generation_free(next);
            return;
        }
        snprintf(error, sizeof(error), "cannot resolve names: %s", strerror(errno));
        refuse(master, next, error);
    } else if (reload->same_text && names_same(&reload->names, &master->fleet.current->names)) {
        generation_free(next);
        change_nothing(master);
    } else {
        start_next(master, next);
    }
}

void reload_request(struct master *master)
{
    char error[64];

    if (!master_is_serving(master))
        return;
    if (master->phase == MASTER_STOPPING_SOON) {
        rollout_note_refused(&master->fleet, "the server stops");
        return;
    }
    if (is_busy(master, error, sizeof(error))) {
        log_notice("reload deferred: %s", error);
        master->reload.pending = true;
        return;
    }
    master->reload.pending = false;
    notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", clock_now_us());
    stop_resolving(master);
    master->reload.same_text = false;
    master->reload.state = RELOAD_RESOLVING;
    go_on(master);
}

void reload_give_up(struct master *master, const char *error)
{
    if (master->reload.state == RELOAD_RESOLVING || master->reload.pending)
        rollout_refuse(&master->fleet, NULL, error);
    master->reload.pending = false;
    stop_resolving(master);
    rollout_give_up(&master->fleet, error);
}

/* ---- names that were not resolved at the start ---- */

static void retry_later(struct master *master)
{
    struct reload *reload = &master->reload;

    reload->retry_delay_ms = reload->retry_delay_ms ? 2 * reload->retry_delay_ms : RETRY_MIN_MS;
    if (reload->retry_delay_ms > RETRY_MAX_MS)
        reload->retry_delay_ms = RETRY_MAX_MS;
    reload->retry_ms = clock_now_ms() + reload->retry_delay_ms;
}

static void retry(struct master *master)
{
    struct reload *reload = &master->reload;
    char error[64];

    if (!names_have_failed(&master->fleet.current->names))
        reload->retry_delay_ms = 0;
    else if (reload->retry_delay_ms == 0)
        retry_later(master);
    else if (clock_now_ms() >= reload->retry_ms && !is_busy(master, error, sizeof(error))) {
        retry_later(master);
        stop_resolving(master);
        if (names_copy(&reload->names, &master->fleet.current->names) < 0)
            return;
        names_reopen_failed(&reload->names);
        if (names_ask(&reload->names) == 0)
            reload->state = RELOAD_RETRYING;
    }
}

static void retried(struct master *master)
{
    struct reload *reload = &master->reload;
    char error[64];

    if (is_busy(master, error, sizeof(error))) {
        stop_resolving(master);
    } else if (names_same(&reload->names, &master->fleet.current->names)) {
        names_log_failed(&reload->names, reload->retry_delay_ms);
        stop_resolving(master);
    } else {
        names_log_found(&reload->names, &master->fleet.current->names);
        notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", clock_now_us());
        go_on(master);
    }
}

/* ---- from the loop ---- */

static void answered(struct master *master)
{
    if (master->reload.state == RELOAD_RETRYING) {
        retried(master);
        return;
    }
    if (master->reload.same_text)
        names_keep(&master->reload.names, &master->fleet.current->names, "reload");
    go_on(master);
}

void reload_tick(struct master *master)
{
    char error[64];

    if (!master_is_serving(master)) {
        stop_resolving(master);
    } else if (master->reload.state != RELOAD_IDLE) {
        if (names_receive(&master->reload.names, clock_now_ms()))
            answered(master);
    } else if (master->reload.pending) {
        if (!is_busy(master, error, sizeof(error)))
            reload_request(master);
    } else {
        retry(master);
    }
}
