/*
 * Polling instead of sleeping: when it is done, and when it is given up.
 */
#include "common/clock.h"
#include "tests/unit/unit.h"
#include "worker/busy_poll.h"

static unsigned polls, sleeps;
static int slept_ms;      /* the longest that the last sleep might have taken */
static unsigned comes_at; /* the poll that finds something; 0: none does */

/* The kernel: a sleep is always ended by an event. */
int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
    (void)fd;
    (void)events;
    (void)count;
    if (timeout_ms != 0) {
        sleeps++;
        slept_ms = timeout_ms;
        return 1;
    }
    return ++polls == comes_at;
}

static int wait_once(struct busy_poll *poll, int timeout_ms)
{
    struct epoll_event event;

    polls = sleeps = 0;
    return busy_poll_wait(poll, 0, &event, 1, timeout_ms);
}

static void test_off(void)
{
    struct busy_poll poll = {.budget_us = 0};

    comes_at = 1;
    CU_ASSERT_EQUAL(wait_once(&poll, 1000), 1);
    CU_ASSERT_EQUAL(polls, 0);
    CU_ASSERT_EQUAL(sleeps, 1);
}

static void test_it_pays(void)
{
    struct busy_poll poll = {.budget_us = 1000000};

    comes_at = 3;
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(wait_once(&poll, 1000), 1);
        CU_ASSERT_EQUAL(polls, 3);
        CU_ASSERT_EQUAL(sleeps, 0);
    }
}

/* Who need not wait does not. */
static void test_no_time(void)
{
    struct busy_poll poll = {.budget_us = 1000000};

    comes_at = 0;
    CU_ASSERT_EQUAL(wait_once(&poll, 0), 0);
    CU_ASSERT_EQUAL(polls, 1);
    CU_ASSERT_EQUAL(sleeps, 0);
}

/* Polling and sleeping together take no longer than was asked for: a timer is due then. */
static void test_no_longer_than_asked(void)
{
    struct busy_poll poll = {.budget_us = 5000};

    comes_at = 0;
    CU_ASSERT_EQUAL(wait_once(&poll, 20), 1);
    CU_ASSERT_EQUAL(sleeps, 1);
    CU_ASSERT(slept_ms <= 20 - 5);

    poll = (struct busy_poll){.budget_us = 50 * 1000};
    uint64_t begin_us = clock_now_us();
    CU_ASSERT_EQUAL(wait_once(&poll, 10), 0);
    CU_ASSERT(clock_now_us() - begin_us >= 10 * 1000);
    CU_ASSERT(clock_now_us() - begin_us < 45 * 1000);
    CU_ASSERT_EQUAL(sleeps, 0);
}

static unsigned sleeps_without_polling(struct busy_poll *poll)
{
    unsigned count = 0;

    while (wait_once(poll, 1000) == 1 && polls == 0 && count < 1000)
        count++;
    return count;
}

static void test_it_is_in_vain(void)
{
    struct busy_poll poll = {.budget_us = 1};

    comes_at = 0;
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(wait_once(&poll, 1000), 1);
        CU_ASSERT(polls > 0);
        CU_ASSERT_EQUAL(sleeps, 1);
    }
    unsigned pause = sleeps_without_polling(&poll); /* and one that polls, again in vain */
    CU_ASSERT(pause >= 60 && pause <= 64);
    CU_ASSERT(sleeps_without_polling(&poll) >= 60);
    poll.asleep = 0;
    comes_at = 1;
    CU_ASSERT_EQUAL(wait_once(&poll, 1000), 1); /* it pays again: all is forgotten */
    comes_at = 0;
    for (unsigned i = 0; i < 4; i++) {
        wait_once(&poll, 1000);
        CU_ASSERT(polls > 0);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"off", test_off},
        {"it pays", test_it_pays},
        {"no time", test_no_time},
        {"no longer than asked", test_no_longer_than_asked},
        {"it is in vain", test_it_is_in_vain},
        {0},
    };
    return unit_main("busy_poll", tests);
}
