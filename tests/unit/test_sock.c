/*
 * Addresses, and the promises of sock_listen(): a group that shares a port, and nobody else on it.
 */
#include "common/sock.h"
#include "tests/unit/filter.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { GROUP = 4 };

static char folder[] = "/tmp/test_sock.XXXXXX";

static struct sock_address parse(const char *text)
{
    struct sock_address address = {0};
    char why[128] = "";

    if (sock_parse(&address, text, why, sizeof(why)) < 0) {
        printf("\n    %s: %s", text, why);
        CU_FAIL("an address is refused");
    }
    return address;
}

static struct sock_address in_folder(const char *name)
{
    char text[SOCK_TEXT_SIZE];

    snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
    return parse(text);
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Returns 0, or the errno of sock_listen; what was opened is closed again. */
static int try_listen(struct sock_address address)
{
    int fds[GROUP];

    if (sock_listen(&address, 16, fds, GROUP) < 0) {
        int error = errno;
        for (unsigned i = 0; i < GROUP; i++)
            CU_ASSERT_EQUAL(fds[i], -1);
        return error;
    }
    close_all(fds, GROUP);
    return 0;
}

/* ---- text ---- */

static void test_parse(void)
{
    static const char *const good[] = {"127.0.0.1:9998", "0.0.0.0:0", "[::1]:65535", "[::]:1", "unix:/run/x.sock"};
    char text[SOCK_TEXT_SIZE];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sock_address address = parse(good[i]);
        CU_ASSERT_STRING_EQUAL(address.text, good[i]);
        CU_ASSERT_STRING_EQUAL(sock_format(&address.any, address.size, text, sizeof(text)), good[i]);
    }
}

/* What has no port, and what is no address at all. */
static void test_format(void)
{
    struct sock_address local = parse("unix:/run/x.sock"), four = parse("127.0.0.1:80");
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    char text[SOCK_TEXT_SIZE];

    CU_ASSERT_STRING_EQUAL(sock_format(&nobody, sizeof(nobody), text, sizeof(text)), "unknown");
    CU_ASSERT_STRING_EQUAL(sock_format(&four.any, 0, text, sizeof(text)), "unknown");
    CU_ASSERT_STRING_EQUAL(sock_format(&local.any, sizeof(sa_family_t), text, sizeof(text)), "unix:"); /* unnamed */
    CU_ASSERT_STRING_EQUAL(sock_format(&local.any, sizeof(sa_family_t) + 4, text, sizeof(text)), "unix:/run");
}

static void test_wildcard(void)
{
    static const char *const wildcards[] = {"0.0.0.0:80", "[::]:80", "[0::0]:1"};
    static const char *const others[] = {"127.0.0.1:80", "[::1]:80", "unix:/a", "db.example.test:80"};

    for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++) {
        struct sock_address address = parse(wildcards[i]);
        CU_ASSERT(sock_is_wildcard(&address));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct sock_address address = parse(others[i]);
        CU_ASSERT_FALSE(sock_is_wildcard(&address));
    }
}

/* A name is nobody's address until it has been resolved; nobody is asked for it here. */
static void test_names(void)
{
    char host[SOCK_TEXT_SIZE];
    struct sock_address name = parse("db.example.test:5432"), four = parse("127.0.0.1:80"), local = parse("unix:/a");

    CU_ASSERT(sock_is_unresolved(&name));
    CU_ASSERT_EQUAL(sock_count(&name), 0);
    CU_ASSERT_EQUAL(sock_port(&name), 5432);
    CU_ASSERT_STRING_EQUAL(name.text, "db.example.test:5432");
    CU_ASSERT_STRING_EQUAL(sock_host(&name, host, sizeof(host)), "db.example.test");
    CU_ASSERT_FALSE(sock_is_unresolved(&four));
    CU_ASSERT_EQUAL(sock_count(&four), 1);
    CU_ASSERT_STRING_EQUAL(sock_host(&local, host, sizeof(host)), "");
    CU_ASSERT_EQUAL(sock_connect(&name), -1);
    CU_ASSERT_EQUAL(errno, EHOSTUNREACH);
}

static void test_refused(void)
{
    static const char *const bad[] = {
        "",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1x",
        "1.2.3.4: 5",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[localhost]:80",
        "unix:",
        "unix:relative",
        "127.0.0.1:http",
        "300.0.0.1:80",
        "127.0.0.1:000080",
    };
    struct sock_address address, before;
    char why[128], longest[400];

    memset(&before, 7, sizeof(before));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        address = before;
        why[0] = '\0';
        if (sock_parse(&address, bad[i], why, sizeof(why)) == 0)
            printf("\n    '%s' is taken for an address", bad[i]);
        CU_ASSERT_NOT_EQUAL(why[0], '\0');
        CU_ASSERT_EQUAL(memcmp(&address, &before, sizeof(address)), 0);
    }
    snprintf(longest, sizeof(longest), "unix:/%0110d", 0);
    CU_ASSERT_EQUAL(sock_parse(&address, longest, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "the path of the unix socket is too long");
    snprintf(longest, sizeof(longest), "%0300d:80", 0);
    CU_ASSERT_EQUAL(sock_parse(&address, longest, why, sizeof(why)), -1);
    CU_ASSERT_EQUAL(sock_parse(&address, longest, why, 5), -1);
    CU_ASSERT_EQUAL(strlen(why), 4);
}

/* What is a mistyped number is no name that somebody would be asked for. */
static void check_sentence(const char *text, const char *expected)
{
    struct sock_address address;
    char why[128] = "";

    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), -1);
    if (strcmp(why, expected) != 0)
        printf("\n    %s: %s", text, why);
    CU_ASSERT_STRING_EQUAL(why, expected);
}

static void test_sentences(void)
{
    const char *forms = "an address is ADDR:PORT, [ADDR6]:PORT, NAME:PORT or unix:/PATH";
    const char *port = "the port must be 0 to 65535";

    check_sentence("unix:relative", "a unix address is unix:/PATH");
    check_sentence("unix:/run/", "the path of the unix socket is that of a folder");
    check_sentence("80", forms);
    check_sentence(":80", forms);
    check_sentence("[::1:80", forms);
    check_sentence("[]:80", forms);
    check_sentence("::1:80", forms);
    check_sentence("127.0.0.1:", port);
    check_sentence("127.0.0.1:65536", port);
    check_sentence("127.0.0.1:99999", port);
    check_sentence("127.0.0.1:100000", port);
    check_sentence("127.0.0.1:80a", port);
    check_sentence("300.0.0.1:80", "'300.0.0.1' is no IPv4 address");
    check_sentence("10.20.30:x80", port);
    check_sentence("host.123:80", "'host.123' is no IPv4 address");
    check_sentence("[127.0.0.1]:80", "'127.0.0.1' is no IPv6 address");
    check_sentence("[localhost]:80", "'localhost' is no IPv6 address");
}

/* The longest that the kernel takes, and one more. */
static void test_longest(void)
{
    struct sock_address address;
    char why[128] = "", text[2 * SOCK_TEXT_SIZE];

    snprintf(text, sizeof(text), "unix:/%0106d", 0); /* 107 bytes and the end */
    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), 0);
    snprintf(text, sizeof(text), "unix:/%0107d", 0);
    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "the path of the unix socket is too long");
    snprintf(text, sizeof(text), "%0*d.test:80", SOCK_TEXT_SIZE - 9, 0);
    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(strlen(address.text), SOCK_TEXT_SIZE - 1);
    snprintf(text, sizeof(text), "%0*d.test:80", SOCK_TEXT_SIZE - 8, 0);
    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "the address is too long");
    char host[5];
    struct sock_address four = parse("name:80"), five = parse("names:80");
    CU_ASSERT_STRING_EQUAL(sock_host(&four, host, sizeof(host)), "name");
    CU_ASSERT_STRING_EQUAL(sock_host(&five, host, sizeof(host)), ""); /* there is no room for it */
}

static bool same(const char *a, const char *b)
{
    struct sock_address x = parse(a), y = parse(b);

    CU_ASSERT_EQUAL(sock_same(&x, &y), sock_same(&y, &x));
    return sock_same(&x, &y);
}

static void test_same(void)
{
    CU_ASSERT(same("127.0.0.1:80", "127.0.0.1:80"));
    CU_ASSERT(same("127.0.0.1:80", "0.0.0.0:80"));
    CU_ASSERT(same("[::1]:80", "[0::1]:80"));
    CU_ASSERT(same("[::1]:80", "[::]:80"));
    CU_ASSERT(same("unix:/a", "unix:/a"));
    CU_ASSERT_FALSE(same("127.0.0.1:80", "127.0.0.1:81"));
    CU_ASSERT_FALSE(same("127.0.0.1:80", "127.0.0.2:80"));
    CU_ASSERT_FALSE(same("0.0.0.0:80", "[::]:80"));
    CU_ASSERT_FALSE(same("127.0.0.1:0", "127.0.0.1:0"));
    CU_ASSERT_FALSE(same("[::1]:80", "[::2]:80"));
    CU_ASSERT_FALSE(same("unix:/a", "unix:/b"));
}

static bool equal(const char *a, const char *b)
{
    struct sock_address x = parse(a), y = parse(b);

    CU_ASSERT_EQUAL(sock_equal(&x, &y), sock_equal(&y, &x));
    return sock_equal(&x, &y);
}

/* A link-local address of another link is another one. */
static void test_scopes(void)
{
    struct sock_address one = parse("[2001:db8::1]:80"), other = one;

    other.inet.six.sin6_scope_id = 2;
    CU_ASSERT_FALSE(sock_same(&one, &other) || sock_equal(&one, &other));
    one.inet.six.sin6_scope_id = 2;
    CU_ASSERT(sock_same(&one, &other) && sock_equal(&one, &other));
}

/* Not only in each other's way, but the very same. */
static void test_equal(void)
{
    CU_ASSERT(equal("127.0.0.1:80", "127.0.0.1:80"));
    CU_ASSERT(equal("127.0.0.1:0", "127.0.0.1:0"));
    CU_ASSERT(equal("[::1]:80", "[0::1]:80"));
    CU_ASSERT(equal("unix:/a", "unix:/a"));
    CU_ASSERT_FALSE(equal("127.0.0.1:80", "0.0.0.0:80"));
    CU_ASSERT_FALSE(equal("127.0.0.1:80", "127.0.0.1:81"));
    CU_ASSERT_FALSE(equal("127.0.0.1:80", "127.0.0.2:80"));
    CU_ASSERT_FALSE(equal("[::1]:80", "[::]:80"));
    CU_ASSERT_FALSE(equal("0.0.0.0:80", "[::]:80"));
    CU_ASSERT_FALSE(equal("unix:/a", "unix:/ab"));
    CU_ASSERT_FALSE(equal("unix:/a", "127.0.0.1:80"));
}

/* As the kernel tells it, too: that is how another master recognises what it is handed. */
static void test_equal_to_bound(void)
{
    struct sock_address addresses[] = {parse("127.0.0.1:0"), parse("[::1]:0")};

    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct sock_address bound = {.size = sizeof(bound.storage)};
        int fd;
        CU_ASSERT_EQUAL_FATAL(sock_listen(&addresses[i], 1, &fd, 1), 0);
        CU_ASSERT_EQUAL(getsockname(fd, &bound.any, &bound.size), 0);
        CU_ASSERT(sock_equal(&bound, &addresses[i]));
        sock_format(&bound.any, bound.size, bound.text, sizeof(bound.text));
        CU_ASSERT_STRING_EQUAL(bound.text, addresses[i].text);
        close(fd);
    }
}

static void test_port(void)
{
    struct sock_address four = parse("127.0.0.1:9998"), six = parse("[::1]:65535"), none = parse("0.0.0.0:0"),
                        local = parse("unix:/a");

    CU_ASSERT_EQUAL(sock_port(&four), 9998);
    CU_ASSERT_EQUAL(sock_port(&six), 65535);
    CU_ASSERT_EQUAL(sock_port(&none), 0);
    CU_ASSERT_EQUAL(sock_port(&local), 0);
}

/* ---- listening ---- */

static void connect_many(const struct sock_address *address, const int *fds, unsigned *hits, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pollfd polled[GROUP];
        int client = sock_connect(address);
        CU_ASSERT_FATAL(client >= 0);
        for (unsigned k = 0; k < GROUP; k++)
            polled[k] = (struct pollfd){.fd = fds[k], .events = POLLIN};
        CU_ASSERT_EQUAL(poll(polled, GROUP, 2000), 1);
        for (unsigned k = 0; k < GROUP; k++) {
            int accepted = fds[k] < 0 ? -1 : accept(fds[k], NULL, NULL);
            if (accepted < 0)
                continue;
            hits[k]++;
            CU_ASSERT_EQUAL(sock_error(client), 0);
            sock_set_nodelay(accepted);
            close(accepted);
        }
        close(client);
    }
}

/* The port is chosen, shared, spread over the group, and denied to everybody else, also without SO_REUSEPORT. */
static void check_group(const char *text, const char *wildcard)
{
    struct sock_address address = parse(text);
    unsigned hits[GROUP] = {0};
    int fds[GROUP];
    char any[64];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, fds, GROUP), 0);
    CU_ASSERT_STRING_NOT_EQUAL(address.text, text);
    for (unsigned i = 0; i < GROUP; i++) {
        CU_ASSERT(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CU_ASSERT(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    CU_ASSERT_EQUAL(try_listen(address), EADDRINUSE);
    CU_ASSERT_EQUAL(try_listen(parse(address.text)), EADDRINUSE);
    snprintf(any, sizeof(any), "%s%s", wildcard, strrchr(address.text, ':'));
    CU_ASSERT_EQUAL(try_listen(parse(any)), EADDRINUSE);
    connect_many(&address, fds, hits, 200);
    for (unsigned i = 0; i < GROUP; i++)
        CU_ASSERT(hits[i] > 0);
    close_all(fds, GROUP);
    CU_ASSERT_EQUAL(try_listen(address), 0); /* at once, with the connections of before in TIME_WAIT */
}

static void test_group(void)
{
    check_group("127.0.0.1:0", "0.0.0.0");
}

static void test_group_6(void)
{
    struct sock_address probe = parse("[::1]:0");
    int error = try_listen(probe);

    if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
        printf("(no IPv6 here) ");
        return;
    }
    check_group("[::1]:0", "[::]");
    /* [::] leaves the IPv4 port of the same number alone */
    struct sock_address six = parse("[::]:0");
    int fds[GROUP];
    char four[64];
    CU_ASSERT_EQUAL_FATAL(sock_listen(&six, 16, fds, GROUP), 0);
    snprintf(four, sizeof(four), "127.0.0.1%s", strrchr(six.text, ':'));
    CU_ASSERT_EQUAL(try_listen(parse(four)), 0);
    close_all(fds, GROUP);
}

/* A group grows: the new ones get their share, and whoever is no member stays out. */
static void test_listen_more(void)
{
    struct sock_address address = parse("127.0.0.1:0");
    unsigned hits[GROUP] = {0};
    int fds[GROUP];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, fds, 1), 0);
    for (unsigned i = 1; i < GROUP; i++) {
        fds[i] = sock_listen_more(&address, 16);
        CU_ASSERT_FATAL(fds[i] >= 0);
        CU_ASSERT(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CU_ASSERT(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    connect_many(&address, fds, hits, 200);
    for (unsigned i = 0; i < GROUP; i++)
        CU_ASSERT(hits[i] > 0);
    CU_ASSERT_EQUAL(try_listen(address), EADDRINUSE);
    close_all(fds, GROUP);

    int foreign = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(foreign, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CU_ASSERT_EQUAL(bind(foreign, &address.any, address.size), 0);
    CU_ASSERT_EQUAL(listen(foreign, 1), 0);
    CU_ASSERT_EQUAL(sock_listen_more(&address, 16), -1);
    CU_ASSERT_EQUAL(errno, EADDRINUSE);
    close(foreign);
}

static void check_foreign(bool reuseport)
{
    struct sock_address address = parse("127.0.0.1:0");
    int on = 1, foreign = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(foreign, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (reuseport)
        setsockopt(foreign, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    CU_ASSERT_EQUAL(bind(foreign, &address.any, address.size), 0);
    CU_ASSERT_EQUAL(listen(foreign, 1), 0);
    CU_ASSERT_EQUAL(getsockname(foreign, &address.any, &address.size), 0);
    CU_ASSERT_EQUAL(try_listen(address), EADDRINUSE);
    close(foreign);
    CU_ASSERT_EQUAL(try_listen(address), 0);
}

static void test_somebody_else_listens(void)
{
    check_foreign(false);
    check_foreign(true);
}

/* Several processes want the same port at the same moment: one gets it, in every round. */
static void test_race(void)
{
    struct shared {
        _Atomic unsigned arrived, won, finished;
    } *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CU_ASSERT_FATAL(shared != MAP_FAILED);
    for (unsigned round = 0; round < 50; round++) {
        struct sock_address address = parse("127.0.0.1:0");
        int fds[GROUP];
        CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, fds, 1), 0); /* a port that is free */
        close(fds[0]);
        shared->arrived = shared->won = shared->finished = 0;
        for (unsigned i = 0; i < GROUP; i++) {
            if (fork() != 0)
                continue;
            alarm(10);
            for (shared->arrived++; shared->arrived < GROUP;)
                ;
            if (sock_listen(&address, 16, fds, GROUP) == 0)
                shared->won++;
            for (shared->finished++; shared->finished < GROUP;)
                usleep(100);
            _exit(0);
        }
        for (unsigned i = 0; i < GROUP; i++)
            wait(NULL);
        CU_ASSERT_EQUAL(shared->won, 1);
    }
    munmap(shared, sizeof(*shared));
}

static void test_unix(void)
{
    struct sock_address address = in_folder("live");
    unsigned hits[GROUP] = {0};
    int fds[GROUP], again[GROUP];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, fds, GROUP), 0);
    for (unsigned i = 1; i < GROUP; i++)
        CU_ASSERT_EQUAL(fds[i], -1);
    connect_many(&address, fds, hits, 5);
    CU_ASSERT_EQUAL(hits[0], 5);
    CU_ASSERT_EQUAL(try_listen(address), EADDRINUSE);
    close(fds[0]); /* as after a SIGKILL: the file stays */
    CU_ASSERT_EQUAL(access(address.local.sun_path, F_OK), 0);
    CU_ASSERT_EQUAL(sock_listen(&address, 16, again, GROUP), 0);
    close_all(again, GROUP);
}

/* A backlog that is full does not make a socket stale. */
static void test_unix_busy(void)
{
    struct sock_address address = in_folder("busy");
    int fds[GROUP], clients[3];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 0, fds, 1), 0);
    for (unsigned i = 0; i < 3; i++)
        clients[i] = sock_connect(&address);
    CU_ASSERT_EQUAL(clients[2], -1);
    CU_ASSERT_EQUAL(try_listen(address), EADDRINUSE);
    close_all(clients, 3);
    close(fds[0]);
}

static void test_unix_not_a_socket(void)
{
    struct sock_address file = in_folder("file"), link = in_folder("link"), live = in_folder("target");
    struct stat status;
    int fds[1];

    close(open(file.local.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CU_ASSERT_EQUAL(try_listen(file), EADDRINUSE);
    CU_ASSERT(lstat(file.local.sun_path, &status) == 0 && S_ISREG(status.st_mode));
    CU_ASSERT_EQUAL(sock_listen(&live, 1, fds, 1), 0);
    close(fds[0]);
    CU_ASSERT_EQUAL(symlink(live.local.sun_path, link.local.sun_path), 0);
    CU_ASSERT_EQUAL(try_listen(link), EADDRINUSE);
    CU_ASSERT(lstat(link.local.sun_path, &status) == 0 && S_ISLNK(status.st_mode));
    CU_ASSERT_EQUAL(try_listen(in_folder("no/such/folder")), ENOENT);
}

static void test_connect_fails(void)
{
    struct sock_address address = parse("127.0.0.1:0");
    struct pollfd polled = {.events = POLLOUT};
    int fds[1];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 1, fds, 1), 0);
    close(fds[0]);
    polled.fd = sock_connect(&address);
    if (polled.fd >= 0) {
        CU_ASSERT_EQUAL(poll(&polled, 1, 2000), 1);
        CU_ASSERT_EQUAL(sock_error(polled.fd), ECONNREFUSED);
        close(polled.fd);
    } else {
        CU_ASSERT_EQUAL(errno, ECONNREFUSED);
    }
    struct sock_address nobody = in_folder("nobody");
    CU_ASSERT_EQUAL(sock_connect(&nobody), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_EQUAL(sock_error(-1), EBADF);
}

/* The group cannot be completed: nothing of it is left, and the port that the kernel chose is not kept. */
static void check_incomplete(unsigned room)
{
    struct sock_address address = parse("127.0.0.1:0");
    int fds[GROUP], next = dup(STDIN_FILENO);
    struct rlimit before, tight;

    close(next);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next + room, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    errno = 0;
    CU_ASSERT_EQUAL(sock_listen(&address, 16, fds, GROUP), -1);
    CU_ASSERT_EQUAL(errno, EMFILE);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < GROUP; i++)
        CU_ASSERT_EQUAL(fds[i], -1);
    CU_ASSERT_STRING_EQUAL(address.text, "127.0.0.1:0");
    CU_ASSERT_EQUAL(sock_port(&address), 0);
}

static void test_incomplete(void)
{
    for (unsigned room = 0; room < GROUP; room++)
        check_incomplete(room);
}

/* Beside a wildcard of ours: where sock_listen() refuses, this shares the port. */
static void test_beside(void)
{
    struct sock_address any = parse("0.0.0.0:0"), specific;
    char text[SOCK_TEXT_SIZE];
    unsigned hits[GROUP] = {0};
    int fds[GROUP], beside[GROUP];

    CU_ASSERT_EQUAL_FATAL(sock_listen(&any, 16, fds, GROUP), 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u", sock_port(&any));
    specific = parse(text);
    CU_ASSERT_EQUAL(try_listen(specific), EADDRINUSE);
    CU_ASSERT_EQUAL_FATAL(sock_listen_beside(&specific, 16, beside, GROUP), 0);
    connect_many(&specific, beside, hits, 50); /* who asks for the address comes to its own queues */
    close_all(fds, GROUP);
    close_all(beside, GROUP);
}

/* ---- what becomes of a queue ---- */

static void check_shut(struct sock_address address)
{
    int fd;

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, &fd, 1), 0);
    CU_ASSERT(sock_is_listening(fd));
    CU_ASSERT_FALSE(sock_is_shut(fd));
    int client = sock_connect(&address);
    CU_ASSERT(client >= 0);
    CU_ASSERT_FALSE(sock_is_shut(fd)); /* one that waits there is not the end of it */
    CU_ASSERT_EQUAL(shutdown(fd, SHUT_RDWR), 0);
    CU_ASSERT(sock_is_shut(fd));
    CU_ASSERT_EQUAL(sock_is_listening(fd), address.any.sa_family == AF_UNIX);
    close(client);
    close(fd);
}

static void test_shut(void)
{
    check_shut(parse("127.0.0.1:0"));
    check_shut(in_folder("live"));
    CU_ASSERT_FALSE(sock_is_listening(-1));
    int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FALSE(sock_is_listening(idle));
    close(idle);
}

/* Who comes later is neither accepted nor refused; who is there already can go on. */
static void test_drop_newcomers(void)
{
    struct sock_address address = parse("127.0.0.1:0");
    struct pollfd late = {.events = POLLOUT};
    char byte;
    int fd;

    if (!has_filters())
        return;
    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, &fd, 1), 0);
    int early = sock_connect(&address);
    struct pollfd connected = {.fd = early, .events = POLLOUT};
    CU_ASSERT_EQUAL(poll(&connected, 1, 2000), 1);
    sock_drop_newcomers(fd);
    late.fd = sock_connect(&address);
    CU_ASSERT_EQUAL(poll(&late, 1, 0), 0); /* on the loopback it would be there at once */
    int accepted = accept(fd, NULL, NULL);
    CU_ASSERT_FATAL(accepted >= 0);
    CU_ASSERT_EQUAL(write(early, "x", 1), 1);
    struct pollfd readable = {.fd = accepted, .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&readable, 1, 2000), 1);
    CU_ASSERT_EQUAL(read(accepted, &byte, 1), 1);
    CU_ASSERT_EQUAL(accept(fd, NULL, NULL), -1);
    close(accepted);
    close(late.fd);
    close(early);
    close(fd);
}

/* ---- connections ---- */

/* A port that nobody listens on, connected from that very port: the kernel joins it with itself. */
static void check_self_connected(struct sock_address address)
{
    struct sock_address bound = address;
    unsigned port;

    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, &address.any, address.size), 0);
    CU_ASSERT_EQUAL(getsockname(fd, &bound.any, &bound.size), 0);
    port = sock_port(&bound);
    CU_ASSERT_FALSE(sock_is_self_connected(fd, port)); /* not yet */
    CU_ASSERT_EQUAL(connect(fd, &bound.any, bound.size), 0);
    CU_ASSERT(sock_is_self_connected(fd, port));
    CU_ASSERT_FALSE(sock_is_self_connected(fd, port + 1));
    close(fd);
}

static void test_self_connected(void)
{
    struct sock_address address = parse("127.0.0.1:0");
    int fd;

    check_self_connected(parse("127.0.0.1:0"));
    if (try_listen(parse("[::1]:0")) == 0)
        check_self_connected(parse("[::1]:0"));
    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 16, &fd, 1), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(connect(client, &address.any, address.size), 0);
    CU_ASSERT_FALSE(sock_is_self_connected(client, sock_port(&address)));
    int accepted = accept(fd, NULL, NULL); /* its own port is the one that was connected to */
    CU_ASSERT_FALSE(sock_is_self_connected(accepted, sock_port(&address)));
    CU_ASSERT_FALSE(sock_is_self_connected(-1, 0));
    close(accepted);
    close(client);
    close(fd);
}

static void test_nodelay(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 0, local = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = sizeof(on);

    sock_set_nodelay(fd);
    CU_ASSERT_EQUAL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    CU_ASSERT(on);
    sock_set_nodelay(local);
    close(local);
    close(fd);
}

static void clean_up(void)
{
    static const char *const left[] = {"live", "bound", "busy", "file", "link", "target"};

    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        unlink(in_folder(left[i]).local.sun_path);
    rmdir(folder);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"parse", test_parse},
        {"names", test_names},
        {"refused", test_refused},
        {"sentences", test_sentences},
        {"longest", test_longest},
        {"format", test_format},
        {"wildcard", test_wildcard},
        {"same", test_same},
        {"scopes", test_scopes},
        {"equal", test_equal},
        {"equal to bound", test_equal_to_bound},
        {"port", test_port},
        {"listen more", test_listen_more},
        {"group", test_group},
        {"group, IPv6", test_group_6},
        {"somebody else listens", test_somebody_else_listens},
        {"race", test_race},
        {"unix", test_unix},
        {"unix, busy", test_unix_busy},
        {"unix, not a socket", test_unix_not_a_socket},
        {"connect fails", test_connect_fails},
        {"incomplete", test_incomplete},
        {"beside", test_beside},
        {"shut", test_shut},
        {"drop newcomers", test_drop_newcomers},
        {"self-connected", test_self_connected},
        {"no delay", test_nodelay},
        {0},
    };

    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    int result = unit_main("sock", tests);
    clean_up();
    return result;
}
