#include "worker/framing.h"
#include <string.h>

static struct cut cut_line(const char *bytes, size_t size, size_t scanned, size_t max)
{
    const char *end = memchr(bytes + scanned, '\n', size - scanned);
    size_t length = end ? (size_t)(end - bytes) : size;

    if (length > 0 && bytes[length - 1] == '\r')
        length--;
    if (length > max)
        return (struct cut){.total = CUT_OVERSIZE};
    return (struct cut){.total = end ? end - bytes + 1 : 0, .size = length};
}

/* With the length field itself. */
static uint64_t length32(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;

    return 4 + ((uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 | (uint64_t)b[2] << 8 | b[3]);
}

static struct cut cut_sized(ssize_t total, size_t size, size_t max)
{
    if (total < 0)
        return (struct cut){.total = CUT_NONSENSE};
    if ((size_t)total > max || (total == 0 && size >= max))
        return (struct cut){.total = CUT_OVERSIZE};
    return (size_t)total > size ? (struct cut){.total = 0} : (struct cut){.total = total, .size = (size_t)total};
}

static struct cut cut_by_function(const struct framing *framing, const char *bytes, size_t size, size_t max,
                                  struct scan *scan)
{
    if (!framing->measure_on)
        return cut_sized(framing->measure(bytes, size), size, max);
    struct cut cut = cut_sized(framing->measure_on(bytes, size, scan), size, max);
    if (cut.total != 0)
        *scan = (struct scan){.at = 0};
    return cut;
}

struct cut framing_cut(const struct framing *framing, const char *bytes, size_t size, size_t scanned, size_t max,
                       struct scan *scan)
{
    switch (framing->kind) {
    case FRAMING_LINE: return cut_line(bytes, size, scanned, max);
    case FRAMING_LENGTH32: return cut_sized(size < 4 ? 0 : (ssize_t)length32(bytes), size, max);
    case FRAMING_FUNCTION: return cut_by_function(framing, bytes, size, max, scan);
    case FRAMING_BLOCK: return cut_sized((ssize_t)framing->block_size, size, max);
    case FRAMING_RAW: break;
    }
    return (struct cut){.total = (ssize_t)size, .size = size};
}

size_t framing_missing(const struct framing *framing, const char *kept, size_t kept_size, const char *bytes,
                       size_t size)
{
    size_t wanted = size;

    if (framing->kind == FRAMING_LINE) {
        const char *end = memchr(bytes, '\n', size);
        wanted = end ? (size_t)(end - bytes) + 1 : size;
    } else if (framing->kind == FRAMING_LENGTH32) {
        wanted = kept_size < 4 ? 4 - kept_size : (size_t)length32(kept) - kept_size;
    } else if (framing->kind == FRAMING_BLOCK && framing->block_size > kept_size) {
        wanted = framing->block_size - kept_size;
    }
    return wanted < size ? wanted : size;
}
