#include "worker/peer.h"
#include "common/sock.h"
#include <netinet/in.h>
#include <string.h>

void peer_set(struct peer_address *peer, const struct sockaddr *address)
{
    *peer = (struct peer_address){.family = (uint8_t)address->sa_family};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        peer->port = in->sin_port;
        memcpy(peer->bytes, &in->sin_addr, sizeof(in->sin_addr));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        peer->port = in6->sin6_port;
        peer->scope = in6->sin6_scope_id <= UINT8_MAX ? (uint8_t)in6->sin6_scope_id : 0;
        memcpy(peer->bytes, &in6->sin6_addr, sizeof(in6->sin6_addr));
    }
}

static struct in6_addr in6_of(const struct peer_address *peer)
{
    struct in6_addr address;

    memcpy(&address, peer->bytes, sizeof(address));
    return address;
}

bool peer_is_local(const struct peer_address *peer)
{
    struct in6_addr in6 = in6_of(peer);

    switch (peer->family) {
    case AF_INET: return peer->bytes[0] == 127;
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&in6) || (IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == 127);
    default: return peer->family == AF_UNIX;
    }
}

char *peer_format(const struct peer_address *peer, char *text, size_t text_size)
{
    struct sock_address address = {.any.sa_family = peer->family, .size = sizeof(sa_family_t)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = peer->port};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = peer->port, .sin6_scope_id = peer->scope, .sin6_addr = in6_of(peer)};

    if (peer->family == AF_INET) {
        memcpy(&in.sin_addr, peer->bytes, sizeof(in.sin_addr));
        return sock_format((struct sockaddr *)&in, sizeof(in), text, text_size);
    }
    if (peer->family == AF_INET6)
        return sock_format((struct sockaddr *)&in6, sizeof(in6), text, text_size);
    return sock_format(&address.any, address.size, text, text_size);
}
