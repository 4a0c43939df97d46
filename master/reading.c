#include "master/reading.h"
#include "common/stats_count.h"
#include <string.h>
#include <unistd.h>

/* The one that is being taken. */
static struct {
    bool has_begun;
    uint64_t at_ms;
    unsigned next; /* number of a slot */
    struct minute_counts counts;
} reading;

static void begin(struct stats_area *area, uint64_t now_ms)
{
    reading.has_begun = true;
    reading.at_ms = now_ms;
    reading.next = 0;
    memset(&reading.counts, 0, sizeof(reading.counts));
    memcpy(reading.counts.names, area->names, sizeof(reading.counts.names));
    stats_watch(area, getpid()); /* workers of a predecessor go on counting */
}

static void end(struct stats_area *area)
{
    stats_add_durations(&reading.counts, &area->renumbered.total);
    minute_write(&area->minute, reading.at_ms, &reading.counts);
    reading.has_begun = false;
}

void reading_tick(struct stats_area *area, uint64_t now_ms)
{
    if (!reading.has_begun && !minute_is_due(&area->minute, now_ms))
        return;
    /* Another master may have been in charge since it has begun: what is summed now is of another time. */
    if (!reading.has_begun || now_ms - reading.at_ms > MINUTE_PERIOD_MS)
        begin(area, now_ms);
    for (unsigned i = 0; i < READING_SLOTS && reading.next < area->numbers_used; i++)
        stats_sum_durations(area, reading.next++, &reading.counts);
    if (reading.next >= area->numbers_used)
        end(area);
}
