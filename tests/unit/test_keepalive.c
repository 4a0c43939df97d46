/*
 * Peers that vanish: what the kernel is told to do, and what is concluded from what it says.
 */
#include "tests/unit/world.h"
#include "worker/keepalive.h"
#include <linux/tcp.h>

enum { KEEPALIVE_MS = 1000, SYSTEM_IDLE_S = 7200, SYSTEM_INTERVAL_S = 75, SYSTEM_PROBES = 9 };

/* ---- the kernel: what was set, and what TCP_INFO says of the client's connection ---- */

static struct tcp_info info;
static unsigned looks;
static int system_idle_s = SYSTEM_IDLE_S;
static int client_fd; /* the session's side */

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (level == IPPROTO_TCP && name == TCP_INFO && fd == client_fd) {
        looks++;
        memset(value, 0, *size);
        memcpy(value, &info, *size < sizeof(info) ? *size : sizeof(info));
        return 0;
    }
    return (int)syscall(SYS_getsockopt, fd, level, name, value, size);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, level, name, &value, &size) < 0 ? -1 : value;
}

static void check_probing(uint32_t keepalive_ms, int idle, int interval, int count)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    keepalive_set(fd, keepalive_ms);
    CU_ASSERT_EQUAL(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CU_ASSERT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle);
    CU_ASSERT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval);
    CU_ASSERT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), count);
    CU_ASSERT((uint64_t)(idle + interval * count) * 1000 <= 3 * (uint64_t)keepalive_ms);
    keepalive_set(fd, 0);
    CU_ASSERT_EQUAL(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(fd);
}

static void test_probing(void)
{
    check_probing(1000, 1, 1, 2);
    check_probing(1999, 1, 1, 2);
    check_probing(2000, 2, 1, 4);
    check_probing(7000, 7, 1, 4);
    check_probing(60000, 60, 15, 4);
    CU_ASSERT_EQUAL(system_idle_s, SYSTEM_IDLE_S);
}

/* Who is accepted has what the listening socket was given; a unix socket is left alone. */
static void test_inherited(void)
{
    struct sock_address address;
    int door = listen_tcp(&address, 4), pair[2];

    keepalive_set(door, 60000);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(connect(client, &address.any, address.size), 0);
    int accepted = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    CU_ASSERT_EQUAL(option_of(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
    CU_ASSERT_EQUAL(option_of(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    CU_ASSERT_EQUAL(option_of(accepted, IPPROTO_TCP, TCP_KEEPCNT), 4);
    close(client);
    close(accepted);
    close(door);
    CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    keepalive_set(pair[0], 60000);
    close(pair[0]);
    close(pair[1]);
}

/* ---- looking ---- */

static uint64_t now_ms;

static void begin(void)
{
    world_begin(FRAMING_LINE);
    config.keepalive_ms = KEEPALIVE_MS;
    script.message = echo_line;
    world_connect_tcp();
    client_fd = the_session->client.handler.fd;
    now_ms = core.loop.reactor.now_ms;
    memset(&info, 0, sizeof(info));
    looks = 0;
}

/* The clock goes on; nothing else happens. */
static void pass(uint32_t ms)
{
    now_ms += ms;
    core.loop.reactor.now_ms = now_ms;
    timer_run(&core.loop.reactor.wheel, now_ms);
}

/* The peer has been silent for this long, and was asked again in vain so often. */
static void says(uint32_t unacked, uint32_t notsent, uint8_t retransmits, uint8_t probes, uint32_t silent_ms)
{
    info.tcpi_unacked = unacked;
    info.tcpi_notsent_bytes = notsent;
    info.tcpi_retransmits = retransmits;
    info.tcpi_probes = probes;
    info.tcpi_last_ack_recv = silent_ms;
}

static bool has_ended(void)
{
    return the_session->client.phase == CONN_CLOSED;
}

static void end(const char *expected)
{
    session_free_dead(&core);
    check_trace(expected);
    world_end();
}

/* Bytes are sent again and again, and nobody says that they have come: gone within three times keepalive. */
static void test_gone_with_bytes_under_way(void)
{
    uint32_t passed = 0;

    begin();
    for (says(1, 0, 3, 0, 0); !has_ended() && passed < 10 * KEEPALIVE_MS; passed += 100) {
        info.tcpi_last_ack_recv = passed;
        pass(100);
    }
    CU_ASSERT(has_ended());
    CU_ASSERT(passed >= KEEPALIVE_MS);
    CU_ASSERT(passed <= 3 * KEEPALIVE_MS + 200);
    CU_ASSERT_EQUAL(count_closed(CLOSE_reset), 1);
    end("open close:reset ");
}

/* The window is closed and the probes are not answered. */
static void test_gone_with_a_closed_window(void)
{
    begin();
    says(0, 5000, 0, 1, KEEPALIVE_MS);
    pass(KEEPALIVE_MS + 2 * TIMER_TICK_MS);
    CU_ASSERT_FALSE(has_ended()); /* an answer may just be on its way */
    info.tcpi_last_ack_recv += KEEPALIVE_MS;
    pass(KEEPALIVE_MS + 2 * TIMER_TICK_MS);
    CU_ASSERT(has_ended());
    end("open close:reset ");
}

/* It does not read, but answers each probe: for as long as it likes. It need not be asked for often either. */
static void test_closed_window_lives(void)
{
    begin();
    for (unsigned i = 0; i < 100; i++) {
        says(0, 5000, 0, i % 2, i % 2 ? 100 : KEEPALIVE_MS + 500); /* a probe is on its way; the last answer is old */
        pass(KEEPALIVE_MS);
        CU_ASSERT_FALSE_FATAL(has_ended());
    }
    CU_ASSERT(looks >= 45);
    end("open ");
}

/* A loss that is made good in time is no death. */
static void test_a_loss_is_no_death(void)
{
    begin();
    says(2, 0, 4, 0, KEEPALIVE_MS + 100);
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    CU_ASSERT_EQUAL(looks, 1);
    says(1, 0, 0, 0, 20);
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    says(2, 0, 4, 0, KEEPALIVE_MS + 100);
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    says(0, 0, 0, 0, 20);
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    CU_ASSERT_FALSE(has_ended());
    end("open ");
}

/* An idle connection costs no system call: the kernel's own probes find it out. */
static void test_idle_costs_nothing(void)
{
    begin();
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    pass(KEEPALIVE_MS + TIMER_TICK_MS);
    unsigned before = looks;
    for (unsigned i = 0; i < 50; i++)
        pass(KEEPALIVE_MS);
    CU_ASSERT_EQUAL(looks, before);
    CU_ASSERT(before <= 2);
    end("open ");
}

static void test_off(void)
{
    world_begin(FRAMING_LINE);
    world_connect_tcp();
    client_fd = the_session->client.handler.fd;
    looks = 0;
    CU_ASSERT_EQUAL(the_session->timer.due_ms, 0);
    now_ms = core.loop.reactor.now_ms;
    pass(100000);
    CU_ASSERT_EQUAL(looks, 0);
    end("open ");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"probing", test_probing},
        {"inherited", test_inherited},
        {"gone, bytes under way", test_gone_with_bytes_under_way},
        {"gone, window closed", test_gone_with_a_closed_window},
        {"window closed, lives", test_closed_window_lives},
        {"a loss is no death", test_a_loss_is_no_death},
        {"idle costs nothing", test_idle_costs_nothing},
        {"off", test_off},
        {0},
    };
    return unit_main("keepalive", tests);
}
