#include "proto/resp.h"
#include <string.h>

enum { NUMBER_MAX = 20 }; /* digits and a sign */

/* The end of the line that begins at `at`, behind its LF; 0: it has not arrived, -1: there will be none that is valid. */
static ssize_t end_of_line(const char *bytes, size_t size, size_t at, size_t most)
{
    const char *end = at < size ? memchr(bytes + at, '\n', size - at) : NULL;

    if (end)
        return (size_t)(end - bytes) - at > most + 1 ? -1 : end - bytes + 1;
    return size - at > most + 1 ? -1 : 0;
}

/* The number of a line "*3\r\n", from behind its type up to its end. False: it is none. */
static bool number_of(const char *bytes, size_t begin, size_t end, int64_t *number)
{
    bool negative = bytes[begin] == '-';
    size_t at = begin + negative;
    uint64_t value = 0;

    if (end < begin + 3 || bytes[end - 2] != '\r' || end - 2 == at || end - 2 - at > NUMBER_MAX - 2)
        return false;
    for (; at < end - 2; at++) {
        if (bytes[at] < '0' || bytes[at] > '9')
            return false;
        value = value * 10 + (uint64_t)(bytes[at] - '0');
    }
    *number = negative ? -(int64_t)value : (int64_t)value;
    return value <= INT64_MAX;
}

/* ---- parts ---- */

/* What a part says about itself: where it ends, and how many more parts it brings. */
struct part {
    ssize_t end;   /* as resp_reply() */
    uint64_t more; /* parts */
};

static struct part bulk(int64_t length, size_t end)
{
    if (length < -1 || length > RESP_BULK_MAX)
        return (struct part){.end = -1};
    return (struct part){.end = (ssize_t)end + (length < 0 ? 0 : (ssize_t)length + 2)};
}

static struct part aggregate(int64_t count, size_t end, unsigned each, unsigned more)
{
    if (count < -1 || count > UINT32_MAX)
        return (struct part){.end = -1};
    return (struct part){.end = (ssize_t)end, .more = (count < 0 ? 0 : (uint64_t)count) * each + more};
}

/* The part of a reply that begins at `at`. */
static struct part part_of(const char *bytes, size_t size, size_t at)
{
    const char type = bytes[at];
    bool is_line = type && strchr("+-:_#,(", type);
    ssize_t end = end_of_line(bytes, size, at, is_line ? RESP_BULK_MAX : 1 + NUMBER_MAX);
    int64_t number;

    if (end <= 0 || is_line)
        return (struct part){.end = end};
    if (!number_of(bytes, at + 1, (size_t)end, &number))
        return (struct part){.end = -1};
    switch (type) {
    case '$':
    case '!':
    case '=': return bulk(number, (size_t)end);
    case '*':
    case '~':
    case '>': return aggregate(number, (size_t)end, 1, 0);
    case '%': return aggregate(number, (size_t)end, 2, 0);
    case '|': return aggregate(number, (size_t)end, 2, 1); /* attributes stand before what they are about */
    default: return (struct part){.end = -1};
    }
}

ssize_t resp_reply(const char *bytes, size_t size, struct resp_scan *scan)
{
    uint64_t parts = scan->parts ? scan->parts - 1 : 1;
    size_t at = scan->at;

    while (parts > 0 && at < size) {
        struct part part = part_of(bytes, size, at);
        if (part.end < 0 || part.more > UINT64_MAX / 2 - parts)
            return -1;
        if (part.end == 0)
            break;
        parts += part.more - 1;
        at = (size_t)part.end;
        if (at > UINT32_MAX)
            return -1;
    }
    *scan = (struct resp_scan){.at = (uint32_t)at, .parts = parts + 1};
    return parts == 0 ? (ssize_t)at : 0;
}

/* ---- requests ---- */

/* The number of parts, and where they begin. */
static ssize_t begin_request(const char *bytes, size_t size, struct resp_scan *scan)
{
    ssize_t end = end_of_line(bytes, size, 0, RESP_LINE_MAX);
    int64_t count;

    if (end <= 0 || bytes[0] != '*')
        return end;
    if (!number_of(bytes, 1, (size_t)end, &count) || count > RESP_PARTS_MAX)
        return -1;
    if (count <= 0)
        return end;
    *scan = (struct resp_scan){.at = (uint32_t)end, .parts = (uint64_t)count + 1};
    return 0;
}

ssize_t resp_request(const char *bytes, size_t size, struct resp_scan *scan)
{
    if (scan->parts == 0) {
        ssize_t end = begin_request(bytes, size, scan);
        if (end != 0 || scan->parts == 0)
            return end;
    }
    while (scan->parts > 1 && scan->at < size) {
        if (bytes[scan->at] != '$')
            return -1;
        ssize_t end = end_of_line(bytes, size, scan->at, 1 + NUMBER_MAX);
        int64_t length;
        if (end <= 0)
            return end;
        if (!number_of(bytes, scan->at + 1, (size_t)end, &length) || length < 0 || length > RESP_BULK_MAX)
            return -1;
        if ((uint64_t)end + (uint64_t)length + 2 > UINT32_MAX)
            return -1;
        scan->at = (uint32_t)end + (uint32_t)length + 2;
        scan->parts--;
    }
    return scan->parts == 1 ? (ssize_t)scan->at : 0;
}

/* ---- words ---- */

static int words_of_line(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count)
{
    size_t at = 0;
    int stored = 0;

    *count = 0;
    while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r'))
        size--;
    if (memchr(bytes, '"', size) || memchr(bytes, '\'', size) || memchr(bytes, '\0', size))
        return -1;
    for (;;) {
        while (at < size && strchr(" \t\r\v\f\n", bytes[at]))
            at++;
        if (at == size)
            return stored;
        size_t begin = at;
        while (at < size && !strchr(" \t\r\v\f\n", bytes[at]))
            at++;
        if (stored < most)
            words[stored++] = (struct resp_word){.bytes = bytes + begin, .size = at - begin};
        ++*count;
    }
}

int resp_words(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count)
{
    int64_t parts, length;

    if (bytes[0] != '*')
        return words_of_line(bytes, size, words, most, count);
    size_t at = (size_t)end_of_line(bytes, size, 0, RESP_LINE_MAX);
    *count = number_of(bytes, 1, at, &parts) && parts > 0 ? (uint64_t)parts : 0;
    int stored = *count < (uint64_t)most ? (int)*count : most;
    for (int i = 0; i < stored; i++) {
        size_t end = (size_t)end_of_line(bytes, size, at, 1 + NUMBER_MAX);
        if (!number_of(bytes, at + 1, end, &length))
            return -1;
        words[i] = (struct resp_word){.bytes = bytes + end, .size = (size_t)length};
        at = end + (size_t)length + 2;
    }
    return stored;
}
