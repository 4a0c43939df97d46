/*
 * Readings for the last minute, taken from an area with workers that count, and what reports make of them: the load
 * has changed, and so the last minute is another one than the time since the start. The clock is the test's.
 */
#include "common/report_durations.h"
#include "common/report_json.h"
#include "common/stats_number.h"
#include "master/reading.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <bsd/string.h>

enum { WORKERS = 2 * READING_SLOTS + 1, TEXT_SIZE = 1 << 16 };

static uint64_t now_ms = 1000 * 1000; /* it goes on from one test to the next */

static struct report_sums sums;
static struct master_state state;
static struct stats_area *area;
static struct stats_block *blocks[WORKERS];
static struct report report = {.state = &state, .sums = &sums};
static int fd;
static char table[TEXT_SIZE];

int clock_gettime(clockid_t id, struct timespec *now)
{
    (void)id;
    *now = (struct timespec){.tv_sec = (time_t)(now_ms / 1000), .tv_nsec = (long)(now_ms % 1000) * 1000000};
    return 0;
}

static void begin(void)
{
    fd = stats_create();
    area = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
    report.area = area;
    strlcpy(area->names[3], "proxy", STATS_NAME_SIZE);
    for (unsigned i = 0; i < WORKERS; i++) {
        CU_ASSERT_EQUAL(stats_number(area, "main", i), (int)i);
        blocks[i] = stats_take(area, i, getpid());
        CU_ASSERT_PTR_NOT_NULL_FATAL(blocks[i]);
    }
    memset(&state, 0, sizeof(state));
    state.listener_count = 1;
    state.listeners[0].index = 3;
    strlcpy(state.listeners[0].name, "proxy", STATE_NAME_SIZE);
    now_ms += 1000 * 1000;
}

static void end(void)
{
    stats_detach(area);
    close(fd);
}

/* Each worker has a few of this duration. */
static void count(uint64_t ms, unsigned times)
{
    for (unsigned i = 0; i < WORKERS; i++)
        for (unsigned j = 0; j < times; j++) {
            stats_count_duration(blocks[i]->listeners[3].durations[DURATION_upstream_answered], ms * 1000000);
            stats_count_duration(blocks[i]->turn_times, ms * 1000);
        }
}

/* The turns of a master, 50 ms apart. */
static void pass(uint64_t ms)
{
    for (uint64_t end_ms = now_ms + ms; now_ms < end_ms; now_ms += 50)
        reading_tick(area, now_ms);
}

static uint64_t of_last_minute(void)
{
    report_sums_take(area, &sums);
    return report_duration_count(report_minute(&sums, &state.listeners[0], DURATION_upstream_answered));
}

static void add_line(const char *line)
{
    strlcat(table, line, sizeof(table));
    strlcat(table, "\n", sizeof(table));
}

static const char *print_table(void)
{
    table[0] = '\0';
    report_sums_take(area, &sums);
    report_durations_table(&report, add_line);
    return table;
}

static void check_row(const char *row)
{
    if (strstr(print_table(), row))
        return;
    printf("\n%s\nhas no\n%s\n", table, row);
    CU_FAIL("another table");
}

/* ---- readings ---- */

/* A few slots in each turn, so that nobody waits for the sum of thousands. */
static void test_a_part_at_a_time(void)
{
    begin();
    count(1, 1);
    for (unsigned i = 0; i < WORKERS / READING_SLOTS; i++) {
        reading_tick(area, now_ms);
        CU_ASSERT_EQUAL(area->minute.readings[0].sequence, 0);
    }
    reading_tick(area, now_ms);
    CU_ASSERT_EQUAL(area->minute.readings[0].sequence, 2);
    now_ms++;
    CU_ASSERT_EQUAL(of_last_minute(), 0);
    CU_ASSERT_EQUAL(sums.minute_ms, 1);
    count(1, 2);
    CU_ASSERT_EQUAL(of_last_minute(), 2 * WORKERS);
    end();
}

/* One that another master has interrupted is begun again: its time would be that of the beginning. */
static void test_interrupted(void)
{
    begin();
    reading_tick(area, now_ms);
    count(1, 1);
    now_ms += MINUTE_PERIOD_MS + 1;
    pass(150);
    CU_ASSERT_EQUAL(of_last_minute(), 0);
    CU_ASSERT_EQUAL(sums.minute_ms, 150);
    end();
}

/* Also of workers that are gone, and of slots; a worker that has counted nonsense is as one that has not counted. */
static void test_all_that_counts(void)
{
    begin();
    count(1, 1);
    stats_fold(area, blocks[0]);
    stats_count(&area->renumbered.total.turn_times[20], 5);
    stats_count(&blocks[1]->listeners[3].durations[DURATION_answered][7], UINT64_MAX / 2);
    blocks[2]->layout = 0;
    pass(200);
    const struct minute_counts *counts = &area->minute.readings[0].counts;
    CU_ASSERT_EQUAL(report_duration_count(counts->turn_times), WORKERS - 1 + 5);
    CU_ASSERT_EQUAL(report_duration_count(counts->listeners[3][DURATION_upstream_answered]), WORKERS - 2);
    CU_ASSERT_EQUAL(of_last_minute(), 0);
    end();
}

/* They go on counting: else all that they have ever counted would be of the last minute. */
static void test_workers_of_another_master(void)
{
    int ends[2];
    char byte;

    begin();
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct stats_block *block = stats_take(area, 1, getpid());
        stats_count_duration(block->turn_times, 1000);
        if (write(ends[1], "!", 1) == 1)
            pause();
        _exit(1);
    }
    CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
    pass(200);
    CU_ASSERT_EQUAL(report_duration_count(area->minute.readings[0].counts.turn_times), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    end();
}

/* ---- reports ---- */

static void test_nothing_yet(void)
{
    begin();
    CU_ASSERT_STRING_EQUAL(print_table(), "");
    count(1, 1);
    check_row("durations                            p50     p90     p99     max 1m: p50     p90     p99     max\n");
    check_row("  proxy         upstream answered    786us   996us   1.0ms   1.0ms       -       -       -       -\n");
    end();
}

/* Fast for long, slow since a minute ago. */
static void test_the_load_has_changed(void)
{
    char text[REPORT_QUANTILES_SIZE];
    uint64_t all[DURATION_BUCKETS], minute[DURATION_BUCKETS];

    begin();
    pass(1000);
    count(1, 98);
    pass(70000);
    count(100, 2);
    pass(30000);
    check_row("  all           turns");
    check_row("  proxy         upstream answered    791us   1.0ms 100.6ms 134.2ms 100.6ms 127.5ms 133.5ms 134.2ms\n");
    CU_ASSERT(sums.minute_ms > 55000 && sums.minute_ms <= 65000);
    report_durations_of_all(&report, DURATION_upstream_answered, all, minute);
    report_quantiles(text, minute);
    CU_ASSERT_STRING_EQUAL(text, "p50 100.6ms, p90 127.5ms, p99 133.5ms, max 134.2ms");
    report_durations_of_all(&report, DURATION_answered, all, minute);
    report_quantiles(text, minute);
    CU_ASSERT_STRING_EQUAL(text, "-");
    pass(70000); /* nobody asks any more */
    check_row(" 100.6ms 134.2ms       -       -       -       -\n");
    end();
}

/* A name that is wider than its column has a line of its own; no line is too long. */
static void test_long_names(void)
{
    begin();
    memset(area->names[3], 'n', STATS_NAME_SIZE - 1);
    strlcpy(state.listeners[0].name, area->names[3], STATE_NAME_SIZE);
    pass(50);
    for (unsigned i = 0; i < DURATIONS; i++)
        stats_count_duration(blocks[0]->listeners[3].durations[i], UINT64_MAX);
    count(100000, 1);
    print_table();
    for (char *line = strtok(table, "\n"); line; line = strtok(NULL, "\n"))
        CU_ASSERT(strlen(line) <= REPORT_TABLE_WIDTH);
    check_row("nnn\n                answered ");
    check_row("\n                upstream connected ");
    check_row("\n                upstream answered ");
    end();
}

static void test_json(void)
{
    char *text = NULL;
    size_t size;

    begin();
    pass(1000);
    count(1, 98);
    pass(70000);
    count(100, 2);
    pass(5000);
    report_sums_take(area, &sums);
    FILE *out = open_memstream(&text, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    report_json(out, &report);
    fclose(out);
    char expected[256];
    snprintf(expected, sizeof(expected),
             "\n \"last_minute\": {\"seconds\": %.3f, \"turn_times\": {\"p50_us\": 98.304, ",
             (double)sums.minute_ms / 1000);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"last_minute\": {\"answered\": {\"p50_us\": 0.000, "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"upstream_answered\": {\"p50_us\": 100663.296, "));
    snprintf(expected, sizeof(expected), "\"max_us\": 134217.728, \"count\": %u}}, \"own\"", 2 * WORKERS);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
    free(text);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a part at a time", test_a_part_at_a_time},
        {"interrupted", test_interrupted},
        {"all that counts", test_all_that_counts},
        {"workers of another master", test_workers_of_another_master},
        {"nothing yet", test_nothing_yet},
        {"the load has changed", test_the_load_has_changed},
        {"long names", test_long_names},
        {"JSON", test_json},
        {0},
    };
    return unit_main("reading", tests);
}
