/*
 * Names and what they stand for. Nobody is asked but the machine's own table of hosts.
 */
#include "common/resolve.h"
#include "tests/unit/unit.h"
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

int main(void)
{
    static const struct unit_test tests[] = {
        {"apply", test_apply},
        {"same", test_same},
        {"system", test_system},
        {0},
    };
    return unit_main("resolve", tests);
}
