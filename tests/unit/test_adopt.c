/*
 * Whose accept queues are served by whom: real queues, and workers that are nothing but the other end of a control
 * pipe.
 */
#include "common/log.h"
#include "master/adopt.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

enum { WORKERS = 4 };

static struct fleet fleet;
static struct generation current;
static const struct service service;
static struct listener_config listener;
static struct slot slots[WORKERS];
static int workers[WORKERS]; /* their ends of the control pipes */

static void begin(void)
{
    char error[256];

    memset(&fleet, 0, sizeof(fleet));
    memset(&listener, 0, sizeof(listener));
    current = (struct generation){.number = 1, .conf.pool_count = 1};
    generation_set_pools(&current);
    current.pools[0].count = current.pools[0].wanted = WORKERS;
    strlcpy(listener.name, "test", sizeof(listener.name));
    listener.service = &service;
    listener.backlog = 10;
    listener.address_count = 1;
    CU_ASSERT_EQUAL_FATAL(sock_parse(&listener.addresses[0], "127.0.0.1:0", error, sizeof(error)), 0);
    current.conf.listeners = &listener;
    current.conf.listener_count = 1;
    CU_ASSERT_EQUAL_FATAL(
        endpoints_claim(&fleet.endpoints, &current.conf, &current.pools[0].wanted, error, sizeof(error)), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        int ends[2];
        CU_ASSERT_EQUAL_FATAL(channel_open(ends), 0);
        slots[i] = (struct slot){.id = i, .conf = &current.conf, .pool = &current.pools[0], .channel = ends[0]};
        slots[i].supervised.state = SUPERVISOR_RUNNING;
        workers[i] = ends[1];
        current.pools[0].slots[i] = &slots[i];
    }
    fleet.current = &current;
}

static void end(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        close(workers[i]);
        slot_close_channel(&slots[i]);
    }
    endpoints_fini(&fleet.endpoints, true);
}

static void expect(unsigned worker, enum channel_type type, uint32_t number)
{
    struct channel_message message;
    int fds[CHANNEL_FDS_MAX];

    CU_ASSERT_EQUAL_FATAL(channel_receive(workers[worker], &message, fds), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.type, type);
    CU_ASSERT_EQUAL(message.value, number);
    CU_ASSERT_EQUAL(message.count, type == CHANNEL_ADOPT);
    for (unsigned i = 0; i < message.count; i++) {
        CU_ASSERT_TRUE(sock_is_listening(fds[i]));
        close(fds[i]);
    }
}

/* What has been expected is all that was sent. */
static void expect_nothing(void)
{
    struct channel_message message;

    for (unsigned i = 0; i < WORKERS; i++)
        CU_ASSERT_EQUAL(channel_receive(workers[i], &message, NULL), CHANNEL_AGAIN);
}

static void test_all_run(void)
{
    begin();
    adopt_sync(&fleet);
    expect_nothing();
    for (unsigned i = 0; i < WORKERS; i++) {
        CU_ASSERT_FALSE(current.pools[0].adopted[i]);
        CU_ASSERT_EQUAL(adopt_count(&slots[i]), 0);
    }
    end();
}

/* Queues of another pool are no concern of these siblings. */
static void test_another_pool(void)
{
    begin();
    listener.pool = 1;
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    expect_nothing();
    listener.pool = 0;
    adopt_sync(&fleet);
    expect(3, CHANNEL_ADOPT, 2);
    expect(0, CHANNEL_ADOPT, 2);
    expect_nothing();
    end();
}

/* The next two that run, once; when it is back they let go. */
static void test_silent(void)
{
    begin();
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    adopt_sync(&fleet);
    expect(3, CHANNEL_ADOPT, 2);
    expect(0, CHANNEL_ADOPT, 2);
    expect_nothing();
    CU_ASSERT_TRUE(current.pools[0].adopted[2]);
    CU_ASSERT_EQUAL(adopt_count(&slots[0]), 1);
    CU_ASSERT_EQUAL(adopt_count(&slots[1]), 0);
    slots[2].supervised.state = SUPERVISOR_RUNNING;
    adopt_sync(&fleet);
    expect(3, CHANNEL_RELEASE, 2);
    expect(0, CHANNEL_RELEASE, 2);
    expect_nothing();
    CU_ASSERT_FALSE(current.pools[0].adopted[2]);
    CU_ASSERT_EQUAL(adopt_count(&slots[0]), 0);
    end();
}

/* An adopter that hangs as well is replaced by the next one. */
static void test_adopter_hangs(void)
{
    begin();
    slots[1].supervised.state = SUPERVISOR_BACKOFF;
    adopt_sync(&fleet);
    expect(2, CHANNEL_ADOPT, 1);
    expect(3, CHANNEL_ADOPT, 1);
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    expect(3, CHANNEL_ADOPT, 2);
    expect(0, CHANNEL_ADOPT, 1);
    expect(0, CHANNEL_ADOPT, 2);
    expect_nothing();
    CU_ASSERT_EQUAL(adopt_count(&slots[2]), 0); /* who does not run serves nobody */
    CU_ASSERT_EQUAL(adopt_count(&slots[3]), 2);
    end();
}

/* The queues of a number that is wanted no more are served by all. */
static void test_retired_number(void)
{
    begin();
    current.pools[0].count = current.pools[0].wanted = WORKERS - 1;
    adopt_sync(&fleet);
    for (unsigned i = 0; i < WORKERS - 1; i++)
        expect(i, CHANNEL_ADOPT, WORKERS - 1);
    expect_nothing();
    end();
}

/* One that will be started for the first time is about to be served. */
static void test_start(void)
{
    begin();
    current.pools[0].count = WORKERS - 1;
    slots[2].supervised.state = SUPERVISOR_STARTING;
    adopt_sync(&fleet);
    expect_nothing();
    slots[2].supervised.state = SUPERVISOR_SLOW;
    adopt_sync(&fleet);
    expect(0, CHANNEL_ADOPT, 2);
    expect(1, CHANNEL_ADOPT, 2);
    end();
}

/* Who had no room for what it was sent is told again, after a moment. */
static void test_missed(void)
{
    begin();
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    expect(3, CHANNEL_ADOPT, 2);
    expect(0, CHANNEL_ADOPT, 2);
    CU_ASSERT_EQUAL(slots[0].adopts_sent, 1);
    adopt_missed(&slots[0], 2);
    adopt_missed(&slots[0], 2);
    CU_ASSERT_EQUAL(adopt_count(&slots[0]), 0);
    adopt_sync(&fleet);
    expect_nothing();
    usleep(150 * 1000);
    adopt_sync(&fleet);
    expect(0, CHANNEL_ADOPT, 2);
    expect_nothing();
    end();
}

static void test_full_pipe(void)
{
    struct channel_message message;

    begin();
    unsigned filled = 0;
    while (channel_send(slots[3].channel, CHANNEL_REOPEN_LOG, 0) == CHANNEL_OK)
        filled++;
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    expect(0, CHANNEL_ADOPT, 2);
    CU_ASSERT_EQUAL(adopt_count(&slots[3]), 0);
    for (; filled > 0; filled--)
        CU_ASSERT_EQUAL(channel_receive(workers[3], &message, NULL), CHANNEL_OK);
    adopt_sync(&fleet);
    expect(3, CHANNEL_ADOPT, 2);
    expect_nothing();
    end();
}

/* A dead worker need not be told, and nobody else is kept waiting. */
static void test_closed_pipe(void)
{
    begin();
    close(workers[3]);
    workers[3] = dup(workers[0]);
    slots[2].supervised.state = SUPERVISOR_SILENT;
    adopt_sync(&fleet);
    expect(0, CHANNEL_ADOPT, 2);
    slot_close_channel(&slots[3]);
    adopt_sync(&fleet);
    expect(1, CHANNEL_ADOPT, 2);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"all run", test_all_run},
        {"another pool", test_another_pool},
        {"one is silent", test_silent},
        {"an adopter hangs", test_adopter_hangs},
        {"a retired number", test_retired_number},
        {"start", test_start},
        {"missed", test_missed},
        {"a full pipe", test_full_pipe},
        {"a closed pipe", test_closed_pipe},
        {0},
    };

    log_open("/dev/null");
    return unit_main("adopt", tests);
}
