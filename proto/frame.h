/*
 * The frame that carries one protobuf message of the bank protocol. Bytes in, bytes out: no descriptors, no allocation.
 *
 *   | be32 length | be32 name_length | name ... \0 | body ... | le32 adler32 |
 *                 |<-------------------- length ---------------------------->|
 *                 |<-------------- checksummed ------------>|
 *
 * The checksum is written in little-endian order, and accepted in either: earlier clients send it big-endian.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* One list: the results, the `code` of an error message, and its text. */
#define FRAME_RESULTS(X)                                                                                               \
    X(OK, "no error")                                                                                                  \
    X(BAD_LENGTH, "the frame length is out of range")                                                                  \
    X(BAD_NAME_LENGTH, "the length of the type name does not fit the frame")                                           \
    X(BAD_NAME, "the type name is not a NUL-terminated string")                                                        \
    X(BAD_CHECKSUM, "the checksum is wrong")                                                                           \
    X(UNKNOWN_TYPE, "the message type is not known")                                                                   \
    X(BAD_BODY, "the message does not parse")                                                                          \
    X(OUT_OF_MEMORY, "the server is out of memory for this message")

enum frame_result {
#define X(name, text) FRAME_##name,
    FRAME_RESULTS(X)
#undef X
        FRAME_RESULT_COUNT
};

enum {
    FRAME_LENGTH_SIZE = 4,        /* the length field */
    FRAME_OVERHEAD = 4 + 4 + 4,   /* length, name_length, checksum */
    FRAME_LENGTH_MIN = 4 + 2 + 4, /* smallest value of the length field: a name of one character, no body */
};

/* A decoded frame. Points into the bytes it was decoded from. */
struct frame {
    const char *name; /* NUL-terminated */
    size_t name_size; /* without the NUL, at least 1 */
    const uint8_t *body;
    size_t body_size;
};

/*
 * Take apart one whole frame of `size` bytes, length field included. Returns FRAME_OK, or BAD_LENGTH (also when `size`
 * is not what the length field says), BAD_NAME_LENGTH, BAD_NAME or BAD_CHECKSUM; `frame` is then undefined.
 */
enum frame_result frame_decode(const void *bytes, size_t size, struct frame *frame);

/* Bytes of a whole frame. */
static inline size_t frame_size(size_t name_size, size_t body_size)
{
    return FRAME_OVERHEAD + name_size + 1 + body_size;
}

/*
 * Encode in place: frame_begin() writes up to the name into `bytes` and returns where the body goes; write at most the
 * bytes that were planned for; frame_end() completes the frame and returns its size.
 */
uint8_t *frame_begin(void *bytes, const char *name, size_t name_size);
size_t frame_end(void *bytes, size_t name_size, size_t body_size);

/* A sentence for a result. */
const char *frame_text(enum frame_result result);

#endif
