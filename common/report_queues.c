#include "common/report_queues.h"
#include "common/clock.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct report_queue *report_queues_add(struct report_queues *queues, const struct queue_place *place)
{
    queues->total++;
    if (queues->count == QUEUES_MAX)
        return NULL;
    struct report_queue *queue = &queues->all[queues->count++];
    *queue = (struct report_queue){.place = *place};
    return queue;
}

/* ---- figures ---- */

/* The queues of the table, by cookie. */
struct match {
    struct sock_identity identity;
    struct report_queue *queue;
};

struct matches {
    unsigned count;
    struct match all[QUEUES_MAX];
};

static int compare(const void *left, const void *right)
{
    uint64_t a = ((const struct match *)left)->identity.cookie, b = ((const struct match *)right)->identity.cookie;

    return a < b ? -1 : a > b;
}

static void found(void *user, const struct sock_identity *identity, const struct sock_queue *figures)
{
    const struct matches *matches = user;
    const struct match key = {.identity = *identity};
    const struct match *match = bsearch(&key, matches->all, matches->count, sizeof(key), compare);

    if (!match || match->identity.inode != identity->inode)
        return;
    match->queue->figures = *figures;
    match->queue->is_known = true;
}

static int family_of(const struct master_state *state, const struct queue_place *place)
{
    if (place->slot == QUEUE_SHARED)
        return AF_UNIX;
    return state->listeners[place->listener].addresses[place->address][0] == '[' ? AF_INET6 : AF_INET;
}

static bool has_family(const struct master_state *state, const struct report_queues *queues, int family)
{
    for (unsigned i = 0; i < queues->count; i++)
        if (family_of(state, &queues->all[i].place) == family)
            return true;
    return false;
}

static void ask(const struct master_state *state, const struct report_queues *queues, struct matches *matches)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    static uint64_t retry_ms[sizeof(families) / sizeof(families[0])];

    for (unsigned i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (retry_ms[i] <= queues->at_ms && has_family(state, queues, families[i]) &&
            sock_diag_each(families[i], found, matches) < 0)
            retry_ms[i] = queues->at_ms + REPORT_QUEUES_RETRY_MS;
}

/* The table is another process's: no place leads out of the state. */
static bool is_there(const struct master_state *state, const struct queue_place *place)
{
    return place->listener < state->listener_count && place->address < state->listeners[place->listener].address_count;
}

static void list(const struct queue_table *table, const struct master_state *state, struct report_queues *queues,
                 struct matches *matches)
{
    queues->count = matches->count = 0;
    for (unsigned i = 0; i < table->count; i++) {
        const struct queue_entry *entry = &table->entries[i];
        if (is_there(state, &entry->place))
            matches->all[matches->count++] = (struct match){.identity = entry->identity,
                                                            .queue = report_queues_add(queues, &entry->place)};
    }
    queues->total = table->total;
    qsort(matches->all, matches->count, sizeof(matches->all[0]), compare);
}

void report_queues_take(const struct queue_record *record, const struct master_state *state,
                        struct report_queues *queues)
{
    static struct queue_table table; /* pages that nobody touches cost nothing */
    static struct matches matches;
    uint64_t now_ms = clock_now_ms();

    if (!queue_table_read(record, &table) || table.version.generation != state->generation) {
        queues->count = queues->total = 0;
        queues->at_ms = 0;
        return;
    }
    if (queues->at_ms > 0 && now_ms < queues->at_ms + REPORT_QUEUES_FRESH_MS &&
        queue_version_equal(&queues->version, &table.version))
        return;
    queues->at_ms = now_ms;
    queues->version = table.version;
    list(&table, state, queues, &matches);
    ask(state, queues, &matches);
}

/* ---- sums ---- */

static void add(struct report_queue_sum *sum, const struct report_queue *queue)
{
    if (!queue->is_known)
        return;
    sum->is_known = true;
    sum->length += queue->figures.length;
    if (!queue->figures.has_drops)
        return;
    sum->has_drops = true;
    sum->drops += queue->figures.drops;
}

struct report_queue_sum report_queues_of_listener(const struct report_queues *queues, unsigned listener)
{
    struct report_queue_sum sum = {0};

    for (unsigned i = 0; queues && i < queues->count; i++)
        if (queues->all[i].place.listener == listener)
            add(&sum, &queues->all[i]);
    return sum;
}

struct report_queue_sum report_queues_of_worker(const struct report_queues *queues, const struct master_state *state,
                                                const struct state_worker *worker)
{
    struct report_queue_sum sum = {0};

    for (unsigned i = 0; queues && i < queues->count; i++) {
        const struct queue_place *place = &queues->all[i].place;
        if (place->slot == worker->id && strcmp(state->listeners[place->listener].pool, worker->pool) == 0)
            add(&sum, &queues->all[i]);
    }
    return sum;
}
