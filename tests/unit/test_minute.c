/*
 * The last minute: of readings that are kept, the right one is subtracted, and whole.
 */
#include "common/minute.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { BEGIN_MS = 1000 * 1000, CHANGES = 2000 };

static struct minute_ring *ring;
static struct minute_counts counts;

static void begin(void)
{
    ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(ring != MAP_FAILED);
    memset(&counts, 0, sizeof(counts));
}

static void end(void)
{
    munmap(ring, sizeof(*ring));
}

/* A listener at either end of the array; every count is `count`. */
static void fill(uint64_t count)
{
    strcpy(counts.names[0], "first");
    strcpy(counts.names[MINUTE_LISTENERS_MAX - 1], "last");
    for (unsigned i = 0; i < DURATION_BUCKETS; i++) {
        counts.turn_times[i] = count;
        for (unsigned j = 0; j < DURATIONS; j++)
            counts.listeners[0][j][i] = counts.listeners[MINUTE_LISTENERS_MAX - 1][j][i] = count;
    }
}

static void write_at(uint64_t at_ms, uint64_t count)
{
    fill(count);
    minute_write(ring, at_ms, &counts);
}

static bool all_are(uint64_t count)
{
    bool all = true;

    for (unsigned i = 0; i < DURATION_BUCKETS; i++) {
        all &= counts.turn_times[i] == count;
        for (unsigned j = 0; j < DURATIONS; j++)
            all &= counts.listeners[0][j][i] == count && counts.listeners[MINUTE_LISTENERS_MAX - 1][j][i] == count;
    }
    return all;
}

/* Counts of `count` now: how old is what is subtracted, and what is left? */
static void check(uint64_t now_ms, uint64_t count, uint64_t window_ms, uint64_t left)
{
    fill(count);
    CU_ASSERT_EQUAL(minute_subtract(ring, now_ms, &counts), window_ms);
    CU_ASSERT(all_are(left));
}

static void test_no_reading(void)
{
    begin();
    CU_ASSERT(minute_is_due(ring, BEGIN_MS));
    check(BEGIN_MS, 7, 0, 0);
    end();
}

/* A young server: since the first reading, which may be of this very moment. */
static void test_grows(void)
{
    begin();
    write_at(BEGIN_MS, 3);
    check(BEGIN_MS, 7, 0, 0);
    check(BEGIN_MS + 1, 7, 1, 4);
    check(BEGIN_MS + 9000, 10, 9000, 7);
    CU_ASSERT_FALSE(minute_is_due(ring, BEGIN_MS + MINUTE_PERIOD_MS - 1));
    CU_ASSERT(minute_is_due(ring, BEGIN_MS + MINUTE_PERIOD_MS));
    write_at(BEGIN_MS + 10000, 11);
    check(BEGIN_MS + 12000, 12, 12000, 9);
    end();
}

/* For an hour: never much more than a minute, nor much less. */
static void test_moves(void)
{
    begin();
    for (unsigned i = 0; i <= 360; i++) {
        CU_ASSERT(minute_is_due(ring, BEGIN_MS + i * MINUTE_PERIOD_MS));
        write_at(BEGIN_MS + i * MINUTE_PERIOD_MS, i * MINUTE_PERIOD_MS);
        for (unsigned ms = 1; i > 6 && ms < MINUTE_PERIOD_MS; ms += 333) {
            uint64_t now_ms = i * MINUTE_PERIOD_MS + ms;
            fill(now_ms); /* one in a millisecond: as many are left as the window has milliseconds */
            uint64_t window_ms = minute_subtract(ring, BEGIN_MS + now_ms, &counts);
            CU_ASSERT(window_ms > MINUTE_AGE_MAX_MS - MINUTE_PERIOD_MS && window_ms <= MINUTE_AGE_MAX_MS);
            CU_ASSERT(all_are(window_ms));
        }
    }
    end();
}

/* The master has stood still: what is older says nothing about the last minute. */
static void test_a_gap(void)
{
    begin();
    write_at(BEGIN_MS, 3);
    check(BEGIN_MS + MINUTE_AGE_MAX_MS, 7, MINUTE_AGE_MAX_MS, 4);
    check(BEGIN_MS + MINUTE_AGE_MAX_MS + 1, 7, 0, 0);
    write_at(BEGIN_MS + 100000, 9);
    check(BEGIN_MS + 103000, 10, 3000, 1);
    end();
}

/* Nonsense of whoever has written there: a reading of the future, counts that become less. */
static void test_nonsense(void)
{
    begin();
    for (unsigned i = 0; i < MINUTE_READINGS; i++)
        write_at(BEGIN_MS + 60000 + i, 3);
    CU_ASSERT(minute_is_due(ring, BEGIN_MS));
    check(BEGIN_MS, 7, 0, 0);
    write_at(BEGIN_MS, 5);
    check(BEGIN_MS + 1000, 7, 1000, 2);
    check(BEGIN_MS + 1000, 4, 1000, 0);
    end();
}

/* Of a listener that had another name then all is new. */
static void test_another_name(void)
{
    begin();
    write_at(BEGIN_MS, 3);
    fill(7);
    strcpy(counts.names[0], "second");
    CU_ASSERT_EQUAL(minute_subtract(ring, BEGIN_MS + 1000, &counts), 1000);
    CU_ASSERT_EQUAL(counts.listeners[0][DURATION_answered][5], 7);
    CU_ASSERT_EQUAL(counts.listeners[MINUTE_LISTENERS_MAX - 1][DURATION_answered][5], 4);
    end();
}

/* A writer has died in the middle: that reading is not there, and its place is the next to be written. */
static void test_a_writer_that_died(void)
{
    begin();
    write_at(BEGIN_MS, 3);
    write_at(BEGIN_MS + 10000, 5);
    ring->readings[0].sequence |= 1;
    check(BEGIN_MS + 12000, 7, 2000, 2);
    write_at(BEGIN_MS + 20000, 6);
    for (unsigned i = 2; i < MINUTE_READINGS; i++)
        write_at(BEGIN_MS + 20000 + i, 6);
    CU_ASSERT_EQUAL(ring->readings[0].sequence % 2, 0);
    check(BEGIN_MS + 22000, 7, 12000, 2);
    end();
}

/* Whoever reads while others write takes one that is whole, or none. */
static void test_read_while_it_is_written(void)
{
    uint64_t last = 0;

    begin();
    write_at(BEGIN_MS, 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint64_t n = 1;; n++) {
            write_at(BEGIN_MS, n); /* of places that are equally old the first is written, and read */
            for (volatile unsigned pause = 0; pause < 5000; pause++)
                ;
        }
    }
    CU_ASSERT_FATAL(pid > 0);
    for (unsigned changes = 0; changes < CHANGES;) {
        fill(UINT64_MAX);
        if (minute_subtract(ring, BEGIN_MS + 2000, &counts) == 0)
            continue;
        CU_ASSERT_FATAL(all_are(counts.turn_times[0]));
        changes += counts.turn_times[0] != last;
        last = counts.turn_times[0];
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"no reading", test_no_reading},
        {"the window grows", test_grows},
        {"the window moves", test_moves},
        {"a gap", test_a_gap},
        {"nonsense", test_nonsense},
        {"another name", test_another_name},
        {"a writer that died", test_a_writer_that_died},
        {"read while it is written", test_read_while_it_is_written},
        {0},
    };
    return unit_main("minute", tests);
}
