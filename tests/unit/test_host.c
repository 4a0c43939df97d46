/*
 * Which addresses are this machine's, and where a connection to one of them arrives.
 */
#include "common/host.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <string.h>

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

static bool leads(const char *target, const char *bound)
{
    struct sock_address to = parse(target), at = parse(bound);

    return host_leads_to(&to, &at);
}

static void test_addresses(void)
{
    CU_ASSERT(leads("127.0.0.1:80", "127.0.0.1:80"));
    CU_ASSERT(leads("[::1]:80", "[::1]:80"));
    CU_ASSERT(leads("[::ffff:127.0.0.1]:80", "127.0.0.1:80"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "127.0.0.1:81"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "127.0.0.2:80"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "[::1]:80"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "127.0.0.1:0"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "unix:/a"));
    CU_ASSERT(leads("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
    CU_ASSERT(leads("[2001:db8::1]:80", "[2001:db8::1]:80"));
    CU_ASSERT_FALSE(leads("[2001:db8::1]:80", "[2001:db8::2]:80"));
    CU_ASSERT_FALSE(leads("[::ffff:127.0.0.1]:81", "127.0.0.1:80"));
    CU_ASSERT_FALSE(leads("[::ffff:127.0.0.2]:80", "127.0.0.1:80"));
    CU_ASSERT_FALSE(leads("127.0.0.1:0", "127.0.0.1:0")); /* a port that is not known */
    CU_ASSERT_FALSE(leads("unix:/a", "127.0.0.1:80"));
    CU_ASSERT_FALSE(leads("localhost:80", "127.0.0.1:80")); /* nobody knows yet */
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "localhost:80"));
    CU_ASSERT_FALSE(leads("localhost:80", "localhost:80"));
}

static void test_wildcards(void)
{
    CU_ASSERT(leads("127.0.0.1:80", "0.0.0.0:80"));
    CU_ASSERT(leads("127.9.9.9:80", "0.0.0.0:80"));
    CU_ASSERT(leads("0.0.0.0:80", "0.0.0.0:80"));
    CU_ASSERT(leads("0.0.0.0:80", "127.0.0.1:80"));
    CU_ASSERT(leads("[::1]:80", "[::]:80"));
    CU_ASSERT(leads("[::]:80", "[::1]:80"));
    CU_ASSERT(leads("[::]:80", "[::]:80"));
    CU_ASSERT(leads("[::ffff:127.0.0.1]:80", "0.0.0.0:80"));
    CU_ASSERT_FALSE(leads("0.0.0.0:80", "127.0.0.2:80"));
    CU_ASSERT_FALSE(leads("127.0.0.1:80", "[::]:80"));
    CU_ASSERT_FALSE(leads("[::1]:80", "0.0.0.0:80"));
    CU_ASSERT(leads("[::ffff:0.0.0.0]:80", "127.0.0.1:80"));
    CU_ASSERT_FALSE(leads("203.0.113.1:80", "0.0.0.0:80")); /* for documentation: nobody has it */
    CU_ASSERT_FALSE(leads("[2001:db8::1]:80", "[::]:80"));  /* the same */
    CU_ASSERT_FALSE(leads("0.0.0.0:80", "203.0.113.1:80"));
    CU_ASSERT_FALSE(leads("[::]:80", "[2001:db8::1]:80"));
    CU_ASSERT_FALSE(leads("128.0.0.1:80", "0.0.0.0:80")); /* hardly an address of this machine */
    CU_ASSERT_FALSE(leads("126.255.255.255:80", "0.0.0.0:80"));
}

static void check_interface(const struct sockaddr *own)
{
    bool six = own->sa_family == AF_INET6;
    struct sock_address bound = parse(six ? "[::]:80" : "0.0.0.0:80");
    struct sock_address target = {.size = six ? sizeof(target.inet.six) : sizeof(target.inet.four)};

    memcpy(&target.any, own, target.size);
    target.inet.four.sin_port = htons(80); /* it has the same place in both families */
    CU_ASSERT(host_leads_to(&target, &bound));
    CU_ASSERT(six || host_probe(&target) == 0); /* one of IPv6 may still be looking for its duplicate */
}

static void test_every_interface(void)
{
    struct ifaddrs *all;
    unsigned seen = 0;

    CU_ASSERT_EQUAL_FATAL(getifaddrs(&all), 0);
    for (const struct ifaddrs *each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || (each->ifa_addr->sa_family != AF_INET && each->ifa_addr->sa_family != AF_INET6))
            continue;
        check_interface(each->ifa_addr);
        seen++;
    }
    freeifaddrs(all);
    CU_ASSERT(seen > 0);
}

static void test_paths(void)
{
    static char folder[] = "/tmp/test_host.XXXXXX";
    char file[128], other[128], target[160];

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(file, sizeof(file), "unix:%s/s", folder);
    snprintf(target, sizeof(target), "unix:%s/../%s/s", folder, strrchr(folder, '/') + 1);
    CU_ASSERT(leads(file, file));
    CU_ASSERT(leads(target, file)); /* also while it does not exist */
    snprintf(other, sizeof(other), "unix:%s/l", folder);
    CU_ASSERT_FALSE(leads(other, file));
    close(open(file + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CU_ASSERT_FALSE(leads(other, file));
    CU_ASSERT_EQUAL(symlink("s", other + 5), 0);
    CU_ASSERT(leads(other, file));
    CU_ASSERT_FALSE(leads("unix:/nowhere/s", file));
    unlink(other + 5);
    unlink(file + 5);
    rmdir(folder);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_probe(void)
{
    struct sock_address foreign = parse("203.0.113.1:80"), busy = parse("127.0.0.1:0"), unknown = parse("localhost:80");
    unsigned open = open_descriptors();
    int fd;

    CU_ASSERT_EQUAL(host_probe(&foreign), -1);
    CU_ASSERT_EQUAL(errno, EADDRNOTAVAIL);
    errno = 0;
    CU_ASSERT_EQUAL(host_probe(&unknown), -1); /* of no family yet */
    CU_ASSERT_EQUAL(errno, EAFNOSUPPORT);
    CU_ASSERT_EQUAL(open_descriptors(), open);
    CU_ASSERT_EQUAL_FATAL(sock_listen(&busy, 1, &fd, 1), 0);
    CU_ASSERT_EQUAL(host_probe(&busy), 0); /* it is about the address, not about the port */
    close(fd);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"addresses", test_addresses}, {"wildcards", test_wildcards}, {"every interface", test_every_interface},
        {"paths", test_paths},         {"probe", test_probe},         {0},
    };
    return unit_main("host", tests);
}
