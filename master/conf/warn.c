/*
 * Configurations that are valid and still not what somebody wants.
 */
#include "common/log.h"
#include "master/conf/conf.h"
#include <arpa/inet.h>
#include <string.h>

/* True when a connection to `address` comes from this machine's loopback, as whoever listens there sees it. */
static bool arrives_by_loopback(const struct sock_address *address)
{
    if (address->any.sa_family == AF_UNIX)
        return true;
    if (address->any.sa_family == AF_INET6) {
        const struct in6_addr *host = &((const struct sockaddr_in6 *)&address->storage)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(host) || IN6_IS_ADDR_UNSPECIFIED(host);
    }
    in_addr_t host = ntohl(((const struct sockaddr_in *)&address->storage)->sin_addr.s_addr);
    return host >> 24 == IN_LOOPBACKNET || host == INADDR_ANY;
}

static bool leads_to(const struct sock_address *target, const struct listener_config *listener)
{
    if (target->size == 0 || !arrives_by_loopback(target))
        return false;
    for (unsigned i = 0; i < listener->address_count; i++)
        if (sock_same(target, &listener->addresses[i]))
            return true;
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
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (const struct option_row *row = conf->listeners[i].service->options; row && row->name; row++)
            if (row->type == OPTION_ADDRESS)
                warn_of_door(conf, &conf->listeners[i], row);
}
