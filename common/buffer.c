#include "common/buffer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST_SHIFT = 9,                                     /* 512 bytes with the header */
    POOLED_ORDERS = 9,                                      /* up to 128 KiB; larger chunks go straight back */
    POOLED_CHUNKS = 8,                                      /* of each order: at most 2 MiB in all */
    LARGEST = (1 << 30) - (int)sizeof(struct buffer_chunk), /* bytes in one chunk */
};

static struct {
    struct buffer_chunk *first;
    unsigned count;
} pool[POOLED_ORDERS];

/* The order (power of two) whose chunks hold `size` bytes: its chunks take 1 << (order + SMALLEST_SHIFT) bytes, header
 * included. */
static unsigned order_for(size_t size)
{
    unsigned order = 0;
    while ((((size_t)1) << (order + SMALLEST_SHIFT)) < size + sizeof(struct buffer_chunk))
        order++;
    return order;
}

static struct buffer_chunk *chunk_new(size_t size)
{
    unsigned order = order_for(size);
    struct buffer_chunk *chunk;

    if (order < POOLED_ORDERS && pool[order].first) {
        chunk = pool[order].first;
        pool[order].first = chunk->next;
        pool[order].count--;
    } else {
        size_t total = ((size_t)1) << (order + SMALLEST_SHIFT);
        chunk = malloc(total);
        if (!chunk)
            return NULL;
        chunk->capacity = (uint32_t)(total - sizeof(*chunk));
    }
    chunk->begin = chunk->end = 0;
    return chunk;
}

static void chunk_free(struct buffer_chunk *chunk)
{
    unsigned order = order_for(chunk->capacity);

    if (order >= POOLED_ORDERS || pool[order].count == POOLED_CHUNKS) {
        free(chunk);
        return;
    }
    chunk->next = pool[order].first;
    pool[order].first = chunk;
    pool[order].count++;
}

/* Make room for `size` more bytes behind the last one. */
static int make_room(struct buffer *buffer, size_t size)
{
    struct buffer_chunk *chunk = buffer->chunk;
    size_t used = buffer_size(buffer);

    if (chunk && chunk->capacity - chunk->end >= size)
        return 0;
    if (chunk && chunk->capacity - used >= size && chunk->begin >= used) {
        /* What was taken is at least what is moved, so a byte is moved at most once on average. */
        memcpy(chunk->bytes, chunk->bytes + chunk->begin, used);
        chunk->begin = 0;
        chunk->end = (uint32_t)used;
        return 0;
    }
    if (size > LARGEST - used) {
        errno = ENOMEM;
        return -1;
    }
    /* As much room again as there are bytes, so that the next appends copy nothing. */
    size_t wanted = used + (size > used ? size : used);
    struct buffer_chunk *larger = chunk_new(wanted < LARGEST ? wanted : LARGEST);
    if (!larger)
        return -1;
    if (chunk) {
        memcpy(larger->bytes, chunk->bytes + chunk->begin, used);
        larger->end = (uint32_t)used;
        larger->note = chunk->note;
        larger->note32 = chunk->note32;
        chunk_free(chunk);
    }
    buffer->chunk = larger;
    return 0;
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    return make_room(buffer, size) < 0 ? NULL : buffer->chunk->bytes + buffer->chunk->end;
}

void buffer_commit(struct buffer *buffer, size_t size)
{
    buffer->chunk->end += (uint32_t)size;
    if (buffer->chunk->begin == buffer->chunk->end)
        buffer_clear(buffer);
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    char *room = buffer_reserve(buffer, size);
    if (!room)
        return -1;
    memcpy(room, bytes, size);
    buffer_commit(buffer, size);
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    if (size == 0)
        return;
    buffer->chunk->begin += (uint32_t)size;
    if (buffer->chunk->begin == buffer->chunk->end)
        buffer_clear(buffer);
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->chunk)
        chunk_free(buffer->chunk);
    buffer->chunk = NULL;
}

void buffer_trim(void)
{
    for (unsigned order = 0; order < POOLED_ORDERS; order++) {
        for (struct buffer_chunk *chunk; (chunk = pool[order].first); free(chunk))
            pool[order].first = chunk->next;
        pool[order].count = 0;
    }
}
