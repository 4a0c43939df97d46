#include "master/queue_table.h"
#include "common/log.h"
#include "master/queue.h"
#include <unistd.h>

#define HAS_ROOM(room, needed) _Static_assert((int)(room) >= (int)(needed), #room " is less than " #needed)
HAS_ROOM(UINT8_MAX, CONF_LISTENERS_MAX);
HAS_ROOM(UINT8_MAX, LISTENER_ADDRESSES_MAX);
HAS_ROOM(QUEUE_SHARED, CONF_WORKERS_MAX);

struct visitor {
    void (*visit)(const struct visitor *visitor, const struct queue_place *place, int fd);
    union {
        struct queue_table *table;
        struct report_queues *queues;
    };
};

static void visit_endpoint(const struct visitor *visitor, const struct endpoint *endpoint, struct queue_place place)
{
    for (unsigned i = 0; i < endpoint->count; i++) {
        place.slot = queue_is_unix(endpoint) ? QUEUE_SHARED : (uint16_t)i;
        if (endpoint->queues[i] >= 0)
            visitor->visit(visitor, &place, endpoint->queues[i]);
    }
}

/* Visit each queue, in the order of the configuration. */
static void visit_all(const struct master *master, const struct visitor *visitor)
{
    const struct conf *conf = &master->fleet.current->conf;

    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++) {
            const struct endpoint *endpoint = endpoints_find(&master->fleet.endpoints,
                                                             &conf->listeners[i].addresses[j]);
            if (endpoint)
                visit_endpoint(visitor, endpoint, (struct queue_place){.listener = (uint8_t)i, .address = (uint8_t)j});
        }
}

/* ---- the table ---- */

static void list(const struct visitor *visitor, const struct queue_place *place, int fd)
{
    struct queue_table *table = visitor->table;

    table->total++;
    if (table->count < QUEUES_MAX)
        table->entries[table->count++] = (struct queue_entry){.identity = sock_diag_identify(fd), .place = *place};
}

void queue_table_publish(struct master *master)
{
    static struct queue_table table; /* pages that nobody touches cost nothing */
    struct queue_record *record = &master->fleet.context.stats->queues;
    const struct queue_version version = {
        .master = getpid(), .generation = master->fleet.current->number, .changes = queue_changes()};

    if (!handover_is_in_charge(master->upgrade.state) || queue_table_is_written(record, &version))
        return;
    table.version = version;
    table.count = table.total = 0;
    visit_all(master, &(struct visitor){.visit = list, .table = &table});
    if (table.total > table.count)
        log_info("reports show the first %u of %u accept queues", table.count, table.total);
    queue_table_write(record, &table);
}

/* ---- figures ---- */

static void measure(const struct visitor *visitor, const struct queue_place *place, int fd)
{
    struct report_queue *queue = report_queues_add(visitor->queues, place);

    if (queue)
        queue->is_known = sock_diag_measure(fd, &queue->figures);
}

void queue_table_measure(const struct master *master, struct report_queues *queues)
{
    queues->count = queues->total = 0;
    visit_all(master, &(struct visitor){.visit = measure, .queues = queues});
}
