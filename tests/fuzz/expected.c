#include "tests/fuzz/expected.h"
#include "tests/fuzz/fake_kernel.h"
#include <stdlib.h>

struct chunk {
    uint32_t seed;
    uint64_t from, size;
};

struct expected_span {
    struct chunk *chunks;
    unsigned count;
    bool open;
};

static struct expected_span *append_span(struct expected *expected, bool open)
{
    if ((expected->count & (expected->count - 1)) == 0) /* a power of two: as many again */
        expected->spans = realloc(expected->spans,
                                  (expected->count ? 2 * expected->count : 1) * sizeof(*expected->spans));
    struct expected_span *span = &expected->spans[expected->count++];
    *span = (struct expected_span){.open = open};
    return span;
}

unsigned expected_open(struct expected *expected)
{
    append_span(expected, true);
    append_span(expected, false);
    return expected->count - 2;
}

void expected_end(struct expected *expected, unsigned place)
{
    expected->spans[place].open = false;
}

void expected_add_to(struct expected *expected, unsigned place, uint32_t seed, uint64_t from, uint64_t size)
{
    struct expected_span *span = &expected->spans[place];

    if (size == 0)
        return;
    if ((span->count & (span->count - 1)) == 0)
        span->chunks = realloc(span->chunks, (span->count ? 2 * span->count : 1) * sizeof(*span->chunks));
    span->chunks[span->count++] = (struct chunk){seed, from, size};
}

void expected_add(struct expected *expected, uint32_t seed, uint64_t from, uint64_t size)
{
    if (expected->count == 0)
        append_span(expected, false);
    expected_add_to(expected, expected->count - 1, seed, from, size);
}

void expected_cut_last(struct expected *expected, uint64_t size)
{
    struct expected_span *span = &expected->spans[expected->count - 1];

    span->chunks[span->count - 1].size = size;
}

/* The chunk that is written next; NULL: there is none yet. */
static const struct chunk *next_chunk(struct expected *expected)
{
    while (expected->span < expected->count) {
        const struct expected_span *span = &expected->spans[expected->span];
        if (expected->chunk < span->count) {
            if (expected->offset < span->chunks[expected->chunk].size)
                return &span->chunks[expected->chunk];
            expected->chunk++;
            expected->offset = 0;
        } else if (span->open || expected->span + 1 == expected->count) {
            return NULL;
        } else {
            expected->span++;
            expected->chunk = 0;
        }
    }
    return NULL;
}

bool expected_write(struct expected *expected, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const struct chunk *chunk = next_chunk(expected);
        if (!chunk)
            return false;
        for (; size > 0 && expected->offset < chunk->size; bytes++, size--, expected->offset++)
            if (*bytes != kernel_byte(chunk->seed, chunk->from + expected->offset))
                return false;
    }
    return true;
}

bool expected_is_owed(const struct expected *expected)
{
    for (unsigned i = 0; i < expected->count; i++)
        if (expected->spans[i].open)
            return true;
    return false;
}

bool expected_is_all_written(struct expected *expected)
{
    return !next_chunk(expected) && !expected_is_owed(expected);
}

void expected_free(struct expected *expected)
{
    for (unsigned i = 0; i < expected->count; i++)
        free(expected->spans[i].chunks);
    free(expected->spans);
    *expected = (struct expected){.spans = NULL};
}
