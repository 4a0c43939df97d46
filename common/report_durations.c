#include "common/report_durations.h"
#include "common/report_line.h"
#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 13, QUANTILES = 4 };
#define ROW "  %-13s %-18s %7s %7s %7s %7s %7s %7s %7s %7s"

struct cells {
    char text[QUANTILES][REPORT_CELL_SIZE];
};

static struct cells cells_of(const uint64_t counts[DURATION_BUCKETS])
{
    static const double shares[QUANTILES] = {0.5, 0.9, 0.99, 1};
    bool has_any = report_duration_count(counts) > 0;
    struct cells cells;

    for (unsigned i = 0; i < QUANTILES; i++)
        if (has_any)
            report_time(cells.text[i], (uint64_t)report_quantile_us(counts, shares[i]));
        else
            snprintf(cells.text[i], REPORT_CELL_SIZE, "-");
    return cells;
}

void report_quantiles(char text[REPORT_QUANTILES_SIZE], const uint64_t counts[DURATION_BUCKETS])
{
    const struct cells cells = cells_of(counts);

    if (report_duration_count(counts) > 0)
        snprintf(text, REPORT_QUANTILES_SIZE, "p50 %s, p90 %s, p99 %s, max %s", cells.text[0], cells.text[1],
                 cells.text[2], cells.text[3]);
    else
        snprintf(text, REPORT_QUANTILES_SIZE, "-");
}

void report_durations_of_all(const struct report *report, enum duration duration, uint64_t counts[DURATION_BUCKETS],
                             uint64_t minute[DURATION_BUCKETS])
{
    memset(counts, 0, DURATION_BUCKETS * sizeof(counts[0]));
    memset(minute, 0, DURATION_BUCKETS * sizeof(minute[0]));
    for (unsigned i = 0; i < report->state->listener_count; i++) {
        const struct state_listener *listener = &report->state->listeners[i];
        const struct stats_listener *traffic = report_sums_listener(report->sums, listener);
        const uint64_t *recent = report_minute(report->sums, listener, duration);
        for (unsigned j = 0; j < DURATION_BUCKETS; j++) {
            counts[j] += stats_read(&traffic->durations[duration][j]);
            minute[j] += recent[j];
        }
    }
}

/* ---- the table ---- */

static void print_row(const char *name, const char *what, const uint64_t counts[DURATION_BUCKETS],
                      const uint64_t minute[DURATION_BUCKETS])
{
    const struct cells all = cells_of(counts), last = cells_of(minute);

    if (strlen(name) > NAME_WIDTH) { /* a line of its own, so that the columns stay where they are */
        report_line("  %s", name);
        name = "";
    }
    report_line(ROW, name, what, all.text[0], all.text[1], all.text[2], all.text[3], last.text[0], last.text[1],
                last.text[2], last.text[3]);
}

/* Only what there has been any of; the name stands in the first row. */
static void print_listener(const struct report_sums *sums, const struct state_listener *listener)
{
    static const char *const names[DURATIONS] = {[DURATION_answered] = "answered",
                                                 [DURATION_upstream_connected] = "upstream connected",
                                                 [DURATION_upstream_answered] = "upstream answered"};
    const struct stats_listener *traffic = report_sums_listener(sums, listener);
    const char *name = listener->name;
    uint64_t counts[DURATION_BUCKETS];

    for (unsigned i = 0; i < DURATIONS; i++) {
        report_counts(traffic->durations[i], counts);
        if (report_duration_count(counts) == 0)
            continue;
        print_row(name, names[i], counts, report_minute(sums, listener, (enum duration)i));
        name = "";
    }
}

void report_durations_table(const struct report *report, void (*line)(const char *line))
{
    uint64_t turns[DURATION_BUCKETS];

    report_turn_times(report->sums, turns);
    if (report_duration_count(turns) == 0)
        return;
    report_line_to(line);
    report_line(ROW, "durations", "", "p50", "p90", "p99", "max", "1m: p50", "p90", "p99", "max");
    print_row("all", "turns", turns, report->sums->minute.turn_times);
    for (unsigned i = 0; i < report->state->listener_count; i++)
        print_listener(report->sums, &report->state->listeners[i]);
}
