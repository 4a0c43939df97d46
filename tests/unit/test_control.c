/*
 * What a control service asks of the master: each request while it serves, while it is busy and while it stops, with
 * any name and any number. The answer is read from the control pipe; the workers are no processes.
 */
#include "common/channel.h"
#include "common/log.h"
#include "master/control.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <bsd/string.h>

static const struct service echo_service = {.name = "echo"}, control_service = {.name = "control", .operates = true};
static struct listener_config listeners[2];
static struct master master;
static struct slot *asker, *worker;
static int asker_end, worker_end;
static struct channel_message got;
static int got_fd;

static struct slot *add_slot(unsigned pool_index, int *end, pid_t pid)
{
    struct pool *pool = &master.fleet.current->pools[pool_index];
    struct slot *slot = slot_new(0, 1, pool, RESPAWN_none);
    int fds[2];

    CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
    CU_ASSERT_EQUAL_FATAL(channel_open(fds), 0);
    slot->channel = fds[0];
    *end = fds[1];
    slot->pid = pid;
    slot->ready_ms = 1;
    slot->supervised.state = SUPERVISOR_RUNNING;
    pool->slots[pool->count++] = slot;
    pool->wanted = 1;
    return slot;
}

static void begin(void)
{
    struct generation *current = generation_new(1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(current);
    memset(&master, 0, sizeof(master));
    master.fleet.current = current;
    master.fleet.context.stats = stats_without_file();
    CU_ASSERT_PTR_NOT_NULL_FATAL(master.fleet.context.stats);
    current->conf.pool_count = 2;
    current->conf.pools[0] = (struct pool_config){.name = "main", .listener_count = 1};
    current->conf.pools[1] = (struct pool_config){.name = "admin", .listener_count = 1, .operates = true};
    listeners[0] = (struct listener_config){.name = "echo", .service = &echo_service};
    listeners[1] = (struct listener_config){.name = "control", .service = &control_service, .position = 1};
    current->conf.listeners = listeners;
    current->conf.listener_count = 2;
    current->conf.log_level = LOG_LEVEL_INFO;
    generation_set_pools(current);
    worker = add_slot(0, &worker_end, 1000001);
    asker = add_slot(1, &asker_end, 1000002);
}

static void end(void)
{
    close(asker_end);
    close(worker_end);
    for (unsigned i = 0; i < 2; i++)
        slot_close_channel(master.fleet.current->pools[i].slots[0]);
    slot_free(worker);
    slot_free(asker);
    master.fleet.current->pools[0].count = master.fleet.current->pools[1].count = 0;
    master.fleet.current->conf.listeners = NULL;
    master.fleet.current->conf.listener_count = 0;
    generation_free(master.fleet.current);
    munmap(master.fleet.context.stats, sizeof(struct stats_area));
    log_set_level(LOG_LEVEL_INFO);
}

/* Ask; there is one answer, which is `text`. */
static void ask_for(uint32_t kind, uint32_t number, const char *name, const char *text, bool is_refused)
{
    struct request request = {.id = 77, .kind = kind, .number = number};
    int fds[CHANNEL_FDS_MAX];

    memset(request.name, 'x', sizeof(request.name));
    memcpy(request.name, name, strnlen(name, sizeof(request.name)) + (strlen(name) < sizeof(request.name)));
    control_carry_out(&master, asker, &request);
    CU_ASSERT_EQUAL_FATAL(channel_receive(asker_end, &got, fds), CHANNEL_OK);
    CU_ASSERT(got.type == CHANNEL_ANSWER && got.answer.id == 77);
    CU_ASSERT_STRING_EQUAL(got.answer.text, text);
    CU_ASSERT_EQUAL(got.answer.is_refused, is_refused);
    got_fd = got.count ? fds[0] : -1;
    CU_ASSERT_EQUAL(channel_receive(asker_end, &got, fds), CHANNEL_AGAIN);
}

/* It is done without a word, or refused with `refusal`. */
static void ask(uint32_t kind, uint32_t number, const char *name, const char *refusal)
{
    ask_for(kind, number, name, refusal, refusal[0] != '\0');
}

static void test_signals(void)
{
    begin();
    ask(REQUEST_RELOAD, 0, "", "");
    CU_ASSERT_EQUAL(master.requests, MASTER_RELOAD);
    ask(REQUEST_STOP, 0, "", "");
    ask(REQUEST_UPGRADE, 0, "", "");
    CU_ASSERT_EQUAL(master.requests, MASTER_RELOAD | MASTER_STOP | MASTER_UPGRADE);
    end();
}

static void test_disable(void)
{
    struct conf *conf;

    begin();
    conf = &master.fleet.current->conf;
    ask_for(REQUEST_DISABLE, 0, "echo", "the listener echo is disabled", false);
    CU_ASSERT_EQUAL(conf->disabled, 1);
    ask(REQUEST_DISABLE, 0, "control", "nobody could enable a control listener again");
    ask_for(REQUEST_ENABLE, 0, "control", "the listener control is enabled", false);
    ask(REQUEST_ENABLE, 0, "none", "there is no listener none");
    CU_ASSERT_EQUAL(conf->disabled, 1);
    struct generation *next = generation_new(2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(next);
    next->conf.listeners = listeners;
    next->conf.listener_count = 1;
    master.fleet.next = next;
    ask_for(REQUEST_DISABLE, 0, "echo", "the listener echo is disabled", false); /* for the one that starts as well */
    CU_ASSERT(conf->disabled == 1 && next->conf.disabled == 1);
    ask_for(REQUEST_ENABLE, 0, "echo", "the listener echo is enabled", false);
    CU_ASSERT(conf->disabled == 0 && next->conf.disabled == 0);
    master.fleet.next = NULL;
    next->conf.listeners = NULL;
    next->conf.listener_count = 0;
    generation_free(next);
    end();
}

static void test_log_level(void)
{
    begin();
    ask_for(REQUEST_LOG_LEVEL, LOG_LEVEL_ERROR, "", "log_level is error, until the next reload", false);
    CU_ASSERT_EQUAL(master.fleet.current->conf.log_level, LOG_LEVEL_ERROR);
    ask(REQUEST_LOG_LEVEL, LOG_LEVEL_ERROR + 1, "", "there is no such level");
    ask(REQUEST_LOG_LEVEL, UINT32_MAX, "", "there is no such level");
    CU_ASSERT_EQUAL(master.fleet.current->conf.log_level, LOG_LEVEL_ERROR);
    end();
}

static void test_inspect(void)
{
    int fds[CHANNEL_FDS_MAX];
    char byte = 'x';

    begin();
    ask(REQUEST_INSPECT, 1000001, "", "");
    CU_ASSERT_FATAL(got_fd >= 0);
    CU_ASSERT_EQUAL_FATAL(channel_receive(worker_end, &got, fds), CHANNEL_OK);
    CU_ASSERT(got.type == CHANNEL_INSPECT && got.count == 1);
    CU_ASSERT_EQUAL(write(got_fd, &byte, 1), 1); /* these two are one connection */
    CU_ASSERT(read(fds[0], &byte, 1) == 1 && byte == 'x');
    close(got_fd);
    close(fds[0]);
    ask(REQUEST_INSPECT, 7, "", "there is no worker with pid 7 that is ready");
    ask(REQUEST_INSPECT, 0, "", "there is no worker with pid 0 that is ready");
    ask(REQUEST_INSPECT, UINT32_MAX, "", "there is no worker with pid 4294967295 that is ready");
    worker->ready_ms = 0;
    ask(REQUEST_INSPECT, 1000001, "", "there is no worker with pid 1000001 that is ready");
    worker->ready_ms = 1;
    while (channel_send(worker->channel, CHANNEL_REOPEN_LOG, 0) == CHANNEL_OK)
        ;
    ask(REQUEST_INSPECT, 1000001, "", "worker 0 cannot be told");
    CU_ASSERT_EQUAL(got_fd, -1);
    end();
}

/* Who asks does not read: nothing is kept for it. */
static void test_an_asker_that_does_not_read(void)
{
    const struct request request = {.kind = REQUEST_INSPECT, .number = 1000001};

    begin();
    while (channel_send(asker->channel, CHANNEL_REOPEN_LOG, 0) == CHANNEL_OK)
        ;
    unsigned before = unit_count_fds(false);
    for (unsigned i = 0; i < 2000; i++)
        control_carry_out(&master, asker, &request);
    CU_ASSERT_EQUAL(unit_count_fds(false), before);
    end();
}

static void test_names(void)
{
    char text[128];

    begin();
    ask(REQUEST_RESTART, 0, "none", "there is no pool none");
    ask(REQUEST_RESIZE, 1, "mai", "there is no pool mai");
    ask(REQUEST_RESIZE, 1, "", "there is no pool ");
    snprintf(text, sizeof(text), "there is no pool %.47s", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    ask(REQUEST_RESIZE, 1, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", text); /* without an end */
    ask(REQUEST_RESTART, 0, "main", "the pool main has no worker that is ready");
    master.fleet.current->pools[0].running = 1;
    ask(REQUEST_RESTART, 0, "main", "");
    ask(REQUEST_DRAIN, 7, "", "there is no worker with pid 7 that is ready");
    worker->supervised.state = SUPERVISOR_SILENT;
    ask(REQUEST_DRAIN, 1000001, "", "worker 0 hangs");
    worker->supervised.state = SUPERVISOR_RUNNING;
    ask(REQUEST_KINDS, 0, "", "this master cannot do that");
    ask(UINT32_MAX, 0, "", "this master cannot do that");
    end();
}

static void test_busy(void)
{
    static const char busy[] = "a start, a reload, an upgrade or a stop is under way";

    begin();
    master.reload.state = RELOAD_RESOLVING;
    ask(REQUEST_RESIZE, 1, "main", busy);
    ask(REQUEST_RESTART, 0, "main", busy);
    ask(REQUEST_UPGRADE, 0, "", busy);
    CU_ASSERT_EQUAL(master.requests, 0);
    ask(REQUEST_RELOAD, 0, "", ""); /* it waits */
    ask(REQUEST_STOP, 0, "", "");
    ask_for(REQUEST_DISABLE, 0, "echo", "the listener echo is disabled", false);
    end();
}

/* It changes nothing any more, but sessions that drain can be seen, and ended. */
static void test_stopping(void)
{
    begin();
    master.phase = MASTER_STOPPING;
    for (uint32_t kind = 0; kind <= REQUEST_KINDS; kind++)
        if (kind != REQUEST_INSPECT)
            ask(kind, 1, "main", "the server stops");
    CU_ASSERT(master.requests == 0 && master.fleet.current->conf.disabled == 0);
    ask(REQUEST_INSPECT, 1000001, "", "");
    CU_ASSERT(got_fd >= 0);
    close(got_fd);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"signals", test_signals},
        {"disable", test_disable},
        {"log level", test_log_level},
        {"inspect", test_inspect},
        {"an asker that does not read", test_an_asker_that_does_not_read},
        {"names", test_names},
        {"busy", test_busy},
        {"stopping", test_stopping},
        {0},
    };

    log_open("/dev/null");
    if (log_open("/dev/null") < 0) /* one descriptor, as often as a test opens it */
        return EXIT_FAILURE;
    return unit_main("control", tests);
}
