/*
 * Configurations that are valid and still not what somebody wants.
 */
#include "common/host.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include <arpa/inet.h>
#include <string.h>

/* True when a connection to `address` comes from this machine's loopback, as whoever listens there sees it. */
static bool arrives_by_loopback(const struct sock_address *address)
{
    const struct in6_addr *six = &address->inet.six.sin6_addr;
    struct in_addr four = address->inet.four.sin_addr;

    if (address->any.sa_family == AF_UNIX)
        return true;
    if (address->any.sa_family == AF_INET6) {
        if (!IN6_IS_ADDR_V4MAPPED(six))
            return IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_UNSPECIFIED(six);
        memcpy(&four, &six->s6_addr[12], sizeof(four));
    }
    return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET || four.s_addr == INADDR_ANY;
}

/* By any address of a name, and in whatever spelling. */
static bool leads_to(const struct sock_address *target, const struct listener_config *listener)
{
    for (unsigned i = 0; i < sock_count(target); i++) {
        struct sock_address one = sock_nth(target, i);
        for (unsigned j = 0; arrives_by_loopback(&one) && j < listener->address_count; j++)
            if (host_leads_to(&one, &listener->addresses[j]))
                return true;
    }
    return false;
}

static bool trusts_loopback(const struct listener_config *listener)
{
    const struct option_row *row = option_find(listener->service->options, "shutdown_command");
    char value[OPTION_STRING_SIZE] = "";

    if (row)
        option_format(row, listener->service_config, value, sizeof(value));
    return strcmp(value, "loopback") == 0;
}

static void warn_of_door(const struct conf *conf, const struct listener_config *door, const struct option_row *row)
{
    const struct sock_address *target = (const void *)((const char *)door->service_config + row->offset);

    for (unsigned i = 0; i < conf->listener_count; i++)
        if (trusts_loopback(&conf->listeners[i]) && leads_to(target, &conf->listeners[i]))
            log_warn(
                "[listen %s] leads to [listen %s], where shutdown_command = loopback: its clients may stop the server",
                door->name, conf->listeners[i].name);
}

void conf_warn(const struct conf *conf)
{
    for (unsigned i = 1; i < conf->pool_count; i++)
        if (conf->pools[i].listener_count == 0)
            log_warn("[pool %s] has no listener, and so no worker", conf->pools[i].name);
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (const struct option_row *row = conf->listeners[i].service->options; row && row->name; row++)
            if (row->type == OPTION_ADDRESS)
                warn_of_door(conf, &conf->listeners[i], row);
}
