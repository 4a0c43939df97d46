/*
 * The reactor: a wait that fails, turns that are counted, and what epoll is told.
 */
#include "common/log.h"
#include "tests/unit/world.h"
#include <sys/resource.h>
#include <sys/wait.h>

static unsigned naps;

int usleep(useconds_t us)
{
    (void)us;
    naps++;
    return 0;
}

static enum verdict start_timer(struct session *session)
{
    session_set_timer(session, 30);
    return SESSION_CONTINUE;
}

/* A signal, and a shortage that passes: nobody notices, and timers go on meanwhile. */
static void check_wait_fails(int error, unsigned expected_naps)
{
    world_begin(FRAMING_LINE);
    script.open = start_timer;
    script.message = echo_line;
    world_connect();
    log_set_level(LOG_LEVEL_FATAL);
    naps = 0;
    wait_error = error;
    run_turns(1);
    CU_ASSERT_EQUAL(naps, expected_naps);
    CU_ASSERT_EQUAL(wait_error, 0);
    wait_error = error;
    skipped_ms += 40;
    run_turns(1);
    check_trace("open timeout ");
    log_set_level(LOG_LEVEL_INFO);
    say("a\n");
    check_got("a\n");
    hang_up();
    CU_ASSERT(run_until(is_over));
    world_end();
}

static void test_wait_fails(void)
{
    check_wait_fails(EINTR, 0);
    check_wait_fails(ENOMEM, 1);
}

/* What is no epoll's is a fault of ours: the worker ends, and another one takes its place. */
static void test_no_epoll(void)
{
    static const int errors[] = {EBADF, EINVAL, EFAULT};
    int status;

    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        world_begin(FRAMING_LINE);
        pid_t pid = fork();
        if (pid == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0});
            signal(SIGABRT, SIG_DFL); /* a sanitizer would make a report of it */
            close(STDERR_FILENO);
            wait_error = errors[i];
            run_turns(1);
            _exit(0);
        }
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        world_end();
    }
}

static unsigned message_ms; /* how long the service takes for one */

static enum verdict take_time(struct session *session, const char *bytes, size_t size)
{
    (void)session;
    (void)bytes;
    (void)size;
    skipped_ms += message_ms;
    return SESSION_CONTINUE;
}

static uint64_t longest_after(unsigned ms)
{
    message_ms = ms;
    say("a\n");
    run_turns(2);
    return stats_read(&stats.longest_turn_us);
}

/* The heartbeat, and the longest time that all other clients have waited for one. */
static void test_turns(void)
{
    world_begin(FRAMING_LINE);
    script.message = take_time;
    world_connect();
    uint64_t longest = longest_after(50);
    CU_ASSERT(longest >= 50 * 1000 && longest < 10 * 1000 * 1000);
    CU_ASSERT_EQUAL(longest_after(20), longest);
    CU_ASSERT(longest_after(90) >= longest + 30 * 1000);
    uint64_t turns = stats_read(&stats.turns);
    run_turns(7);
    CU_ASSERT_EQUAL(stats_read(&stats.turns), turns + 7);
    hang_up();
    CU_ASSERT(run_until(is_over));
    world_end();
}

/* No system call for what it waits for already; what epoll has refused has not happened. */
static void test_want(void)
{
    struct reactor *reactor = &core.loop.reactor;

    world_begin(FRAMING_LINE);
    int fd = eventfd(0, EFD_CLOEXEC);
    struct reactor_handler handler = {.fd = fd, .events = REACTOR_OFF, .ready = nothing_ready};
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, REACTOR_OFF), 0);
    CU_ASSERT_EQUAL(epoll_changes, 0);
    add_error = ENOSPC;
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, EPOLLIN), -1);
    CU_ASSERT_EQUAL(errno, ENOSPC);
    CU_ASSERT_EQUAL(handler.events, REACTOR_OFF);
    add_error = 0;
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, EPOLLIN), 0);
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, EPOLLIN), 0);
    CU_ASSERT_EQUAL(epoll_changes, 1);
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, 0), 0);
    CU_ASSERT_EQUAL(handler.events, 0);
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, REACTOR_OFF), 0);
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, EPOLLIN), 0); /* and in again */
    CU_ASSERT_EQUAL(reactor_want(reactor, &handler, REACTOR_OFF), 0);
    CU_ASSERT_EQUAL(epoll_changes, 5);
    close(fd);
    world_end();
}

static void test_open_fails(void)
{
    struct rlimit before, tight;
    static struct reactor reactor;
    int next = dup(0);

    close(next);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    CU_ASSERT_EQUAL(reactor_open(&reactor, &stats), -1);
    CU_ASSERT_EQUAL(errno, EMFILE);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Who begins something before the first turn, as a service that connects at its start, knows the time. */
static void test_time_before_the_first_turn(void)
{
    static struct reactor reactor;

    CU_ASSERT_EQUAL(reactor_open(&reactor, &stats), 0);
    CU_ASSERT(reactor.now_ns > 0);
    CU_ASSERT_EQUAL(reactor.now_ms, reactor.now_ns / 1000000);
    reactor_close(&reactor);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"wait fails", test_wait_fails},
        {"no epoll", test_no_epoll},
        {"turns", test_turns},
        {"want", test_want},
        {"open fails", test_open_fails},
        {"time before the first turn", test_time_before_the_first_turn},
        {0},
    };
    return unit_main("reactor", tests);
}
