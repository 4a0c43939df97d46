/*
 * Rows of ccserverctl top made by hand: their order, what fits, and lines of at most 80 columns whatever the numbers.
 */
#include "master/ctl/top.h"
#include "master/ctl/top_page.h"
#include "tests/unit/unit.h"
#include <string.h>

#include <bsd/string.h>

static struct server server;
static struct stats_area area;
static struct top_reading then, now;
static struct top_rows rows;
static struct top_view view;

static void add_worker(const char *pool, uint32_t id)
{
    struct state_worker *worker = &server.state.workers[server.state.worker_count++];

    *worker = (struct state_worker){.id = id, .pid = 100 + (int)server.state.worker_count, .state = "ready"};
    strlcpy(worker->pool, pool, sizeof(worker->pool));
}

/* Three workers in an order that no column has. */
static void begin(void)
{
    memset(&server, 0, sizeof(server));
    memset(&area, 0, sizeof(area));
    memset(&then, 0, sizeof(then));
    memset(&now, 0, sizeof(now));
    memset(&view, 0, sizeof(view));
    server.area = &area;
    add_worker("bank", 1);
    add_worker("main", 10);
    add_worker("main", 2);
    then.count = now.count = server.state.worker_count;
    then.sums.at_ms = 1000;
    now.sums.at_ms = 3000;
    for (unsigned i = 0; i < now.count; i++) {
        then.processes[i] = now.processes[i] = (struct top_process){.serial = i + 1, .kernel.is_known = true};
        then.processes[i].kernel.cpu_ms = 1000;
    }
    static const uint64_t cpu[] = {1500, 1000, 3000}, memory[] = {3, 9, 1}, sessions[] = {7, 8, 9},
                          messages[] = {0, 6, 4};
    for (unsigned i = 0; i < now.count; i++) {
        now.processes[i].kernel.cpu_ms = cpu[i];
        now.processes[i].kernel.memory_bytes = memory[i];
        now.processes[i].sessions = sessions[i];
        now.processes[i].messages = messages[i];
    }
}

static void make(enum top_order order, bool reverse)
{
    view.order = order;
    view.reverse = reverse;
    top_rows_make(&server.state, &then, &now, &view, &rows);
}

/* "bank/1 main/10 main/2" */
static const char *order_of_rows(void)
{
    static char text[256];
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < rows.worker_count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s/%u", i ? " " : "",
                                 rows.workers[i].worker->pool, rows.workers[i].worker->id);
    return text;
}

static void test_order(void)
{
    begin();
    make(TOP_BY_CPU, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/2 bank/1 main/10");
    CU_ASSERT_DOUBLE_EQUAL(rows.workers[0].cpu, 100, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(rows.workers[1].cpu, 25, 0.01);
    make(TOP_BY_CPU, true);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/10 bank/1 main/2");
    make(TOP_BY_MEMORY, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/10 bank/1 main/2");
    make(TOP_BY_SESSIONS, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/2 main/10 bank/1");
    make(TOP_BY_MESSAGES, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/10 main/2 bank/1");
    CU_ASSERT_DOUBLE_EQUAL(rows.workers[0].messages, 3, 0.01);
    make(TOP_BY_NAME, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/2 main/10 bank/1");
    for (unsigned i = 0; i < now.count; i++)
        now.processes[i].kernel.cpu_ms = 1000;
    make(TOP_BY_CPU, false); /* equals: by name */
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/2 main/10 bank/1");
}

static void test_filter(void)
{
    begin();
    strlcpy(view.filter, "AIN/1", sizeof(view.filter));
    make(TOP_BY_NAME, false);
    CU_ASSERT_STRING_EQUAL(order_of_rows(), "main/10");
    strlcpy(view.filter, "nothing", sizeof(view.filter));
    make(TOP_BY_NAME, false);
    CU_ASSERT_EQUAL(rows.worker_count, 0);
}

/* Another process in the slot, a place that has moved, and the first reading of all. */
static void test_rates_need_two_readings(void)
{
    begin();
    now.processes[0].serial = 9;
    now.processes[1].serial = 3;
    now.processes[2].serial = 2;
    now.processes[2].messages = 6;
    make(TOP_BY_NAME, false);
    CU_ASSERT_FALSE(rows.workers[2].has_rates); /* bank/1 */
    CU_ASSERT_TRUE(rows.workers[0].has_rates && rows.workers[1].has_rates);
    CU_ASSERT_DOUBLE_EQUAL(rows.workers[0].messages, 3, 0.01);
    then.sums.at_ms = 0;
    make(TOP_BY_NAME, false);
    CU_ASSERT_FALSE(rows.workers[0].has_rates);
}

static void share(unsigned room, unsigned first, unsigned second, unsigned want_first, unsigned want_second)
{
    top_share(room, &first, &second);
    CU_ASSERT_EQUAL(first, want_first);
    CU_ASSERT_EQUAL(second, want_second);
}

static void test_share(void)
{
    share(10, 4, 6, 4, 6);
    share(10, 20, 2, 8, 2);
    share(10, 2, 20, 2, 8);
    share(10, 20, 20, 5, 5);
    share(11, 20, 5, 6, 5);
    share(11, 6, 20, 6, 5);
    share(0, 3, 3, 0, 0);
    share(1, 3, 3, 1, 0);
}

static void test_names(void)
{
    struct state_worker worker = {.id = 7, .pool = "main"};
    char name[TOP_NAME_WIDTH + 1];

    top_worker_name(name, &worker);
    CU_ASSERT_STRING_EQUAL(name, "7");
    strlcpy(worker.pool, "bank", sizeof(worker.pool));
    top_worker_name(name, &worker);
    CU_ASSERT_STRING_EQUAL(name, "bank/7");
    strlcpy(worker.pool, "fourteen_chars", sizeof(worker.pool));
    top_worker_name(name, &worker);
    CU_ASSERT_STRING_EQUAL(name, "fourteen_chars/7");
    worker.id = UINT32_MAX;
    top_worker_name(name, &worker);
    CU_ASSERT_STRING_EQUAL(name, "four+/4294967295");
    top_listener_name(name, "sixteen_chars_it");
    CU_ASSERT_STRING_EQUAL(name, "sixteen_chars_it");
    top_listener_name(name, "seventeen_chars__");
    CU_ASSERT_STRING_EQUAL(name, "seventeen_chars+");
}

/* Whatever the memory says, with and without a terminal. */
static void test_lines_fit(void)
{
    char *text = NULL, *rest;
    size_t size;

    begin();
    memset(server.state.workers[0].pool, 'x', sizeof(server.state.workers[0].pool) - 1);
    memset(server.state.workers[0].state, 'y', sizeof(server.state.workers[0].state) - 1);
    memset(server.state.version, '\033', sizeof(server.state.version) - 1);
    memset(area.service.last_reload.text, 'z', sizeof(area.service.last_reload.text));
    area.service.last_reload.at_ms = UINT64_MAX;
    area.service.last_reload.count = 1;
    server.state.workers[0].pid = INT32_MAX;
    server.state.workers[0].adopts = UINT32_MAX;
    memset(&now.processes[0], 0xff, sizeof(now.processes[0]));
    now.processes[0].serial = 1;
    now.processes[0].kernel.is_known = true;
    server.state.listener_count = 1;
    memset(server.state.listeners[0].name, 'l', sizeof(server.state.listeners[0].name) - 1);
    memcpy(now.sums.names[0], server.state.listeners[0].name, STATS_NAME_SIZE);
    memset(&now.sums.listeners[0], 0x7f, sizeof(now.sums.listeners[0]));
    server.state.pool_count = 1;
    server.state.pools[0] = (struct state_pool){.name = "broken", .cannot_run = true};
    make(TOP_BY_CPU, false);
    struct screen screen = {.out = open_memstream(&text, &size), .columns = SCREEN_WIDTH};
    CU_ASSERT_PTR_NOT_NULL_FATAL(screen.out);
    top_page_print(&screen, &server, &rows);
    fclose(screen.out);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "the pool broken cannot run\n"));
    CU_ASSERT_PTR_NULL(strchr(text, '\033'));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        CU_ASSERT(strlen(line) <= 80);
    free(text);
}

static void test_delay(void)
{
    CU_ASSERT_EQUAL(top_parse_delay("0.1"), 100);
    CU_ASSERT_EQUAL(top_parse_delay("2"), 2000);
    CU_ASSERT_EQUAL(top_parse_delay("86400"), TOP_DELAY_MAX_MS);
    static const char *const wrong[] = {"", "x", "0", "0.09", "1s", "nan", "inf", "-1", "86401", "1e99"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CU_ASSERT_EQUAL(top_parse_delay(wrong[i]), 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"order", test_order},
        {"filter", test_filter},
        {"rates need two readings", test_rates_need_two_readings},
        {"share", test_share},
        {"names", test_names},
        {"lines fit", test_lines_fit},
        {"delay", test_delay},
        {NULL, NULL},
    };
    return unit_main("top", tests);
}
