/*
 * Which addresses are this machine's own.
 */
#ifndef COMMON_HOST_H
#define COMMON_HOST_H

#include "common/sock.h"

/*
 * Try whether a socket can be bound to this address, at any port. 0, or -1 with errno: EAFNOSUPPORT or EADDRNOTAVAIL
 * when the machine lacks the family or the address.
 */
int host_probe(const struct sock_address *address);

/*
 * True when a connection to `target` arrives at a socket that is bound to `bound`. A wildcard as `bound` stands for all
 * addresses of this machine, as `target` for its loopback address. Only the first address of each is looked at.
 */
bool host_leads_to(const struct sock_address *target, const struct sock_address *bound);

#endif
