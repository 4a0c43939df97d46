/*
 * Counters: seen across processes, kept across deaths, and their sums agree.
 */
#include "common/stats.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/wait.h>

/* A child that counts and dies without a word. */
static void count_in_child(struct stats_block *block, void (*work)(struct stats_block *block))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        work(block);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

static void some_work(struct stats_block *block)
{
    struct stats_listener *listener = &block->listeners[3];

    stats_count(&block->turns, 100);
    stats_count(&block->longest_turn_us, 500);
    stats_count(&block->accept_pauses, 2);
    stats_count(&listener->accepted, 10);
    stats_count(&listener->closed[CLOSE_peer], 3);
    stats_count(&listener->closed[CLOSE_idle], 1);
    stats_count(&listener->bytes_in, (uint64_t)5 << 32);
    stats_count(&listener->messages_out, 7);
    stats_count(&block->listeners[STATS_LISTENERS_MAX - 1].accepted, 1);
    stats_count(&block->listeners[STATS_LISTENERS_MAX - 1].closed[CLOSE_memory], 1);
}

static uint64_t closed(const struct stats_listener *listener)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        sum += stats_read(&listener->closed[i]);
    return sum;
}

static void check_identity(const struct stats_block *block)
{
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++) {
        const struct stats_listener *listener = &block->listeners[i];
        CU_ASSERT_EQUAL(stats_read(&listener->accepted),
                        stats_open(listener) + closed(listener) + stats_read(&listener->lost));
    }
}

static void check_zero(const struct stats_block *block)
{
    static const struct stats_block zero;

    CU_ASSERT_EQUAL(memcmp(block, &zero, sizeof(zero)), 0);
}

static void test_shared(void)
{
    struct stats_block *blocks = stats_map(3);

    CU_ASSERT_PTR_NOT_NULL_FATAL(blocks);
    for (unsigned i = 0; i < 3; i++)
        check_zero(&blocks[i]);
    CU_ASSERT_EQUAL((uintptr_t)&blocks[1] % 64, 0);
    count_in_child(&blocks[1], some_work);
    check_zero(&blocks[0]);
    check_zero(&blocks[2]);
    CU_ASSERT_EQUAL(stats_read(&blocks[1].turns), 100);
    CU_ASSERT_EQUAL(stats_read(&blocks[1].listeners[3].accepted), 10);
    CU_ASSERT_EQUAL(stats_read(&blocks[1].listeners[3].bytes_in), (uint64_t)5 << 32);
    CU_ASSERT_EQUAL(stats_open(&blocks[1].listeners[3]), 6);
    CU_ASSERT_EQUAL(stats_open(&blocks[1].listeners[STATS_LISTENERS_MAX - 1]), 0);
    check_identity(&blocks[1]);
}

static void test_fold(void)
{
    struct stats_block *block = stats_map(1);
    static struct stats_block total;

    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    for (unsigned life = 1; life <= 3; life++) {
        count_in_child(block, some_work);
        stats_fold(&total, block);
        check_zero(block);
        check_identity(&total);
        const struct stats_listener *listener = &total.listeners[3];
        CU_ASSERT_EQUAL(stats_read(&listener->accepted), life * 10);
        CU_ASSERT_EQUAL(stats_read(&listener->lost), life * 6);
        CU_ASSERT_EQUAL(stats_open(listener), 0);
        CU_ASSERT_EQUAL(stats_read(&listener->closed[CLOSE_peer]), life * 3);
        CU_ASSERT_EQUAL(stats_read(&listener->closed[CLOSE_idle]), life);
        CU_ASSERT_EQUAL(stats_read(&listener->bytes_in), life * ((uint64_t)5 << 32));
        CU_ASSERT_EQUAL(stats_read(&total.listeners[STATS_LISTENERS_MAX - 1].lost), 0);
        CU_ASSERT_EQUAL(stats_read(&total.turns), life * 100);
        CU_ASSERT_EQUAL(stats_read(&total.accept_pauses), life * 2);
        CU_ASSERT_EQUAL(stats_read(&total.longest_turn_us), 500);
    }
    stats_count(&block->longest_turn_us, 499);
    stats_fold(&total, block);
    CU_ASSERT_EQUAL(stats_read(&total.longest_turn_us), 500);
    stats_count(&block->longest_turn_us, 501);
    stats_fold(&total, block);
    CU_ASSERT_EQUAL(stats_read(&total.longest_turn_us), 501);
}

static unsigned fill(struct stats_listener *listener)
{
    unsigned n = 0;

#define X(name, help) stats_count(&listener->name, ++n);
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        stats_count(&listener->closed[i], ++n);
    return n;
}

/* No counter is forgotten: all of them are 8 bytes, one after the other. */
static void test_add(void)
{
    struct stats_listener one = {0}, sum = {0};

    CU_ASSERT_EQUAL(fill(&one), sizeof(one) / sizeof(stats_counter));
    stats_add(&sum, &one);
    CU_ASSERT_EQUAL(memcmp(&sum, &one, sizeof(one)), 0);
    stats_add(&sum, &one);
    const stats_counter *counters = (const stats_counter *)&sum;
    for (unsigned i = 0; i < sizeof(one) / sizeof(stats_counter); i++)
        CU_ASSERT_EQUAL(stats_read(&counters[i]), 2 * (i + 1));
}

/* Read while the child is between two counters: never a number below zero. */
static void test_open_is_never_negative(void)
{
    struct stats_listener listener = {0};

    stats_count(&listener.closed[CLOSE_done], 1);
    CU_ASSERT_EQUAL(stats_open(&listener), 0);
    stats_count(&listener.accepted, 3);
    CU_ASSERT_EQUAL(stats_open(&listener), 2);
    stats_count(&listener.lost, 2);
    CU_ASSERT_EQUAL(stats_open(&listener), 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"shared", test_shared},
        {"fold", test_fold},
        {"add", test_add},
        {"open is never negative", test_open_is_never_negative},
        {0},
    };
    return unit_main("stats", tests);
}
