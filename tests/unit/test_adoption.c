/*
 * The queues of other slots: accepted from while they are adopted, left alone afterwards, and at no moment does anybody
 * who has connected get lost.
 */
#include "common/channel.h"
#include "tests/unit/world.h"
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/wait.h>

#include <bsd/unistd.h>

enum { ADDRESSES = 2, SLOTS = 3, OWN = 0, CLIENTS = 5, BACKLOG = 64 };

/* ---- a master's side of it: for every address one queue per slot; ours are those of slot OWN ---- */

static struct sock_address addresses[SLOTS][ADDRESSES];
static int queues[SLOTS][ADDRESSES]; /* as the master has them */
static struct worker_socket sockets[ADDRESSES];
static struct listener_config configs[ADDRESSES];
static struct listener doors[ADDRESSES];
static int client, clients[CLIENTS];
static unsigned wanted_sessions;
static uint64_t disabled; /* when the worker is forked */

/* The worker's copy of a queue. */
static int copy_of(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void after_batch(struct reactor *reactor)
{
    world_after_batch(reactor);
    adoption_free_released(&listeners);
}

/* Every queue has an address of its own here, so that a test can say through which one a client comes. */
static void begin(void)
{
    world_begin(FRAMING_LINE);
    service.open = NULL; /* there are many sessions: the trace cannot tell them apart */
    service.message = echo_line;
    service.close = NULL;
    core.loop.reactor.after_batch = after_batch;
    for (unsigned i = 0; i < SLOTS; i++)
        for (unsigned j = 0; j < ADDRESSES; j++)
            queues[i][j] = listen_tcp(&addresses[i][j], BACKLOG);
    for (unsigned j = 0; j < ADDRESSES; j++) {
        configs[j] = config;
        configs[j].index = j;
        configs[j].backlog = BACKLOG;
        sockets[j] = (struct worker_socket){.fd = copy_of(queues[OWN][j]), .listener = &configs[j]};
        doors[j] = (struct listener){0};
    }
    env.slot = OWN;
    env.disabled = disabled;
    env.name = "worker";
    env.sockets = sockets;
    env.socket_count = ADDRESSES;
    listeners.array = doors;
    CU_ASSERT_EQUAL_FATAL(listener_start(&listeners), 0);
    client = -1;
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = -1;
}

static void end(void)
{
    drain_end(&core);
    session_free_dead(&core);
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    adoption_free_released(&listeners);
    CU_ASSERT(LIST_EMPTY(&listeners.adopted) && LIST_EMPTY(&listeners.released));
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        closes += (unsigned)count_closed((enum close_reason)i);
    world_end();
    for (unsigned i = 0; i < SLOTS; i++)
        for (unsigned j = 0; j < ADDRESSES; j++)
            close(queues[i][j]);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    close(client);
}

static int take(unsigned slot, unsigned index)
{
    return adoption_take(&listeners, slot, index, copy_of(queues[slot][index]));
}

static unsigned count_adopted(void)
{
    const struct queue *queue;
    unsigned count = 0;

    LIST_FOREACH(queue, &listeners.adopted, link)
        count++;
    return count;
}

/* ---- clients ---- */

static int visit(const struct sock_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, &address->any, address->size) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void visit_all(const struct sock_address *address)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        CU_ASSERT((clients[i] = visit(address)) >= 0);
}

static bool refuses(const struct sock_address *address)
{
    int fd = visit(address);

    if (fd < 0)
        return errno == ECONNREFUSED;
    close(fd);
    return false;
}

static bool has_sessions(void)
{
    return core.session_count == wanted_sessions;
}

static void expect_sessions(unsigned count)
{
    wanted_sessions = count;
    CU_ASSERT(run_until(has_sessions));
}

/* Nothing comes of it, however long one waits. */
static void expect_no_more(unsigned count)
{
    run_turns(10);
    CU_ASSERT_EQUAL(core.session_count, count);
}

static void check_echo(int fd)
{
    peer = fd;
    say("hello\n");
    check_got("hello\n");
    peer = -1;
}

/* Who waits in the queue of the master, and is still well. */
static unsigned count_waiting(int queue)
{
    unsigned count = 0;

    for (int fd; (fd = accept4(queue, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; count++) {
        char byte;
        CU_ASSERT(recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == EAGAIN); /* no reset */
        close(fd);
    }
    return count;
}

static uint64_t accepted(unsigned index)
{
    return stats_read(&stats.listeners[index].accepted);
}

/* ---- taking ---- */

/* The sessions are those of our listener for that address, wherever they have come in. */
static void test_take(void)
{
    begin();
    CU_ASSERT_EQUAL(take(1, 1), 0);
    client = visit(&addresses[1][1]);
    expect_sessions(1);
    CU_ASSERT_PTR_EQUAL(section_of(LIST_FIRST(&core.live)), &doors[1].section);
    CU_ASSERT(accepted(0) == 0 && accepted(1) == 1);
    check_echo(client);
    end();
}

/* ---- an operator disables a listener ---- */

static bool all_are_turned_away(void)
{
    return stats_read(&stats.listeners[0].refused) == 2 * CLIENTS;
}

static bool is_reset(int fd)
{
    char byte;

    return recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

/* At its own queue, and at one that is adopted before or afterwards; the other listener goes on, and so do sessions. */
static void test_disable(void)
{
    begin();
    configs[1].position = 5;
    client = visit(&addresses[OWN][0]);
    expect_sessions(1);
    listener_disable(&listeners, 0, true);
    CU_ASSERT_EQUAL(take(1, 0), 0);
    for (unsigned slot = 0; slot < 2; slot++) {
        visit_all(&addresses[slot][0]);
        for (unsigned i = 0; slot == 0 && i < CLIENTS; i++) {
            run_turns(3);
            CU_ASSERT(is_reset(clients[i]));
            close(clients[i]);
        }
    }
    CU_ASSERT(run_until(all_are_turned_away));
    for (unsigned i = 0; i < CLIENTS; i++) {
        CU_ASSERT(is_reset(clients[i]));
        close(clients[i]);
        clients[i] = -1;
    }
    CU_ASSERT_EQUAL(accepted(0), 1);
    check_echo(client);
    clients[0] = visit(&addresses[OWN][1]);
    expect_sessions(2);
    listener_disable(&listeners, 5, true); /* by its position in the configuration, which is no index */
    listener_disable(&listeners, 0, false);
    clients[1] = visit(&addresses[OWN][0]);
    clients[2] = visit(&addresses[1][0]);
    expect_sessions(4);
    CU_ASSERT(accepted(0) == 3 && accepted(1) == 1);
    clients[3] = visit(&addresses[OWN][1]);
    run_turns(3);
    CU_ASSERT(is_reset(clients[3]));
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[1].refused), 1);
    listener_disable(&listeners, 7, true); /* of another pool */
    configs[1].position = 0;
    end();
}

/* What has been disabled before the worker was forked. */
static void test_disabled_from_the_start(void)
{
    disabled = 1;
    begin();
    disabled = 0;
    client = visit(&addresses[OWN][0]);
    run_turns(3);
    CU_ASSERT(is_reset(client) && accepted(0) == 0);
    listener_disable(&listeners, 0, false);
    clients[0] = visit(&addresses[OWN][0]);
    expect_sessions(1);
    end();
}

/* Who has been waiting there, and who comes now; and our own queues go on. */
static void test_who_waits(void)
{
    begin();
    visit_all(&addresses[2][0]);
    expect_no_more(0);
    CU_ASSERT_EQUAL(take(2, 0), 0);
    expect_sessions(CLIENTS);
    client = visit(&addresses[2][0]);
    expect_sessions(CLIENTS + 1);
    close(client);
    expect_sessions(CLIENTS);
    client = visit(&addresses[OWN][0]);
    expect_sessions(CLIENTS + 1);
    check_echo(client);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_echo(clients[i]);
    CU_ASSERT_EQUAL(count_waiting(queues[2][0]), 0);
    end();
}

/* Small packets go out at once, as through our own queues. */
static void test_no_delay(void)
{
    int on = 0;
    socklen_t size = sizeof(on);

    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    client = visit(&addresses[1][0]);
    expect_sessions(1);
    int fd = LIST_FIRST(&core.live)->client.handler.fd;
    CU_ASSERT_EQUAL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    CU_ASSERT(on);
    CU_ASSERT(fcntl(fd, F_GETFL) & O_NONBLOCK);
    end();
}

/* What cannot be taken is closed, and nothing remains of it. */
static void test_refused(void)
{
    begin();
    int fd = copy_of(queues[1][0]);
    CU_ASSERT_EQUAL(adoption_take(&listeners, 1, ADDRESSES, fd), -1);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1);
    fd = copy_of(queues[1][0]);
    CU_ASSERT_EQUAL(adoption_take(&listeners, 1, UINT32_MAX, fd), -1);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1);
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    errno = 0;
    CU_ASSERT_EQUAL(adoption_take(&listeners, 1, 0, fd), -1);
    CU_ASSERT_EQUAL(errno, EPERM); /* nothing to wait for in a file */
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1);
    CU_ASSERT_EQUAL(count_adopted(), 0);
    end();
}

/* ---- releasing ---- */

/* It would be reported for ever, and accept nothing. */
static void test_shut_down_by_somebody(void)
{
    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    shutdown(queues[1][0], SHUT_RDWR);
    run_turns(3);
    CU_ASSERT_EQUAL(LIST_FIRST(&listeners.adopted)->handler.fd, -1);
    log_set_level(LOG_LEVEL_ERROR);
    admission_pause(&listeners, "a test");
    listener_resume(&listeners, true);
    log_set_level(LOG_LEVEL_INFO);
    CU_ASSERT_EQUAL(LIST_FIRST(&listeners.adopted)->handler.events, REACTOR_OFF);
    CU_ASSERT_EQUAL(doors[0].queue.handler.events, EPOLLIN);
    end();
}

static void test_release(void)
{
    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    visit_all(&addresses[1][0]);
    expect_sessions(CLIENTS);
    int fd = LIST_FIRST(&listeners.adopted)->handler.fd;
    adoption_release(&listeners, 1);
    CU_ASSERT_EQUAL(count_adopted(), 0);
    client = visit(&addresses[1][0]);
    expect_no_more(CLIENTS);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1);
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 1); /* for its own worker */
    for (unsigned i = 0; i < CLIENTS; i++)
        check_echo(clients[i]); /* who has been accepted is ours */
    end();
}

/* A slot is released with all its queues, and no other one is. */
static void test_release_one_of_many(void)
{
    begin();
    for (unsigned slot = 1; slot < SLOTS; slot++)
        for (unsigned j = 0; j < ADDRESSES; j++)
            CU_ASSERT_EQUAL(take(slot, j), 0);
    adoption_release(&listeners, 7);
    CU_ASSERT_EQUAL(count_adopted(), 4);
    adoption_release(&listeners, OWN); /* ours are not adopted */
    CU_ASSERT_EQUAL(count_adopted(), 4);
    adoption_release(&listeners, 1);
    CU_ASSERT_EQUAL(count_adopted(), 2);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (unsigned j = 0; j < ADDRESSES; j++)
            close(visit(&addresses[slot][j]));
    run_turns(10);
    CU_ASSERT(accepted(0) == 2 && accepted(1) == 2);
    CU_ASSERT(count_waiting(queues[1][0]) == 1 && count_waiting(queues[1][1]) == 1);
    CU_ASSERT(count_waiting(queues[2][0]) == 0 && count_waiting(queues[2][1]) == 0);
    adoption_release(&listeners, 2);
    adoption_release(&listeners, 1); /* again */
    CU_ASSERT_EQUAL(count_adopted(), 0);
    run_turns(1);
    CU_ASSERT(LIST_EMPTY(&listeners.released));
    end();
}

/* Said twice, as when the control pipe was full in the middle of it: nobody is served twice, and one word ends it. */
static void test_taken_twice(void)
{
    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    CU_ASSERT_EQUAL(take(1, 0), 0);
    visit_all(&addresses[1][0]);
    expect_sessions(CLIENTS);
    adoption_release(&listeners, 1);
    client = visit(&addresses[1][0]);
    expect_no_more(CLIENTS);
    end();
}

/* ---- in the middle of a batch of events ---- */

static struct reactor_handler trigger;
static void (*action)(void);
static void (*queue_was_ready)(struct reactor_handler *handler, uint32_t events);
static unsigned queue_events, trigger_events;

static void on_trigger(struct reactor_handler *handler, uint32_t events)
{
    (void)events;
    reactor_want(&core.loop.reactor, handler, REACTOR_OFF);
    trigger_events++;
    CU_ASSERT_EQUAL(queue_events, 0); /* it is the first of the batch */
    action();
}

static void on_queue(struct reactor_handler *handler, uint32_t events)
{
    queue_events++;
    queue_was_ready(handler, events);
}

/* One batch: first the action happens, then a client is at the door of queue 0 of slot 1, which is adopted. */
static void run_batch(void (*what)(void))
{
    struct reactor_handler *handler;

    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    action = what;
    queue_events = trigger_events = 0;
    handler = &LIST_FIRST(&listeners.adopted)->handler;
    queue_was_ready = handler->ready;
    handler->ready = on_queue;
    trigger = (struct reactor_handler){.fd = eventfd(1, EFD_CLOEXEC), .events = REACTOR_OFF, .ready = on_trigger};
    reactor_want(&core.loop.reactor, &trigger, EPOLLIN);
    client = visit(&addresses[1][0]);
    run_turns(1);
    CU_ASSERT_EQUAL(trigger_events, 1);
    CU_ASSERT_EQUAL(queue_events, 1); /* the event was there, and its queue still was, too */
    close(trigger.fd);
}

static void release(void)
{
    adoption_release(&listeners, 1);
}

static void release_and_take(void)
{
    adoption_release(&listeners, 1);
    CU_ASSERT_EQUAL(take(1, 0), 0);
}

static void stop(void)
{
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
}

static void do_nothing(void)
{
}

static void test_batch(void)
{
    run_batch(do_nothing);
    CU_ASSERT_EQUAL(core.session_count, 1);
    end();
}

static void test_release_in_a_batch(void)
{
    run_batch(release);
    expect_no_more(0);
    CU_ASSERT(LIST_EMPTY(&listeners.released));
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 1);
    end();
}

static void test_release_and_take_in_a_batch(void)
{
    run_batch(release_and_take);
    expect_sessions(1);
    CU_ASSERT_EQUAL(count_adopted(), 1);
    check_echo(client);
    end();
}

static void test_stop_in_a_batch(void)
{
    run_batch(stop);
    expect_no_more(0);
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 1);
    doors[0].queue.handler.fd = doors[1].queue.handler.fd = -1; /* end() stops again */
    end();
}

/* ---- a pause ---- */

/* Enough sessions: adopted queues wait as well, also when they are adopted meanwhile. */
static void test_pause(void)
{
    begin();
    env.max_sessions = 2;
    log_set_level(LOG_LEVEL_ERROR);
    CU_ASSERT_EQUAL(take(1, 0), 0);
    visit_all(&addresses[1][0]);
    expect_sessions(2);
    run_turns(3);
    CU_ASSERT_EQUAL(take(2, 1), 0);
    const struct queue *queue;
    LIST_FOREACH(queue, &listeners.adopted, link)
        CU_ASSERT_EQUAL(queue->handler.events, 0);
    client = visit(&addresses[2][1]);
    expect_no_more(2);
    env.max_sessions = 100;
    expect_sessions(CLIENTS + 1);
    LIST_FOREACH(queue, &listeners.adopted, link)
        CU_ASSERT_EQUAL(queue->handler.events, EPOLLIN);
    log_set_level(LOG_LEVEL_INFO);
    check_echo(client);
    end();
}

/* ---- stopping ---- */

/* Slot 1 is adopted, and one client waits at each of its doors and of ours. */
static void begin_stopping(void)
{
    begin();
    CU_ASSERT_EQUAL(take(1, 0), 0);
    CU_ASSERT_EQUAL(take(1, 1), 0);
    for (unsigned i = 0; i < 4; i++)
        clients[i] = visit(&addresses[i / 2][i % 2]);
}

static void end_stopping(void)
{
    CU_ASSERT_EQUAL(count_adopted(), 0);
    run_turns(3);
    CU_ASSERT(LIST_EMPTY(&listeners.released));
    for (unsigned j = 0; j < ADDRESSES; j++) {
        CU_ASSERT_EQUAL(doors[j].queue.handler.events, REACTOR_OFF);
        doors[j].queue.handler.fd = -1; /* end() stops again */
    }
    end();
}

static void test_stop_leave(void)
{
    begin_stopping();
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    CU_ASSERT_EQUAL(core.session_count, 0);
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_FALSE(refuses(&addresses[i / 2][i % 2]));
        CU_ASSERT_EQUAL(count_waiting(queues[i / 2][i % 2]), 2);
    }
    end_stopping();
}

static void test_stop_refuse(void)
{
    begin_stopping();
    listener_stop(&listeners, STOP_REFUSE);
    adoption_release_all(&listeners);
    CU_ASSERT_EQUAL(core.session_count, 4);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(refuses(&addresses[i / 2][i % 2]));
    CU_ASSERT_FALSE(refuses(&addresses[2][0])); /* which was not adopted */
    for (unsigned i = 0; i < 4; i++)
        check_echo(clients[i]);
    end_stopping();
}

/* Nobody else is left to serve an orphan's queues, but for siblings that have adopted them, too. */
static void test_stop_orphan(void)
{
    begin_stopping();
    listener_stop(&listeners, STOP_ORPHAN);
    adoption_release_all(&listeners);
    CU_ASSERT_EQUAL(core.session_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_FALSE(refuses(&addresses[i / 2][i % 2]));
        check_echo(clients[i]);
    }
    end_stopping();
}

/* One address leaves the configuration: who waits there is served, by us; nobody else may come. The other one stays. */
static void test_stop_refused_address(void)
{
    begin_stopping();
    doors[1].closing = true;
    close(visit(&addresses[OWN][1])); /* until then everybody may */
    listener_stop(&listeners, STOP_LEAVE);
    adoption_release_all(&listeners);
    CU_ASSERT_EQUAL(core.session_count, 3);
    CU_ASSERT(accepted(0) == 0 && accepted(1) == 3);
    CU_ASSERT(refuses(&addresses[OWN][1]) && refuses(&addresses[1][1]));
    CU_ASSERT_FALSE(refuses(&addresses[OWN][0]) || refuses(&addresses[1][0]));
    CU_ASSERT_EQUAL(count_waiting(queues[OWN][0]), 2);
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 2);
    check_echo(clients[1]);
    check_echo(clients[3]);
    end_stopping();
}

/* ---- a whole worker, by its control pipe ---- */

static int channel;
static pid_t worker;
static struct stats_area *area;
static struct stats_block *block;

static void begin_worker(void)
{
    int ends[2], fd = stats_create();

    begin();
    area = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
    close(fd);
    CU_ASSERT_EQUAL_FATAL(channel_open(ends), 0);
    env.channel = ends[1];
    block = stats_take(area, 0, getpid());
    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    env.linger_timeout_ms = 1000;
    fflush(stdout);
    worker = fork();
    if (worker == 0) {
        close(ends[0]);
        env.stats = stats_enter(area, block);
        log_set_level(LOG_LEVEL_FATAL);
        alarm(UNIT_PATIENCE_S);
        _exit(worker_run(&env));
    }
    CU_ASSERT_FATAL(worker > 0);
    close(ends[1]);
    channel = ends[0];
    for (unsigned j = 0; j < ADDRESSES; j++) /* what is left in this process must not accept */
        reactor_want(&core.loop.reactor, &doors[j].queue.handler, REACTOR_OFF);
}

static void await_worker(void)
{
    int status;

    CU_ASSERT_EQUAL(waitpid(worker, &status, 0), worker);
    CU_ASSERT_EQUAL(status, 0);
}

static void end_worker(void)
{
    close(channel);
    stats_detach(area);
    env.channel = -1;
    end();
}

static void tell(enum channel_type type, uint32_t value)
{
    CU_ASSERT_EQUAL(channel_send(channel, type, value), CHANNEL_OK);
}

/* Both queues of a slot, the wrong way round: the message says which is which. */
static void tell_adopt(unsigned slot)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .value = slot, .count = 2, .address = {1, 0}};

    CU_ASSERT_EQUAL(channel_send_fds(channel, &message, (const int[]){queues[slot][1], queues[slot][0]}), CHANNEL_OK);
}

/* A line there and back, by a client that waits. */
static void check_blocking_echo(int fd)
{
    char bytes[6] = "";

    CU_ASSERT_EQUAL(write(fd, "hello\n", 6), 6);
    CU_ASSERT_EQUAL(recv(fd, bytes, 6, MSG_WAITALL), 6);
    CU_ASSERT_EQUAL(memcmp(bytes, "hello\n", 6), 0);
}

/* The worker has read what it was told: it turns when there is something to read. */
static void let_it_hear(void)
{
    int fd = visit(&addresses[OWN][0]);

    check_blocking_echo(fd);
    close(fd);
}

static void test_worker(void)
{
    struct channel_message message;
    char bytes[6];

    begin_worker();
    clients[0] = visit(&addresses[1][0]);
    clients[1] = visit(&addresses[1][1]);
    clients[4] = visit(&addresses[1][0]);
    tell_adopt(1);
    check_blocking_echo(clients[0]);
    check_blocking_echo(clients[1]);
    check_blocking_echo(clients[4]);
    CU_ASSERT_EQUAL(stats_read(&block->listeners[0].accepted), 2);
    CU_ASSERT_EQUAL(stats_read(&block->listeners[1].accepted), 1);
    tell(CHANNEL_RELEASE, 1);
    let_it_hear();
    clients[2] = visit(&addresses[1][0]);
    let_it_hear();
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 1);
    check_blocking_echo(clients[0]);
    tell_adopt(2);
    tell(CHANNEL_REFUSE, 1);
    clients[3] = visit(&addresses[2][1]);
    check_blocking_echo(clients[3]);
    client = visit(&addresses[1][0]);
    CU_ASSERT_EQUAL(write(clients[3], "hel", 3), 3);
    let_it_hear(); /* and now it has something to finish */
    tell(CHANNEL_DRAIN, 5000);
    tell_adopt(1); /* too late: a worker that drains adopts nothing */
    CU_ASSERT_EQUAL(write(clients[3], "lo\n", 3), 3);
    CU_ASSERT_EQUAL(recv(clients[3], bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(clients[i]);
        clients[i] = -1;
    }
    CU_ASSERT_EQUAL(channel_receive(channel, &message, NULL), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.type, CHANNEL_READY);
    await_worker();
    CU_ASSERT_EQUAL(count_waiting(queues[1][0]), 1);
    CU_ASSERT(refuses(&addresses[OWN][1]) && refuses(&addresses[2][1]));
    CU_ASSERT_FALSE(refuses(&addresses[OWN][0]) || refuses(&addresses[2][0]) || refuses(&addresses[1][1]));
    end_worker();
}

int main(int argc, char **argv, char **environment)
{
    static const struct unit_test tests[] = {
        {"take", test_take},
        {"disable", test_disable},
        {"disabled from the start", test_disabled_from_the_start},
        {"who waits", test_who_waits},
        {"no delay", test_no_delay},
        {"refused", test_refused},
        {"shut down by somebody", test_shut_down_by_somebody},
        {"release", test_release},
        {"release one of many", test_release_one_of_many},
        {"taken twice", test_taken_twice},
        {"batch", test_batch},
        {"release in a batch", test_release_in_a_batch},
        {"release and take in a batch", test_release_and_take_in_a_batch},
        {"stop in a batch", test_stop_in_a_batch},
        {"pause", test_pause},
        {"stop, leave", test_stop_leave},
        {"stop, refuse", test_stop_refuse},
        {"stop, orphan", test_stop_orphan},
        {"stop, refused address", test_stop_refused_address},
        {"worker", test_worker},
        {0},
    };
    setproctitle_init(argc, argv, environment);
    return unit_main("adoption", tests);
}
