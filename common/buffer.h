/*
 * A byte queue that owns no memory while it is empty.
 *
 *   NULL                                          empty: what an idle session has
 *
 *   chunk -> | header | taken | bytes | room |
 *                     0     begin    end     capacity        0 <= begin < end <= capacity (begin < end: never kept
 * empty)
 *
 * Chunks come in powers of two. A few of each size are kept for the next buffer that needs one, so that the unfinished
 * message at the end of a read costs no malloc; how many is bounded, and one set serves the whole (single-threaded)
 * process.
 */
#ifndef COMMON_BUFFER_H
#define COMMON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer_chunk;

struct buffer {
    struct buffer_chunk *chunk;
};

struct buffer_chunk {
    union {
        struct buffer_chunk *next; /* while it waits for reuse */
        uint64_t note;             /* the owner's, as is note32; kept when the bytes move */
    };
    uint32_t capacity, begin, end;
    uint32_t note32;
    char bytes[];
};

static inline bool buffer_is_empty(const struct buffer *buffer)
{
    return buffer->chunk == NULL;
}

static inline size_t buffer_size(const struct buffer *buffer)
{
    return buffer->chunk ? buffer->chunk->end - buffer->chunk->begin : 0;
}

/* The bytes, in one piece; NULL when empty. Valid until the buffer is changed. */
static inline char *buffer_bytes(const struct buffer *buffer)
{
    return buffer->chunk ? buffer->chunk->bytes + buffer->chunk->begin : NULL;
}

/* Copy `size` bytes to the end. Returns 0, or -1 with ENOMEM (also beyond 1 GiB) and the buffer unchanged. */
int buffer_append(struct buffer *buffer, const void *bytes, size_t size) __attribute__((warn_unused_result));

/*
 * Room for `size` more bytes in one piece, at the end; NULL with ENOMEM. They count from the commit on, which must be
 * the next call on this buffer; committing 0 undoes the reservation.
 */
char *buffer_reserve(struct buffer *buffer, size_t size) __attribute__((warn_unused_result));
void buffer_commit(struct buffer *buffer, size_t size);

/* Keep a note with the bytes, until they are dropped. The buffer is not empty, and has one when it is asked for. */
static inline void buffer_set_note(struct buffer *buffer, uint64_t note, uint32_t note32)
{
    buffer->chunk->note = note;
    buffer->chunk->note32 = note32;
}

static inline uint32_t buffer_note(const struct buffer *buffer, uint64_t *note)
{
    *note = buffer->chunk->note;
    return buffer->chunk->note32;
}

/* Drop everything. */
void buffer_clear(struct buffer *buffer);

/* Undo a reservation that has not been committed; nothing happens when there is none. */
static inline void buffer_cancel(struct buffer *buffer)
{
    if (buffer->chunk && buffer->chunk->begin == buffer->chunk->end)
        buffer_clear(buffer);
}

/* Drop `size` bytes, at most buffer_size(), from the front. The memory is given back when nothing is left. */
void buffer_consume(struct buffer *buffer, size_t size);

/* Return the chunks kept for reuse to the allocator: before a leak check, or when memory is short. */
void buffer_trim(void);

#endif
