#include "proto/resp.h"
#include <string.h>

enum { DIGITS_MAX = 18 }; /* an int64_t holds each number of as many */

/*
 * In resp_scan.parts, which is 0 where a message begins, else the number of parts that are still to come plus 1: `at`
 * is inside a line, and only its end is looked for.
 */
#define IN_LINE (UINT64_C(1) << 63)

/* The number in a line such as "$3\r\n". */
struct number {
    ssize_t end; /* the place behind the line, 0 when more bytes are needed, -1 when the line is invalid */
    int64_t value;
};

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static struct number read_digits(const char *bytes, const char *first, const char *end)
{
    const char *limit = end - first > DIGITS_MAX ? first + DIGITS_MAX : end, *at = first;
    int64_t value = 0;

    for (; at < limit && is_digit(*at); at++)
        value = value * 10 + (*at - '0');
    if (end - at >= 2 && memcmp(at, "\r\n", 2) == 0 && at > first && (*first != '0' || at == first + 1))
        return (struct number){.end = at + 2 - bytes, .value = value};
    bool is_begun = at == end || (at + 1 == end && at > first && *at == '\r');
    return (struct number){.end = is_begun ? 0 : -1};
}

/* Read the line that begins at `at`. Redis and its clients refuse leading zeros, "-0" and "+1", too. */
static inline struct number read_number(const char *bytes, size_t size, size_t at)
{
    const char *first = bytes + at + 1, *end = bytes + size;

    if (end - first >= 3 && is_digit(first[0]) && memcmp(first + 1, "\r\n", 2) == 0) /* most have one digit */
        return (struct number){.end = (ssize_t)at + 4, .value = *first - '0'};
    if (first == end || *first != '-')
        return read_digits(bytes, first, end);
    struct number number = read_digits(bytes, first + 1, end);
    if (number.end > 0 && number.value == 0)
        number.end = -1;
    number.value = -number.value;
    return number;
}

/* ---- parts: each pass_ moves `scan` behind one, or returns 0 when more bytes are needed, or -1 ---- */

static int move_to(struct resp_scan *scan, uint64_t at, uint64_t parts)
{
    if (at > UINT32_MAX || parts > UINT32_MAX) /* a part has several bytes: so many cannot come */
        return -1;
    *scan = (struct resp_scan){.at = (uint32_t)at, .parts = parts};
    return 1;
}

static int pass_line(const char *bytes, size_t size, struct resp_scan *scan)
{
    size_t at = scan->at;
    const char *cr;

    while ((cr = memchr(bytes + at, '\r', size - at)) && (size_t)(cr - bytes) + 1 < size) {
        at = (size_t)(cr - bytes) + 1;
        if (bytes[at] == '\n')
            return move_to(scan, at + 1, (scan->parts & ~IN_LINE) - 1);
    }
    at = cr ? (size_t)(cr - bytes) : size;
    if (at > UINT32_MAX)
        return -1;
    *scan = (struct resp_scan){.at = (uint32_t)at, .parts = scan->parts | IN_LINE};
    return 0;
}

static int pass_string(const char *bytes, size_t size, struct resp_scan *scan)
{
    struct number length = read_number(bytes, size, scan->at);

    if (length.end <= 0 || length.value < -1)
        return length.end == 0 ? 0 : -1;
    return move_to(scan, (uint64_t)(length.end + (length.value < 0 ? 0 : length.value + 2)), scan->parts - 1);
}

/* An aggregate of `each` parts per count, with so many `more` behind it. */
static int pass_aggregate(const char *bytes, size_t size, struct resp_scan *scan, unsigned each, unsigned more)
{
    struct number count = read_number(bytes, size, scan->at);

    if (count.end <= 0 || count.value < -1)
        return count.end == 0 ? 0 : -1;
    uint64_t parts = count.value < 0 ? 0 : (uint64_t)count.value * each;
    return move_to(scan, (uint64_t)count.end, scan->parts - 1 + parts + more);
}

static int pass_part(const char *bytes, size_t size, struct resp_scan *scan)
{
    if (scan->parts & IN_LINE)
        return pass_line(bytes, size, scan);
    switch (bytes[scan->at]) {
    case '$':
    case '!':
    case '=': return pass_string(bytes, size, scan);
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(': return pass_line(bytes, size, scan);
    case '*':
    case '~':
    case '>': return pass_aggregate(bytes, size, scan, 1, 0);
    case '%': return pass_aggregate(bytes, size, scan, 2, 0);
    case '|': return pass_aggregate(bytes, size, scan, 2, 1); /* attributes precede what they are about */
    default: return -1;
    }
}

ssize_t resp_reply(const char *bytes, size_t size, struct resp_scan *scan)
{
    if (scan->parts == 0)
        scan->parts = 1 + 1;
    while (scan->parts > 1 && scan->at < size) {
        int result = pass_part(bytes, size, scan);
        if (result <= 0)
            return result;
    }
    return scan->parts == 1 ? (ssize_t)scan->at : 0;
}

/* ---- requests ---- */

static ssize_t line_request(const char *bytes, size_t size, struct resp_scan *scan)
{
    size_t limit = size <= RESP_LINE_MAX ? size : RESP_LINE_MAX + 1;
    const char *lf = memchr(bytes + scan->at, '\n', limit - scan->at);
    size_t end = lf ? (size_t)(lf - bytes) : limit;

    if (end > RESP_LINE_MAX || memchr(bytes + scan->at, '\0', end - scan->at))
        return -1;
    if (lf)
        return (ssize_t)end + 1;
    *scan = (struct resp_scan){.at = (uint32_t)end, .parts = IN_LINE};
    return 0;
}

ssize_t resp_request(const char *bytes, size_t size, struct resp_scan *scan)
{
    if (scan->parts == 0 ? bytes[0] != '*' : scan->parts == IN_LINE)
        return line_request(bytes, size, scan);
    if (scan->parts == 0) {
        struct number count = read_number(bytes, size, 0);
        if (count.end <= 0 || count.value <= 0)
            return count.end;
        if (count.value > RESP_PARTS_MAX)
            return -1;
        move_to(scan, (uint64_t)count.end, (uint64_t)count.value + 1);
    }
    while (scan->parts > 1 && scan->at < size) {
        if (bytes[scan->at] != '$')
            return -1;
        struct number length = read_number(bytes, size, scan->at);
        if (length.end <= 0)
            return length.end;
        if (length.value < 0 || length.value > RESP_BULK_MAX)
            return -1;
        if (move_to(scan, (uint64_t)(length.end + length.value + 2), scan->parts - 1) < 0)
            return -1;
    }
    return scan->parts == 1 ? (ssize_t)scan->at : 0;
}

/* ---- words ---- */

/* A byte that ends a word. Redis skips vertical tabs and form feeds before a word, but takes them inside. */
static bool ends_word(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_blank(char byte)
{
    return ends_word(byte) || byte == '\v' || byte == '\f';
}

static int words_of_line(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count)
{
    int stored = 0;

    if (memchr(bytes, '"', size) || memchr(bytes, '\'', size))
        return -1;
    for (size_t at = 0;; ++*count) {
        while (at < size && is_blank(bytes[at]))
            at++;
        if (at == size)
            return stored;
        size_t begin = at;
        while (at < size && !ends_word(bytes[at]))
            at++;
        if (stored < most)
            words[stored++] = (struct resp_word){.bytes = bytes + begin, .size = at - begin};
    }
}

int resp_words(const char *bytes, size_t size, struct resp_word *words, int most, uint64_t *count)
{
    int stored = 0;

    *count = 0;
    if (bytes[0] != '*')
        return words_of_line(bytes, size, words, most, count);
    struct number parts = read_number(bytes, size, 0);
    if (parts.end <= 0 || parts.value <= 0)
        return 0;
    *count = (uint64_t)parts.value;
    for (ssize_t at = parts.end; stored < most && stored < parts.value; stored++) {
        struct number length = read_number(bytes, size, (size_t)at);
        if (length.end <= 0)
            return -1;
        words[stored] = (struct resp_word){.bytes = bytes + length.end, .size = (size_t)length.value};
        at = length.end + length.value + 2;
    }
    return stored;
}
