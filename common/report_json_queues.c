#include "common/report_json_queues.h"
#include "common/report_json.h"
#include <inttypes.h>

void report_json_queue_sum(FILE *out, const struct report_queue_sum *sum)
{
    if (sum->is_known)
        fprintf(out, "\"queue_length\": %" PRIu64 ", ", sum->length);
    if (sum->has_drops)
        fprintf(out, "\"queue_drops\": %" PRIu64 ", ", sum->drops);
}

/* The members of an object, without its braces. */
static void print_queue(FILE *out, const struct state_listener *listener, const struct report_queue *queue)
{
    const struct sock_queue *figures = &queue->figures;

    fprintf(out, "\"address\": ");
    report_json_string(out, listener->addresses[queue->place.address]);
    if (queue->place.slot == QUEUE_SHARED)
        fprintf(out, ", \"slot\": null");
    else
        fprintf(out, ", \"slot\": %u", queue->place.slot);
    if (queue->is_known)
        fprintf(out, ", \"length\": %" PRIu32 ", \"limit\": %" PRIu32, figures->length, figures->limit);
    if (queue->is_known && figures->has_drops)
        fprintf(out, ", \"drops\": %" PRIu32, figures->drops);
}

void report_json_queues_of(FILE *out, const struct report *report, unsigned listener)
{
    const char *comma = "";

    if (!report->queues)
        return;
    const struct report_queue_sum sum = report_queues_of_listener(report->queues, listener);
    report_json_queue_sum(out, &sum);
    fprintf(out, "\"queues\": [");
    for (unsigned i = 0; i < report->queues->count; i++) {
        const struct report_queue *queue = &report->queues->all[i];
        if (queue->place.listener != listener)
            continue;
        fprintf(out, "%s{", comma);
        print_queue(out, &report->state->listeners[listener], queue);
        fprintf(out, "}");
        comma = ", ";
    }
    fprintf(out, "], ");
}

void report_json_queues(FILE *out, const struct report *report)
{
    fputc('[', out);
    for (unsigned i = 0; report->queues && i < report->queues->count; i++) {
        const struct report_queue *queue = &report->queues->all[i];
        const struct state_listener *listener = &report->state->listeners[queue->place.listener];
        fprintf(out, "%s\n  {\"listener\": ", i ? "," : "");
        report_json_string(out, listener->name);
        fprintf(out, ", \"pool\": ");
        report_json_string(out, listener->pool);
        fprintf(out, ", ");
        print_queue(out, listener, queue);
        fputc('}', out);
    }
    fputc(']', out);
}
