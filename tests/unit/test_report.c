/*
 * The report of a master that is made by hand: sums that agree, lines that fit, JSON that is JSON, whatever the
 * numbers.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/report_json.h"
#include "common/report_table.h"
#include "common/stats_count.h"
#include "common/stats_number.h"
#include "master/state.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bsd/string.h>

enum { WORKERS = 3, LISTENERS = 2, TEXT_SIZE = 1 << 16, OPEN = 100000 };

static const struct service test_service = {.name = "test"};

static struct listener_config listeners[LISTENERS];
static struct generation current;
static struct slot slots[WORKERS];
static struct master master;
static struct report_sums sums, before;
static struct master_state state;
static struct report report = {.state = &state, .sums = &sums};
static int fd;

static void begin(void)
{
    memset(&master, 0, sizeof(master));
    memset(&sums, 0, sizeof(sums));
    memset(&before, 0, sizeof(before));
    fd = stats_create();
    CU_ASSERT_FATAL(fd >= 0);
    master.fleet.context.stats = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(master.fleet.context.stats);
    current = (struct generation){.number = 1, .conf.pool_count = 1};
    strlcpy(current.conf.pools[0].name, "main", sizeof(current.conf.pools[0].name));
    generation_set_pools(&current);
    current.pools[0].count = current.pools[0].wanted = WORKERS;
    for (unsigned i = 0; i < LISTENERS; i++) {
        listeners[i] = (struct listener_config){.service = &test_service, .index = i};
        snprintf(listeners[i].name, sizeof(listeners[i].name), "listener %u", i);
        memcpy(master.fleet.context.stats->names[i], listeners[i].name, STATS_NAME_SIZE);
    }
    current.conf.listeners = listeners;
    current.conf.listener_count = LISTENERS;
    for (unsigned i = 0; i < WORKERS; i++) {
        slots[i] = (struct slot){.id = i, .generation = 1, .conf = &current.conf, .channel = -1};
        strlcpy(slots[i].pool_name, "main", sizeof(slots[i].pool_name));
        slots[i].pool = &current.pools[0];
        CU_ASSERT_EQUAL(stats_number(master.fleet.context.stats, "main", i), (int)i);
        slots[i].reason = RESPAWN_none;
        slots[i].block = stats_take(master.fleet.context.stats, i, getpid());
        CU_ASSERT_PTR_NOT_NULL_FATAL(slots[i].block);
        current.pools[0].slots[i] = &slots[i];
    }
    master.fleet.current = &current;
    master.phase = MASTER_SERVING;
}

static void take(struct report_sums *taken)
{
    report.area = master.fleet.context.stats;
    state_take(&master, &state);
    report_sums_take(report.area, taken);
}

static void log_line(const char *line)
{
    log_always("%s", line);
}

static void end(void)
{
    stats_detach(master.fleet.context.stats);
    close(fd);
}

/* Every counter another number, so that one in the place of another is noticed. */
static void count_all(struct stats_listener *listener, uint64_t first)
{
    stats_counter *counters = (stats_counter *)listener;

    for (unsigned i = 0; i < sizeof(*listener) / sizeof(stats_counter); i++)
        stats_count(&counters[i], first + i);
    stats_count(&listener->accepted, OPEN); /* no more may have ended than have begun */
    atomic_store(&listener->lost, 0);       /* it is counted when the worker is gone */
}

static void count_huge(struct stats_listener *listener, uint64_t huge)
{
    count_all(listener, huge);
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        atomic_store(&listener->closed[i], huge / (2 * CLOSE_REASONS));
}

static void add_rows(struct stats_listener *total)
{
    struct report_row gone;

    memset(total, 0, sizeof(*total));
    for (unsigned i = 0; i < current.pools[0].count; i++)
        stats_add(total, &sums.rows[i].traffic);
    report_sums_gone_workers(&report, &gone);
    stats_add(total, &gone.traffic);
}

static void add_listeners(struct stats_listener *total)
{
    struct stats_listener gone;

    memset(total, 0, sizeof(*total));
    for (unsigned i = 0; i < current.conf.listener_count; i++)
        stats_add(total, report_sums_listener(&sums, &state.listeners[i]));
    report_sums_gone_listeners(&report, &gone);
    stats_add(total, &gone);
}

static void check_sums_agree(uint64_t accepted)
{
    struct stats_listener by_worker, by_listener;

    take(&sums);
    add_rows(&by_worker);
    add_listeners(&by_listener);
    CU_ASSERT_EQUAL(stats_read(&by_worker.accepted), accepted);
    CU_ASSERT_EQUAL(memcmp(&by_worker, &by_listener, sizeof(by_worker)), 0);
}

/* ---- sums ---- */

static void test_sums(void)
{
    bool keep[STATS_LISTENERS_MAX];
    struct report_row gone;

    begin();
    for (unsigned i = 0; i < WORKERS; i++)
        for (unsigned j = 0; j < LISTENERS; j++)
            count_all(&slots[i].block->listeners[j], 100 * (i + 1) + 1000 * j);
    const uint64_t accepted = 2 * 600 + WORKERS * 1000 + WORKERS * LISTENERS * OPEN;
    check_sums_agree(accepted);
    current.pools[0].count--; /* a resize */
    check_sums_agree(accepted);
    take(&sums);
    report_sums_gone_workers(&report, &gone);
    CU_ASSERT_EQUAL(stats_read(&gone.traffic.accepted), 300 + 1300 + LISTENERS * OPEN);
    current.conf.listener_count--; /* a removed listener */
    check_sums_agree(accepted);
    for (unsigned i = 0; i < WORKERS; i++)
        stats_fold(master.fleet.context.stats, slots[i].block);
    check_sums_agree(accepted);
    memset(keep, true, sizeof(keep)); /* whose place goes to another name */
    keep[1] = false;
    for (unsigned i = LISTENERS; i < STATS_LISTENERS_MAX; i++)
        master.fleet.context.stats->names[i][0] = 'x';
    CU_ASSERT_EQUAL(stats_index(master.fleet.context.stats, "another", 0, keep), 1);
    check_sums_agree(accepted);
    current.pools[0].count = 0; /* a stop */
    check_sums_agree(accepted);
    end();
}

/* The rates of a listener are not made from the counts of another one, which had its place in the statistics before. */
static void test_the_place_of_another_name(void)
{
    begin();
    count_all(&slots[0].block->listeners[0], 5000);
    take(&before);
    CU_ASSERT_EQUAL(stats_read(&report_sums_listener(&before, &state.listeners[0])->accepted), 5000 + OPEN);
    memcpy(listeners[0].name, "another", sizeof("another"));
    state_take(&master, &state);
    CU_ASSERT_EQUAL(stats_read(&report_sums_listener(&before, &state.listeners[0])->accepted), 0);
    end();
}

/* ---- cells ---- */

static void check_cell(void (*print)(char *cell, uint64_t value), uint64_t value, const char *expected)
{
    char cell[REPORT_CELL_SIZE];

    print(cell, value);
    CU_ASSERT_STRING_EQUAL(cell, expected);
    if (strcmp(cell, expected) != 0)
        printf("\n%llu: %s, not %s\n", (unsigned long long)value, cell, expected);
}

static void test_cells(void)
{
    check_cell(report_count, 0, "0");
    check_cell(report_count, 9999, "9999");
    check_cell(report_count, 10000, "10.0k");
    check_cell(report_count, 99949, "99.9k");
    check_cell(report_count, 99950, "100k");
    check_cell(report_count, 999499, "999k");
    check_cell(report_count, 999500, "1.00M");
    check_cell(report_count, UINT64_C(12345678901), "12.3G");
    check_cell(report_count, UINT64_MAX, "18.4E");
    check_cell(report_count, 9994999, "9.99M");
    check_cell(report_count, 9995000, "10.0M");
    check_cell(report_bytes, 0, "0B");
    check_cell(report_bytes, 1023, "1023B");
    check_cell(report_bytes, 1024, "1.00KiB");
    check_cell(report_bytes, 1023487, "999KiB");
    check_cell(report_bytes, 1023488, "0.98MiB"); /* 1000KiB would be too wide */
    check_cell(report_bytes, 1023 * 1024, "1.00MiB");
    check_cell(report_bytes, UINT64_MAX, "16.0EiB");
    check_cell(report_time, 0, "0us");
    check_cell(report_time, 838, "838us");
    check_cell(report_time, 999, "999us");
    check_cell(report_time, 1000, "1.0ms");
    check_cell(report_time, 999999, "999.9ms");
    check_cell(report_time, 1000000, "1.0s");
    check_cell(report_time, 59999999, "59.9s");
    check_cell(report_time, 60000000, "1m00s");
    check_cell(report_time, UINT64_C(3599) * 1000000, "59m59s");
    check_cell(report_time, UINT64_C(3600) * 1000000, "1h00m");
    check_cell(report_time, UINT64_C(86399) * 1000000, "23h59m");
    check_cell(report_time, UINT64_C(86400) * 1000000, "1d00h");
    check_cell(report_time, UINT64_C(86400) * 1000000 * 999, "999d00h");
    check_cell(report_time, UINT64_C(86400) * 1000000 * 1000, "1000d");
    check_cell(report_time, UINT64_MAX, "999999d");
}

/* ---- the table ---- */

static char log_path[] = "/tmp/ccserver-report-XXXXXX";

/* The lines that have been logged, without their prefixes; the longest is counted. */
static char *logged(size_t *longest)
{
    static char text[TEXT_SIZE];
    char line[2048];
    FILE *file = fopen(log_path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[0] = '\0';
    *longest = 0;
    while (fgets(line, sizeof(line), file)) {
        const char *message = strstr(line, "]: ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(message);
        CU_ASSERT_FATAL(strlen(text) + strlen(message) < sizeof(text));
        if (strlen(message + 3) - 1 > *longest)
            *longest = strlen(message + 3) - 1;
        strcat(text, message + 3);
    }
    fclose(file);
    CU_ASSERT_EQUAL(truncate(log_path, 0), 0);
    return text;
}

static void open_log_file(void)
{
    int file = mkstemp(log_path);

    CU_ASSERT_FATAL(file >= 0);
    close(file);
    CU_ASSERT_EQUAL_FATAL(log_open(log_path), 0);
}

/* Numbers of 20 digits in every place there is, the longest names, all kinds of ends, every state. */
static void test_the_widest_table(void)
{
    const uint64_t huge = UINT64_C(1) << 55; /* more is taken for nonsense */
    size_t longest;

    begin();
    struct stats_area *area = master.fleet.context.stats;
    for (unsigned i = 0; i < WORKERS; i++) {
        slots[i].pid = 4194304;
        slots[i].generation = UINT32_MAX;
        slots[i].ready_ms = 1;
        slots[i].supervised.state = i == 0 ? SUPERVISOR_STOPPING : SUPERVISOR_STARTING;
        slots[i].reason = RESPAWN_upgrade;
        stats_count(&slots[i].block->turns, UINT64_MAX / 8);
        stats_count(&slots[i].block->longest_turn_us, UINT64_MAX / 8);
        stats_count(&slots[i].block->accept_pauses, UINT64_MAX / 8);
        stats_count(&slots[i].block->log_dropped, UINT64_MAX / 8);
        current.pools[0].adopted[i] = true;
        for (unsigned j = 0; j < LISTENERS; j++)
            count_huge(&slots[i].block->listeners[j], huge);
        for (unsigned j = 0; j < RESPAWNS; j++)
            stats_count(&area->totals[i].respawns[j], UINT64_MAX / 8);
    }
    memset(listeners[0].name, 'n', LISTENER_NAME_SIZE - 1);
    memcpy(area->names[0], listeners[0].name, STATS_NAME_SIZE);
    current.number = UINT32_MAX;
    current.conf.listener_count = 1;
    current.pools[0].count = 2;
    master.upgrade.state = HANDOVER_HANDED_OVER;
    master.fleet.context.now_ms = UINT64_MAX / 1000000;
    stats_count(&area->upgrades, UINT64_MAX);
    stats_count(&area->service.reloads, UINT64_MAX);
    stats_count(&area->service.reload_failures, UINT64_MAX);
    stats_count(&area->service.upgrade_failures, UINT64_MAX);
    open_log_file();
    log_set_level(LOG_LEVEL_ERROR); /* which does not hold it back */
    take(&sums);
    report_table(&report, &before, log_line);
    const char *text = logged(&longest);
    CU_ASSERT(longest <= REPORT_TABLE_WIDTH);
    if (longest > REPORT_TABLE_WIDTH)
        printf("\n%zu\n%s\n", longest, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "statistics: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "handed over"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, listeners[0].name));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "upstream failures"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  gone "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "18446744073709551615"));
    unlink(log_path);
    end();
}

/* Totals, and what of them has come since the last time. */
static void test_rates(void)
{
    size_t longest;

    begin();
    memcpy(log_path, "/tmp/ccserver-report-XXXXXX", sizeof(log_path));
    open_log_file();
    struct stats_listener *listener = &slots[1].block->listeners[0];
    stats_count(&listener->accepted, 1000);
    stats_count(&listener->closed[CLOSE_peer], 1000);
    stats_count(&listener->bytes_in, 1 << 20);
    take(&before);
    stats_count(&listener->accepted, 3);
    stats_count(&listener->messages_in, 5000);
    stats_count(&listener->bytes_in, 20480);
    take(&sums);
    sums.at_ms = before.at_ms + 2000;
    report_table(&report, &before, log_line);
    const char *text = logged(&longest);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "rates over 2.0s"));
    const char *row = "      3     1003   1.5  5000  2500     0     0  1.02MiB 10.0KiB      0B      0B      0\n";
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  1           "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, row));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n    closed/peer 1000\n"));
    CU_ASSERT_PTR_NULL(strstr(text, "gone"));
    unlink(log_path);
    end();
}

/* ---- JSON ---- */

static void check_string(const char *text, const char *expected)
{
    char *got = NULL;
    size_t size;
    FILE *out = open_memstream(&got, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    report_json_string(out, text);
    fclose(out);
    CU_ASSERT_STRING_EQUAL(got, expected);
    free(got);
}

static void test_strings(void)
{
    check_string("", "\"\"");
    check_string("unix:/run/x", "\"unix:/run/x\"");
    check_string("a\"b\\c", "\"a\\\"b\\\\c\"");
    check_string("\t\x1b\x7f", "\"\\u0009\\u001b\\u007f\"");
    check_string("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82", "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82\"");
    check_string("\xed\x9f\xbf\xee\x80\x80", "\"\xed\x9f\xbf\xee\x80\x80\""); /* beside the surrogates */
    check_string("\xc2\x80\xe0\xa0\x80", "\"\xc2\x80\xe0\xa0\x80\"");         /* the first of a length */
    check_string("\xf0\x90\x80\x80", "\"\xf0\x90\x80\x80\"");                 /* the same */
    check_string("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");                 /* the last one there is */
    check_string("caf\xe9", "\"caf\\ufffd\"");                                /* Latin-1 */
    check_string("\xc3", "\"\\ufffd\"");                                      /* cut off */
    check_string("\xe2\x82x", "\"\\ufffd\\ufffdx\"");                         /* and followed by another */
    check_string("\x80\xbf", "\"\\ufffd\\ufffd\"");                           /* no beginning */
    check_string("\xc0\xaf\xc1\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");     /* longer than needed */
    check_string("\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"");                /* the same */
    check_string("\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");     /* the same */
    check_string("\xed\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\"");                /* the last surrogate */
    check_string("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");                /* a surrogate */
    check_string("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");     /* beyond Unicode */
    check_string("\xf8\x88\x80\x80\x80\xff", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void test_quantiles(void)
{
    uint64_t counts[DURATION_BUCKETS] = {0};

    CU_ASSERT_EQUAL(report_quantile_us(counts, 0.5), 0);
    counts[duration_bucket(1500)] = 10; /* 1,024 to 2,048 ns */
    CU_ASSERT_DOUBLE_EQUAL(report_quantile_us(counts, 0.5), 1.536, 0.001);
    CU_ASSERT_DOUBLE_EQUAL(report_quantile_us(counts, 1), 2.048, 0.001);
    counts[duration_bucket(1000000)] = 90;
    CU_ASSERT_DOUBLE_EQUAL(report_quantile_us(counts, 0.1), 2.048, 0.001);
    CU_ASSERT_DOUBLE_EQUAL(report_quantile_us(counts, 0.55), 786.432, 0.001);
    CU_ASSERT_EQUAL(duration_bucket(0), 1);
    CU_ASSERT_EQUAL(duration_bucket(1), 1);
    CU_ASSERT_EQUAL(duration_bucket(1023), 10);
    CU_ASSERT_EQUAL(duration_bucket(1024), 11);
    CU_ASSERT_EQUAL(duration_bucket(UINT64_MAX), DURATION_BUCKETS - 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"sums over workers are sums over listeners", test_sums},
        {"the place of another name", test_the_place_of_another_name},
        {"cells", test_cells},
        {"the widest table", test_the_widest_table},
        {"rates", test_rates},
        {"strings", test_strings},
        {"quantiles", test_quantiles},
        {0},
    };
    if (log_open("/dev/null") < 0) /* one descriptor, wherever it leads to */
        return EXIT_FAILURE;
    return unit_main("report", tests);
}
