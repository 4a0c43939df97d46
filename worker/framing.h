/*
 * Cutting a byte stream into messages: bytes in, sizes out, nothing kept.
 */
#ifndef WORKER_FRAMING_H
#define WORKER_FRAMING_H

#include "worker/session.h"

/* The message that some bytes begin with. */
struct cut {
    ssize_t total; /* bytes it takes from the stream; 0: its end has not arrived, -1: over the limit, or nonsense */
    size_t size;   /* bytes to hand over */
};

/*
 * Cut the first message off `bytes` (`size` of them, at least 1). The first `scanned` are known to hold no end. A
 * message over `max` bytes is recognised as soon as its length is known.
 */
struct cut framing_cut(const struct framing *framing, const char *bytes, size_t size, size_t scanned, size_t max);

/* How many of the next `size` bytes can belong to the unfinished message that `kept` holds. At least 1. */
size_t framing_missing(const struct framing *framing, const char *kept, size_t kept_size, const char *bytes,
                       size_t size);

#endif
