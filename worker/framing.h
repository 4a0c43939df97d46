/*
 * Cutting a byte stream into messages: bytes in, sizes out, nothing kept.
 */
#ifndef WORKER_FRAMING_H
#define WORKER_FRAMING_H

#include "worker/session.h"

/* Not a message: it is larger than it may be; nothing can be made of the bytes. */
enum { CUT_OVERSIZE = -1, CUT_NONSENSE = -2 };

/* The message that some bytes begin with. */
struct cut {
    ssize_t total; /* bytes it takes from the stream; 0: its end has not arrived; or one of the below */
    size_t size;   /* bytes to hand over */
};

/*
 * Cut the first message off `bytes` (`size` of them, at least 1). The first `scanned` are known to hold no end, and
 * `scan` is as the last call has left it; zero for a new message. A message over `max` bytes is recognised as soon as
 * its length is known.
 */
struct cut framing_cut(const struct framing *framing, const char *bytes, size_t size, size_t scanned, size_t max,
                       struct scan *scan);

/* How many of the next `size` bytes can belong to the unfinished message that `kept` holds. At least 1. */
size_t framing_missing(const struct framing *framing, const char *kept, size_t kept_size, const char *bytes,
                       size_t size);

#endif
