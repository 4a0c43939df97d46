/*
 * The state in shared memory: what is read is what was written, whole, also while it is written again and again.
 */
#include "common/state.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READS = 2000 };

static struct state_record *record;
static struct master_state state, copy;

static void begin(void)
{
    record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(record != MAP_FAILED);
    memset(&state, 0, sizeof(state));
    memset(&copy, 0, sizeof(copy));
}

static void end(void)
{
    munmap(record, sizeof(*record));
}

/* Every part says the same number. */
static void fill(uint32_t number)
{
    state.generation = number;
    state.worker_count = number % 7;
    state.pool_count = 1;
    state.pools[0].wanted = number;
    for (unsigned i = 0; i < state.worker_count; i++)
        state.workers[i] = (struct state_worker){.id = i, .generation = number, .part = i % 3};
}

static bool is_whole(const struct master_state *read)
{
    bool whole = read->pools[0].wanted == read->generation && read->worker_count == read->generation % 7;

    for (unsigned i = 0; i < read->worker_count; i++)
        whole &= read->workers[i].generation == read->generation && read->workers[i].id == i;
    return whole;
}

static void test_nobody_has_written(void)
{
    begin();
    CU_ASSERT_FALSE(state_read(record, &copy));
    end();
}

static void test_write_and_read(void)
{
    begin();
    for (uint32_t i = 1; i < 20; i++) {
        fill(i);
        state_write(record, &state);
        CU_ASSERT_TRUE(state_read(record, &copy));
        CU_ASSERT_TRUE(is_whole(&copy) && copy.generation == i);
        CU_ASSERT_EQUAL(state_serving(&copy), (copy.worker_count + 2) / 3);
    }
    end();
}

/* A writer that has died in the middle is no reason to wait for ever; the next one puts it right. */
static void test_a_writer_that_died(void)
{
    begin();
    fill(5);
    state_write(record, &state);
    atomic_fetch_add(&record->sequence, 1);
    CU_ASSERT_FALSE(state_read(record, &copy));
    fill(6);
    state_write(record, &state);
    CU_ASSERT_TRUE(state_read(record, &copy));
    CU_ASSERT_EQUAL(copy.generation, 6);
    end();
}

static void test_while_it_is_written(void)
{
    begin();
    fill(1);
    state_write(record, &state);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint32_t i = 2;; i++) {
            fill(i);
            state_write(record, &state);
            usleep(1);
        }
    }
    for (unsigned i = 0; i < READS; i++)
        if (state_read(record, &copy))
            CU_ASSERT_TRUE_FATAL(is_whole(&copy));
    while (copy.generation < 3)
        state_read(record, &copy);
    kill(pid, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    end();
}

/* Whoever has written it: nobody who reads it leaves an array, or a text. */
static void test_a_forged_state(void)
{
    begin();
    memset(&state, 'x', sizeof(state));
    state.worker_count = 1;
    state_write(record, &state);
    memset(&record->state, 0xff, sizeof(record->state));
    CU_ASSERT_TRUE(state_read(record, &copy));
    CU_ASSERT_EQUAL(copy.worker_count, STATE_WORKERS_MAX);
    CU_ASSERT_EQUAL(copy.listener_count, STATE_LISTENERS_MAX);
    CU_ASSERT_EQUAL(copy.pool_count, STATE_POOLS_MAX);
    CU_ASSERT_EQUAL(copy.listeners[63].counter_count, STATE_COUNTERS_MAX);
    CU_ASSERT_EQUAL(strlen(copy.version), sizeof(copy.version) - 1);
    CU_ASSERT_EQUAL(strlen(copy.conf_path), sizeof(copy.conf_path) - 1);
    CU_ASSERT_EQUAL(strlen(copy.workers[4095].state), sizeof(copy.workers[0].state) - 1);
    CU_ASSERT_EQUAL(strlen(copy.listeners[63].addresses[15]), SOCK_TEXT_SIZE - 1);
    end();
}

/* No text of a struct: all of its bytes are the same, but for the last one. */
#define CHECK_TEXT(text) CU_ASSERT_EQUAL(strnlen(text, sizeof(text)), sizeof(text) - 1)

static void test_forged_texts(void)
{
    begin();
    memset(&state, 'x', sizeof(state));
    state_write(record, &state);
    memset(&record->state, 'x', sizeof(record->state));
    CU_ASSERT_TRUE_FATAL(state_read(record, &copy));
    CHECK_TEXT(copy.version);
    CHECK_TEXT(copy.phase);
    CHECK_TEXT(copy.conf_path);
    for (unsigned i = 0; i < STATE_POOLS_MAX; i++)
        CHECK_TEXT(copy.pools[i].name);
    for (unsigned i = 0; i < STATE_WORKERS_MAX; i++) {
        CHECK_TEXT(copy.workers[i].pool);
        CHECK_TEXT(copy.workers[i].state);
    }
    for (unsigned i = 0; i < STATE_LISTENERS_MAX; i++) {
        const struct state_listener *listener = &copy.listeners[i];
        CHECK_TEXT(listener->name);
        CHECK_TEXT(listener->service);
        CHECK_TEXT(listener->pool);
        CU_ASSERT_EQUAL(listener->address_count, STATE_ADDRESSES_MAX);
        CU_ASSERT_EQUAL(listener->counter_count, STATE_COUNTERS_MAX);
        for (unsigned j = 0; j < STATE_ADDRESSES_MAX; j++)
            CHECK_TEXT(listener->addresses[j]);
        for (unsigned j = 0; j < STATE_COUNTERS_MAX; j++) {
            CHECK_TEXT(listener->counters[j].name);
            CHECK_TEXT(listener->counters[j].help);
        }
    }
    end();
}

/* ---- a writer that has lost its CPU in the middle ---- */

static bool time_passes;     /* without anybody who waits for it */
static unsigned naps;        /* of the reader */
static unsigned wakes_after; /* naps until the writer goes on; 0: never */

int usleep(useconds_t us)
{
    if (!time_passes)
        return nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    if (++naps == wakes_after)
        state_write(record, &state);
    return 0;
}

/* The reader leaves the CPU to it, for about a second at most. */
static void test_a_writer_that_sleeps(void)
{
    begin();
    fill(5);
    state_write(record, &state);
    atomic_fetch_add(&record->sequence, 1);
    time_passes = true;
    naps = wakes_after = 0;
    CU_ASSERT_FALSE(state_read(record, &copy));
    CU_ASSERT(naps > 500 && naps < 2000);
    fill(6);
    naps = 0;
    wakes_after = 3;
    CU_ASSERT_TRUE(state_read(record, &copy));
    CU_ASSERT(naps == 3 && copy.generation == 6);
    naps = 0;
    CU_ASSERT_TRUE(state_read(record, &copy)); /* mostly nobody waits */
    CU_ASSERT_EQUAL(naps, 0);
    time_passes = false;
    end();
}

static uint64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_changes(void)
{
    static struct state_change change;
    uint64_t begun_ms = real_ms();

    state_note_change(&change, true, "because");
    CU_ASSERT_TRUE(change.count == 1 && change.failed && change.at_ms >= begun_ms && change.at_ms <= real_ms());
    CU_ASSERT_STRING_EQUAL(change.text, "because");
    state_note_change(&change, false, "well");
    CU_ASSERT_TRUE(change.count == 2 && !change.failed);
    CU_ASSERT_STRING_EQUAL(change.text, "well");
}

/* ---- names of workers ---- */

static void add(const char *pool, uint32_t id, pid_t pid, enum state_part part)
{
    struct state_worker *worker = &state.workers[state.worker_count++];

    *worker = (struct state_worker){.id = id, .pid = pid, .part = part};
    strcpy(worker->pool, pool);
}

static pid_t found(const char *name)
{
    const struct state_worker *worker = state_find_worker(&state, name);

    return worker ? worker->pid : -1;
}

static void test_names_of_workers(void)
{
    memset(&state, 0, sizeof(state));
    add("bank", 0, 100, STATE_SERVES);
    add("main", 0, 200, STATE_LEAVES);
    add("main", 0, 201, STATE_STARTS);
    add("main", 0, 202, STATE_SERVES);
    add("main", 1, 0, STATE_SERVES); /* it has no process now */
    add("main", 2, 203, STATE_SERVES);
    add("ban", 0, 300, STATE_SERVES);
    CU_ASSERT_EQUAL(found("0"), 202);
    CU_ASSERT_EQUAL(found("main/0"), 202);
    CU_ASSERT_EQUAL(found("main/2"), 203);
    CU_ASSERT_EQUAL(found("1"), -1);
    CU_ASSERT_EQUAL(found("bank/0"), 100);
    CU_ASSERT_EQUAL(found("ban/0"), 300);
    CU_ASSERT_EQUAL(found("203"), 203);
    CU_ASSERT_EQUAL(found("100"), 100);
    static const char *const unknown[] = {
        "200",    "201", "3",  "main/3", "main/203", "bank/1",   "b/0",      "banks/0",    "/0",
        "main/",  "",    "-1", "x",      "0x",       "main/0/0", "bank/ 0x", "4294967296", "18446744073709551616",
        "main//0"};
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        if (found(unknown[i]) != -1)
            CU_FAIL(unknown[i]);
}

/* In a container pids are as small as the numbers of workers: the worker 5 is never the one whose pid is 5. */
static void test_numbers_before_pids(void)
{
    memset(&state, 0, sizeof(state));
    add("other", 7, 5, STATE_SERVES);
    add("main", 5, 400, STATE_SERVES);
    CU_ASSERT_EQUAL(found("5"), 400);
    CU_ASSERT_EQUAL(found("other/7"), 5);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"nobody has written", test_nobody_has_written},
        {"write and read", test_write_and_read},
        {"a writer that died", test_a_writer_that_died},
        {"while it is written", test_while_it_is_written},
        {"a forged state", test_a_forged_state},
        {"forged texts", test_forged_texts},
        {"a writer that sleeps", test_a_writer_that_sleeps},
        {"changes", test_changes},
        {"names of workers", test_names_of_workers},
        {"numbers before pids", test_numbers_before_pids},
        {0},
    };
    return unit_main("state", tests);
}
