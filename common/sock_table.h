/*
 * The kernel's table of listening TCP sockets.
 */
#ifndef COMMON_SOCK_TABLE_H
#define COMMON_SOCK_TABLE_H

#include "common/sock.h"
#include <sys/types.h>

/*
 * True when a socket listens at an address that collides with this one and is not among ours, which `is_ours` tells by
 * its inode (as fstat() shows it). True also when the table cannot be read.
 */
bool sock_has_strangers(const struct sock_address *address, bool (*is_ours)(const void *user, ino_t inode),
                        const void *user);

#endif
