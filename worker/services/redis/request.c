#include "worker/services/redis/request.h"
#include "proto/resp.h"

size_t request_size(const char *bytes, size_t size)
{
    struct resp_scan scan = {.at = 0};
    ssize_t result = size > 0 ? resp_request(bytes, size, &scan) : 0;

    return result > 0 && (size_t)result <= size ? (size_t)result : 0;
}

/* Whether the command takes so many words; of others than those that change what their connection is, nobody asks. */
static bool takes(enum command_kind kind, uint64_t words)
{
    switch (kind) {
    case COMMAND_MULTI:
    case COMMAND_EXEC:
    case COMMAND_UNWATCH:
    case COMMAND_RESET: return words == 1;
    case COMMAND_WATCH: return words > 1;
    default: return true;
    }
}

enum command_kind request_kind(const char *bytes, size_t size)
{
    struct resp_word word[1];
    uint64_t words = 0;

    if (resp_words(bytes, size, word, 1, &words) != 1)
        return COMMAND_PRIVATE;
    enum command_kind kind = command_kind(word[0].bytes, word[0].size);
    return takes(kind, words) ? kind : COMMAND_READ;
}

/*
 * The size of the transaction whose MULTI has `begun` bytes, when all of it is there and each of its commands shares;
 * else that of MULTI alone.
 */
static size_t transaction_size(const char *bytes, size_t size, size_t begun)
{
    for (size_t at = begun, next; (next = request_size(bytes + at, size - at)) > 0; at += next) {
        enum command_kind kind = request_kind(bytes + at, next);
        if (kind == COMMAND_EXEC)
            return at + next;
        if (kind != COMMAND_READ && kind != COMMAND_WRITE && kind != COMMAND_BLOCKING)
            break;
    }
    return begun;
}

struct request request_look(const char *bytes, size_t size)
{
    size_t first = request_size(bytes, size);

    return (struct request){.size = first, .kind = first > 0 ? request_kind(bytes, first) : COMMAND_PRIVATE};
}

/* A message is handed over when it has been cut, and before the next one is: to parse it twice would cost as much again. */
static struct {
    const char *bytes;
    size_t size;
    struct request request;
} measured;

struct request request_measured(const char *bytes, size_t size)
{
    return measured.bytes == bytes && measured.size == size ? measured.request : request_look(bytes, size);
}

static ssize_t note_measured(const char *bytes, size_t size, struct request request)
{
    measured.bytes = bytes;
    measured.size = size;
    measured.request = request;
    return (ssize_t)size;
}

ssize_t request_measure(const char *bytes, size_t size, struct scan *scan)
{
    struct resp_scan resp = {.at = scan->at, .parts = scan->state};
    ssize_t result = resp_request(bytes, size, &resp);

    *scan = (struct scan){.at = resp.at, .state = resp.parts};
    if (result < 0 || result > REQUEST_WHOLE_MAX || resp.at > REQUEST_WHOLE_MAX)
        return note_measured(bytes, size, (struct request){.kind = COMMAND_PRIVATE});
    if (result == 0 || (size_t)result > size)
        return result;
    struct request request = {.size = (size_t)result, .kind = request_kind(bytes, (size_t)result)};
    return note_measured(
        bytes, request.kind == COMMAND_MULTI ? transaction_size(bytes, size, request.size) : request.size, request);
}
