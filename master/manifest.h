/*
 * The manifest of an upgrade: which descriptor listens where, a line for each endpoint. The predecessor writes it, the
 * candidate, which has inherited the descriptors, reads it.
 *
 *   ADDRESS \t LISTENER \t COUNT \t FD ...  \t DEVICE \t INODE       the last two: of the file of a unix socket
 */
#ifndef MASTER_MANIFEST_H
#define MASTER_MANIFEST_H

#include "master/endpoint.h"
#include <stdio.h>

/* -1 with errno; what is read is believed only as far as the kernel agrees that the descriptors are queues. */
int manifest_write(const struct endpoints *endpoints, FILE *out);
int manifest_read(struct endpoints *endpoints, FILE *in);

#endif
