#include "worker/busy_poll.h"
#include "common/clock.h"

enum {
    MISSES_MAX = 4, /* then it gives up ... */
    PAUSE = 64,     /* ... for so many sleeps */
};

static int poll_for_budget(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int count, uint64_t end_us)
{
    do {
        int found = epoll_wait(epoll_fd, events, count, 0);
        if (found != 0) {
            poll->misses = 0;
            return found;
        }
    } while (clock_now_us() < end_us);
    if (++poll->misses >= MISSES_MAX) {
        poll->misses = MISSES_MAX - 1; /* after the pause one miss is enough */
        poll->asleep = PAUSE;
    }
    return 0;
}

/* Poll, then sleep for what is left of the timeout: a timer is not late for having been waited for. */
static int poll_and_sleep(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int count, int timeout_ms)
{
    uint64_t begin_us = clock_now_us(), limit_us = (uint64_t)timeout_ms * 1000;
    uint64_t budget_us = poll->budget_us < limit_us ? poll->budget_us : limit_us;
    int found = poll_for_budget(poll, epoll_fd, events, count, begin_us + budget_us);

    if (found != 0)
        return found;
    if (poll->asleep > 0)
        poll->asleep--;
    uint64_t spent_ms = (clock_now_us() - begin_us + 999) / 1000;
    return epoll_wait(epoll_fd, events, count, spent_ms < (uint64_t)timeout_ms ? timeout_ms - (int)spent_ms : 0);
}

int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int count, int timeout_ms)
{
    if (poll->budget_us > 0 && poll->asleep == 0 && timeout_ms > 0)
        return poll_and_sleep(poll, epoll_fd, events, count, timeout_ms);
    if (poll->asleep > 0)
        poll->asleep--;
    return epoll_wait(epoll_fd, events, count, timeout_ms);
}
