/*
 * Who else listens at an address: what the kernel's table says about sockets of ours and of others.
 */
#include "common/sock_table.h"
#include "tests/unit/unit.h"
#include <sys/resource.h>
#include <sys/stat.h>

enum { GROUP = 3 };

static int ours[GROUP];
static unsigned our_count;
static unsigned strangers; /* listening sockets that we have been asked about and are not ours */

static bool is_ours(const void *user, ino_t inode)
{
    struct stat status;

    CU_ASSERT_PTR_EQUAL(user, ours);
    for (unsigned i = 0; i < our_count; i++)
        if (fstat(ours[i], &status) == 0 && status.st_ino == inode)
            return true;
    strangers++;
    return false;
}

static struct sock_address parse(const char *text)
{
    struct sock_address address = {0};
    char why[128] = "";

    CU_ASSERT_EQUAL_FATAL(sock_parse(&address, text, why, sizeof(why)), 0);
    return address;
}

/* `text` is that of an address, and its port that of `bound`. */
static bool has_strangers_at(const char *host, const struct sock_address *bound)
{
    char text[SOCK_TEXT_SIZE];

    snprintf(text, sizeof(text), "%s:%u", host, sock_port(bound));
    struct sock_address address = parse(text);
    return sock_has_strangers(&address, is_ours, ours);
}

static struct sock_address begin(const char *text)
{
    struct sock_address address = parse(text);

    CU_ASSERT_EQUAL_FATAL(sock_listen(&address, 5, ours, GROUP), 0);
    our_count = GROUP;
    strangers = 0;
    return address;
}

static void end(void)
{
    for (unsigned i = 0; i < GROUP; i++)
        close(ours[i]);
}

/* All of a group are looked at, not the first one only; what is not in the way is not. */
static void check_family(const char *host, const char *other, const char *wildcard)
{
    char text[SOCK_TEXT_SIZE];

    snprintf(text, sizeof(text), "%s:0", host);
    struct sock_address bound = begin(text);
    CU_ASSERT_FALSE(has_strangers_at(host, &bound));
    CU_ASSERT_FALSE(has_strangers_at(wildcard, &bound));
    CU_ASSERT_EQUAL(strangers, 0);
    our_count--;
    CU_ASSERT(has_strangers_at(host, &bound));
    CU_ASSERT(has_strangers_at(wildcard, &bound));
    CU_ASSERT_EQUAL(strangers, 2);
    CU_ASSERT_FALSE(has_strangers_at(other, &bound));
    our_count = 0;
    CU_ASSERT(has_strangers_at(host, &bound));
    end();
    CU_ASSERT_FALSE(has_strangers_at(host, &bound));
}

static void test_ipv4(void)
{
    check_family("127.0.0.1", "127.0.0.2", "0.0.0.0");
}

static void test_ipv6(void)
{
    struct sock_address probe = parse("[::1]:0");
    int fd = -1;

    if (sock_listen(&probe, 1, &fd, 1) < 0) {
        printf("(no IPv6 here) ");
        return;
    }
    close(fd);
    check_family("[::1]", "[::2]", "[::]");
}

/* A connection to the port is nobody who listens there. */
static void test_connections(void)
{
    struct sock_address bound = begin("127.0.0.1:0");
    int client = sock_connect(&bound);

    CU_ASSERT(client >= 0);
    end();
    CU_ASSERT_FALSE(has_strangers_at("127.0.0.1", &bound));
    CU_ASSERT_EQUAL(strangers, 0);
    close(client);
}

/* Who cannot look takes no risk. */
static void test_no_table(void)
{
    struct sock_address address = parse("127.0.0.1:1");
    struct rlimit before, tight;
    int next = dup(0);

    close(next);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    CU_ASSERT(sock_has_strangers(&address, is_ours, ours));
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    CU_ASSERT_FALSE(sock_has_strangers(&address, is_ours, ours));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"IPv4", test_ipv4}, {"IPv6", test_ipv6}, {"connections", test_connections}, {"no table", test_no_table}, {0},
    };
    return unit_main("sock_table", tests);
}
