/*
 * The address of a session's client in 20 bytes: taken when it is accepted, so that it is known until `close`, also
 * when the client has reset the connection and the kernel has forgotten who it was.
 */
#ifndef WORKER_PEER_H
#define WORKER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct peer_address {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: not known */
    uint8_t scope;  /* of a link-local address: its interface; 0 also for an interface above 255 */
    uint16_t port;  /* network order */
    uint8_t bytes[16];
};

/* Keep `address`, as accept4() has filled it in. A unix client's path is not kept. */
void peer_set(struct peer_address *peer, const struct sockaddr *address);

/* True for a loopback address or a unix socket. */
bool peer_is_local(const struct peer_address *peer);

/* Write "127.0.0.1:34567", "unix:" or "unknown". Returns `text`. */
char *peer_format(const struct peer_address *peer, char *text, size_t text_size);

#endif
