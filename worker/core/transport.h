/*
 * The system calls on a peer's descriptor. Connections speak through a table of them, so that a second kind of
 * transport, such as TLS, is one more file; no other file reads or writes a peer's descriptor.
 */
#ifndef WORKER_CORE_TRANSPORT_H
#define WORKER_CORE_TRANSPORT_H

#include "worker/core/wall.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* All of these take a non-blocking descriptor, and report what a system call would: -1 with errno. */
struct transport {
    /* Read up to `size` bytes. 0: the peer has ended its stream. */
    ssize_t (*receive)(int fd, void *bytes, size_t size);
    /* Write up to two pieces, the first of which may be empty. Returns how many bytes were taken. */
    ssize_t (*send)(int fd, const struct iovec pieces[2]);
    /* End our stream; the peer's goes on. Fails silently after a reset, which the next receive() reports. */
    void (*shutdown)(int fd);
    /* True when receive() would return bytes that have arrived already. */
    bool (*pending)(int fd);
    /* Bytes that were sent and that the peer's kernel has not acknowledged; 0 where nobody knows. */
    uint32_t (*unacknowledged)(int fd);
    /* The pending error of the connection, as connect() would have returned it; 0: none. */
    int (*error)(int fd);
    /* Close the descriptor. */
    void (*release)(int fd);
};

/* Bytes as they are, over TCP and unix sockets. */
extern const struct transport transport_tcp;

/* True for an error of send() or receive() after which the same call may succeed. */
bool transport_error_passes(int error);

#endif
