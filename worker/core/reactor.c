#include "worker/core/reactor.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 512, SHORTAGE_US = 10 * 1000 };

int reactor_open(struct reactor *reactor, struct stats_block *stats)
{
    memset(reactor, 0, sizeof(*reactor));
    reactor->stats = stats;
    reactor->now_ns = clock_now_ns();
    reactor->now_ms = reactor->now_ns / 1000000;
    timer_init(&reactor->wheel, reactor->now_ms);
    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return reactor->epoll_fd < 0 ? -1 : 0;
}

void reactor_close(struct reactor *reactor)
{
    close(reactor->epoll_fd);
}

int reactor_want(struct reactor *reactor, struct reactor_handler *handler, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = handler};
    int change = events == REACTOR_OFF ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    int operation = handler->events == REACTOR_OFF ? EPOLL_CTL_ADD : change;

    if (events == handler->events)
        return 0;
    if (epoll_ctl(reactor->epoll_fd, operation, handler->fd, &event) < 0)
        return -1;
    handler->events = events;
    return 0;
}

/* A shortage passes: timers go on meanwhile. A descriptor that is no epoll's is a fault of ours. */
static void wait_failed(int error)
{
    static struct log_limit limit;

    if (error == EINTR)
        return;
    if (error == EBADF || error == EINVAL || error == EFAULT)
        log_fatal("epoll_wait: %s", strerror(error));
    log_limited(&limit, 1, LOG_LEVEL_ERROR, "epoll_wait: %s", strerror(error));
    usleep(SHORTAGE_US);
}

/* Count the turn, and the messages that it has read and answered, by how long it took. */
static void account_for(struct reactor *reactor, uint64_t took_ns)
{
    unsigned bucket = duration_bucket(took_ns);

    stats_count(&reactor->stats->turn_times[bucket], 1);
    for (struct turn_account *account = reactor->accounts; account; account = account->next) {
        stats_count(&account->stats->durations[DURATION_answered][bucket], account->read - account->delayed);
        account->read = account->delayed = 0;
    }
    reactor->accounts = NULL;
}

/* One turn, begun at `now_ns`; returns the time at its end. */
static uint64_t turn(struct reactor *reactor, uint64_t now_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int wait = reactor->hurry ? 0 : timer_wait(&reactor->wheel, now_ns / 1000000, REACTOR_PATIENCE_MS);
    int count = busy_poll_wait(&reactor->busy_poll, reactor->epoll_fd, events, EVENTS_PER_TURN, wait);
    uint64_t begin_ns = clock_now_ns();

    if (count < 0)
        wait_failed(errno);
    reactor->now_ns = begin_ns;
    reactor->now_ms = begin_ns / 1000000;
    for (int i = 0; i < count; i++) {
        struct reactor_handler *handler = events[i].data.ptr;
        handler->ready(handler, events[i].events);
    }
    timer_run(&reactor->wheel, reactor->now_ms);
    reactor->after_batch(reactor);

    uint64_t end_ns = clock_now_ns();
    if (end_ns - begin_ns >= (stats_read(&reactor->stats->longest_turn_us) + 1) * 1000)
        atomic_store_explicit(&reactor->stats->longest_turn_us, (end_ns - begin_ns) / 1000, memory_order_relaxed);
    stats_count(&reactor->stats->turns, 1);
    account_for(reactor, end_ns - begin_ns);
    return end_ns;
}

void reactor_run(struct reactor *reactor)
{
    uint64_t now_ns = clock_now_ns();

    for (reactor->running = true; reactor->running;)
        now_ns = turn(reactor, now_ns);
}
