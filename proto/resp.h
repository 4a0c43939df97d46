/*
 * RESP, the protocol of Redis, versions 2 and 3: where a request and a reply end, and which words a request has. Bytes
 * in, numbers out: no descriptors, no allocation.
 *
 *   request   *2\r\n $3\r\nGET\r\n $1\r\nk\r\n        an array of bulk strings
 *             GET k\r\n                               or a line, as people type it
 *   reply     +OK\r\n  $1\r\nv\r\n  *2\r\n...         a type, then a line, a string, or a number of parts
 *
 * A request ends here where it ends for Redis, and nothing that Redis would refuse has a size. The converse does not
 * hold: of what Redis takes, or may take, this is refused, and a caller then passes the bytes on untouched:
 *
 *   - another byte than LF behind the CR of a length or a count; Redis does not look at it
 *   - lengths and counts of more than 18 digits: "*-1000000000000000000" is an empty request, too
 *   - more than RESP_PARTS_MAX parts, more than UINT32_MAX bytes
 *   - a NUL in a line, for which Redis waits without an end until the line is too long
 *   - a line longer than RESP_LINE_MAX; Redis takes it if all of it arrives at once
 *
 * The exception is a line with unbalanced quotes. It has a size, but resp_words() leaves all quotes to Redis.
 *
 * Of a reply only the types, lengths and counts are checked; a line ends with CR and LF, not with one of them. There is
 * no limit of depth: parts are counted, not nested. Streamed strings and aggregates ("$?") are refused: no server sends
 * them unasked.
 */
#ifndef PROTO_RESP_H
#define PROTO_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

enum {
    RESP_LINE_MAX = 64 << 10,  /* bytes of a line before its LF, as in Redis */
    RESP_PARTS_MAX = 1 << 20,  /* of a request, as in Redis before 7.0, which has no limit but INT_MAX */
    RESP_BULK_MAX = 512 << 20, /* bytes of a string in a request: the default of Redis' proto-max-bulk-len */
};

/* How much of a message has been parsed. Zeroed where a message begins; undefined after -1. */
struct resp_scan {
    uint32_t at;    /* bytes before it are not read again */
    uint64_t parts; /* state of the parser */
};

/*
 * The size of the request that `bytes` begins with, 0 when more bytes are needed, -1 when Redis would refuse it or it
 * is listed above. `size` is at least 1, and no smaller than in the last call for this message. The result may exceed
 * `size`: the last string has not arrived, but its length has.
 */
ssize_t resp_request(const char *bytes, size_t size, struct resp_scan *scan);

/* The same for a reply, or a push. It has at most UINT32_MAX bytes. */
ssize_t resp_reply(const char *bytes, size_t size, struct resp_scan *scan);

struct resp_word {
    const char *bytes; /* in the request */
    size_t size;
};

/*
 * The first words of a whole request, up to `most`. Sets `*count` to the number of all words. Returns how many were
 * stored, 0 for a request without words, which Redis does not answer, and -1 for a line with quotes.
 */
int resp_words(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count);

/* Whether the word is this one, in small or capital letters. */
static inline bool resp_word_is(const struct resp_word *word, const char *name)
{
    return word->size == strlen(name) && strncasecmp(word->bytes, name, word->size) == 0;
}

static inline bool resp_is_error(const char *reply)
{
    return reply[0] == '-' || reply[0] == '!';
}

#endif
