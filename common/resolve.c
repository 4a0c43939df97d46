#include "common/resolve.h"
#include <errno.h>
#include <netdb.h>
#include <string.h>

#include <bsd/string.h>

static bool same(const union sock_inet *a, const union sock_inet *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->four.sin_addr.s_addr == b->four.sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&a->six.sin6_addr, &b->six.sin6_addr) && a->six.sin6_scope_id == b->six.sin6_scope_id;
}

static bool has(const struct resolve_answer *answer, const union sock_inet *address)
{
    for (unsigned i = 0; i < answer->count; i++)
        if (same(&answer->addresses[i], address))
            return true;
    return false;
}

static void add(struct resolve_answer *answer, const struct addrinfo *found)
{
    union sock_inet address;

    if ((found->ai_family != AF_INET && found->ai_family != AF_INET6) || answer->count == RESOLVE_ADDRESSES_MAX)
        return;
    memset(&address, 0, sizeof(address));
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    if (!has(answer, &address))
        answer->addresses[answer->count++] = address;
}

void resolve_now(const char *host, struct resolve_answer *answer)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;

    memset(answer, 0, sizeof(*answer));
    int error = getaddrinfo(host, NULL, &hints, &found);
    if (error) {
        strlcpy(answer->error, error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error), sizeof(answer->error));
        return;
    }
    for (const struct addrinfo *each = found; each; each = each->ai_next)
        add(answer, each);
    freeaddrinfo(found);
    if (answer->count == 0)
        strlcpy(answer->error, "it has no address", sizeof(answer->error));
}

static bool ask_system(struct resolver *resolver, const char *host, struct resolve_answer *answer)
{
    (void)resolver;
    resolve_now(host, answer);
    return true;
}

struct resolver resolve_system = {.ask = ask_system};

void resolve_apply(struct sock_address *address, const struct resolve_answer *answer)
{
    in_port_t port = address->inet.four.sin_port;
    struct sock_address resolved = {.inet = answer->addresses[0], .more_count = answer->count - 1};

    resolved.size = resolved.any.sa_family == AF_INET6 ? sizeof(resolved.inet.six) : sizeof(resolved.inet.four);
    resolved.inet.four.sin_port = port; /* it has the same place in both families */
    for (unsigned i = 0; i < resolved.more_count; i++) {
        resolved.more[i] = answer->addresses[i + 1];
        resolved.more[i].four.sin_port = port;
    }
    memcpy(resolved.text, address->text, sizeof(resolved.text));
    *address = resolved;
}

bool resolve_same(const struct resolve_answer *a, const struct resolve_answer *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (!has(b, &a->addresses[i]))
            return false;
    return true;
}
