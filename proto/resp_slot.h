/*
 * The slot of a key in a Redis Cluster: which of its servers has the key.
 */
#ifndef PROTO_RESP_SLOT_H
#define PROTO_RESP_SLOT_H

#include <stddef.h>

enum { RESP_SLOTS = 16384 };

/*
 * 0 to RESP_SLOTS - 1. Only what stands between the first "{" and the first "}" behind it decides, unless that is
 * nothing: so keys can be made to share a slot.
 */
unsigned resp_slot(const char *key, size_t size);

#endif
