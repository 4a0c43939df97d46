/*
 * Requests and replies of Redis: nothing is read beyond their bytes, pieces give what the whole gives, and a reply ends
 * where hiredis, a client's parser, finds its end. The first byte chooses the parser, the second the pieces.
 */
#include "proto/resp.h"
#include "proto/resp_slot.h"
#include <stdlib.h>
#include <string.h>

#include <hiredis/read.h>

enum { PIECES = 24, WORDS = 4, NUMBER_LINE_MAX = 21 };

typedef ssize_t parser(const char *bytes, size_t size, struct resp_scan *scan);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of the exact size, so that AddressSanitizer sees a read beyond it. */
static char *copy_of(const char *bytes, size_t size)
{
    char *copy = malloc(size + !size);

    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    return copy;
}

/* What has been passed is overwritten, and little more than what is new is left to be read. */
static ssize_t parse_piece(parser *parse, const char *bytes, size_t size, struct resp_scan *scan)
{
    char *copy = copy_of(bytes, size);
    uint32_t before = scan->at;

    memset(copy, '!', before < size ? before : size);
    ssize_t result = parse(copy, size, scan);
    free(copy);
    if (result >= 0 && (scan->at < before || (result == 0 && scan->at + NUMBER_LINE_MAX < size)))
        abort();
    return result;
}

static void check_pieces(parser *parse, const char *bytes, size_t size, ssize_t whole, uint8_t pace)
{
    struct resp_scan scan = {.at = 0};
    ssize_t result = 0;

    for (size_t at = 0, i = 0; at < size && result == 0; i++) {
        size_t step = i < PIECES ? 1 + pace * i % 7 * (pace % 3) : size - at;
        at = step < size - at ? at + step : size;
        result = parse_piece(parse, bytes, at, &scan);
        if (at < size && result != 0 && result != whole)
            abort();
    }
    if (result != whole)
        abort();
}

/* ---- requests ---- */

static void check_words(const char *request, size_t size)
{
    char *copy = copy_of(request, size);
    struct resp_word words[WORDS];
    uint64_t count;
    int stored = resp_words(copy, size, words, WORDS, &count);

    if (stored < -1 || stored > WORDS || (stored >= 0 && (uint64_t)stored != (count < WORDS ? count : WORDS)))
        abort();
    for (int i = 0; i < stored; i++) {
        if (words[i].bytes < copy || words[i].bytes > copy + size || words[i].size > size ||
            words[i].bytes + words[i].size > copy + size)
            abort();
        char *key = copy_of(words[i].bytes, words[i].size);
        if (resp_slot(key, words[i].size) >= RESP_SLOTS)
            abort();
        free(key);
    }
    free(copy);
}

/* ---- replies ---- */

/* The hiredis of Debian knows neither the types of RESP3 nor more than seven levels, and it reads integers. */
static bool is_more_than_hiredis_knows(const char *error)
{
    return strncmp(error, "Protocol error, got", 19) == 0 || strncmp(error, "Bad integer value", 17) == 0 ||
           strncmp(error, "No support for nested multi bulk replies", 40) == 0;
}

static void check_hiredis(const char *bytes, size_t size, ssize_t result)
{
    redisReader *reader = redisReaderCreateWithFunctions(NULL);
    void *reply = NULL;
    bool is_whole = result > 0 && (size_t)result <= size;

    if (!reader || redisReaderFeed(reader, bytes, size) != REDIS_OK)
        abort();
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
        if (is_whole && !is_more_than_hiredis_knows(reader->errstr))
            abort();
    } else if (reply ? result != (ssize_t)(size - (reader->len - reader->pos)) : is_whole) {
        abort();
    }
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    parser *parse = data[0] & 1 ? resp_reply : resp_request;
    const char *bytes = (const char *)data + 2;
    size -= 2;
    char *copy = copy_of(bytes, size);
    ssize_t whole = parse(copy, size, &(struct resp_scan){.at = 0});

    free(copy);
    if (whole < -1)
        abort();
    check_pieces(parse, bytes, size, whole, data[1]);
    if (parse == resp_reply)
        check_hiredis(bytes, size, whole);
    else if (whole > 0 && (size_t)whole <= size)
        check_words(bytes, (size_t)whole);
    return 0;
}
