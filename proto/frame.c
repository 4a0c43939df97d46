#include "proto/frame.h"
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

static uint32_t get_be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_be32(uint8_t *b, uint32_t value)
{
    b[0] = (uint8_t)(value >> 24);
    b[1] = (uint8_t)(value >> 16);
    b[2] = (uint8_t)(value >> 8);
    b[3] = (uint8_t)value;
}

static uint32_t get_le32(const uint8_t *b)
{
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static void put_le32(uint8_t *b, uint32_t value)
{
    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
    b[2] = (uint8_t)(value >> 16);
    b[3] = (uint8_t)(value >> 24);
}

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    return (uint32_t)adler32(1, bytes, (uInt)size);
}

/* Earlier clients store the checksum big-endian, so both orders are valid. */
static bool checksum_matches(const uint8_t *stored, uint32_t sum)
{
    return get_le32(stored) == sum || get_be32(stored) == sum;
}

enum frame_result frame_decode(const void *bytes, size_t size, struct frame *frame)
{
    const uint8_t *b = bytes;

    if (size < FRAME_LENGTH_SIZE + FRAME_LENGTH_MIN || get_be32(b) != size - FRAME_LENGTH_SIZE)
        return FRAME_BAD_LENGTH;
    uint32_t name_length = get_be32(b + 4);
    if (name_length < 2 || name_length > size - FRAME_OVERHEAD)
        return FRAME_BAD_NAME_LENGTH;
    frame->name = (const char *)b + 8;
    frame->name_size = name_length - 1;
    if (memchr(frame->name, '\0', name_length) != frame->name + frame->name_size)
        return FRAME_BAD_NAME;
    if (!checksum_matches(b + size - 4, checksum(b + 4, size - 8)))
        return FRAME_BAD_CHECKSUM;
    frame->body = b + 8 + name_length;
    frame->body_size = size - FRAME_OVERHEAD - name_length;
    return FRAME_OK;
}

uint8_t *frame_begin(void *bytes, const char *name, size_t name_size)
{
    uint8_t *b = bytes;

    put_be32(b + 4, (uint32_t)name_size + 1);
    memcpy(b + 8, name, name_size);
    b[8 + name_size] = '\0';
    return b + 8 + name_size + 1;
}

size_t frame_end(void *bytes, size_t name_size, size_t body_size)
{
    uint8_t *b = bytes;
    size_t size = frame_size(name_size, body_size);

    put_be32(b, (uint32_t)(size - FRAME_LENGTH_SIZE));
    put_le32(b + size - 4, checksum(b + 4, size - 8));
    return size;
}

const char *frame_text(enum frame_result result)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FRAME_RESULTS(X)
#undef X
    };
    return (unsigned)result < FRAME_RESULT_COUNT ? texts[result] : "unknown error";
}
