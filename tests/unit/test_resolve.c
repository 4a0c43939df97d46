/*
 * Names and what they stand for. Nobody is asked but the machine's own table of hosts, or a name server that says what
 * the test wants.
 */
#include "common/resolve.h"
#include "tests/unit/unit.h"
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <string.h>

static struct sock_address parse(const char *text)
{
    struct sock_address address = {0};
    char why[128] = "";

    CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), 0);
    return address;
}

static struct resolve_answer answer_of(const char *a, const char *b, const char *c)
{
    const char *texts[] = {a, b, c};
    struct resolve_answer answer = {.count = 0};

    for (unsigned i = 0; i < 3 && texts[i]; i++)
        answer.addresses[answer.count++] = parse(texts[i]).inet;
    return answer;
}

static void check_nth(const struct sock_address *address, unsigned n, const char *expected)
{
    struct sock_address nth = sock_nth(address, n);
    char text[SOCK_TEXT_SIZE];

    CU_ASSERT_STRING_EQUAL(sock_format(&nth.any, nth.size, text, sizeof(text)), expected);
}

/* All addresses get the port, keep their order, and the name stays what is printed. */
static void test_apply(void)
{
    struct sock_address name = parse("db.example.test:5432");
    struct resolve_answer answer = answer_of("[2001:db8::1]:0", "192.0.2.1:0", "[::1]:0");

    resolve_apply(&name, &answer);
    CU_ASSERT_EQUAL_FATAL(sock_count(&name), 3);
    check_nth(&name, 0, "[2001:db8::1]:5432");
    check_nth(&name, 1, "192.0.2.1:5432");
    check_nth(&name, 2, "[::1]:5432");
    CU_ASSERT_STRING_EQUAL(name.text, "db.example.test:5432");
    CU_ASSERT_EQUAL(sock_port(&name), 5432);
    resolve_apply(&name, &answer); /* again, with whatever was there */
    CU_ASSERT_EQUAL(sock_count(&name), 3);
}

static bool same(const struct resolve_answer *a, const struct resolve_answer *b)
{
    CU_ASSERT_EQUAL(resolve_same(a, b), resolve_same(b, a));
    return resolve_same(a, b);
}

static void test_same(void)
{
    struct resolve_answer two = answer_of("192.0.2.1:0", "192.0.2.2:0", NULL),
                          rotated = answer_of("192.0.2.2:0", "192.0.2.1:0", NULL),
                          other = answer_of("192.0.2.2:0", "192.0.2.3:0", NULL),
                          one = answer_of("192.0.2.1:0", NULL, NULL), none = {.error = "x"}, unknown = {.error = "y"};

    CU_ASSERT(same(&two, &two));
    CU_ASSERT(same(&two, &rotated));
    CU_ASSERT(same(&none, &unknown));
    CU_ASSERT_FALSE(same(&two, &other));
    CU_ASSERT_FALSE(same(&two, &one));
    CU_ASSERT_FALSE(same(&none, &one));
}

static void test_system(void)
{
    struct resolve_answer answer;

    memset(&answer, 7, sizeof(answer));
    CU_ASSERT(resolve_system.ask(&resolve_system, "localhost", &answer));
    CU_ASSERT(answer.count >= 1 && answer.count <= 2);
    for (unsigned i = 0; i < answer.count; i++) {
        CU_ASSERT_EQUAL(answer.addresses[i].four.sin_port, 0);
        CU_ASSERT(answer.addresses[i].any.sa_family == AF_INET || answer.addresses[i].any.sa_family == AF_INET6);
    }
    CU_ASSERT(resolve_system.ask(&resolve_system, "no blanks in names", &answer));
    CU_ASSERT_EQUAL(answer.count, 0);
    CU_ASSERT_NOT_EQUAL(answer.error[0], '\0');
}

/* ---- a name server that says what the test wants ---- */

enum { MANY = RESOLVE_ADDRESSES_MAX + 3 };

static bool is_scripted;
static int server_error; /* of getaddrinfo(), with errno EMFILE */
static struct sock_address server_says[MANY];
static struct addrinfo server_list[MANY];
static unsigned server_count, lists_out;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (!is_scripted) {
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        return real(host, port, hints, found);
    }
    CU_ASSERT_EQUAL(hints->ai_socktype, SOCK_STREAM); /* once each, and not for every kind of socket */
    if (server_error) {
        errno = EMFILE;
        return server_error;
    }
    for (unsigned i = 0; i < server_count; i++)
        server_list[i] = (struct addrinfo){.ai_family = server_says[i].any.sa_family,
                                           .ai_addr = &server_says[i].any,
                                           .ai_addrlen = server_says[i].size,
                                           .ai_next = i + 1 < server_count ? &server_list[i + 1] : NULL};
    lists_out++;
    *found = server_list;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    static void (*real)(struct addrinfo *);

    if (!is_scripted) {
        *(void **)&real = dlsym(RTLD_NEXT, "freeaddrinfo");
        real(list);
        return;
    }
    CU_ASSERT_PTR_EQUAL(list, server_list);
    lists_out--;
}

static void expect_answer(unsigned count, ...)
{
    struct resolve_answer answer;
    va_list expected;
    char text[SOCK_TEXT_SIZE];

    is_scripted = true;
    memset(&answer, 7, sizeof(answer));
    resolve_now("db.example.test", &answer);
    is_scripted = false;
    CU_ASSERT_EQUAL(lists_out, 0);
    CU_ASSERT_EQUAL_FATAL(answer.count, count);
    va_start(expected, count);
    for (unsigned i = 0; i < count; i++) {
        socklen_t size = answer.addresses[i].any.sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                       : sizeof(struct sockaddr_in);
        sock_format(&answer.addresses[i].any, size, text, sizeof(text));
        CU_ASSERT_STRING_EQUAL(text, va_arg(expected, const char *));
    }
    va_end(expected);
    CU_ASSERT_EQUAL(answer.error[0] == '\0', count > 0);
}

/* In the order of the server, each once, and of the families that we can connect to. */
static void test_answers(void)
{
    static const char *const says[] = {"192.0.2.2:0",     "[2001:db8::2]:0", "192.0.2.1:0",    "192.0.2.2:0",
                                       "[2001:db8::2]:0", "unix:/a",         "[2001:db8::1]:0"};

    server_count = sizeof(says) / sizeof(says[0]);
    for (unsigned i = 0; i < server_count; i++)
        server_says[i] = parse(says[i]);
    expect_answer(4, "192.0.2.2:0", "[2001:db8::2]:0", "192.0.2.1:0", "[2001:db8::1]:0");
}

/* A link-local address is another one on another link. */
static void test_scopes(void)
{
    server_count = 3;
    for (unsigned i = 0; i < server_count; i++) {
        server_says[i] = parse("[2001:db8::1]:0");
        server_says[i].inet.six.sin6_scope_id = i / 2; /* 0 0 1 */
    }
    is_scripted = true;
    struct resolve_answer answer;
    resolve_now("db.example.test", &answer);
    is_scripted = false;
    CU_ASSERT_EQUAL(answer.count, 2);
}

static void test_too_many_answers(void)
{
    char text[SOCK_TEXT_SIZE];

    server_count = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "192.0.2.%u:0", i + 1);
        server_says[i] = parse(text);
    }
    is_scripted = true;
    struct resolve_answer answer;
    resolve_now("db.example.test", &answer);
    is_scripted = false;
    CU_ASSERT_EQUAL(answer.count, RESOLVE_ADDRESSES_MAX);
    CU_ASSERT_EQUAL(memcmp(&answer.addresses[RESOLVE_ADDRESSES_MAX - 1], &server_says[RESOLVE_ADDRESSES_MAX - 1].inet,
                           sizeof(struct sockaddr_in)),
                    0);
}

static void expect_error(const char *expected)
{
    struct resolve_answer answer;

    is_scripted = true;
    memset(&answer, 7, sizeof(answer));
    resolve_now("db.example.test", &answer);
    is_scripted = false;
    CU_ASSERT_EQUAL(answer.count, 0);
    CU_ASSERT_STRING_EQUAL(answer.error, expected);
    CU_ASSERT_EQUAL(lists_out, 0);
}

static void test_errors(void)
{
    server_error = EAI_SYSTEM;
    expect_error(strerror(EMFILE));
    server_error = EAI_AGAIN;
    expect_error(gai_strerror(EAI_AGAIN));
    server_error = 0;
    server_count = 1;
    server_says[0] = parse("unix:/a");
    expect_error("it has no address");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"apply", test_apply},   {"same", test_same},
        {"system", test_system}, {"answers", test_answers},
        {"scopes", test_scopes}, {"too many answers", test_too_many_answers},
        {"errors", test_errors}, {0},
    };
    return unit_main("resolve", tests);
}
