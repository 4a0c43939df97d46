#include "master/candidate.h"
#include "common/clock.h"
#include "master/upgrade_words.h"
#include <string.h>

enum { ALIVE_EACH_MS = 1000 };

/* ---- what it says ---- */

void candidate_fail(const struct upgrade *upgrade, const char *error)
{
    if (handover_is_candidate(upgrade->state))
        upgrade_words_fail(upgrade->channel, error);
}

void candidate_report_alive(struct upgrade *upgrade)
{
    if (handover_is_candidate(upgrade->state))
        upgrade_words_send(upgrade, WORD_ALIVE);
}

void candidate_report_ready(struct upgrade *upgrade, unsigned workers, bool all)
{
    if (!handover_is_candidate(upgrade->state) || (!all && workers <= upgrade->workers))
        return;
    upgrade->workers = workers;
    upgrade_words_send(upgrade, all ? WORD_READY : WORD_ALIVE);
}

/* A worker of this candidate may take long to start, as long as it beats. */
void candidate_report_beats(struct master *master)
{
    uint64_t now_ms = clock_now_ms();

    if (!handover_is_candidate(master->upgrade.state) || now_ms < master->upgrade.alive_due_ms ||
        !fleet_is_starting(&master->fleet, master->fleet.current))
        return;
    master->upgrade.alive_due_ms = now_ms + ALIVE_EACH_MS;
    upgrade_words_send(&master->upgrade, WORD_ALIVE);
}

/* ---- what it waits for ---- */

void candidate_hold_singles(struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;

    for (unsigned i = 0; i < conf->pool_count && handover_is_candidate(master->upgrade.state); i++)
        master->fleet.singles_wait |= conf->pools[i].single && master->upgrade.pools[0] != '\0';
}

/* The character behind a pool's name in the list of the predecessor's; 0: it has had none of this name. */
static int mark_of(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '!' || at[size] == '\0'))
            return at[size] ? at[size] : ',';
    return 0;
}

const char *candidate_changed_single(const struct master *master)
{
    const struct conf *conf = &master->fleet.current->conf;

    for (unsigned i = 0; i < conf->pool_count; i++) {
        int mark = mark_of(master->upgrade.pools, conf->pools[i].name);
        if (mark && conf->pools[i].single != (mark == '!'))
            return conf->pools[i].name;
    }
    return NULL;
}

void candidate_first_workers(const struct master *master, unsigned workers[CONF_POOLS_MAX])
{
    const struct conf *conf = &master->fleet.current->conf;

    conf_each_pool_workers(conf, workers);
    for (unsigned i = 0; i < conf->pool_count && handover_is_candidate(master->upgrade.state); i++) {
        unsigned numbers = endpoints_fewest(&master->fleet.endpoints, conf, i);
        if (numbers < workers[i])
            workers[i] = numbers;
    }
}
