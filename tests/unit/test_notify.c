/*
 * What the service manager hears, and that the server does not care whether anybody listens.
 */
#include "common/clock.h"
#include "common/notify.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char folder[] = "/tmp/test_notify.XXXXXX";
static char name[sizeof(folder) + 16];
static int manager;

static unsigned count_open(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Listen as the manager does. `first`: of the name, '/' or '@'. */
static void begin(char first)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(name, sizeof(name), "%s/socket", folder);
    name[0] = first;
    memcpy(address.sun_path, name, strlen(name));
    if (first == '@')
        address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CU_ASSERT_EQUAL_FATAL(
        bind(manager, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
        0);
    CU_ASSERT_EQUAL(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void end(void)
{
    close(manager);
    if (name[0] == '/')
        unlink(name);
    unsetenv("NOTIFY_SOCKET");
}

static void check_heard(const char *expected)
{
    char text[2000];
    ssize_t size = recv(manager, text, sizeof(text) - 1, 0);

    CU_ASSERT_FATAL(size >= 0);
    text[size] = '\0';
    CU_ASSERT_STRING_EQUAL(text, expected);
}

static void check_nothing_heard(void)
{
    char byte;

    CU_ASSERT_EQUAL(recv(manager, &byte, 1, 0), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
}

static void test_heard(void)
{
    static const char first[] = {'/', '@'};

    for (unsigned i = 0; i < sizeof(first); i++) {
        begin(first[i]);
        unsigned open = count_open();
        notify("READY=1\nSTATUS=%u workers", 4u);
        notify("MAINPID=%d", 4711);
        check_heard("READY=1\nSTATUS=4 workers"); /* one datagram each, without an end of its own */
        check_heard("MAINPID=4711");
        check_nothing_heard();
        CU_ASSERT_EQUAL(count_open(), open);
        end();
    }
}

/* What does not fit is cut, not written where nothing is. */
static void test_long_text(void)
{
    static const size_t sizes[] = {510, 511, 512, 999};
    char text[1000], cut[512];

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(text, 'x', sizes[i]);
        text[sizes[i]] = '\0';
        snprintf(cut, sizeof(cut), "%.511s", text);
        begin('/');
        notify("%s", text);
        check_heard(cut);
        end();
    }
}

static void test_nobody_asked(void)
{
    unsigned open = count_open();

    unsetenv("NOTIFY_SOCKET");
    notify("READY=1");
    CU_ASSERT_EQUAL(count_open(), open);
}

static void test_has_manager(void)
{
    unsetenv("NOTIFY_SOCKET");
    CU_ASSERT_FALSE(notify_has_manager());
    setenv("NOTIFY_SOCKET", "", 1);
    CU_ASSERT_FALSE(notify_has_manager());
    setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    CU_ASSERT(notify_has_manager());
    unsetenv("NOTIFY_SOCKET");
}

/* The shortest name that is free. */
static void test_short_names(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result = -1;

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (char letter = 'a'; letter <= 'z' && result < 0; letter++) {
        snprintf(name, sizeof(name), "@%c", letter);
        address.sun_path[1] = letter;
        result = bind(manager, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 2));
    }
    CU_ASSERT_EQUAL_FATAL(result, 0);
    CU_ASSERT_EQUAL(setenv("NOTIFY_SOCKET", name, 1), 0);
    notify("READY=1");
    check_heard("READY=1");
    end();
}

static void test_not_an_address(void)
{
    static const char *const names[] = {"", "/", "@", "x", "relative/socket", "vsock:2:1234", "unix:/tmp/socket"};
    char long_name[200];
    unsigned open = count_open();

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify("READY=1");
    }
    for (size_t size = 100; size < sizeof(long_name); size++) {
        memset(long_name, 'x', size);
        long_name[0] = size % 2 ? '/' : '@';
        long_name[size] = '\0';
        setenv("NOTIFY_SOCKET", long_name, 1);
        notify("READY=1");
    }
    CU_ASSERT_EQUAL(count_open(), open);
    unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not read, and one that is gone, hold nobody up. */
static void test_nobody_listens(void)
{
    uint64_t begin_ms = clock_now_ms();

    begin('/');
    unsigned open = count_open();
    for (unsigned i = 0; i < 2000; i++)
        notify("STATUS=%u", i);
    check_heard("STATUS=0");
    CU_ASSERT_EQUAL(count_open(), open);
    close(manager);
    notify("READY=1"); /* ECONNREFUSED */
    unlink(name);
    notify("READY=1"); /* ENOENT */
    CU_ASSERT_EQUAL(count_open(), open - 1);
    CU_ASSERT(clock_now_ms() - begin_ms < 2000);
    manager = -1;
    end();
}

static void test_watchdog(void)
{
    static const struct {
        const char *us;
        uint64_t ms;
    } cases[] = {
        {NULL, 0},           {"", 0},           {"0", 0},    {"never", 0},
        {"30000000", 15000}, {"3000000", 1500}, {"2000", 1}, {"8000000000", 4000000}, /* more than 32 bits */
    };
    char pid[32];

    unsetenv("WATCHDOG_PID");
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].us)
            setenv("WATCHDOG_USEC", cases[i].us, 1);
        else
            unsetenv("WATCHDOG_USEC");
        CU_ASSERT_EQUAL(notify_watchdog_ms(), cases[i].ms);
    }
    setenv("WATCHDOG_USEC", "30000000", 1);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    CU_ASSERT_EQUAL(notify_watchdog_ms(), 15000);
    snprintf(pid, sizeof(pid), "%d", (int)getppid());
    setenv("WATCHDOG_PID", pid, 1);
    CU_ASSERT_EQUAL(notify_watchdog_ms(), 0); /* it is somebody else's */
    setenv("WATCHDOG_PID", "", 1);
    CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"heard", test_heard},
        {"long text", test_long_text},
        {"nobody asked", test_nobody_asked},
        {"has a manager", test_has_manager},
        {"short names", test_short_names},
        {"not an address", test_not_an_address},
        {"nobody listens", test_nobody_listens},
        {"watchdog", test_watchdog},
        {0},
    };
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    int result = unit_main("notify", tests);
    rmdir(folder);
    return result;
}
