/*
 * RESP, the protocol of Redis, versions 2 and 3: where a request and a reply end, and which words a request has. Bytes in,
 * numbers out: no descriptors, no allocation. What is looked through once is not looked at again.
 *
 *   request   *2\r\n $3\r\nGET\r\n $1\r\nk\r\n        an array of bulk strings
 *             GET k\r\n                               or a line, as people type it
 *   reply     +OK\r\n  $1\r\nv\r\n  *2\r\n...         a type, then what belongs to it; of aggregates: parts
 */
#ifndef PROTO_RESP_H
#define PROTO_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    RESP_LINE_MAX = 64 << 10,  /* bytes of a line without its end, as Redis has it */
    RESP_PARTS_MAX = 1 << 20,  /* of a request, as Redis has it */
    RESP_BULK_MAX = 512 << 20, /* bytes of a bulk string: Redis' default of proto-max-bulk-len */
};

/* How far a message has been looked through; zeroed where one begins. */
struct resp_scan {
    uint32_t at;    /* where the next part begins */
    uint64_t parts; /* that are still to come, and 1: their number is known */
};

/*
 * The size of the request that `bytes` begins with, 0 when its end has not arrived yet, -1 when Redis would refuse it.
 * `bytes` is at least one. A size may be beyond `size`: so much is known already.
 */
ssize_t resp_request(const char *bytes, size_t size, struct resp_scan *scan);

/* The same for a reply, or a push. */
ssize_t resp_reply(const char *bytes, size_t size, struct resp_scan *scan);

struct resp_word {
    const char *bytes; /* in the request */
    size_t size;
};

/*
 * The first words of a whole request, up to `most`; how many there are in all is in `*count`. Returns how many were
 * stored, 0 for a request without words, -1 for a line with quotes, whose words Redis alone knows.
 */
int resp_words(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count);

/* True for a reply that is an error, or a push. */
static inline bool resp_is_error(const char *reply)
{
    return reply[0] == '-' || reply[0] == '!';
}

static inline bool resp_is_push(const char *reply)
{
    return reply[0] == '>';
}

#endif
