/*
 * What a client may expect to be written to it: spans in the order of the places of answers, each made of chunks of
 * known streams (kernel_byte) in the order in which they were sent.
 *
 *   span        span (a place that is open)      span ...
 *   chunk chunk chunk ...                        chunk
 *   ======^ written until here                   nothing of it before the place has been ended
 */
#ifndef TESTS_FUZZ_EXPECTED_H
#define TESTS_FUZZ_EXPECTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expected_span;

struct expected {
    struct expected_span *spans;
    unsigned count;
    unsigned span, chunk; /* what is written next */
    uint64_t offset;
};

/* Reserve a place behind everything until now; returns its number. */
unsigned expected_open(struct expected *expected);
void expected_end(struct expected *expected, unsigned place);

/* `size` bytes of stream `seed`, beginning with byte `from`, were sent: to a place, or behind all places. */
void expected_add_to(struct expected *expected, unsigned place, uint32_t seed, uint64_t from, uint64_t size);
void expected_add(struct expected *expected, uint32_t seed, uint64_t from, uint64_t size);

/* The last chunk is shorter after all. */
void expected_cut_last(struct expected *expected, uint64_t size);

/* These bytes are written next, says the core: false when they are not. */
bool expected_write(struct expected *expected, const uint8_t *bytes, size_t size);

/* True when nothing more can be written: every place has been ended, and all bytes are out. */
bool expected_is_all_written(struct expected *expected);

/* True when a place is open. */
bool expected_is_owed(const struct expected *expected);

void expected_free(struct expected *expected);

#endif
