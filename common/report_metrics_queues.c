#include "common/report_metrics_queues.h"
#include <inttypes.h>

enum { QUEUE_LABELS_SIZE = 64 + 2 * (STATE_NAME_SIZE + STATE_POOL_SIZE + SOCK_TEXT_SIZE) };

/* Labels that the queues of one address have in common. */
static void queue_labels(char labels[QUEUE_LABELS_SIZE], const struct state_listener *listener, const char *address)
{
    labels[0] = '\0';
    metrics_add_label(labels, QUEUE_LABELS_SIZE, "{", "listener", listener->name);
    metrics_add_label(labels, QUEUE_LABELS_SIZE, ",", "pool", listener->pool);
    if (listener->address_count > 1)
        metrics_add_label(labels, QUEUE_LABELS_SIZE, ",", "address", address);
}

static void print_queue(FILE *out, const char *name, const char *labels, unsigned slot, uint32_t value)
{
    if (slot == QUEUE_SHARED)
        fprintf(out, "ccserver_%s%s,worker=\"\"} %" PRIu32 "\n", name, labels, value);
    else
        fprintf(out, "ccserver_%s%s,worker=\"%u\"} %" PRIu32 "\n", name, labels, slot, value);
}

static void each_queue(FILE *out, const struct report *report, const char *name, bool of_drops,
                       uint32_t (*value)(const struct sock_queue *figures))
{
    const struct report_queues *queues = report->queues;
    const char *address = NULL;
    char labels[QUEUE_LABELS_SIZE];

    for (unsigned i = 0; i < queues->count; i++) {
        const struct report_queue *queue = &queues->all[i];
        const struct state_listener *listener = &report->state->listeners[queue->place.listener];
        if (!queue->is_known || (of_drops && !queue->figures.has_drops))
            continue;
        if (address != listener->addresses[queue->place.address]) {
            address = listener->addresses[queue->place.address];
            queue_labels(labels, listener, address);
        }
        print_queue(out, name, labels, queue->place.slot, value(&queue->figures));
    }
}

static uint32_t length_of(const struct sock_queue *figures)
{
    return figures->length;
}

static uint32_t limit_of(const struct sock_queue *figures)
{
    return figures->limit;
}

static uint32_t drops_of(const struct sock_queue *figures)
{
    return figures->drops;
}

void report_metrics_queues(FILE *out, const struct report *report, enum metrics_format format)
{
    if (!report->queues)
        return;
    metrics_family(out, format, "gauge", "listen_queue_length", NULL, "connections that wait in this accept queue");
    each_queue(out, report, "listen_queue_length", false, length_of);
    metrics_family(out, format, "gauge", "listen_queue_limit", NULL, "connections that may wait in this accept queue");
    each_queue(out, report, "listen_queue_limit", false, limit_of);
    metrics_family(out, format, "counter", "listen_drops", NULL,
                   "packets of new connections that this accept queue had no room for");
    each_queue(out, report, "listen_drops_total", true, drops_of);
}
