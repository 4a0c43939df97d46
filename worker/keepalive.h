/*
 * Peers that have vanished without a word, see keepalive.c.
 */
#ifndef WORKER_KEEPALIVE_H
#define WORKER_KEEPALIVE_H

#include "worker/core/conn.h"

/* Have the kernel probe the connections that `fd` listens for, or `fd` itself; they end when nobody answers. */
void keepalive_set(int fd, uint32_t keepalive_ms);

/* True when the peer has acknowledged nothing for too long. To be asked every keepalive_ms; now that was due. */
bool keepalive_peer_is_gone(struct conn *conn, uint64_t due_ms);

#endif
