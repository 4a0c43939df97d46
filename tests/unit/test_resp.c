/*
 * Requests and replies of Redis: where they end, whatever the pieces, and which words a request has. The vectors tell
 * what Redis makes of a request; tests/regress/test_resp.py asks it.
 */
#include "proto/resp.h"
#include "tests/unit/vectors.h"
#include <sys/mman.h>

/* A message and its size, also when there are NULs in it. */
#define BYTES(text) text, sizeof(text) - 1

enum { NUMBER_LINE_MAX = 1 + 1 + 18 + 1 }; /* type, sign, digits, CR: what is read again when the LF comes */

typedef ssize_t parser(const char *bytes, size_t size, struct resp_scan *scan);

/* ---- a stream in pieces ---- */

/* What has not arrived looks like the end of a line, or like digits; what has been passed is overwritten. */
struct stream {
    parser *parse;
    struct resp_scan scan;
    char *bytes;
    size_t size, capacity;
};

static void stream_init(struct stream *stream, parser *parse, size_t capacity, char unread)
{
    *stream = (struct stream){.parse = parse, .bytes = malloc(capacity), .capacity = capacity};
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream->bytes);
    memset(stream->bytes, unread, capacity);
}

static void stream_fini(struct stream *stream)
{
    free(stream->bytes);
}

/* One more byte. Checks that the place never goes back, and that little more than the new byte is ahead of it. */
static ssize_t stream_feed(struct stream *stream, char byte)
{
    uint32_t before = stream->scan.at;

    CU_ASSERT_FATAL(stream->size < stream->capacity);
    stream->bytes[stream->size++] = byte;
    ssize_t result = stream->parse(stream->bytes, stream->size, &stream->scan);
    if (result < 0)
        return result;
    if (stream->scan.at < before || (result == 0 && stream->scan.at + NUMBER_LINE_MAX < stream->size))
        CU_FAIL_FATAL("bytes are read again");
    for (size_t at = before; at < stream->scan.at && at < stream->size; at++)
        stream->bytes[at] = '!';
    return result;
}

/* Byte by byte the result is that of the whole; up to there it is 0, or the size, which a length tells early. */
static void check_pieces(parser *parse, const char *bytes, size_t size, ssize_t whole, char unread)
{
    struct stream stream;
    ssize_t result = 0;

    stream_init(&stream, parse, size, unread);
    for (size_t i = 0; i < size && result >= 0; i++) {
        ssize_t next = stream_feed(&stream, bytes[i]);
        if (result > 0)
            CU_ASSERT_EQUAL(next, result);
        result = next;
    }
    CU_ASSERT_EQUAL(result, whole);
    stream_fini(&stream);
}

static ssize_t parse_copy(parser *parse, const char *bytes, size_t size)
{
    char *copy = malloc(size); /* of the exact size: a checker of memory sees a read beyond it */

    memcpy(copy, bytes, size);
    ssize_t result = parse(copy, size, &(struct resp_scan){.at = 0});
    free(copy);
    return result;
}

/* The whole, in pieces, each truncation, and with something behind it. */
static void check_result(parser *parse, const char *bytes, size_t size, ssize_t wanted)
{
    char longer[VECTOR_SIZE + 8];

    if (parse_copy(parse, bytes, size) != wanted) {
        printf("\n%.*s: %zd, not %zd\n", (int)size, bytes, parse_copy(parse, bytes, size), wanted);
        CU_FAIL("a wrong size");
        return;
    }
    check_pieces(parse, bytes, size, wanted, '\n');
    check_pieces(parse, bytes, size, wanted, '\r');
    check_pieces(parse, bytes, size, wanted, '7');
    for (size_t i = 1; i < size; i++) {
        ssize_t result = parse_copy(parse, bytes, i);
        CU_ASSERT(result == 0 || result == wanted);
    }
    CU_ASSERT_FATAL(size <= VECTOR_SIZE);
    memcpy(longer, bytes, size);
    memcpy(longer + size, "$1\r\n", 4);
    if (wanted != 0)
        CU_ASSERT_EQUAL(parse_copy(parse, longer, size + 4), wanted);
}

/* ---- requests ---- */

static bool is_kind(const struct vector *vector, const char *kind)
{
    return strcmp(vector->bytes[0], kind) == 0;
}

static unsigned kinds_seen[4]; /* sizes, more bytes needed, refused, quotes */

static void check_request(const struct vector *vector)
{
    const char *bytes = vector->bytes[1];
    size_t size = vector->sizes[1];
    struct resp_word words[2];
    uint64_t count;

    if (is_kind(vector, "waits")) {
        check_result(resp_request, bytes, size, 0);
        kinds_seen[1]++;
        return;
    }
    if (is_kind(vector, "refused") || is_kind(vector, "strict")) {
        check_result(resp_request, bytes, size, -1);
        kinds_seen[2]++;
        return;
    }
    check_result(resp_request, bytes, size, (ssize_t)size);
    int stored = resp_words(bytes, size, words, 2, &count);
    if (is_kind(vector, "quoted")) {
        CU_ASSERT_EQUAL(stored, -1);
        kinds_seen[3]++;
        return;
    }
    CU_ASSERT(is_kind(vector, "silent") ? stored == 0 && count == 0 : is_kind(vector, "whole") && stored > 0);
    kinds_seen[0]++;
}

static void test_request_vectors(void)
{
    CU_ASSERT(vectors_each("tests/vectors/resp_requests.tsv", check_request) >= 100);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(kinds_seen[i] >= 9);
}

/* The size is known when the last length has come. */
static void test_early_size(void)
{
    struct resp_scan scan = {.at = 0};

    CU_ASSERT_EQUAL(resp_request(BYTES("*2\r\n$3\r\nGET\r\n$100\r"), &scan), 0);
    CU_ASSERT_EQUAL(resp_request(BYTES("*2\r\n$3\r\nGET\r\n$100\r\n"), &scan), 4 + 9 + 6 + 102);
    scan = (struct resp_scan){.at = 0};
    CU_ASSERT_EQUAL(resp_reply(BYTES("*2\r\n:1\r\n$100\r\n"), &scan), 4 + 4 + 6 + 102);
}

static void test_request_limits(void)
{
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1048576\r\n")), 0);
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1048577\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1\r\n$536870912\r\n")), 4 + 12 + 536870912 + 2);
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1\r\n$536870913\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1\r\n$999999999999999999\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_request, BYTES("*1\r\n$1000000000000000000")), -1);
}

/* The last of many strings: its end is the last place that can be stored, or one byte behind it. */
static void test_request_overflow(void)
{
    static const char length[] = "$536870912\r\n";
    const uint32_t at = UINT32_MAX - 536870912 - 2 - 12;
    const size_t size = (size_t)at + 1 + 12;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CU_ASSERT_FATAL(bytes != MAP_FAILED);
    for (uint32_t more = 0; more <= 1; more++) {
        struct resp_scan scan = {.at = at + more, .parts = 2};
        memcpy(bytes + scan.at, length, 12);
        CU_ASSERT_EQUAL(resp_request(bytes, scan.at + 12, &scan), more ? -1 : (ssize_t)UINT32_MAX);
    }
    munmap(bytes, size);
}

static void test_long_line(void)
{
    size_t size = RESP_LINE_MAX + 2;
    char *line = malloc(size);

    memset(line, 'x', size);
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, RESP_LINE_MAX), 0);
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, RESP_LINE_MAX + 1), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, size), -1);
    line[RESP_LINE_MAX] = '\n';
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, size), RESP_LINE_MAX + 1);
    check_pieces(resp_request, line, size, RESP_LINE_MAX + 1, '\n');
    line[RESP_LINE_MAX - 1] = '\0';
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, size), -1);
    line[RESP_LINE_MAX - 1] = line[RESP_LINE_MAX] = 'x';
    line[RESP_LINE_MAX + 1] = '\n';
    CU_ASSERT_EQUAL(parse_copy(resp_request, line, size), -1);
    check_pieces(resp_request, line, size, -1, '\n');
    free(line);
}

/* ---- replies ---- */

/* Among them what Redis sends for DEBUG PROTOCOL of each type, to a client of version 2 and to one of version 3. */
static void test_replies(void)
{
    static const struct {
        const char *bytes;
        size_t size;
    } replies[] = {
        {BYTES("+OK\r\n")},
        {BYTES("+\r\n")},
        {BYTES("-ERR no\r\n")},
        {BYTES(":12345\r\n")},
        {BYTES(":-9223372036854775808\r\n")},
        {BYTES("$11\r\nHello World\r\n")},
        {BYTES("$0\r\n\r\n")},
        {BYTES("$-1\r\n")},
        {BYTES("$4\r\n\r\n\0:\r\n")},
        {BYTES("$12\r\n*1\r\n$1\r\nxxxx\r\n")},
        {BYTES("*0\r\n")},
        {BYTES("*-1\r\n")},
        {BYTES("*3\r\n:0\r\n:1\r\n:2\r\n")},
        {BYTES("*3\r\n$-1\r\n*-1\r\n*0\r\n")},
        {BYTES("*2\r\n*2\r\n+a\r\n*1\r\n$1\r\nb\r\n-c\r\n")},
        {BYTES("*10\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n")},
        {BYTES(",3.141\r\n")},
        {BYTES(",-inf\r\n")},
        {BYTES("_\r\n")},
        {BYTES("#t\r\n")},
        {BYTES("#f\r\n")},
        {BYTES("(1234567999999999999999999999999999999\r\n")},
        {BYTES("!21\r\nSYNTAX invalid syntax\r\n")},
        {BYTES("!0\r\n\r\n")},
        {BYTES("=29\r\ntxt:This is a verbatim\nstring\r\n")},
        {BYTES("~3\r\n:0\r\n:1\r\n:2\r\n")},
        {BYTES("~0\r\n")},
        {BYTES("%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n")},
        {BYTES("%0\r\n")},
        {BYTES("%1\r\n%1\r\n+a\r\n+b\r\n~1\r\n_\r\n")},
        {BYTES(">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n")},
        {BYTES("|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$4\r\nreal\r\n")},
        {BYTES("|0\r\n+OK\r\n")},
        {BYTES("|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n*1\r\n_\r\n")},
        {BYTES("*2\r\n|1\r\n+ttl\r\n:3600\r\n:1\r\n:2\r\n")},
    };

    for (unsigned i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
        check_result(resp_reply, replies[i].bytes, replies[i].size, (ssize_t)replies[i].size);
}

/* A line ends with CR and LF together, as for the clients of Redis. */
static void test_line_ends(void)
{
    check_result(resp_reply, BYTES("+a\nb\r\n"), 6);
    check_result(resp_reply, BYTES("+a\rb\r\n"), 6);
    check_result(resp_reply, BYTES("+\n\r\r\n"), 5);
    check_result(resp_reply, BYTES("-a\0b\r\n"), 6);
    check_result(resp_reply, BYTES("*2\r\n+\n\r\n+\r\r\n"), 12);
    check_result(resp_reply, BYTES("+OK\n"), 0);
    check_result(resp_reply, BYTES("+OK\r\r"), 0);
    check_result(resp_reply, BYTES("+OK\r \n"), 0);
}

static void test_truncated_replies(void)
{
    check_result(resp_reply, BYTES("$"), 0);
    check_result(resp_reply, BYTES("$-"), 0);
    check_result(resp_reply, BYTES("$-1\r"), 0);
    check_result(resp_reply, BYTES("*2\r\n:1\r\n"), 0);
    check_result(resp_reply, BYTES("%2\r\n:1\r\n:2\r\n:3\r\n"), 0);
    check_result(resp_reply, BYTES("|1\r\n+a\r\n+b\r\n"), 0); /* what the attribute is about */
    check_result(resp_reply, BYTES("|0\r\n"), 0);
}

static void test_refused_replies(void)
{
    static const char *const texts[] = {
        "x\r\n",   "\r\n",    "OK\r\n",  " :1\r\n", "$\r\n",      "$-\r\n",         "$-2\r\n",  "$-0\r\n", "$01\r\n",
        "$00\r\n", "$+1\r\n", "$ 1\r\n", "$1 \r\n", "$1x\r\n",    "$1\n",           "$1\r\r\n", "$1\rx\n", "$?\r\n",
        "$--1",    "*-2\r\n", "*02\r\n", "*?\r\n",  "*1,5\r\n",   "*1\n",           "%-2\r\n",  "~x\r\n",  ">\r\n",
        "|-3\r\n", "!-2\r\n", "=x\r\n",  "*1\r\nx", "*1\r\n\r\n", "%1\r\n+a\r\n$x", ".\r\n",    ";1\r\n",
    };

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_result(resp_reply, texts[i], strlen(texts[i]), -1);
    check_result(resp_reply, BYTES("\0\r\n"), -1);
    check_result(resp_reply, BYTES("\xff\r\n"), -1);
    check_result(resp_reply, BYTES("$1\0\r\n"), -1);
}

static void test_reply_limits(void)
{
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("$4294967280\r\n")), UINT32_MAX);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("$4294967281\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("$999999999999999999\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("$1000000000000000000")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("*4294967294\r\n")), 0);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("*4294967295\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("%2147483647\r\n")), 0);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("%2147483648\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("|2147483647\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("*999999999999999999\r\n")), -1);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("*4294967000\r\n*294\r\n")), 0);
    CU_ASSERT_EQUAL(parse_copy(resp_reply, BYTES("*4294967000\r\n*4294967000\r\n")), -1);
}

/* ---- work ---- */

static ssize_t feed_text(struct stream *stream, const char *text)
{
    ssize_t result = 0;

    for (; *text; text++)
        result = stream_feed(stream, *text);
    return result;
}

/* stream_feed() sees whether a byte is read again. */
static void check_many_parts(parser *parse)
{
    struct stream stream;
    ssize_t result = 0;

    stream_init(&stream, parse, 16 + (7 << 20), '\n');
    feed_text(&stream, "*1048576\r\n");
    for (unsigned i = 0; i < 1 << 20; i++) {
        CU_ASSERT_EQUAL_FATAL(result, 0);
        result = feed_text(&stream, "$1\r\nx\r\n");
    }
    CU_ASSERT_EQUAL(result, stream.size);
    stream_fini(&stream);
}

static void test_many_parts(void)
{
    check_many_parts(resp_request);
    check_many_parts(resp_reply);
}

/* Pieces that end anywhere, as sockets bring them. */
static void test_random_pieces(void)
{
    static const char reply[] = "*3\r\n%2\r\n+one\r\n$12\r\nabcdefghijkl\r\n#t\r\n|1\r\n+a\r\n,1.5\r\n_\r\n"
                                "-a line\r with a CR\r\n~2\r\n(123456789012345678901234567890\r\n=5\r\ntxt:x\r\n";
    uint64_t random = 1;

    for (unsigned i = 0; i < 2000; i++) {
        struct resp_scan scan = {.at = 0};
        ssize_t result = 0;
        for (size_t size = 0; size < sizeof(reply) - 1;) {
            size += 1 + unit_below(&random, 12);
            size = size < sizeof(reply) - 1 ? size : sizeof(reply) - 1;
            result = resp_reply(reply, size, &scan);
        }
        CU_ASSERT_EQUAL(result, sizeof(reply) - 1);
    }
}

static void test_depth(void)
{
    struct stream stream;
    ssize_t result = 0;

    stream_init(&stream, resp_reply, 1 << 20, '\n');
    for (unsigned i = 0; i < 100000; i++)
        result = feed_text(&stream, i % 2 ? "*1\r\n" : "~1\r\n");
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(feed_text(&stream, "+bottom\r\n"), 400000 + 9);
    stream_fini(&stream);
}

static void test_long_lines_in_pieces(void)
{
    struct stream stream;
    ssize_t result = 0;

    stream_init(&stream, resp_reply, 1 << 21, '\n');
    feed_text(&stream, "*2\r\n+");
    for (unsigned i = 0; i < 1 << 20; i++)
        result = stream_feed(&stream, "ab\n\r"[i % 4]);
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(feed_text(&stream, "\r\n:1\r\n"), 5 + (1 << 20) + 6);
    stream_fini(&stream);
}

/* ---- words ---- */

static void check_words(const char *bytes, size_t size, int most, const char *wanted, uint64_t wanted_count)
{
    struct resp_word words[4];
    char text[100] = "";
    uint64_t count = 99;
    int stored = resp_words(bytes, size, words, most, &count);

    for (int i = 0; i < stored; i++) {
        CU_ASSERT(words[i].bytes >= bytes && words[i].bytes + words[i].size <= bytes + size);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "[%.*s]", (int)words[i].size, words[i].bytes);
    }
    CU_ASSERT_STRING_EQUAL(text, wanted);
    CU_ASSERT_EQUAL(count, wanted_count);
}

static void test_words(void)
{
    check_words(BYTES("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 4, "[GET][k]", 2);
    check_words(BYTES("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 2, "[GET][k]", 2);
    check_words(BYTES("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 1, "[GET]", 2);
    check_words(BYTES("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 0, "", 2);
    check_words(BYTES("*3\r\n$0\r\n\r\n$10\r\n0123456789\r\n$2\r\n\r\n\r\n"), 4, "[][0123456789][\r\n]", 3);
    check_words(BYTES("*0\r\n"), 4, "", 0);
    check_words(BYTES("*-1\r\n"), 4, "", 0);
    check_words(BYTES("GET k\r\n"), 4, "[GET][k]", 2);
    check_words(BYTES("GET k\n"), 1, "[GET]", 2);
    check_words(BYTES(" \t\v\fGET\r k \r\r\n"), 4, "[GET][k]", 2);
    check_words(BYTES("a \vb\v \fc\fd\r\n"), 4, "[a][b\v][c\fd]", 3);
    check_words(BYTES("a b c d e f\n"), 4, "[a][b][c][d]", 6);
    check_words(BYTES("*1\n"), 4, "", 0); /* no request */
    check_words(BYTES("\r\n"), 4, "", 0);
}

static void test_kinds(void)
{
    CU_ASSERT(resp_is_error("-ERR no\r\n") && resp_is_error("!3\r\nERR\r\n"));
    CU_ASSERT(!resp_is_error("+OK\r\n") && !resp_is_error(">1\r\n-ERR no\r\n"));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"request vectors", test_request_vectors},
        {"early size", test_early_size},
        {"request limits", test_request_limits},
        {"request overflow", test_request_overflow},
        {"long line", test_long_line},
        {"replies", test_replies},
        {"line ends", test_line_ends},
        {"truncated replies", test_truncated_replies},
        {"refused replies", test_refused_replies},
        {"reply limits", test_reply_limits},
        {"many parts", test_many_parts},
        {"random pieces", test_random_pieces},
        {"depth", test_depth},
        {"long lines in pieces", test_long_lines_in_pieces},
        {"words", test_words},
        {"kinds", test_kinds},
        {0},
    };
    return unit_main("resp", tests);
}
