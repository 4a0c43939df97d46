#include "common/host.h"
#include "common/file.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An IPv4 address in the clothes of an IPv6 one is an IPv4 address to the kernel, too. */
static struct sock_address plain(const struct sock_address *address)
{
    struct sock_address four = {.size = sizeof(four.inet.four)};

    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->inet.six.sin6_addr))
        return *address;
    four.inet.four.sin_family = AF_INET;
    four.inet.four.sin_port = address->inet.six.sin6_port;
    memcpy(&four.inet.four.sin_addr, &address->inet.six.sin6_addr.s6_addr[12], sizeof(four.inet.four.sin_addr));
    return four;
}

static bool is_wildcard(const struct sock_address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&address->inet.six.sin6_addr);
    return address->inet.four.sin_addr.s_addr == INADDR_ANY;
}

static bool is_loopback(const struct sock_address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->inet.six.sin6_addr);
    return ntohl(address->inet.four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The address alone, without its port. */
static bool same_host(const struct sock_address *a, const struct sockaddr *b)
{
    if (a->any.sa_family != b->sa_family)
        return false;
    if (b->sa_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&a->inet.six.sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr);
    return a->inet.four.sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

static bool is_of_an_interface(const struct sock_address *address)
{
    struct ifaddrs *all;
    bool found = false;

    if (getifaddrs(&all) < 0)
        return false;
    for (const struct ifaddrs *each = all; each; each = each->ifa_next)
        found |= each->ifa_addr && same_host(address, each->ifa_addr);
    freeifaddrs(all);
    return found;
}

bool host_leads_to(const struct sock_address *target, const struct sock_address *bound)
{
    struct sock_address to = plain(target), at = plain(bound);

    if (to.size == 0 || at.size == 0 || to.any.sa_family != at.any.sa_family)
        return false;
    if (to.any.sa_family == AF_UNIX)
        return file_is_same(to.local.sun_path, at.local.sun_path);
    if (sock_port(&at) == 0 || sock_port(&to) != sock_port(&at))
        return false;
    if (is_wildcard(&at))
        return is_wildcard(&to) || is_loopback(&to) || is_of_an_interface(&to);
    if (is_wildcard(&to)) /* the kernel takes it for 127.0.0.1 or ::1 */
        return is_loopback(&at) &&
               (at.any.sa_family == AF_INET6 || at.inet.four.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    return same_host(&to, &at.any);
}

int host_probe(const struct sock_address *address)
{
    struct sock_address any_port = *address;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    any_port.inet.four.sin_port = 0; /* it has the same place in both families */
    int result = bind(fd, &any_port.any, any_port.size), error = errno;
    close(fd);
    errno = error;
    return result;
}
