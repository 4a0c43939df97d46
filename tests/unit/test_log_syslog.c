/*
 * Messages to the daemon behind /dev/log: one datagram or record each, whoever that daemon is, wherever it has been.
 */
#include "common/log.h"
#include "common/log_syslog.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>

#include <bsd/string.h>

static char folder[] = "/tmp/ccs-syslog-XXXXXX";
static char path[64]; /* of the test's own daemon */
static int daemon_fd = -1, peer = -1;

/* ---- a daemon of our own behind that name ---- */

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    const struct sockaddr_un *wanted = (const struct sockaddr_un *)address;
    struct sockaddr_un ours = {.sun_family = AF_UNIX};

    CU_ASSERT_EQUAL(address->sa_family, AF_UNIX);
    CU_ASSERT_EQUAL(size, sizeof(*wanted));
    CU_ASSERT_STRING_EQUAL(wanted->sun_path, _PATH_LOG);
    strlcpy(ours.sun_path, path, sizeof(ours.sun_path));
    return (int)syscall(SYS_connect, fd, &ours, sizeof(ours));
}

static bool takes_no_end; /* the daemon, of a record: there is no room for it */

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr cut = *message;

    if (takes_no_end)
        cut.msg_iovlen = 1;
    return syscall(SYS_sendmsg, fd, &cut, flags);
}

static void start_daemon(int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strlcpy(address.sun_path, path, sizeof(address.sun_path));
    daemon_fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(daemon_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    if (type == SOCK_STREAM)
        CU_ASSERT_EQUAL_FATAL(listen(daemon_fd, 5), 0);
}

static void stop_daemon(void)
{
    close(daemon_fd);
    if (peer >= 0)
        close(peer);
    peer = -1;
    unlink(path);
}

static void accept_peer(void)
{
    peer = accept4(daemon_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CU_ASSERT_FATAL(peer >= 0);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool send_text(const char *text)
{
    return log_syslog_send(text, strlen(text));
}

static void check_received(int fd, const char *bytes, size_t size)
{
    char text[256];

    CU_ASSERT_EQUAL(recv(fd, text, sizeof(text), 0), (ssize_t)size);
    CU_ASSERT_EQUAL(memcmp(text, bytes, size), 0);
}

static void check_nothing_received(int fd)
{
    char byte;

    CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
}

static unsigned descriptors;

static void begin(int type)
{
    descriptors = open_descriptors();
    start_daemon(type);
    log_syslog_open();
}

static void end(void)
{
    log_syslog_close();
    stop_daemon();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
}

/* ---- datagrams ---- */

static void test_datagrams(void)
{
    begin(SOCK_DGRAM);
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2);
    CU_ASSERT(send_text("<29>one"));
    CU_ASSERT(send_text("<30>another"));
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2); /* both on one connection */
    check_received(daemon_fd, "<29>one", 7);
    check_received(daemon_fd, "<30>another", 11);
    check_nothing_received(daemon_fd);
    end();
}

/* Whoever is executed later does not have it. */
static void test_closed_by_exec(void)
{
    begin(SOCK_DGRAM);
    unsigned kept = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        kept += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    log_syslog_close();
    unsigned kept_without = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        kept_without += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    CU_ASSERT_EQUAL(kept, kept_without);
    end();
}

/* It does not read: messages are lost, not waited for, and the connection stays. */
static void test_full(void)
{
    char text[64];
    unsigned sent = 0;

    begin(SOCK_DGRAM);
    for (; sent < 100000 && snprintf(text, sizeof(text), "%u", sent) && send_text(text); sent++)
        ;
    CU_ASSERT(sent > 0 && sent < 100000);
    CU_ASSERT_FALSE(send_text("lost"));
    for (unsigned i = 0; i < sent; i++) {
        snprintf(text, sizeof(text), "%u", i);
        check_received(daemon_fd, text, strlen(text));
    }
    CU_ASSERT(send_text("again"));
    check_received(daemon_fd, "again", 5);
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2);
    end();
}

/* ---- daemons come and go ---- */

static void test_no_daemon(void)
{
    descriptors = open_descriptors();
    log_syslog_open();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    CU_ASSERT_FALSE(send_text("lost"));
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    start_daemon(SOCK_DGRAM); /* later than we */
    CU_ASSERT(send_text("found"));
    check_received(daemon_fd, "found", 5);
    stop_daemon();
    CU_ASSERT_FALSE(send_text("lost"));
    start_daemon(SOCK_DGRAM); /* it was restarted */
    CU_ASSERT(send_text("found again"));
    check_received(daemon_fd, "found again", 11);
    end();
}

/* Without a first call the first message connects. */
static void test_never_opened(void)
{
    descriptors = open_descriptors();
    start_daemon(SOCK_DGRAM);
    errno = EAGAIN; /* of something else */
    CU_ASSERT(send_text("x"));
    check_received(daemon_fd, "x", 1);
    end();
}

/* Another one has taken over, which listens in the other way. */
static void test_other_daemon(void)
{
    begin(SOCK_DGRAM);
    stop_daemon();
    start_daemon(SOCK_STREAM);
    CU_ASSERT(send_text("stream"));
    accept_peer();
    check_received(peer, "stream", 7);
    stop_daemon();
    start_daemon(SOCK_DGRAM);
    CU_ASSERT(send_text("datagram"));
    check_received(daemon_fd, "datagram", 8);
    end();
}

static void test_opened_twice(void)
{
    begin(SOCK_DGRAM);
    errno = EPROTOTYPE; /* of something else */
    log_syslog_open();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2);
    CU_ASSERT(send_text("x"));
    check_received(daemon_fd, "x", 1);
    log_syslog_close();
    log_syslog_close();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 1);
    end();
}

/* A close with nothing open must not close what others have. */
static void test_standard_input_is_kept(void)
{
    int saved = dup(STDIN_FILENO);

    close(STDIN_FILENO);
    start_daemon(SOCK_DGRAM); /* whose descriptor takes its place */
    int taken = dup(daemon_fd);
    close(daemon_fd);
    daemon_fd = taken;
    descriptors = open_descriptors();
    log_syslog_open(); /* and now the connection does */
    CU_ASSERT(send_text("x"));
    check_received(daemon_fd, "x", 1);
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 1);
    log_syslog_close();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    stop_daemon();
    dup2(saved, STDIN_FILENO);
    close(saved);
}

/* ---- records of a stream ---- */

static void test_stream(void)
{
    begin(SOCK_STREAM);
    accept_peer();
    CU_ASSERT(send_text("<29>one"));
    CU_ASSERT(send_text("<30>another"));
    check_received(peer, "<29>one\0<30>another", 20);
    check_nothing_received(peer);
    end();
}

/* A record goes in part: nobody can tell where the next one begins, so that the connection ends there. */
static void test_half_a_record(void)
{
    enum { SIZE = 1 << 22 };
    char *message = malloc(SIZE), byte;
    int waiting;

    memset(message, 'x', SIZE);
    begin(SOCK_STREAM);
    accept_peer();
    CU_ASSERT_FALSE(log_syslog_send(message, SIZE));
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2);
    CU_ASSERT_EQUAL(ioctl(peer, FIONREAD, &waiting), 0);
    CU_ASSERT(waiting > 0 && waiting < SIZE);
    for (ssize_t n; (n = recv(peer, message, SIZE, 0)) > 0;)
        waiting -= (int)n;
    CU_ASSERT_EQUAL(waiting, 0);
    CU_ASSERT_EQUAL(recv(peer, &byte, 1, 0), 0);
    close(peer);
    CU_ASSERT(send_text("whole"));
    accept_peer();
    check_received(peer, "whole", 6);
    end();
    free(message);
}

/* Without its end it is no record either. */
static void test_record_without_its_end(void)
{
    begin(SOCK_STREAM);
    accept_peer();
    takes_no_end = true;
    CU_ASSERT_FALSE(send_text("half"));
    takes_no_end = false;
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2);
    check_received(peer, "half", 4);
    end();
}

/* Also for a process that has the same connection. */
static void test_half_a_record_of_another_process(void)
{
    enum { SIZE = 1 << 22 };
    char *message = malloc(SIZE), byte;

    memset(message, 'x', SIZE);
    begin(SOCK_STREAM);
    accept_peer();
    int shared = -1;
    for (int fd = 255; fd > 2 && shared < 0; fd--) {
        struct sockaddr_un address;
        socklen_t size = sizeof(address);
        if (fd != peer && getpeername(fd, (struct sockaddr *)&address, &size) == 0 && address.sun_family == AF_UNIX)
            shared = dup(fd);
    }
    CU_ASSERT_FATAL(shared >= 0);
    CU_ASSERT_FALSE(log_syslog_send(message, SIZE));
    while (recv(peer, message, SIZE, 0) > 0)
        ;
    CU_ASSERT_EQUAL(recv(peer, &byte, 1, 0), 0); /* although somebody still has it */
    close(shared);
    end();
    free(message);
}

/* ---- the log ---- */

/* The next message: of this priority, from this process, without a newline. */
static void check_logged(const char *priority, const char *message)
{
    char text[2048], end[256];
    ssize_t size = recv(daemon_fd, text, sizeof(text) - 1, 0);

    CU_ASSERT_FATAL(size > 0);
    text[size] = '\0';
    snprintf(end, sizeof(end), " ccserver[%d]: tester: %s", (int)getpid(), message);
    CU_ASSERT_EQUAL(strncmp(text, priority, strlen(priority)), 0);
    CU_ASSERT_EQUAL_FATAL(strlen(text), strlen(priority) + strlen("Nov 23 10:20:01") + strlen(end));
    CU_ASSERT_STRING_EQUAL(text + strlen(priority) + strlen("Nov 23 10:20:01"), end);
}

static void begin_log(void)
{
    descriptors = open_descriptors();
    start_daemon(SOCK_DGRAM);
    CU_ASSERT_EQUAL(log_open("syslog"), 0);
    log_set_role("tester");
}

/* Elsewhere the connection is of no use. */
static void end_log(void)
{
    CU_ASSERT_EQUAL(log_open("/dev/null"), 0);
    CU_ASSERT_EQUAL(open_descriptors(), descriptors + 2); /* that, and the daemon */
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    stop_daemon();
    CU_ASSERT(open_descriptors() <= descriptors + 1); /* a terminal is opened once more */
}

static void test_log(void)
{
    begin_log();
    log_notice("one %d", 1);
    log_error("two\nlines");
    CU_ASSERT_EQUAL(log_reopen(), 0); /* there is no file */
    log_write_in_handler("crashed");
    check_logged("<29>", "one 1");
    check_logged("<27>", "two?lines");
    check_logged("<27>", "crashed");
    check_nothing_received(daemon_fd);
    end_log();
}

/* What is lost is reported in a message of its own, as soon as there is room for one. */
static void test_log_drops(void)
{
    begin_log();
    uint64_t before = log_dropped();
    unsigned sent = 0;
    for (; sent < 100000 && log_dropped() == before; sent++)
        log_info("a line that is about as long as the report of lines");
    log_info("lost");
    CU_ASSERT_EQUAL(log_dropped(), before + 2);
    check_logged("<30>", "a line that is about as long as the report of lines");
    log_info("lost"); /* there was room for the report only */
    CU_ASSERT_EQUAL(log_dropped(), before + 3);
    for (unsigned i = 2; i < sent; i++)
        check_logged("<30>", "a line that is about as long as the report of lines");
    check_logged("<28>", "2 lines could not be written");
    check_nothing_received(daemon_fd);
    log_info("again");
    check_logged("<28>", "1 line could not be written");
    check_logged("<30>", "again");
    log_info("and again");
    check_logged("<30>", "and again");
    check_nothing_received(daemon_fd);
    end_log();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"never opened", test_never_opened},
        {"datagrams", test_datagrams},
        {"closed by exec", test_closed_by_exec},
        {"full", test_full},
        {"no daemon", test_no_daemon},
        {"other daemon", test_other_daemon},
        {"opened twice", test_opened_twice},
        {"standard input is kept", test_standard_input_is_kept},
        {"stream", test_stream},
        {"half a record", test_half_a_record},
        {"record without its end", test_record_without_its_end},
        {"half a record of another process", test_half_a_record_of_another_process},
        {"log", test_log},
        {"log drops", test_log_drops},
        {0},
    };
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/log", folder);
    int result = unit_main("log syslog", tests);
    rmdir(folder);
    return result;
}
