/*
 * The reports of a small server of which every number is known, as whole texts: JSON, OpenMetrics and the tables.
 *
 *   pool main   slot 0   ready, and a process that starts beside it      listeners   echo, of main
 *               slot 1   ready, adopted, and a process that leaves                   a "bank", of bank
 *   pool bank   slot 0   has no process now
 *
 * What is gone: slot 2 of main, a listener, a name whose place another one has taken, slots without a number.
 */
#include "common/log.h"
#include "common/report_json.h"
#include "common/report_metrics.h"
#include "common/report_show.h"
#include "common/report_table.h"
#include "common/report_table_queues.h"
#include "common/stats_number.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <bsd/string.h>

enum { NOW_S = 1000000, BLOCKS = 5 };

static struct report_sums sums, before;
static struct master_state state;
static struct stats_area *area;
static struct stats_block *blocks[BLOCKS];
static struct report_process processes[STATE_WORKERS_MAX];
static struct report report = {.state = &state, .sums = &sums, .processes = processes};
static int fd;

/* ---- time stands still ---- */

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (id == CLOCK_MONOTONIC)
        *now = (struct timespec){.tv_sec = NOW_S};
    else
        *now = (struct timespec){.tv_sec = 1767323045, .tv_nsec = 678999999};
    return 0;
}

static uint64_t ms_ago(uint64_t ms)
{
    return (uint64_t)NOW_S * 1000 - ms;
}

/* ---- the server ---- */

/* Every counter another number, so that one in the place of another is noticed. */
static void count(struct stats_listener *listener, uint64_t first)
{
    stats_counter *counters = (stats_counter *)listener;

    for (unsigned i = 0; i < sizeof(*listener) / sizeof(stats_counter); i++)
        stats_count(&counters[i], first + i);
    stats_count(&listener->accepted, 1000 * first); /* no more may have ended than have begun */
    atomic_store(&listener->lost, 0);               /* it is counted when the worker is gone */
}

static void count_process(struct stats_block *block, uint64_t turns, uint64_t longest_turn_us, uint64_t pauses,
                          uint64_t dropped)
{
    stats_count(&block->turns, turns);
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        stats_count(&block->turn_times[i], turns + i);
    stats_count(&block->longest_turn_us, longest_turn_us);
    stats_count(&block->accept_pauses, pauses);
    stats_count(&block->log_dropped, dropped);
}

static struct stats_block *take_block(unsigned number)
{
    struct stats_block *block = stats_take(area, number, getpid());

    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    return block;
}

static void fill_area(void)
{
    CU_ASSERT_EQUAL(stats_number(area, "main", 0), 0);
    CU_ASSERT_EQUAL(stats_number(area, "main", 1), 1);
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), 2);
    CU_ASSERT_EQUAL(stats_number(area, "main", 2), 3);
    strlcpy(area->names[0], "echo", STATS_NAME_SIZE);
    strlcpy(area->names[1], "a \"bank\"", STATS_NAME_SIZE);
    strlcpy(area->names[2], "old", STATS_NAME_SIZE);
    static const unsigned numbers[BLOCKS] = {0, 1, 2, 0, 1}; /* the last two start and leave */
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = take_block(numbers[i]);
    count(&blocks[0]->listeners[0], 1);
    count(&blocks[1]->listeners[0], 100);
    count(&blocks[1]->listeners[1], 200);
    count(&blocks[2]->listeners[1], 300);
    count(&blocks[3]->listeners[0], 400);
    count(&blocks[4]->listeners[1], 500);
    count_process(blocks[0], 1000, 1500, 3, 5);
    count_process(blocks[1], 2000, 2500, 4, 6);
    count_process(blocks[2], 3000, 3500, 5, 7);
    count_process(blocks[3], 40, 700, 6, 8);
    count_process(blocks[4], 50, 9000, 7, 9);
    struct stats_block *gone = take_block(3);
    count(&gone->listeners[2], 600);
    count_process(gone, 7000, 4000, 11, 13);
    stats_fold(area, gone);
    count(&area->renumbered.total.listeners[0], 700);
    count_process(&area->renumbered.total, 800, 3000, 17, 19);
    count(&area->totals[1].forgotten, 800);
    stats_count(&area->totals[1].respawns[RESPAWN_signal], 2);
    stats_count(&area->totals[1].respawns[RESPAWN_hang], 1);
    stats_count(&area->totals[2].respawns[RESPAWN_exit], 3);
    stats_count(&area->totals[3].respawns[RESPAWN_signal], 10);
    stats_count(&area->renumbered.respawns[RESPAWN_upgrade], 5);
    stats_count(&area->upgrades, 31);
    stats_count(&area->service.started_ms, ms_ago(UINT64_C(93784005)));
    stats_count(&area->service.reloads, 32);
    stats_count(&area->service.reload_failures, 33);
    stats_count(&area->service.upgrade_failures, 34);
}

static void add_worker(const struct state_worker *worker)
{
    state.workers[state.worker_count++] = *worker;
}

static void fill_workers(void)
{
    add_worker(&(struct state_worker){.pool = "main",
                                      .generation = 2,
                                      .pid = 101,
                                      .state = "ready",
                                      .reason = RESPAWN_none,
                                      .adopts = 1,
                                      .started_ms = ms_ago(7000),
                                      .ready_ms = ms_ago(6500),
                                      .serial = stats_serial(area, blocks[0])});
    add_worker(&(struct state_worker){.pool = "main",
                                      .id = 1,
                                      .generation = 2,
                                      .pid = 102,
                                      .state = "ready",
                                      .reason = RESPAWN_hang,
                                      .is_adopted = true,
                                      .started_ms = ms_ago(65432),
                                      .ready_ms = ms_ago(61001),
                                      .serial = stats_serial(area, blocks[1])});
    add_worker(&(struct state_worker){
        .pool = "bank", .generation = 2, .state = "backoff", .reason = RESPAWN_exit, .started_ms = ms_ago(5)});
    add_worker(&(struct state_worker){.pool = "main",
                                      .generation = 3,
                                      .part = STATE_STARTS,
                                      .pid = 104,
                                      .state = "starting",
                                      .reason = RESPAWN_reload,
                                      .started_ms = ms_ago(20),
                                      .serial = stats_serial(area, blocks[3])});
    add_worker(&(struct state_worker){.pool = "main",
                                      .id = 1,
                                      .generation = 1,
                                      .part = STATE_LEAVES,
                                      .pid = 105,
                                      .state = "stopping",
                                      .started_ms = ms_ago(3600 * 1000),
                                      .ready_ms = ms_ago(3599 * 1000),
                                      .serial = stats_serial(area, blocks[4])});
    add_worker(&(struct state_worker){.pool = "main",
                                      .id = 5,
                                      .part = STATE_LEAVES,
                                      .pid = 106,
                                      .state = "stopping"}); /* its counters are not here */
}

static void fill_state(void)
{
    static const struct state_listener echo = {
        .name = "echo",
        .service = "echo",
        .pool = "main",
        .address_count = 2,
        .addresses = {"127.0.0.1:7", "unix:/run/\"echo\""},
        .counter_count = 2,
        .counters = {{"hits", "what was \"found\""}, {"misses", "a \\ and\na line"}},
    };
    static const struct state_listener bank = {
        .name = "a \"bank\"",
        .service = "bank",
        .pool = "bank",
        .index = 1,
        .address_count = 1,
        .addresses = {"0.0.0.0:8"},
        .counter_count = 2,
        .counters = {{"sums", "sums"}, {"hits", "hits of a bank"}},
    };
    memset(&state, 0, sizeof(state));
    state.pid = 100;
    strlcpy(state.version, "1.2.3", sizeof(state.version));
    strlcpy(state.phase, "serving", sizeof(state.phase));
    state.is_ready = true;
    state.generation = 2;
    state.master_started_ms = ms_ago(3723004);
    state.log_dropped = 35;
    state.pool_count = 2;
    state.pools[0] = (struct state_pool){.name = "main", .wanted = 2, .running = 1};
    state.pools[1] = (struct state_pool){.name = "bank", .wanted = 4, .running = 3};
    state.listener_count = 2;
    state.listeners[0] = echo;
    state.listeners[1] = bank;
    fill_workers();
}

/* What has happened, and what the kernel knows of the first two workers. */
static void fill_rest(void)
{
    struct stats_service *service = &area->service;

    state_note_change(&service->last_reload, false, "a new generation serves");
    state_note_change(&service->last_upgrade, true, "it said \"no\"");
    event_add(&service->events, LOG_LEVEL_INFO, "a \\ and a \"quote\"");
    event_add(&service->events, LOG_LEVEL_ERROR, "killed");
    memset(processes, 0, sizeof(processes));
    processes[0] = (struct report_process){
        .is_known = true, .cpu_ms = 12340, .memory_bytes = 5 << 20, .descriptors = 17};
    processes[1] = (struct report_process){.is_known = true, .cpu_ms = 1, .memory_bytes = 4096, .descriptors = -1};
}

/* A while ago; `a "bank"` was not there yet. */
static void fill_minute(void)
{
    static struct minute_counts counts;

    strlcpy(counts.names[0], "echo", STATS_NAME_SIZE);
    strlcpy(counts.names[1], "another", STATS_NAME_SIZE);
    for (unsigned i = 0; i < DURATION_BUCKETS; i++) {
        counts.turn_times[i] = 1000 + 100 * i;
        for (unsigned j = 0; j < DURATIONS; j++)
            counts.listeners[0][j][i] = counts.listeners[1][j][i] = 1000 + 10 * i + 100 * j;
    }
    minute_write(&area->minute, ms_ago(58250), &counts);
}

static void begin(void)
{
    memset(&sums, 0xff, sizeof(sums)); /* what is not counted is not believed */
    memset(&before, 0xff, sizeof(before));
    fd = stats_create();
    CU_ASSERT_FATAL(fd >= 0);
    area = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
    fill_area();
    fill_state();
    fill_rest();
    fill_minute();
    report.area = area;
    report_sums_take(area, &sums);
}

static void end(void)
{
    stats_detach(area);
    close(fd);
}

/* ---- texts ---- */

static void check_text(const char *got, const char *expected)
{
    CU_ASSERT_STRING_EQUAL(got, expected);
    for (unsigned line = 1; *got && *expected; line++) {
        size_t size = strcspn(got, "\n"), expected_size = strcspn(expected, "\n");
        if (size != expected_size || memcmp(got, expected, size) != 0) {
            printf("\n    line %u is\n%.*s\n    and not\n%.*s\n", line, (int)size, got, (int)expected_size, expected);
            return;
        }
        got += size + (got[size] == '\n');
        expected += size + (expected[size] == '\n');
    }
}

/* What is written to a file of a report. The caller frees it. */
__attribute__((noinline)) static char *written_by(void (*write)(FILE *out, const struct report *report))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    write(out, &report);
    CU_ASSERT_EQUAL(fclose(out), 0);
    return text;
}

static void openmetrics(FILE *out, const struct report *shown)
{
    report_metrics(out, shown, METRICS_OPENMETRICS);
}

static void prometheus(FILE *out, const struct report *shown)
{
    report_metrics(out, shown, METRICS_PROMETHEUS);
}

static char table[1 << 16];

static void add_line(const char *line)
{
    CU_ASSERT(strlen(line) <= REPORT_TABLE_WIDTH);
    strlcat(table, line, sizeof(table));
    strlcat(table, "\n", sizeof(table));
}

/* ---- JSON ---- */

static const char expected_json[] =
    "{\"layout\": 1, \"version\": \"1.2.3\", \"time\": \"2026-01-02T03:04:05Z\", \"time_ms\": 1767323045678,\n"
    " \"master\": {\"pid\": 100, \"state\": \"serving\", \"ready\": true, \"uptime_s\": 93784.005, "
    "\"master_uptime_s\": 3723.004, \"workers\": 3, \"generation\": 2, \"reloads\": 32, \"reload_failures\": 33, "
    "\"upgrades\": 31, \"upgrade_failures\": 34, \"log_dropped\": 35, \"respawns\": {\"signal\": 12, \"exit\": 3, "
    "\"hang\": 1, \"reload\": 0, \"resize\": 0, \"recycle\": 0, \"operator\": 0, \"upgrade\": 5}},\n"
    " \"last_minute\": {\"seconds\": 58.250, \"turn_times\": {\"p50_us\": 54.739, \"p90_us\": 1992221.889, "
    "\"p99_us\": 27130285.373, \"max_us\": 34359738.368, \"count\": 405450}},\n"
    " \"pools\": [{\"name\": \"main\", \"wanted\": 2, \"ready\": 1, \"cannot_run\": false}, {\"name\": \"bank\", "
    "\"wanted\": 4, \"ready\": 3, \"cannot_run\": false}],\n"
    " \"last_reload\": {\"count\": 1, \"failed\": false, \"time_ms\": 1767323045678, \"text\": \"a new generation "
    "serves\"},\n"
    " \"last_upgrade\": {\"count\": 1, \"failed\": true, \"time_ms\": 1767323045678, \"text\": \"it said "
    "\\\"no\\\"\"},\n"
    " \"events\": [\n"
    "  {\"time_ms\": 1767323045678, \"level\": \"info\", \"text\": \"a \\\\ and a \\\"quote\\\"\"},\n"
    "  {\"time_ms\": 1767323045678, \"level\": \"error\", \"text\": \"killed\"}],\n"
    " \"workers\": [\n"
    "  {\"cpu_ms\": 12340, \"memory_bytes\": 5242880, \"descriptors\": 17, \"pool\": \"main\", \"slot\": 0, \"pid\": "
    "101, \"generation\": 2, \"state\": \"ready\", \"uptime_s\": 7.000, \"ready_s\": 6.500, \"adopted\": false, "
    "\"adopted_queues\": 1, \"respawns\": {\"signal\": 0, \"exit\": 0, \"hang\": 0, \"reload\": 0, \"resize\": 0, "
    "\"recycle\": 0, \"operator\": 0, \"upgrade\": 0}, \"last_reason\": \"none\", \"turns\": 1040, "
    "\"longest_turn_us\": 1500, "
    "\"accept_pauses\": 9, \"log_dropped\": 13, \"sessions_open\": 396193, \"accepted\": 401401, \"refused\": 403, "
    "\"lost\": 0, \"messages_in\": 407, \"messages_out\": 409, \"bytes_in\": 411, \"bytes_out\": 413, "
    "\"protocol_errors\": 415, \"upstream_failures\": 417, \"published\": 419, \"publications_lost\": 421, "
    "\"closed\": {\"done\": 423, \"peer\": 425, \"reset\": 427, \"idle\": 429, \"oversize\": 431, \"protocol\": 433, "
    "\"overflow\": 435, \"upstream\": 437, \"leaving\": 439, \"drain\": 441, \"memory\": 443, \"killed\": 445}, "
    "\"answered\": {\"p50_us\": 213.533, \"p90_us\": 3466821.668, \"p99_us\": 28569277.541, \"max_us\": "
    "34359738.368, \"counts\": [479, 481, 483, 485, 487, 489, 491, 493, 495, 497, 499, 501, 503, 505, 507, 509, 511, "
    "513, 515, 517, 519, 521, 523, 525, 527, 529, 531, 533, 535, 537, 539, 541, 543, 545, 547, 549]}, "
    "\"upstream_connected\": {\"p50_us\": 203.418, \"p90_us\": 3412927.671, \"p99_us\": 28523562.518, \"max_us\": "
    "34359738.368, \"counts\": [551, 553, 555, 557, 559, 561, 563, 565, 567, 569, 571, 573, 575, 577, 579, 581, 583, "
    "585, 587, 589, 591, 593, 595, 597, 599, 601, 603, 605, 607, 609, 611, 613, 615, 617, 619, 621]}, "
    "\"upstream_answered\": {\"p50_us\": 195.514, \"p90_us\": 3370330.232, \"p99_us\": 28487346.720, \"max_us\": "
    "34359738.368, \"counts\": [623, 625, 627, 629, 631, 633, 635, 637, 639, 641, 643, 645, 647, 649, 651, 653, 655, "
    "657, 659, 661, 663, 665, 667, 669, 671, 673, 675, 677, 679, 681, 683, 685, 687, 689, 691, 693]}, "
    "\"turn_times\": {\"p50_us\": 170.540, \"p90_us\": 3232896.579, \"p99_us\": 28370000.193, \"max_us\": "
    "34359738.368, \"counts\": [1040, 1042, 1044, 1046, 1048, 1050, 1052, 1054, 1056, 1058, 1060, 1062, 1064, 1066, "
    "1068, 1070, 1072, 1074, 1076, 1078, 1080, 1082, 1084, 1086, 1088, 1090, 1092, 1094, 1096, 1098, 1100, 1102, "
    "1104, 1106, 1108, 1110]}},\n"
    "  {\"cpu_ms\": 1, \"memory_bytes\": 4096, \"pool\": \"main\", \"slot\": 1, \"pid\": 102, \"generation\": 2, "
    "\"state\": \"ready\", \"uptime_s\": 65.432, \"ready_s\": 61.001, \"adopted\": true, \"adopted_queues\": 0, "
    "\"respawns\": {\"signal\": 2, \"exit\": 0, \"hang\": 1, \"reload\": 0, \"resize\": 0, \"recycle\": 0, "
    "\"operator\": 0, \"upgrade\": 0}, \"last_reason\": \"hang\", \"turns\": 2050, \"longest_turn_us\": 9000, "
    "\"accept_pauses\": 11, "
    "\"log_dropped\": 15, \"sessions_open\": 1581608, \"accepted\": 1601600, \"refused\": 1604, \"lost\": 0, "
    "\"messages_in\": 1612, \"messages_out\": 1616, \"bytes_in\": 1620, \"bytes_out\": 1624, \"protocol_errors\": "
    "1628, \"upstream_failures\": 1632, \"published\": 1636, \"publications_lost\": 1640, \"closed\": {\"done\": "
    "1644, \"peer\": 1648, \"reset\": 1652, \"idle\": 1656, \"oversize\": 1660, \"protocol\": 1664, \"overflow\": "
    "1668, \"upstream\": 1672, \"leaving\": 1676, \"drain\": 1680, \"memory\": 1684, \"killed\": 1688}, "
    "\"answered\": {\"p50_us\": 177.535, \"p90_us\": 3271834.959, \"p99_us\": 28403325.495, \"max_us\": "
    "34359738.368, \"counts\": [1756, 1760, 1764, 1768, 1772, 1776, 1780, 1784, 1788, 1792, 1796, 1800, 1804, 1808, "
    "1812, 1816, 1820, 1824, 1828, 1832, 1836, 1840, 1844, 1848, 1852, 1856, 1860, 1864, 1868, 1872, 1876, 1880, "
    "1884, 1888, 1892, 1896]}, \"upstream_connected\": {\"p50_us\": 174.142, \"p90_us\": 3252992.982, \"p99_us\": "
    "28387207.375, \"max_us\": 34359738.368, \"counts\": [1900, 1904, 1908, 1912, 1916, 1920, 1924, 1928, 1932, "
    "1936, 1940, 1944, 1948, 1952, 1956, 1960, 1964, 1968, 1972, 1976, 1980, 1984, 1988, 1992, 1996, 2000, 2004, "
    "2008, 2012, 2016, 2020, 2024, 2028, 2032, 2036, 2040]}, \"upstream_answered\": {\"p50_us\": 171.211, "
    "\"p90_us\": 3236649.388, \"p99_us\": 28373214.722, \"max_us\": 34359738.368, \"counts\": [2044, 2048, 2052, "
    "2056, 2060, 2064, 2068, 2072, 2076, 2080, 2084, 2088, 2092, 2096, 2100, 2104, 2108, 2112, 2116, 2120, 2124, "
    "2128, 2132, 2136, 2140, 2144, 2148, 2152, 2156, 2160, 2164, 2168, 2172, 2176, 2180, 2184]}, \"turn_times\": "
    "{\"p50_us\": 151.430, \"p90_us\": 3124720.767, \"p99_us\": 28277092.231, \"max_us\": 34359738.368, \"counts\": "
    "[2050, 2052, 2054, 2056, 2058, 2060, 2062, 2064, 2066, 2068, 2070, 2072, 2074, 2076, 2078, 2080, 2082, 2084, "
    "2086, 2088, 2090, 2092, 2094, 2096, 2098, 2100, 2102, 2104, 2106, 2108, 2110, 2112, 2114, 2116, 2118, 2120]}},\n"
    "  {\"pool\": \"bank\", \"slot\": 0, \"pid\": 0, \"generation\": 2, \"state\": \"backoff\", \"uptime_s\": 0.005, "
    "\"ready_s\": 0.000, \"adopted\": false, \"adopted_queues\": 0, \"respawns\": {\"signal\": 0, \"exit\": 3, "
    "\"hang\": 0, \"reload\": 0, \"resize\": 0, \"recycle\": 0, \"operator\": 0, \"upgrade\": 0}, \"last_reason\": "
    "\"exit\", "
    "\"turns\": 3000, \"longest_turn_us\": 3500, \"accept_pauses\": 5, \"log_dropped\": 7, \"sessions_open\": "
    "296502, \"accepted\": 300300, \"refused\": 301, \"lost\": 0, \"messages_in\": 303, \"messages_out\": 304, "
    "\"bytes_in\": 305, \"bytes_out\": 306, \"protocol_errors\": 307, \"upstream_failures\": 308, \"published\": "
    "309, \"publications_lost\": 310, \"closed\": {\"done\": 311, \"peer\": 312, \"reset\": 313, \"idle\": 314, "
    "\"oversize\": 315, \"protocol\": 316, \"overflow\": 317, \"upstream\": 318, \"leaving\": 319, \"drain\": 320, "
    "\"memory\": 321, \"killed\": 322}, \"answered\": {\"p50_us\": 190.550, \"p90_us\": 3343359.987, \"p99_us\": "
    "28464378.980, \"max_us\": 34359738.368, \"counts\": [339, 340, 341, 342, 343, 344, 345, 346, 347, 348, 349, "
    "350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 360, 361, 362, 363, 364, 365, 366, 367, 368, 369, 370, 371, "
    "372, 373, 374]}, \"upstream_connected\": {\"p50_us\": 185.102, \"p90_us\": 3313561.992, \"p99_us\": "
    "28438968.818, \"max_us\": 34359738.368, \"counts\": [375, 376, 377, 378, 379, 380, 381, 382, 383, 384, 385, "
    "386, 387, 388, 389, 390, 391, 392, 393, 394, 395, 396, 397, 398, 399, 400, 401, 402, 403, 404, 405, 406, 407, "
    "408, 409, 410]}, \"upstream_answered\": {\"p50_us\": 180.568, \"p90_us\": 3288607.013, \"p99_us\": "
    "28417660.744, \"max_us\": 34359738.368, \"counts\": [411, 412, 413, 414, 415, 416, 417, 418, 419, 420, 421, "
    "422, 423, 424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 435, 436, 437, 438, 439, 440, 441, 442, 443, "
    "444, 445, 446]}, \"turn_times\": {\"p50_us\": 138.108, \"p90_us\": 3047698.594, \"p99_us\": 28210647.134, "
    "\"max_us\": 34359738.368, \"counts\": [3000, 3001, 3002, 3003, 3004, 3005, 3006, 3007, 3008, 3009, 3010, 3011, "
    "3012, 3013, 3014, 3015, 3016, 3017, 3018, 3019, 3020, 3021, 3022, 3023, 3024, 3025, 3026, 3027, 3028, 3029, "
    "3030, 3031, 3032, 3033, 3034, 3035]}}],\n"
    " \"starting\": [\n"
    "  {\"pool\": \"main\", \"slot\": 0, \"pid\": 104, \"generation\": 3, \"state\": \"starting\", \"uptime_s\": "
    "0.020, \"ready_s\": 0.000, \"adopted\": false, \"adopted_queues\": 0, \"turns\": 40, \"longest_turn_us\": 700, "
    "\"accept_pauses\": 6, \"log_dropped\": 8, \"sessions_open\": 395402, \"accepted\": 400400, \"refused\": 401, "
    "\"lost\": 0, \"messages_in\": 403, \"messages_out\": 404, \"bytes_in\": 405, \"bytes_out\": 406, "
    "\"protocol_errors\": 407, \"upstream_failures\": 408, \"published\": 409, \"publications_lost\": 410, "
    "\"closed\": {\"done\": 411, \"peer\": 412, \"reset\": 413, \"idle\": 414, \"oversize\": 415, \"protocol\": 416, "
    "\"overflow\": 417, \"upstream\": 418, \"leaving\": 419, \"drain\": 420, \"memory\": 421, \"killed\": 422}, "
    "\"answered\": {\"p50_us\": 177.535, \"p90_us\": 3271834.959, \"p99_us\": 28403325.495, \"max_us\": "
    "34359738.368, \"counts\": [439, 440, 441, 442, 443, 444, 445, 446, 447, 448, 449, 450, 451, 452, 453, 454, 455, "
    "456, 457, 458, 459, 460, 461, 462, 463, 464, 465, 466, 467, 468, 469, 470, 471, 472, 473, 474]}, "
    "\"upstream_connected\": {\"p50_us\": 174.142, \"p90_us\": 3252992.982, \"p99_us\": 28387207.375, \"max_us\": "
    "34359738.368, \"counts\": [475, 476, 477, 478, 479, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 490, 491, "
    "492, 493, 494, 495, 496, 497, 498, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510]}, "
    "\"upstream_answered\": {\"p50_us\": 171.211, \"p90_us\": 3236649.388, \"p99_us\": 28373214.722, \"max_us\": "
    "34359738.368, \"counts\": [511, 512, 513, 514, 515, 516, 517, 518, 519, 520, 521, 522, 523, 524, 525, 526, 527, "
    "528, 529, 530, 531, 532, 533, 534, 535, 536, 537, 538, 539, 540, 541, 542, 543, 544, 545, 546]}, "
    "\"turn_times\": {\"p50_us\": 917.504, \"p90_us\": 5177494.823, \"p99_us\": 29618094.473, \"max_us\": "
    "34359738.368, \"counts\": [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, "
    "61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75]}}],\n"
    " \"leaving\": [\n"
    "  {\"pool\": \"main\", \"slot\": 1, \"pid\": 105, \"generation\": 1, \"state\": \"stopping\", \"uptime_s\": "
    "3600.000, \"ready_s\": 3599.000, \"adopted\": false, \"adopted_queues\": 0, \"turns\": 50, \"longest_turn_us\": "
    "9000, \"accept_pauses\": 7, \"log_dropped\": 9, \"sessions_open\": 494302, \"accepted\": 500500, \"refused\": "
    "501, \"lost\": 0, \"messages_in\": 503, \"messages_out\": 504, \"bytes_in\": 505, \"bytes_out\": 506, "
    "\"protocol_errors\": 507, \"upstream_failures\": 508, \"published\": 509, \"publications_lost\": 510, "
    "\"closed\": {\"done\": 511, \"peer\": 512, \"reset\": 513, \"idle\": 514, \"oversize\": 515, \"protocol\": 516, "
    "\"overflow\": 517, \"upstream\": 518, \"leaving\": 519, \"drain\": 520, \"memory\": 521, \"killed\": 522}, "
    "\"answered\": {\"p50_us\": 169.193, \"p90_us\": 3225362.481, \"p99_us\": 28363545.002, \"max_us\": "
    "34359738.368, \"counts\": [539, 540, 541, 542, 543, 544, 545, 546, 547, 548, 549, 550, 551, 552, 553, 554, 555, "
    "556, 557, 558, 559, 560, 561, 562, 563, 564, 565, 566, 567, 568, 569, 570, 571, 572, 573, 574]}, "
    "\"upstream_connected\": {\"p50_us\": 166.879, \"p90_us\": 3212380.811, \"p99_us\": 28352416.898, \"max_us\": "
    "34359738.368, \"counts\": [575, 576, 577, 578, 579, 580, 581, 582, 583, 584, 585, 586, 587, 588, 589, 590, 591, "
    "592, 593, 594, 595, 596, 597, 598, 599, 600, 601, 602, 603, 604, 605, 606, 607, 608, 609, 610]}, "
    "\"upstream_answered\": {\"p50_us\": 164.830, \"p90_us\": 3200852.766, \"p99_us\": 28342529.078, \"max_us\": "
    "34359738.368, \"counts\": [611, 612, 613, 614, 615, 616, 617, 618, 619, 620, 621, 622, 623, 624, 625, 626, 627, "
    "628, 629, 630, 631, 632, 633, 634, 635, 636, 637, 638, 639, 640, 641, 642, 643, 644, 645, 646]}, "
    "\"turn_times\": {\"p50_us\": 711.534, \"p90_us\": 4760686.641, \"p99_us\": 29448316.942, \"max_us\": "
    "34359738.368, \"counts\": [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, "
    "71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85]}}],\n"
    " \"listeners\": [\n"
    "  {\"name\": \"echo\", \"service\": \"echo\", \"pool\": \"main\", \"disabled\": false, \"addresses\": "
    "[\"127.0.0.1:7\", \"unix:/run/\\\"echo\\\"\"], \"sessions_open\": 1186997, \"accepted\": 1202201, \"refused\": "
    "1205, \"lost\": 0, \"messages_in\": 1213, \"messages_out\": 1217, \"bytes_in\": 1221, \"bytes_out\": 1225, "
    "\"protocol_errors\": 1229, \"upstream_failures\": 1233, \"published\": 1237, \"publications_lost\": 1241, "
    "\"closed\": {\"done\": 1245, \"peer\": 1249, \"reset\": 1253, \"idle\": 1257, \"oversize\": 1261, \"protocol\": "
    "1265, \"overflow\": 1269, \"upstream\": 1273, \"leaving\": 1277, \"drain\": 1281, \"memory\": 1285, \"killed\": "
    "1289}, \"answered\": {\"p50_us\": 190.508, \"p90_us\": 3343133.130, \"p99_us\": 28464185.664, \"max_us\": "
    "34359738.368, \"counts\": [1357, 1361, 1365, 1369, 1373, 1377, 1381, 1385, 1389, 1393, 1397, 1401, 1405, 1409, "
    "1413, 1417, 1421, 1425, 1429, 1433, 1437, 1441, 1445, 1449, 1453, 1457, 1461, 1465, 1469, 1473, 1477, 1481, "
    "1485, 1489, 1493, 1497]}, \"upstream_connected\": {\"p50_us\": 185.067, \"p90_us\": 3313373.481, \"p99_us\": "
    "28438807.950, \"max_us\": 34359738.368, \"counts\": [1501, 1505, 1509, 1513, 1517, 1521, 1525, 1529, 1533, "
    "1537, 1541, 1545, 1549, 1553, 1557, 1561, 1565, 1569, 1573, 1577, 1581, 1585, 1589, 1593, 1597, 1601, 1605, "
    "1609, 1613, 1617, 1621, 1625, 1629, 1633, 1637, 1641]}, \"upstream_answered\": {\"p50_us\": 180.539, "
    "\"p90_us\": 3288447.887, \"p99_us\": 28417524.791, \"max_us\": 34359738.368, \"counts\": [1645, 1649, 1653, "
    "1657, 1661, 1665, 1669, 1673, 1677, 1681, 1685, 1689, 1693, 1697, 1701, 1705, 1709, 1713, 1717, 1721, 1725, "
    "1729, 1733, 1737, 1741, 1745, 1749, 1753, 1757, 1761, 1765, 1769, 1773, 1777, 1781, 1785]}, \"last_minute\": "
    "{\"answered\": {\"p50_us\": 10.713, \"p90_us\": 733420.263, \"p99_us\": 23757304.814, \"max_us\": 34359738.368, "
    "\"count\": 9072}, \"upstream_connected\": {\"p50_us\": 14.911, \"p90_us\": 950820.249, \"p99_us\": "
    "24774990.409, \"max_us\": 34359738.368, \"count\": 10656}, \"upstream_answered\": {\"p50_us\": 19.845, "
    "\"p90_us\": 1119344.759, \"p99_us\": 25411585.227, \"max_us\": 34359738.368, \"count\": 12240}}, \"own\": "
    "{\"hits\": 1293, \"misses\": 1297}},\n"
    "  {\"name\": \"a \\\"bank\\\"\", \"service\": \"bank\", \"pool\": \"bank\", \"disabled\": false, \"addresses\": "
    "[\"0.0.0.0:8\"], \"sessions_open\": 988406, \"accepted\": 1001000, \"refused\": 1003, \"lost\": 0, "
    "\"messages_in\": 1009, \"messages_out\": 1012, \"bytes_in\": 1015, \"bytes_out\": 1018, \"protocol_errors\": "
    "1021, \"upstream_failures\": 1024, \"published\": 1027, \"publications_lost\": 1030, \"closed\": {\"done\": "
    "1033, \"peer\": 1036, \"reset\": 1039, \"idle\": 1042, \"oversize\": 1045, \"protocol\": 1048, \"overflow\": "
    "1051, \"upstream\": 1054, \"leaving\": 1057, \"drain\": 1060, \"memory\": 1063, \"killed\": 1066}, "
    "\"answered\": {\"p50_us\": 185.471, \"p90_us\": 3315587.284, \"p99_us\": 28440697.023, \"max_us\": "
    "34359738.368, \"counts\": [1117, 1120, 1123, 1126, 1129, 1132, 1135, 1138, 1141, 1144, 1147, 1150, 1153, 1156, "
    "1159, 1162, 1165, 1168, 1171, 1174, 1177, 1180, 1183, 1186, 1189, 1192, 1195, 1198, 1201, 1204, 1207, 1210, "
    "1213, 1216, 1219, 1222]}, \"upstream_connected\": {\"p50_us\": 180.877, \"p90_us\": 3290315.597, \"p99_us\": "
    "28419120.445, \"max_us\": 34359738.368, \"counts\": [1225, 1228, 1231, 1234, 1237, 1240, 1243, 1246, 1249, "
    "1252, 1255, 1258, 1261, 1264, 1267, 1270, 1273, 1276, 1279, 1282, 1285, 1288, 1291, 1294, 1297, 1300, 1303, "
    "1306, 1309, 1312, 1315, 1318, 1321, 1324, 1327, 1330]}, \"upstream_answered\": {\"p50_us\": 176.999, "
    "\"p90_us\": 3268863.843, \"p99_us\": 28400784.855, \"max_us\": 34359738.368, \"counts\": [1333, 1336, 1339, "
    "1342, 1345, 1348, 1351, 1354, 1357, 1360, 1363, 1366, 1369, 1372, 1375, 1378, 1381, 1384, 1387, 1390, 1393, "
    "1396, 1399, 1402, 1405, 1408, 1411, 1414, 1417, 1420, 1423, 1426, 1429, 1432, 1435, 1438]}, \"last_minute\": "
    "{\"answered\": {\"p50_us\": 185.471, \"p90_us\": 3315587.284, \"p99_us\": 28440697.023, \"max_us\": "
    "34359738.368, \"count\": 42102}, \"upstream_connected\": {\"p50_us\": 180.877, \"p90_us\": 3290315.597, "
    "\"p99_us\": 28419120.445, \"max_us\": 34359738.368, \"count\": 45990}, \"upstream_answered\": {\"p50_us\": "
    "176.999, \"p90_us\": 3268863.843, \"p99_us\": 28400784.855, \"max_us\": 34359738.368, \"count\": 49878}}, "
    "\"own\": {\"sums\": 1069, \"hits\": 1072}}],\n"
    " \"gone\": {\"workers\": {\"turns\": 7800, \"longest_turn_us\": 4000, \"accept_pauses\": 28, \"log_dropped\": "
    "32, \"sessions_open\": 692102, \"accepted\": 1301300, \"refused\": 1302, \"lost\": 593202, \"messages_in\": "
    "1306, \"messages_out\": 1308, \"bytes_in\": 1310, \"bytes_out\": 1312, \"protocol_errors\": 1314, "
    "\"upstream_failures\": 1316, \"published\": 1318, \"publications_lost\": 1320, \"closed\": {\"done\": 1322, "
    "\"peer\": 1324, \"reset\": 1326, \"idle\": 1328, \"oversize\": 1330, \"protocol\": 1332, \"overflow\": 1334, "
    "\"upstream\": 1336, \"leaving\": 1338, \"drain\": 1340, \"memory\": 1342, \"killed\": 1344}, \"answered\": "
    "{\"p50_us\": 161.105, \"p90_us\": 3179824.608, \"p99_us\": 28324478.799, \"max_us\": 34359738.368, \"counts\": "
    "[1378, 1380, 1382, 1384, 1386, 1388, 1390, 1392, 1394, 1396, 1398, 1400, 1402, 1404, 1406, 1408, 1410, 1412, "
    "1414, 1416, 1418, 1420, 1422, 1424, 1426, 1428, 1430, 1432, 1434, 1436, 1438, 1440, 1442, 1444, 1446, 1448]}, "
    "\"upstream_connected\": {\"p50_us\": 159.650, \"p90_us\": 3171580.870, \"p99_us\": 28317397.535, \"max_us\": "
    "34359738.368, \"counts\": [1450, 1452, 1454, 1456, 1458, 1460, 1462, 1464, 1466, 1468, 1470, 1472, 1474, 1476, "
    "1478, 1480, 1482, 1484, 1486, 1488, 1490, 1492, 1494, 1496, 1498, 1500, 1502, 1504, 1506, 1508, 1510, 1512, "
    "1514, 1516, 1518, 1520]}, \"upstream_answered\": {\"p50_us\": 158.330, \"p90_us\": 3164085.617, \"p99_us\": "
    "28310956.788, \"max_us\": 34359738.368, \"counts\": [1522, 1524, 1526, 1528, 1530, 1532, 1534, 1536, 1538, "
    "1540, 1542, 1544, 1546, 1548, 1550, 1552, 1554, 1556, 1558, 1560, 1562, 1564, 1566, 1568, 1570, 1572, 1574, "
    "1576, 1578, 1580, 1582, 1584, 1586, 1588, 1590, 1592]}, \"turn_times\": {\"p50_us\": 136.492, \"p90_us\": "
    "3038263.361, \"p99_us\": 28202490.716, \"max_us\": 34359738.368, \"counts\": [7800, 7802, 7804, 7806, 7808, "
    "7810, 7812, 7814, 7816, 7818, 7820, 7822, 7824, 7826, 7828, 7830, 7832, 7834, 7836, 7838, 7840, 7842, 7844, "
    "7846, 7848, 7850, 7852, 7854, 7856, 7858, 7860, 7862, 7864, 7866, 7868, 7870]}},\n"
    "  \"listeners\": {\"sessions_open\": 791002, \"accepted\": 1401400, \"refused\": 1402, \"lost\": 593202, "
    "\"messages_in\": 1406, \"messages_out\": 1408, \"bytes_in\": 1410, \"bytes_out\": 1412, \"protocol_errors\": "
    "1414, \"upstream_failures\": 1416, \"published\": 1418, \"publications_lost\": 1420, \"closed\": {\"done\": "
    "1422, \"peer\": 1424, \"reset\": 1426, \"idle\": 1428, \"oversize\": 1430, \"protocol\": 1432, \"overflow\": "
    "1434, \"upstream\": 1436, \"leaving\": 1438, \"drain\": 1440, \"memory\": 1442, \"killed\": 1444}, "
    "\"answered\": {\"p50_us\": 159.122, \"p90_us\": 3168582.877, \"p99_us\": 28314821.606, \"max_us\": "
    "34359738.368, \"counts\": [1478, 1480, 1482, 1484, 1486, 1488, 1490, 1492, 1494, 1496, 1498, 1500, 1502, 1504, "
    "1506, 1508, 1510, 1512, 1514, 1516, 1518, 1520, 1522, 1524, 1526, 1528, 1530, 1532, 1534, 1536, 1538, 1540, "
    "1542, 1544, 1546, 1548]}, \"upstream_connected\": {\"p50_us\": 157.848, \"p90_us\": 3161351.393, \"p99_us\": "
    "28308606.667, \"max_us\": 34359738.368, \"counts\": [1550, 1552, 1554, 1556, 1558, 1560, 1562, 1564, 1566, "
    "1568, 1570, 1572, 1574, 1576, 1578, 1580, 1582, 1584, 1586, 1588, 1590, 1592, 1594, 1596, 1598, 1600, 1602, "
    "1604, 1606, 1608, 1610, 1612, 1614, 1616, 1618, 1620]}, \"upstream_answered\": {\"p50_us\": 156.686, "
    "\"p90_us\": 3154737.544, \"p99_us\": 28302920.658, \"max_us\": 34359738.368, \"counts\": [1622, 1624, 1626, "
    "1628, 1630, 1632, 1634, 1636, 1638, 1640, 1642, 1644, 1646, 1648, 1650, 1652, 1654, 1656, 1658, 1660, 1662, "
    "1664, 1666, 1668, 1670, 1672, 1674, 1676, 1678, 1680, 1682, 1684, 1686, 1688, 1690, 1692]}}}}\n";

static void test_json(void)
{
    begin();
    char *text = written_by(report_json);
    check_text(text, expected_json);
    free(text);
    end();
}

/* ---- OpenMetrics ---- */

static const char expected_metrics[] =
    "# TYPE ccserver_build info\n"
    "# HELP ccserver_build the version of the master in charge\n"
    "ccserver_build_info{version=\"1.2.3\"} 1\n"
    "# TYPE ccserver_uptime_seconds gauge\n"
    "# UNIT ccserver_uptime_seconds seconds\n"
    "# HELP ccserver_uptime_seconds since the first master started\n"
    "ccserver_uptime_seconds 93784.005\n"
    "# TYPE ccserver_ready gauge\n"
    "# HELP ccserver_ready 1: in charge, does not stop, and each pool has a worker that is ready\n"
    "ccserver_ready 1\n"
    "# TYPE ccserver_generation gauge\n"
    "# HELP ccserver_generation of the configuration that serves\n"
    "ccserver_generation 2\n"
    "# TYPE ccserver_reloads counter\n"
    "# HELP ccserver_reloads configurations that serve, or were refused\n"
    "ccserver_reloads_total{result=\"done\"} 32\n"
    "ccserver_reloads_total{result=\"failed\"} 33\n"
    "# TYPE ccserver_upgrades counter\n"
    "# HELP ccserver_upgrades binaries that have taken over, or have failed\n"
    "ccserver_upgrades_total{result=\"done\"} 31\n"
    "ccserver_upgrades_total{result=\"failed\"} 34\n"
    "# TYPE ccserver_log_lines_dropped counter\n"
    "# HELP ccserver_log_lines_dropped lines that the master in charge could not write to the log\n"
    "ccserver_log_lines_dropped_total 35\n"
    "# TYPE ccserver_worker_starts counter\n"
    "# HELP ccserver_worker_starts processes that were started for this reason\n"
    "ccserver_worker_starts_total{reason=\"signal\"} 12\n"
    "ccserver_worker_starts_total{reason=\"exit\"} 3\n"
    "ccserver_worker_starts_total{reason=\"hang\"} 1\n"
    "ccserver_worker_starts_total{reason=\"reload\"} 0\n"
    "ccserver_worker_starts_total{reason=\"resize\"} 0\n"
    "ccserver_worker_starts_total{reason=\"recycle\"} 0\n"
    "ccserver_worker_starts_total{reason=\"operator\"} 0\n"
    "ccserver_worker_starts_total{reason=\"upgrade\"} 5\n"
    "# TYPE ccserver_last_reload_successful gauge\n"
    "# HELP ccserver_last_reload_successful 1: the last reload has done what was asked for\n"
    "ccserver_last_reload_successful 1\n"
    "# TYPE ccserver_last_reload_timestamp_seconds gauge\n"
    "# UNIT ccserver_last_reload_timestamp_seconds seconds\n"
    "# HELP ccserver_last_reload_timestamp_seconds when the last reload has ended, since 1970\n"
    "ccserver_last_reload_timestamp_seconds 1767323045.678\n"
    "# TYPE ccserver_last_upgrade_successful gauge\n"
    "# HELP ccserver_last_upgrade_successful 1: the last upgrade has done what was asked for\n"
    "ccserver_last_upgrade_successful 0\n"
    "# TYPE ccserver_last_upgrade_timestamp_seconds gauge\n"
    "# UNIT ccserver_last_upgrade_timestamp_seconds seconds\n"
    "# HELP ccserver_last_upgrade_timestamp_seconds when the last upgrade has ended, since 1970\n"
    "ccserver_last_upgrade_timestamp_seconds 1767323045.678\n"
    "# TYPE ccserver_workers_leaving gauge\n"
    "# HELP ccserver_workers_leaving processes that finish their sessions, and then end\n"
    "ccserver_workers_leaving 1\n"
    "# TYPE ccserver_workers_leaving_sessions_open gauge\n"
    "# HELP ccserver_workers_leaving_sessions_open sessions that they still have\n"
    "ccserver_workers_leaving_sessions_open 494302\n"
    "# TYPE ccserver_pool_workers_wanted gauge\n"
    "# HELP ccserver_pool_workers_wanted workers that the pool is to have\n"
    "ccserver_pool_workers_wanted{pool=\"main\"} 2\n"
    "ccserver_pool_workers_wanted{pool=\"bank\"} 4\n"
    "# TYPE ccserver_pool_workers_ready gauge\n"
    "# HELP ccserver_pool_workers_ready workers of the pool that are ready and beat\n"
    "ccserver_pool_workers_ready{pool=\"main\"} 1\n"
    "ccserver_pool_workers_ready{pool=\"bank\"} 3\n"
    "# TYPE ccserver_listener_disabled gauge\n"
    "# HELP ccserver_listener_disabled 1: an operator has disabled the listener\n"
    "ccserver_listener_disabled{listener=\"echo\"} 0\n"
    "ccserver_listener_disabled{listener=\"a \\\"bank\\\"\"} 0\n"
    "# TYPE ccserver_worker_ready gauge\n"
    "# HELP ccserver_worker_ready 1: the worker is ready and beats\n"
    "ccserver_worker_ready{pool=\"main\",worker=\"0\"} 1\n"
    "ccserver_worker_ready{pool=\"main\",worker=\"1\"} 1\n"
    "ccserver_worker_ready{pool=\"bank\",worker=\"0\"} 0\n"
    "# TYPE ccserver_worker_adopted gauge\n"
    "# HELP ccserver_worker_adopted 1: its accept queues are served by its siblings\n"
    "ccserver_worker_adopted{pool=\"main\",worker=\"0\"} 0\n"
    "ccserver_worker_adopted{pool=\"main\",worker=\"1\"} 1\n"
    "ccserver_worker_adopted{pool=\"bank\",worker=\"0\"} 0\n"
    "# TYPE ccserver_worker_sessions_open gauge\n"
    "# HELP ccserver_worker_sessions_open sessions of this slot\n"
    "ccserver_worker_sessions_open{pool=\"main\",worker=\"0\"} 396193\n"
    "ccserver_worker_sessions_open{pool=\"main\",worker=\"1\"} 1581608\n"
    "ccserver_worker_sessions_open{pool=\"bank\",worker=\"0\"} 296502\n"
    "# TYPE ccserver_worker_turns counter\n"
    "# HELP ccserver_worker_turns turns of the event loop\n"
    "ccserver_worker_turns_total{pool=\"main\",worker=\"0\"} 1040\n"
    "ccserver_worker_turns_total{pool=\"main\",worker=\"1\"} 2050\n"
    "ccserver_worker_turns_total{pool=\"bank\",worker=\"0\"} 3000\n"
    "# TYPE ccserver_worker_longest_turn_seconds gauge\n"
    "# UNIT ccserver_worker_longest_turn_seconds seconds\n"
    "# HELP ccserver_worker_longest_turn_seconds the longest turn of the event loop\n"
    "ccserver_worker_longest_turn_seconds{pool=\"main\",worker=\"0\"} 0.0015\n"
    "ccserver_worker_longest_turn_seconds{pool=\"main\",worker=\"1\"} 0.009\n"
    "ccserver_worker_longest_turn_seconds{pool=\"bank\",worker=\"0\"} 0.0035\n"
    "# TYPE ccserver_worker_accept_pauses counter\n"
    "# HELP ccserver_worker_accept_pauses times that accepting has stopped for a while\n"
    "ccserver_worker_accept_pauses_total{pool=\"main\",worker=\"0\"} 9\n"
    "ccserver_worker_accept_pauses_total{pool=\"main\",worker=\"1\"} 11\n"
    "ccserver_worker_accept_pauses_total{pool=\"bank\",worker=\"0\"} 5\n"
    "# TYPE ccserver_worker_adopted_queues gauge\n"
    "# HELP ccserver_worker_adopted_queues siblings whose accept queues it serves\n"
    "ccserver_worker_adopted_queues{pool=\"main\",worker=\"0\"} 1\n"
    "ccserver_worker_adopted_queues{pool=\"main\",worker=\"1\"} 0\n"
    "ccserver_worker_adopted_queues{pool=\"bank\",worker=\"0\"} 0\n"
    "# TYPE ccserver_worker_log_lines_dropped counter\n"
    "# HELP ccserver_worker_log_lines_dropped lines that it could not write to the log\n"
    "ccserver_worker_log_lines_dropped_total{pool=\"main\",worker=\"0\"} 13\n"
    "ccserver_worker_log_lines_dropped_total{pool=\"main\",worker=\"1\"} 15\n"
    "ccserver_worker_log_lines_dropped_total{pool=\"bank\",worker=\"0\"} 7\n"
    "# TYPE ccserver_turn_duration_seconds histogram\n"
    "# UNIT ccserver_turn_duration_seconds seconds\n"
    "# HELP ccserver_turn_duration_seconds turns of the workers' event loops\n"
    "ccserver_turn_duration_seconds_bucket{le=\"1.024e-06\"} 153175\n"
    "ccserver_turn_duration_seconds_bucket{le=\"2.048e-06\"} 167142\n"
    "ccserver_turn_duration_seconds_bucket{le=\"4.096e-06\"} 181116\n"
    "ccserver_turn_duration_seconds_bucket{le=\"8.192e-06\"} 195097\n"
    "ccserver_turn_duration_seconds_bucket{le=\"1.6384e-05\"} 209085\n"
    "ccserver_turn_duration_seconds_bucket{le=\"3.2768e-05\"} 223080\n"
    "ccserver_turn_duration_seconds_bucket{le=\"6.5536e-05\"} 237082\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.000131072\"} 251091\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.000262144\"} 265107\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.000524288\"} 279130\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.001048576\"} 293160\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.002097152\"} 307197\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.004194304\"} 321241\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.008388608\"} 335292\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.016777216\"} 349350\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.033554432\"} 363415\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.067108864\"} 377487\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.134217728\"} 391566\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.268435456\"} 405652\n"
    "ccserver_turn_duration_seconds_bucket{le=\"0.536870912\"} 419745\n"
    "ccserver_turn_duration_seconds_bucket{le=\"1.07374182\"} 433845\n"
    "ccserver_turn_duration_seconds_bucket{le=\"2.14748365\"} 447952\n"
    "ccserver_turn_duration_seconds_bucket{le=\"4.2949673\"} 462066\n"
    "ccserver_turn_duration_seconds_bucket{le=\"8.58993459\"} 476187\n"
    "ccserver_turn_duration_seconds_bucket{le=\"17.1798692\"} 490315\n"
    "ccserver_turn_duration_seconds_bucket{le=\"+Inf\"} 504450\n"
    "# TYPE ccserver_worker_cpu_seconds counter\n"
    "# UNIT ccserver_worker_cpu_seconds seconds\n"
    "# HELP ccserver_worker_cpu_seconds CPU time that the present process of the slot has used\n"
    "ccserver_worker_cpu_seconds_total{pool=\"main\",worker=\"0\"} 12.34\n"
    "ccserver_worker_cpu_seconds_total{pool=\"main\",worker=\"1\"} 0.001\n"
    "# TYPE ccserver_worker_resident_memory_bytes gauge\n"
    "# UNIT ccserver_worker_resident_memory_bytes bytes\n"
    "# HELP ccserver_worker_resident_memory_bytes memory of the process, with what it shares\n"
    "ccserver_worker_resident_memory_bytes{pool=\"main\",worker=\"0\"} 5242880\n"
    "ccserver_worker_resident_memory_bytes{pool=\"main\",worker=\"1\"} 4096\n"
    "# TYPE ccserver_worker_open_descriptors gauge\n"
    "# HELP ccserver_worker_open_descriptors descriptors that the process has open\n"
    "ccserver_worker_open_descriptors{pool=\"main\",worker=\"0\"} 17\n"
    "# TYPE ccserver_sessions_open gauge\n"
    "# HELP ccserver_sessions_open sessions of this listener\n"
    "ccserver_sessions_open{listener=\"echo\",service=\"echo\",pool=\"main\"} 1186997\n"
    "ccserver_sessions_open{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 988406\n"
    "# TYPE ccserver_sessions_accepted counter\n"
    "# HELP ccserver_sessions_accepted connections accepted\n"
    "ccserver_sessions_accepted_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1202201\n"
    "ccserver_sessions_accepted_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1001000\n"
    "# TYPE ccserver_sessions_refused counter\n"
    "# HELP ccserver_sessions_refused connections closed at once: their listener is disabled, or there was no "
    "memory\n"
    "ccserver_sessions_refused_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1205\n"
    "ccserver_sessions_refused_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1003\n"
    "# TYPE ccserver_sessions_lost counter\n"
    "# HELP ccserver_sessions_lost sessions that ended with their worker\n"
    "ccserver_sessions_lost_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 0\n"
    "ccserver_sessions_lost_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 0\n"
    "# TYPE ccserver_messages_received counter\n"
    "# HELP ccserver_messages_received messages handed to the service (raw framing: reads)\n"
    "ccserver_messages_received_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1213\n"
    "ccserver_messages_received_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1009\n"
    "# TYPE ccserver_messages_sent counter\n"
    "# HELP ccserver_messages_sent messages sent by the service\n"
    "ccserver_messages_sent_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1217\n"
    "ccserver_messages_sent_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1012\n"
    "# TYPE ccserver_received_bytes counter\n"
    "# UNIT ccserver_received_bytes bytes\n"
    "# HELP ccserver_received_bytes bytes received from clients\n"
    "ccserver_received_bytes_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1221\n"
    "ccserver_received_bytes_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1015\n"
    "# TYPE ccserver_sent_bytes counter\n"
    "# UNIT ccserver_sent_bytes bytes\n"
    "# HELP ccserver_sent_bytes bytes the kernel took for clients\n"
    "ccserver_sent_bytes_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1225\n"
    "ccserver_sent_bytes_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1018\n"
    "# TYPE ccserver_protocol_errors counter\n"
    "# HELP ccserver_protocol_errors messages that were answered with an error\n"
    "ccserver_protocol_errors_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1229\n"
    "ccserver_protocol_errors_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1021\n"
    "# TYPE ccserver_upstream_failures counter\n"
    "# HELP ccserver_upstream_failures upstream connections that could not be made\n"
    "ccserver_upstream_failures_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1233\n"
    "ccserver_upstream_failures_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1024\n"
    "# TYPE ccserver_publications counter\n"
    "# HELP ccserver_publications messages published to the other workers\n"
    "ccserver_publications_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1237\n"
    "ccserver_publications_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1027\n"
    "# TYPE ccserver_publications_lost counter\n"
    "# HELP ccserver_publications_lost published messages that another worker had no room for, once for each\n"
    "ccserver_publications_lost_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1241\n"
    "ccserver_publications_lost_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1030\n"
    "# TYPE ccserver_sessions_closed counter\n"
    "# HELP ccserver_sessions_closed sessions that have ended for this reason\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"done\"} 1245\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"peer\"} 1249\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"reset\"} 1253\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"idle\"} 1257\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"oversize\"} 1261\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"protocol\"} 1265\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"overflow\"} 1269\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"upstream\"} 1273\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"leaving\"} 1277\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"drain\"} 1281\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"memory\"} 1285\n"
    "ccserver_sessions_closed_total{listener=\"echo\",service=\"echo\",pool=\"main\",reason=\"killed\"} 1289\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"done\"} "
    "1033\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"peer\"} "
    "1036\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"reset\"} "
    "1039\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"idle\"} "
    "1042\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"oversize\"} "
    "1045\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"protocol\"} "
    "1048\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"overflow\"} "
    "1051\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"upstream\"} "
    "1054\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"leaving\"} "
    "1057\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"drain\"} "
    "1060\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"memory\"} "
    "1063\n"
    "ccserver_sessions_closed_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\",reason=\"killed\"} "
    "1066\n"
    "# TYPE ccserver_message_duration_seconds histogram\n"
    "# UNIT ccserver_message_duration_seconds seconds\n"
    "# HELP ccserver_message_duration_seconds messages by the time from the turn that has read them to the turn that "
    "has answered\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.024e-06\"} "
    "15147\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.048e-06\"} "
    "16548\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.096e-06\"} "
    "17953\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.192e-06\"} "
    "19362\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.6384e-05\"} "
    "20775\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"3.2768e-05\"} "
    "22192\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"6.5536e-05\"} "
    "23613\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000131072\"} "
    "25038\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000262144\"} "
    "26467\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000524288\"} "
    "27900\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.001048576\"} "
    "29337\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.002097152\"} "
    "30778\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.004194304\"} "
    "32223\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.008388608\"} "
    "33672\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.016777216\"} "
    "35125\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.033554432\"} "
    "36582\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.067108864\"} "
    "38043\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.134217728\"} "
    "39508\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.268435456\"} "
    "40977\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.536870912\"} "
    "42450\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.07374182\"} "
    "43927\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.14748365\"} "
    "45408\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.2949673\"} "
    "46893\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.58993459\"} "
    "48382\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"17.1798692\"} "
    "49875\n"
    "ccserver_message_duration_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"+Inf\"} 51372\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.024e-06\"} 12452\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.048e-06\"} 13602\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.096e-06\"} 14755\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.192e-06\"} 15911\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.6384e-05\"} 17070\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"3.2768e-05\"} 18232\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"6.5536e-05\"} 19397\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000131072\"} 20565\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000262144\"} 21736\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000524288\"} 22910\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.001048576\"} 24087\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.002097152\"} 25267\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.004194304\"} 26450\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.008388608\"} 27636\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.016777216\"} 28825\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.033554432\"} 30017\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.067108864\"} 31212\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.134217728\"} 32410\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.268435456\"} 33611\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.536870912\"} 34815\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.07374182\"} 36022\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.14748365\"} 37232\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.2949673\"} 38445\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.58993459\"} 39661\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"17.1798692\"} 40880\n"
    "ccserver_message_duration_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"+Inf\"} 42102\n"
    "# TYPE ccserver_upstream_connect_seconds histogram\n"
    "# UNIT ccserver_upstream_connect_seconds seconds\n"
    "# HELP ccserver_upstream_connect_seconds connections to upstreams by the time until they stood\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.024e-06\"} "
    "16731\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.048e-06\"} "
    "18276\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.096e-06\"} "
    "19825\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.192e-06\"} "
    "21378\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.6384e-05\"} "
    "22935\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"3.2768e-05\"} "
    "24496\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"6.5536e-05\"} "
    "26061\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000131072\"} "
    "27630\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000262144\"} "
    "29203\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000524288\"} "
    "30780\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.001048576\"} "
    "32361\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.002097152\"} "
    "33946\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.004194304\"} "
    "35535\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.008388608\"} "
    "37128\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.016777216\"} "
    "38725\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.033554432\"} "
    "40326\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.067108864\"} "
    "41931\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.134217728\"} "
    "43540\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.268435456\"} "
    "45153\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.536870912\"} "
    "46770\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.07374182\"} "
    "48391\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.14748365\"} "
    "50016\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.2949673\"} "
    "51645\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.58993459\"} "
    "53278\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"17.1798692\"} "
    "54915\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"+Inf\"} 56556\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.024e-06\"} 13640\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.048e-06\"} 14898\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.096e-06\"} 16159\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.192e-06\"} 17423\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.6384e-05\"} 18690\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"3.2768e-05\"} 19960\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"6.5536e-05\"} 21233\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000131072\"} 22509\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000262144\"} 23788\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000524288\"} 25070\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.001048576\"} 26355\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.002097152\"} 27643\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.004194304\"} 28934\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.008388608\"} 30228\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.016777216\"} 31525\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.033554432\"} 32825\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.067108864\"} 34128\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.134217728\"} 35434\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.268435456\"} 36743\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.536870912\"} 38055\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.07374182\"} 39370\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.14748365\"} 40688\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.2949673\"} 42009\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.58993459\"} 43333\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"17.1798692\"} 44660\n"
    "ccserver_upstream_connect_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"+Inf\"} 45990\n"
    "# TYPE ccserver_upstream_response_seconds histogram\n"
    "# UNIT ccserver_upstream_response_seconds seconds\n"
    "# HELP ccserver_upstream_response_seconds questions to upstreams by the time until the answer came\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.024e-06\"} "
    "18315\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.048e-06\"} "
    "20004\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.096e-06\"} "
    "21697\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.192e-06\"} "
    "23394\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.6384e-05\"} "
    "25095\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"3.2768e-05\"} "
    "26800\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"6.5536e-05\"} "
    "28509\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000131072\"} "
    "30222\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000262144\"} "
    "31939\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.000524288\"} "
    "33660\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.001048576\"} "
    "35385\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.002097152\"} "
    "37114\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.004194304\"} "
    "38847\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.008388608\"} "
    "40584\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.016777216\"} "
    "42325\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.033554432\"} "
    "44070\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.067108864\"} "
    "45819\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.134217728\"} "
    "47572\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.268435456\"} "
    "49329\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"0.536870912\"} "
    "51090\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"1.07374182\"} "
    "52855\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"2.14748365\"} "
    "54624\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"4.2949673\"} "
    "56397\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"8.58993459\"} "
    "58174\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"17.1798692\"} "
    "59955\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"echo\",service=\"echo\",pool=\"main\",le=\"+Inf\"} 61740\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.024e-06\"} 14828\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.048e-06\"} 16194\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.096e-06\"} 17563\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.192e-06\"} 18935\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.6384e-05\"} 20310\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"3.2768e-05\"} 21688\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"6.5536e-05\"} 23069\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000131072\"} 24453\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000262144\"} 25840\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.000524288\"} 27230\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.001048576\"} 28623\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.002097152\"} 30019\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.004194304\"} 31418\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.008388608\"} 32820\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.016777216\"} 34225\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.033554432\"} 35633\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.067108864\"} 37044\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.134217728\"} 38458\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.268435456\"} 39875\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"0.536870912\"} 41295\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"1.07374182\"} 42718\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"2.14748365\"} 44144\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"4.2949673\"} 45573\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"8.58993459\"} 47005\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"17.1798692\"} 48440\n"
    "ccserver_upstream_response_seconds_bucket{listener=\"a "
    "\\\"bank\\\"\",service=\"bank\",pool=\"bank\",le=\"+Inf\"} 49878\n"
    "# TYPE ccserver_service_hits counter\n"
    "# HELP ccserver_service_hits what was \\\"found\\\"\n"
    "ccserver_service_hits_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1293\n"
    "ccserver_service_hits_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1072\n"
    "# TYPE ccserver_service_misses counter\n"
    "# HELP ccserver_service_misses a \\\\ and\\na line\n"
    "ccserver_service_misses_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1297\n"
    "# TYPE ccserver_service_sums counter\n"
    "# HELP ccserver_service_sums sums\n"
    "ccserver_service_sums_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1069\n"
    "# EOF\n";

static void test_metrics(void)
{
    begin();
    char *text = written_by(openmetrics);
    check_text(text, expected_metrics);
    free(text);
    end();
}

/* The older format: without units, and with the name of a counter's samples. */
static void test_metrics_of_prometheus(void)
{
    begin();
    char *text = written_by(prometheus);
    CU_ASSERT_PTR_NULL(strstr(text, "# UNIT"));
    CU_ASSERT_PTR_NULL(strstr(text, "# EOF"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text,
                                  "# TYPE ccserver_build_info gauge\n# HELP ccserver_build_info the version of the "
                                  "master in charge\nccserver_build_info{version=\"1.2.3\"} 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n# TYPE ccserver_reloads_total counter\n# HELP ccserver_reloads_total conf"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n# TYPE ccserver_generation gauge\n# HELP ccserver_generation of"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n# TYPE ccserver_message_duration_seconds histogram\n"));
    free(text);
    end();
}

/* Nobody has looked at the processes: nothing is said of them. */
static void test_without_processes(void)
{
    begin();
    report.processes = NULL;
    char *json = written_by(report_json), *metrics = written_by(openmetrics);
    CU_ASSERT_PTR_NULL(strstr(json, "cpu_ms"));
    CU_ASSERT_PTR_NULL(strstr(metrics, "cpu_seconds"));
    report.processes = processes;
    free(json);
    free(metrics);
    end();
}

/* A backslash, a quote and the end of a line would end a label, or the line. */
static void test_metrics_escape(void)
{
    begin();
    strlcpy(state.pools[0].name, "a\\b\"c\nd", sizeof(state.pools[0].name));
    char *text = written_by(openmetrics);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nccserver_pool_workers_wanted{pool=\"a\\\\b\\\"c\\nd\"} 2\n"));
    free(text);
    end();
}

/* Counters of several services with one name are one family, with the help of the first. What stands behind the last
 * counter, and behind the last listener, is none. */
static void test_metrics_of_services(void)
{
    static const char expected[] =
        "# TYPE ccserver_service_hits counter\n"
        "# HELP ccserver_service_hits what was \\\"found\\\"\n"
        "ccserver_service_hits_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1293\n"
        "# TYPE ccserver_service_misses counter\n"
        "# HELP ccserver_service_misses a \\\\ and\\na line\n"
        "ccserver_service_misses_total{listener=\"echo\",service=\"echo\",pool=\"main\"} 1297\n"
        "ccserver_service_misses_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1072\n"
        "# TYPE ccserver_service_sums counter\n"
        "# HELP ccserver_service_sums sums\n"
        "ccserver_service_sums_total{listener=\"a \\\"bank\\\"\",service=\"bank\",pool=\"bank\"} 1069\n"
        "ccserver_service_sums_total{listener=\"third\",service=\"third\",pool=\"main\"} 5\n"
        "# TYPE ccserver_service_a_name_that_is_as_long_as_a_name_can_ever_be__ counter\n"
        "# HELP ccserver_service_a_name_that_is_as_long_as_a_name_can_ever_be__ long\n"
        "ccserver_service_a_name_that_is_as_long_as_a_name_can_ever_be___total{listener=\"third\",service=\"third\","
        "pool=\"main\"} "
        "6\n"
        "# EOF\n";
    static const struct state_listener third = {
        .name = "third",
        .service = "third",
        .pool = "main",
        .index = 3,
        .counter_count = 2,
        .counters = {{"sums", "other sums"}, {"a_name_that_is_as_long_as_a_name_can_ever_be__", "long"}},
    };

    begin();
    state.listeners[0].counters[2] = third.counters[0];
    strlcpy(state.listeners[1].counters[1].name, "misses", STATE_NAME_SIZE);
    state.listeners[2] = state.listeners[3] = third;
    state.listeners[3].counters[1].name[0] = 'b';
    state.listener_count = 3;
    strlcpy(area->names[3], "third", STATS_NAME_SIZE);
    stats_count(&blocks[0]->listeners[3].own[0], 5);
    stats_count(&blocks[0]->listeners[3].own[1], 6);
    report_sums_take(area, &sums);
    char *text = written_by(openmetrics), *part = strstr(text, "# TYPE ccserver_service_");
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    check_text(part, expected);
    free(text);
    end();
}

/* ---- tables ---- */

static const char expected_table[] =
    "statistics: up 1d02h, master 100, serving, up 1h02m, generation 2, 3 workers\n"
    "  rates over 2.5s, reloads 32, refused 33, upgrades 31, failed 34, log lines dropped 35\n"
    "  workers started again by: signal 12, exit 3, hang 1, upgrade 5\n"
    "  worker   gen     pid state         up   ready  open turns longest pauses adopts dropped\n"
    "  0          2     101 ready       7.0s    6.5s  396k  1040   1.5ms      9      1      13\n"
    "  1          2     102 ready      1m05s   1m01s 1.58M  2050   9.0ms     11      0      15\n"
    "         started again by: signal 2, hang 1, the last time: hang\n"
    "         its accept queues are adopted by its siblings\n"
    "  bank/0     2       - backoff        -       -  297k  3000   3.5ms      5      0       7\n"
    "         started again by: exit 3, the last time: exit\n"
    "  0          3     104 starting  20.0ms       -  395k    40   700us      6      0       8\n"
    "  1          1     105 stopping   1h00m  59m59s  494k    50   9.0ms      7      0       9\n"
    "  worker         open accepted acc/s    in  in/s   out out/s received  recv/s    sent  sent/s errors\n"
    "  0              396k     401k   2.0   656  99.6 2.50M 1.00M  2.90KiB 1.00KiB 24.4MiB 9.77MiB    832\n"
    "    closed/done 423, closed/peer 425, closed/reset 427, closed/idle 429, closed/oversize 431,\n"
    "    closed/protocol 433, closed/overflow 435, closed/upstream 437, closed/leaving 439,\n"
    "    closed/drain 441, closed/memory 443, closed/killed 445, refused 403, protocol errors 415,\n"
    "    upstream failures 417, publications lost 421\n"
    "  1             1.58M    1.60M     0  1612     0  1616     0  1.58KiB      0B 1.59KiB      0B   3260\n"
    "    closed/done 1644, closed/peer 1648, closed/reset 1652, closed/idle 1656, closed/oversize 1660,\n"
    "    closed/protocol 1664, closed/overflow 1668, closed/upstream 1672, closed/leaving 1676,\n"
    "    closed/drain 1680, closed/memory 1684, closed/killed 1688, refused 1604, protocol errors 1628,\n"
    "    upstream failures 1632, publications lost 1640\n"
    "  bank/0         297k     300k     0   304   0.4   304     0     305B      0B    306B      0B    615\n"
    "    closed/done 311, closed/peer 312, closed/reset 313, closed/idle 314, closed/oversize 315,\n"
    "    closed/protocol 316, closed/overflow 317, closed/upstream 318, closed/leaving 319,\n"
    "    closed/drain 320, closed/memory 321, closed/killed 322, refused 301, protocol errors 307,\n"
    "    upstream failures 308, publications lost 310\n"
    "  gone           692k    1.30M     0  1306     0  1808   200  1.28KiB      0B 1.28KiB      0B   2630\n"
    "    closed/done 1322, closed/peer 1324, closed/reset 1326, closed/idle 1328, closed/oversize 1330,\n"
    "    closed/protocol 1332, closed/overflow 1334, closed/upstream 1336, closed/leaving 1338,\n"
    "    closed/drain 1340, closed/memory 1342, closed/killed 1344, lost with their worker 593202,\n"
    "    refused 1302, protocol errors 1314, upstream failures 1316, publications lost 1320\n"
    "  listener       open accepted acc/s    in  in/s   out out/s received  recv/s    sent  sent/s errors\n"
    "  echo          1.19M    1.20M   2.0  1462  99.6 2.50M 1.00M  3.69KiB 1.00KiB 24.4MiB 9.77MiB   2462\n"
    "    closed/done 1245, closed/peer 1249, closed/reset 1253, closed/idle 1257, closed/oversize 1261,\n"
    "    closed/protocol 1265, closed/overflow 1269, closed/upstream 1273, closed/leaving 1277,\n"
    "    closed/drain 1281, closed/memory 1285, closed/killed 1289, refused 1205, protocol errors 1229,\n"
    "    upstream failures 1233, publications lost 1241\n"
    "    hits 1293, misses 1297\n"
    "  a \"bank\"       988k    1.00M     0  1010   0.4  1012     0    1015B      0B   1018B      0B   2045\n"
    "    closed/done 1033, closed/peer 1036, closed/reset 1039, closed/idle 1042, closed/oversize 1045,\n"
    "    closed/protocol 1048, closed/overflow 1051, closed/upstream 1054, closed/leaving 1057,\n"
    "    closed/drain 1060, closed/memory 1063, closed/killed 1066, refused 1003, protocol errors 1021,\n"
    "    upstream failures 1024, publications lost 1030\n"
    "    sums 1069, hits 1072\n"
    "  gone           791k    1.40M     0  1406     0  1908   200  1.38KiB      0B 1.38KiB      0B   2830\n"
    "    closed/done 1422, closed/peer 1424, closed/reset 1426, closed/idle 1428, closed/oversize 1430,\n"
    "    closed/protocol 1432, closed/overflow 1434, closed/upstream 1436, closed/leaving 1438,\n"
    "    closed/drain 1440, closed/memory 1442, closed/killed 1444, lost with their worker 593202,\n"
    "    refused 1402, protocol errors 1414, upstream failures 1416, publications lost 1420\n";

/* Two seconds and a half have passed since `before` was taken, and some things have happened. */
static void begin_with_rates(void)
{
    begin();
    report_sums_copy(&before, &sums);
    stats_count(&blocks[0]->listeners[0].accepted, 5);
    stats_count(&blocks[0]->listeners[0].messages_in, 249);
    stats_count(&blocks[0]->listeners[0].messages_out, 2500000);
    stats_count(&blocks[0]->listeners[0].bytes_in, 2560);
    stats_count(&blocks[0]->listeners[0].bytes_out, 25600000);
    stats_count(&blocks[2]->listeners[1].messages_in, 1);
    stats_count(&area->totals[3].total.listeners[2].messages_out, 500);
    report_sums_take(area, &sums);
    sums.at_ms = before.at_ms + 2500;
    table[0] = '\0';
}

static void test_table(void)
{
    begin_with_rates();
    report_table(&report, &before, add_line);
    check_text(table, expected_table);
    end();
}

/* Each part is what stands in the whole. */
static void test_parts_of_the_table(void)
{
    begin_with_rates();
    report_table_workers(&report, add_line);
    CU_ASSERT_PTR_NOT_NULL(strstr(expected_table, table));
    CU_ASSERT_EQUAL(strncmp(table, "  worker   gen ", 15), 0);
    table[0] = '\0';
    report_table_listeners(&report, &before, add_line);
    const char *part = strstr(expected_table, "  listener ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    CU_ASSERT_STRING_EQUAL(table, part);
    end();
}

/* The row of the first worker's traffic, when it has accepted so many and then so many, some time apart. */
static void check_rate(uint64_t accepted_before, uint64_t accepted, uint64_t ms, const char *rate)
{
    char row[64];

    begin();
    report_sums_copy(&before, &sums);
    atomic_store(&before.rows[0].traffic.accepted, accepted_before);
    atomic_store(&sums.rows[0].traffic.accepted, accepted);
    sums.at_ms = before.at_ms + ms;
    table[0] = '\0';
    report_table(&report, &before, add_line);
    const char *line = strstr(table, "  worker         open");
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    line = strchr(line, '\n') + 1;
    snprintf(row, sizeof(row), "  %-13s %5s %8llu %5s ", "0", "0", (unsigned long long)accepted, rate);
    CU_ASSERT_EQUAL(strncmp(line, row, strlen(row)), 0);
    end();
}

static void test_rates(void)
{
    check_rate(1000, 1000, 1000, "0");
    check_rate(1000, 1001, 1000, "1.0");
    check_rate(1000, 1000 + 1998, 20000, "99.9");
    check_rate(1000, 1000 + 1999, 20000, "100"); /* of three digits */
    check_rate(1000, 1000 + 299, 2000, "150");   /* rounded */
    check_rate(1000, 2000, 0, "0");              /* within the same millisecond: nobody knows */
    check_rate(2000, 1000, 4000, "0");           /* another slot has had that number */
}

/* Nothing has happened yet: no lines about what has not. */
static void test_table_of_a_new_server(void)
{
    memset(&sums, 0, sizeof(sums));
    memset(&before, 0, sizeof(before));
    memset(&state, 0, sizeof(state));
    fd = stats_create();
    area = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
    report.area = area;
    strlcpy(state.phase, "starting", sizeof(state.phase));
    report_sums_take(area, &sums);
    CU_ASSERT_EQUAL(sums.at_ms, (uint64_t)NOW_S * 1000);
    report_sums_copy(&before, &sums);
    table[0] = '\0';
    report_table(&report, &before, add_line);
    check_text(
        table,
        "statistics: up 0us, master 0, starting, up 0us, generation 0, 0 workers\n"
        "  rates over 0us, reloads 0, refused 0, upgrades 0, failed 0\n"
        "  worker   gen     pid state         up   ready  open turns longest pauses adopts dropped\n"
        "  worker         open accepted acc/s    in  in/s   out out/s received  recv/s    sent  sent/s errors\n"
        "  listener       open accepted acc/s    in  in/s   out out/s received  recv/s    sent  sent/s errors\n");
    end();
}

/* A name that is wider than its column has a line of its own. */
static void test_names_and_columns(void)
{
    static const struct {
        const char *pool, *listener, *worker_line, *traffic_line, *listener_line;
    } cases[] = {
        {"poo1", "thirteen char", "\n  poo1/0     2 ", "\n  poo1/0        54.3k", "\n  thirteen char 54.3k"},
        {"pool2", "fourteen chars", "\n  pool2/0\n             2 ", "\n  pool2/0       54.3k",
         "\n  fourteen chars\n                54.3k"},
        {"pool3456789", "a", "\n  pool3456789/0\n             2 ", "\n  pool3456789/0 54.3k",
         "\n  a             54.3k"},
        {"a pool with the longest of name", "a", "\n  a pool with the longest of name/0\n             2 ",
         "\n  a pool with the longest of name/0\n                54.3k", "\n  a             54.3k"},
        {"pool34567890", "a", "\n  pool34567890/0\n             2 ", "\n  pool34567890/0\n                54.3k",
         "\n  a             54.3k"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        strlcpy(area->slots[2].pool, cases[i].pool, STATS_POOL_SIZE);
        strlcpy(state.workers[2].pool, cases[i].pool, STATE_POOL_SIZE);
        strlcpy(area->names[1], cases[i].listener, STATS_NAME_SIZE);
        strlcpy(state.listeners[1].name, cases[i].listener, STATE_NAME_SIZE);
        memset(&blocks[2]->listeners[1], 0, sizeof(blocks[2]->listeners[1]));
        stats_count(&blocks[2]->listeners[1].accepted, 54321);
        memset(&blocks[1]->listeners[1], 0, sizeof(blocks[1]->listeners[1]));
        memset(&blocks[4]->listeners[1], 0, sizeof(blocks[4]->listeners[1]));
        report_sums_take(area, &sums);
        table[0] = '\0';
        report_table(&report, &sums, add_line);
        CU_ASSERT_PTR_NOT_NULL(strstr(table, cases[i].worker_line));
        const char *traffic = strstr(table, "  worker         open");
        CU_ASSERT_PTR_NOT_NULL_FATAL(traffic);
        CU_ASSERT_PTR_NOT_NULL(strstr(traffic, cases[i].traffic_line));
        CU_ASSERT_PTR_NOT_NULL(strstr(traffic, cases[i].listener_line));
        end();
    }
}

/* Name an own counter so that its item in the list has this width. */
static void set_own_counter(unsigned index, size_t width)
{
    struct state_counter *counter = &state.listeners[1].counters[index];

    memset(counter->name, 'x', width - strlen(" 7"));
    counter->name[width - strlen(" 7")] = '\0';
    atomic_store(&blocks[1]->listeners[1].own[index], 7);
    atomic_store(&blocks[2]->listeners[1].own[index], 0);
    atomic_store(&blocks[4]->listeners[1].own[index], 0);
}

/* The widest line has as many characters as a line may have, its comma included. */
static void test_lists_go_on_in_the_next_line(void)
{
    for (size_t width = 47; width <= 48; width++) {
        char expected[256];
        begin();
        state.listeners[1].counter_count = 3;
        set_own_counter(0, 46);
        set_own_counter(1, width);
        set_own_counter(2, 10);
        report_sums_take(area, &sums);
        table[0] = '\0';
        report_table_listeners(&report, &sums, add_line);
        if (width == 47)
            snprintf(expected, sizeof(expected), "\n    %s 7, %s 7,\n    %s 7\n", state.listeners[1].counters[0].name,
                     state.listeners[1].counters[1].name, state.listeners[1].counters[2].name);
        else
            snprintf(expected, sizeof(expected), "\n    %s 7,\n    %s 7, %s 7\n", state.listeners[1].counters[0].name,
                     state.listeners[1].counters[1].name, state.listeners[1].counters[2].name);
        CU_ASSERT_PTR_NOT_NULL(strstr(table, expected));
        end();
    }
}

/* ---- accept queues ---- */

static struct report_queues queues;

static void add_queue(const struct queue_place *place, const struct sock_queue *figures)
{
    struct report_queue *queue = report_queues_add(&queues, place);

    CU_ASSERT_PTR_NOT_NULL_FATAL(queue);
    queue->is_known = figures != NULL;
    queue->figures = figures ? *figures : (struct sock_queue){0};
}

static void begin_with_queues(void)
{
    begin();
    queues.count = queues.total = 0;
    add_queue(&(struct queue_place){.slot = 0}, &(struct sock_queue){.limit = 128, .has_drops = true});
    add_queue(&(struct queue_place){.slot = 1},
              &(struct sock_queue){.length = 3, .limit = 128, .drops = 12345, .has_drops = true});
    add_queue(&(struct queue_place){.slot = 2}, NULL); /* it does not listen */
    add_queue(&(struct queue_place){.address = 1, .slot = QUEUE_SHARED},
              &(struct sock_queue){.length = 1, .limit = 64});
    add_queue(&(struct queue_place){.listener = 1}, &(struct sock_queue){.limit = 4096, .drops = 5, .has_drops = true});
    report.queues = &queues;
    table[0] = '\0';
}

static void end_with_queues(void)
{
    report.queues = NULL;
    end();
}

static void test_json_of_queues(void)
{
    begin_with_queues();
    char *text = written_by(report_json);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "\"adopted_queues\": 1, \"queue_length\": 0, \"queue_drops\": 0, \"respawns\""));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "\"adopted_queues\": 0, \"queue_length\": 3, \"queue_drops\": 12345, \"respawns\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        text, "\"unix:/run/\\\"echo\\\"\"], \"queue_length\": 4, \"queue_drops\": 12345, \"queues\": [{\"address\": "
              "\"127.0.0.1:7\", \"slot\": 0, \"length\": 0, \"limit\": 128, \"drops\": 0}, {\"address\": "
              "\"127.0.0.1:7\", \"slot\": 1, \"length\": 3, \"limit\": 128, \"drops\": 12345}, {\"address\": "
              "\"127.0.0.1:7\", \"slot\": 2}, {\"address\": \"unix:/run/\\\"echo\\\"\", \"slot\": null, "
              "\"length\": 1, \"limit\": 64}], \"sessions_open\": "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text,
                                  "\"queue_length\": 0, \"queue_drops\": 5, \"queues\": [{\"address\": \"0.0.0.0:8\", "
                                  "\"slot\": 0, \"length\": 0, \"limit\": 4096, \"drops\": 5}], "));
    free(text);
    end_with_queues();
}

/* The kernel tells nothing: no zero takes the place of what is not known. */
static void test_unknown_queues(void)
{
    begin_with_queues();
    for (unsigned i = 0; i < queues.count; i++)
        queues.all[i].is_known = false;
    char *json = written_by(report_json), *metrics = written_by(openmetrics);
    CU_ASSERT_PTR_NOT_NULL(strstr(json, "], \"queues\": [{\"address\": \"0.0.0.0:8\", \"slot\": 0}], "));
    CU_ASSERT(!strstr(json, "queue_length") && !strstr(json, "queue_drops"));
    CU_ASSERT(!strstr(metrics, "\nccserver_listen_queue") && !strstr(metrics, "\nccserver_listen_drops"));
    report_table_queues(&report, QUEUES_ALL, add_line);
    CU_ASSERT_PTR_NOT_NULL(strstr(table, "\n  a \"bank\"      bank/0              -       -       - 0.0.0.0:8\n"));
    free(json);
    free(metrics);
    end_with_queues();
}

/* The address stands where a listener has several; what all workers share has none of them. */
static void test_metrics_of_queues(void)
{
    static const char expected[] =
        "# TYPE ccserver_listen_queue_length gauge\n"
        "# HELP ccserver_listen_queue_length connections that wait in this accept queue\n"
        "ccserver_listen_queue_length{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"0\"} 0\n"
        "ccserver_listen_queue_length{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"1\"} 3\n"
        "ccserver_listen_queue_length{listener=\"echo\",pool=\"main\",address=\"unix:/run/\\\"echo\\\"\",worker=\"\"} "
        "1\n"
        "ccserver_listen_queue_length{listener=\"a \\\"bank\\\"\",pool=\"bank\",worker=\"0\"} 0\n"
        "# TYPE ccserver_listen_queue_limit gauge\n"
        "# HELP ccserver_listen_queue_limit connections that may wait in this accept queue\n"
        "ccserver_listen_queue_limit{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"0\"} 128\n"
        "ccserver_listen_queue_limit{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"1\"} 128\n"
        "ccserver_listen_queue_limit{listener=\"echo\",pool=\"main\",address=\"unix:/run/\\\"echo\\\"\",worker=\"\"} "
        "64\n"
        "ccserver_listen_queue_limit{listener=\"a \\\"bank\\\"\",pool=\"bank\",worker=\"0\"} 4096\n"
        "# TYPE ccserver_listen_drops counter\n"
        "# HELP ccserver_listen_drops packets of new connections that this accept queue had no room for\n"
        "ccserver_listen_drops_total{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"0\"} 0\n"
        "ccserver_listen_drops_total{listener=\"echo\",pool=\"main\",address=\"127.0.0.1:7\",worker=\"1\"} 12345\n"
        "ccserver_listen_drops_total{listener=\"a \\\"bank\\\"\",pool=\"bank\",worker=\"0\"} 5\n"
        "# TYPE ccserver_sessions_open gauge\n";

    begin_with_queues();
    char *text = written_by(openmetrics), *part = strstr(text, "# TYPE ccserver_listen_");
    CU_ASSERT_PTR_NOT_NULL_FATAL(part);
    char *behind = strstr(part, "# HELP ccserver_sessions_open");
    CU_ASSERT_PTR_NOT_NULL_FATAL(behind);
    *behind = '\0';
    check_text(part, expected);
    free(text);
    text = written_by(prometheus);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n# TYPE ccserver_listen_drops_total counter\n"));
    free(text);
    end_with_queues();
}

/* In the tables of all only those in which somebody waits, or that have dropped somebody. */
static void test_table_of_queues(void)
{
    static const char used[] = "  accept queue  worker         length   limit   drops address\n"
                               "  echo          1                   3     128   12.3k 127.0.0.1:7\n"
                               "  echo          all                 1      64       - unix:/run/\"echo\"\n"
                               "  a \"bank\"      bank/0              0    4096       5 0.0.0.0:8\n";

    begin_with_queues();
    report_table_queues(&report, QUEUES_ALL, add_line);
    check_text(table, "  accept queue  worker         length   limit   drops address\n"
                      "  echo          0                   0     128       0 127.0.0.1:7\n"
                      "  echo          1                   3     128   12.3k 127.0.0.1:7\n"
                      "  echo          2                   -       -       - 127.0.0.1:7\n"
                      "  echo          all                 1      64       - unix:/run/\"echo\"\n"
                      "  a \"bank\"      bank/0              0    4096       5 0.0.0.0:8\n");
    table[0] = '\0';
    report_table_queues(&report, QUEUES_IN_USE, add_line);
    check_text(table, used);
    table[0] = '\0';
    report_table(&report, &sums, add_line);
    CU_ASSERT_STRING_EQUAL(table + strlen(table) - strlen(used), used);
    table[0] = '\0';
    report_table_listeners(&report, &sums, add_line);
    CU_ASSERT_STRING_EQUAL(table + strlen(table) - strlen(used), used);
    end_with_queues();
}

static void test_wide_rows_of_queues(void)
{
    begin_with_queues();
    queues.count = 1;
    strlcpy(state.listeners[0].name, "fourteen chars", STATE_NAME_SIZE);
    memset(state.listeners[0].addresses[0], 'x', 46);
    strlcpy(state.listeners[0].addresses[0] + 46, "", 2);
    report_table_queues(&report, QUEUES_ALL, add_line);
    check_text(table, "  accept queue  worker         length   limit   drops address\n"
                      "  fourteen chars 0\n"
                      "                                    0     128       0 "
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
                      "  (4 more are not looked at)\n");
    strlcpy(state.listeners[0].addresses[0] + 46, "y", 2);
    table[0] = '\0';
    report_table_queues(&report, QUEUES_ALL, add_line);
    CU_ASSERT_PTR_NOT_NULL(strstr(table, " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx+\n"));
    end_with_queues();
}

/* ---- sums ---- */

static void test_copy(void)
{
    begin();
    report_sums_copy(&before, &sums);
    CU_ASSERT_EQUAL(before.numbers, 4);
    CU_ASSERT_EQUAL(memcmp(&before, &sums, offsetof(struct report_sums, rows) + 4 * sizeof(sums.rows[0])), 0);
    CU_ASSERT_EQUAL(before.rows[4].turns, UINT64_MAX); /* nobody has written there */
    end();
}

/* Whoever has written the area may be no server at all: no name and no number leads out of it. */
static void test_wild_numbers(void)
{
    begin();
    memset(area->names[3], 'x', STATS_NAME_SIZE);
    area->numbers_used = UINT32_MAX;
    report_sums_take(area, &sums);
    CU_ASSERT_EQUAL(sums.numbers, STATS_NUMBERS_MAX);
    struct state_listener *listener = &state.listeners[0];
    memset(listener->name, 'x', STATE_NAME_SIZE - 1);
    listener->index = 3 + STATS_LISTENERS_MAX;
    CU_ASSERT_PTR_EQUAL(report_sums_listener(&sums, listener), &sums.listeners[3]);
    CU_ASSERT_STRING_EQUAL(report_respawn_name(RESPAWN_upgrade), "upgrade");
    CU_ASSERT_STRING_EQUAL(report_respawn_name(RESPAWN_none), "none");
    CU_ASSERT_STRING_EQUAL(report_respawn_name(RESPAWN_none + 1), "none");
    CU_ASSERT_STRING_EQUAL(report_respawn_name(UINT32_MAX), "none");
    end();
}

static void test_times(void)
{
    CU_ASSERT_EQUAL(report_ms_since(0), 0); /* not yet */
    CU_ASSERT_EQUAL(report_ms_since(1), (uint64_t)NOW_S * 1000 - 1);
    CU_ASSERT_EQUAL(report_ms_since(ms_ago(0)), 0);
    CU_ASSERT_EQUAL(report_ms_since(ms_ago(0) + 1), 0); /* another process has looked at the clock a little later */
}

/* A worker of a slot that the area does not know: it has counted nothing yet. */
static void test_unknown_slot(void)
{
    uint64_t respawns[RESPAWNS];

    begin();
    state.workers[0].id = 77;
    CU_ASSERT_EQUAL(report_sums_worker(&report, &state.workers[0])->turns, 0);
    memset(respawns, 0xff, sizeof(respawns));
    report_respawns(&report, &state.workers[0], respawns);
    for (unsigned i = 0; i < RESPAWNS; i++)
        CU_ASSERT_EQUAL(respawns[i], 0);
    end();
}

/* ---- by its word ---- */

/* What is printed; to be freed. */
static char *shown(const char *word, const char *pattern, enum report_shown expected)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(report_show(out, &report, word, pattern), expected);
    fclose(out);
    return text;
}

static void check_shown(const char *word, const char *pattern, enum report_shown expected, const char *has, bool whole)
{
    char *text = shown(word, pattern, expected);

    if (whole ? strcmp(text, has) != 0 : !strstr(text, has)) {
        printf("\n%s: %s\n", word, text);
        CU_FAIL(has);
    }
    free(text);
}

static void test_words(void)
{
    begin();
    check_shown("workers", NULL, REPORT_SHOWN, "  worker   gen     pid state ", false);
    check_shown("listeners", NULL, REPORT_SHOWN, "  listener       open accepted acc/s ", false);
    check_shown("pools", NULL, REPORT_SHOWN, "  pool                             wanted  ready \n  main ", false);
    check_shown("metrics", NULL, REPORT_SHOWN, "# EOF\n", false);
    check_shown("json", NULL, REPORT_SHOWN, "\"listeners\": [", false);
    check_shown("status", NULL, REPORT_SHOWN, "\nlast reload ", false);
    static const char *const unknown[] = {"", "stats", "worker", "STATUS", "log", "pools "};
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        check_shown(unknown[i], NULL, REPORT_UNKNOWN, "", true);
    end();
}

static void test_figures_by_pattern(void)
{
    begin();
    char *all = shown("stat", NULL, REPORT_SHOWN);
    CU_ASSERT_PTR_NULL(strchr(all, '#'));
    CU_ASSERT_PTR_NOT_NULL(strstr(all, "ccserver_sessions_refused_total{"));
    check_shown("stat", "", REPORT_SHOWN, all, true);
    check_shown("stat", "*", REPORT_SHOWN, all, true);
    check_shown("stat", "no such figure", REPORT_NOTHING, "", true);
    char *some = shown("stat", "sessions_refused", REPORT_SHOWN), *same = shown("stat", "*_refused_*", REPORT_SHOWN);
    CU_ASSERT_STRING_EQUAL(some, same);
    CU_ASSERT(strlen(some) > 0 && strlen(some) < strlen(all));
    for (const char *line = some; *line; line = strchr(line, '\n') + 1)
        CU_ASSERT_EQUAL(strncmp(line, "ccserver_sessions_refused_total{", 32), 0);
    free(all);
    free(some);
    free(same);
    end();
}

static void test_disabled_listeners(void)
{
    begin();
    char *text = shown("status", NULL, REPORT_SHOWN);
    CU_ASSERT_PTR_NULL(strstr(text, "disabled"));
    free(text);
    state.listeners[1].is_disabled = true;
    check_shown("status", NULL, REPORT_SHOWN, "\ndisabled         a \"bank\"\n", false);
    check_shown("json", NULL, REPORT_SHOWN, "\"disabled\": true", false);
    state.listeners[0].is_disabled = true;
    check_shown("status", NULL, REPORT_SHOWN, "\ndisabled         echo, a \"bank\"\n", false);
    state.listeners[0].is_disabled = state.listeners[1].is_disabled = false;
    end();
}

static void test_health(void)
{
    begin();
    strlcpy(state.phase, "serving", sizeof(state.phase));
    state.is_ready = true;
    for (unsigned i = 0; i < state.pool_count; i++)
        state.pools[i].running = state.pools[i].wanted = 1;
    check_shown("health", NULL, REPORT_SHOWN, "ok\n", true);
    strlcpy(state.phase, "stopping", sizeof(state.phase));
    state.is_ready = false;
    check_shown("health", NULL, REPORT_NOT_WELL, "stopping\n", true);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"JSON", test_json},
        {"metrics", test_metrics},
        {"metrics escape", test_metrics_escape},
        {"metrics of Prometheus", test_metrics_of_prometheus},
        {"without processes", test_without_processes},
        {"metrics of services", test_metrics_of_services},
        {"table", test_table},
        {"rates", test_rates},
        {"parts of the table", test_parts_of_the_table},
        {"table of a new server", test_table_of_a_new_server},
        {"names and columns", test_names_and_columns},
        {"lists go on in the next line", test_lists_go_on_in_the_next_line},
        {"JSON of queues", test_json_of_queues},
        {"unknown queues", test_unknown_queues},
        {"metrics of queues", test_metrics_of_queues},
        {"table of queues", test_table_of_queues},
        {"wide rows of queues", test_wide_rows_of_queues},
        {"copy", test_copy},
        {"wild numbers", test_wild_numbers},
        {"times", test_times},
        {"unknown slot", test_unknown_slot},
        {"words", test_words},
        {"figures by pattern", test_figures_by_pattern},
        {"disabled listeners", test_disabled_listeners},
        {"health", test_health},
        {0},
    };
    return unit_main("report text", tests);
}
