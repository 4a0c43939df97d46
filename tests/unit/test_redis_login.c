/*
 * Logins of Redis clients: what requests make of them, and the greeting that makes a connection the same.
 */
#include "tests/unit/unit.h"
#include "worker/services/redis/login.h"

static struct login login;
static bool verifies;

static bool change(enum command_kind kind, const char *line)
{
    verifies = false;
    return login_change(&login, kind, line, strlen(line), &verifies);
}

static void check_greeting(const char *wanted, size_t first_wanted)
{
    char greeting[LOGIN_GREETING_MAX];
    size_t first, size = login_greeting(&login, greeting, &first);

    CU_ASSERT_EQUAL(size, strlen(wanted));
    CU_ASSERT(size == strlen(wanted) && memcmp(greeting, wanted, size) == 0);
    CU_ASSERT_EQUAL(first, first_wanted);
}

static void begin(void)
{
    memset(&login, 0, sizeof(login));
}

static void test_greetings(void)
{
    begin();
    check_greeting("", 0);
    CU_ASSERT(change(COMMAND_SELECT, "SELECT 12\r\n") && !verifies);
    check_greeting("*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n", 24);
    CU_ASSERT(change(COMMAND_AUTH, "AUTH secret\r\n") && verifies);
    check_greeting("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n", 26);
    CU_ASSERT(change(COMMAND_HELLO, "hello 3\r\n") && !verifies);
    check_greeting("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\nsecret\r\n"
                   "*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n",
                   57);
    CU_ASSERT(change(COMMAND_AUTH, "AUTH ann a\r\n") && change(COMMAND_SELECT, "SELECT 0\r\n"));
    check_greeting("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$1\r\na\r\n", 48);
    CU_ASSERT(change(COMMAND_HELLO, "HELLO 2\r\n"));
    check_greeting("*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$1\r\na\r\n", 30);
    begin();
    CU_ASSERT(change(COMMAND_HELLO, "HELLO 3 setname me\r\n") && !verifies);
    check_greeting("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", 22);
    CU_ASSERT(login.has_name && login.name_size == 2 && memcmp(login.name, "me", 2) == 0);
    CU_ASSERT(change(COMMAND_HELLO, "HELLO 3 AUTH ann a SETNAME x\r\n") && verifies && login.name_size == 1);
    CU_ASSERT(change(COMMAND_SELECT, "SELECT 1\r\n") && !login.has_name);
}

static void test_what_it_leaves_to_redis(void)
{
    static const struct {
        enum command_kind kind;
        const char *line;
    } requests[] = {
        {COMMAND_SELECT, "SELECT\r\n"},
        {COMMAND_SELECT, "SELECT 01\r\n"},
        {COMMAND_SELECT, "SELECT -1\r\n"},
        {COMMAND_SELECT, "SELECT 1234567890\r\n"},
        {COMMAND_SELECT, "SELECT x\r\n"},
        {COMMAND_SELECT, "SELECT 1 2\r\n"},
        {COMMAND_AUTH, "AUTH\r\n"},
        {COMMAND_AUTH, "AUTH a b c\r\n"},
        {COMMAND_AUTH, "AUTH 'a b'\r\n"},
        {COMMAND_HELLO, "HELLO\r\n"},
        {COMMAND_HELLO, "HELLO 4\r\n"},
        {COMMAND_HELLO, "HELLO 3 AUTH\r\n"},
        {COMMAND_HELLO, "HELLO 3 AUTH a\r\n"},
        {COMMAND_HELLO, "HELLO 3 AUTH a b c\r\n"},
        {COMMAND_HELLO, "HELLO 3 SETNAME\r\n"},
        {COMMAND_HELLO, "HELLO 3 SETNAME a SETNAME b\r\n"},
        {COMMAND_HELLO, "HELLO 3 AUTH a b SETNAME c d e f\r\n"},
        {COMMAND_READ, "GET x\r\n"},
    };

    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        begin();
        CU_ASSERT_FALSE(change(requests[i].kind, requests[i].line));
    }
}

static void test_limits(void)
{
    char line[LOGIN_TEXT_MAX * 2 + 64], word[LOGIN_TEXT_MAX + 2], greeting[LOGIN_GREETING_MAX];
    size_t first;

    memset(word, 'x', sizeof(word));
    word[LOGIN_TEXT_MAX] = '\0';
    begin();
    snprintf(line, sizeof(line), "AUTH %s %s\r\n", word, word);
    CU_ASSERT(change(COMMAND_AUTH, line));
    CU_ASSERT(change(COMMAND_HELLO, "HELLO 3\r\n") && change(COMMAND_SELECT, "SELECT 999999999\r\n"));
    CU_ASSERT(login_greeting(&login, greeting, &first) < sizeof(greeting));
    word[LOGIN_TEXT_MAX] = 'x';
    word[LOGIN_TEXT_MAX + 1] = '\0';
    snprintf(line, sizeof(line), "AUTH %s\r\n", word);
    CU_ASSERT_FALSE(change(COMMAND_AUTH, line));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"greetings", test_greetings},
        {"what it leaves to Redis", test_what_it_leaves_to_redis},
        {"limits", test_limits},
        {NULL, NULL},
    };
    return unit_main("redis login", tests);
}
