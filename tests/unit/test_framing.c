/*
 * Cutting streams: the same messages come out whichever way the bytes come in, and the limits hold exactly.
 */
#include "common/buffer.h"
#include "tests/unit/unit.h"
#include "worker/framing.h"
#include <string.h>

enum { SEEN_SIZE = 1 << 20 };

/* A digit says how many bytes follow it; 'x' makes no sense. */
static ssize_t measure_digit(const char *bytes, size_t size)
{
    CU_ASSERT(size >= 1);
    return bytes[0] == '!' ? 0 : bytes[0] < '0' || bytes[0] > '9' ? -1 : 1 + bytes[0] - '0';
}

static const struct framing raw = {.kind = FRAMING_RAW};
static const struct framing line = {.kind = FRAMING_LINE};
static const struct framing length32 = {.kind = FRAMING_LENGTH32};
static const struct framing block = {.kind = FRAMING_BLOCK, .block_size = 3};
static const struct framing function = {.kind = FRAMING_FUNCTION, .measure = measure_digit};

/* What has come out: "<message>" for each, "!" for an error. */
static char seen[SEEN_SIZE];
static size_t seen_size;
static struct buffer kept;
static bool failed;

static void see(const char *text, size_t size)
{
    CU_ASSERT_FATAL(seen_size + size <= SEEN_SIZE);
    memcpy(seen + seen_size, text, size);
    seen_size += size;
}

/* All messages in `bytes`; returns the bytes they took. */
static size_t cut_all(const struct framing *framing, const char *bytes, size_t size, size_t scanned, size_t max)
{
    size_t used = 0;

    while (used < size) {
        struct cut cut = framing_cut(framing, bytes + used, size - used, scanned, max, &(struct scan){.at = 0});
        CU_ASSERT(cut.total >= CUT_NONSENSE && cut.total <= (ssize_t)(size - used));
        if (cut.total < 0) {
            failed = true;
            see("!", 1);
            return size;
        }
        if (cut.total == 0)
            break;
        CU_ASSERT_FATAL(cut.size <= (size_t)cut.total && cut.size <= max);
        see("<", 1);
        see(bytes + used, cut.size);
        see(">", 1);
        scanned = 0;
        used += (size_t)cut.total;
    }
    return used;
}

/* One read, handled as a session does: what was kept is completed first, with no more than it needs. */
static void feed(const struct framing *framing, const char *bytes, size_t size, size_t max)
{
    while (!buffer_is_empty(&kept) && size > 0 && !failed) {
        size_t had = buffer_size(&kept);
        size_t taken = framing_missing(framing, buffer_bytes(&kept), had, bytes, size);
        CU_ASSERT_FATAL(taken >= 1 && taken <= size);
        CU_ASSERT_EQUAL_FATAL(buffer_append(&kept, bytes, taken), 0);
        bytes += taken;
        size -= taken;
        buffer_consume(&kept, cut_all(framing, buffer_bytes(&kept), buffer_size(&kept), had, max));
    }
    if (size > 0 && !failed) {
        size_t used = cut_all(framing, bytes, size, 0, max);
        CU_ASSERT_EQUAL_FATAL(buffer_append(&kept, bytes + used, size - used), 0);
    }
}

static void restart(void)
{
    buffer_clear(&kept);
    seen_size = 0;
    failed = false;
}

static void check_seen(const char *expected, size_t size)
{
    CU_ASSERT_EQUAL(seen_size, size);
    CU_ASSERT_EQUAL(memcmp(seen, expected, size < seen_size ? size : seen_size), 0);
    restart();
}

/* The bytes come in one piece, in every two pieces, and one at a time, each in memory of its exact size. */
static void check_every_cut(const struct framing *framing, const char *bytes, size_t size, size_t max,
                            const char *expected, size_t expected_size)
{
    for (size_t first = 0; first <= size; first++) {
        char *one = malloc(first + 1), *two = malloc(size - first + 1);
        memcpy(one, bytes, first);
        memcpy(two, bytes + first, size - first);
        feed(framing, one, first, max);
        feed(framing, two, size - first, max);
        free(one);
        free(two);
        check_seen(expected, expected_size);
    }
    for (size_t i = 0; i < size; i++)
        feed(framing, bytes + i, 1, max);
    check_seen(expected, expected_size);
}

#define CHECK(framing, bytes, max, expected)                                                                           \
    check_every_cut(framing, bytes, sizeof(bytes) - 1, max, expected, sizeof(expected) - 1)

static void test_raw(void)
{
    feed(&raw, "abc\r\n\0x", 7, 16);
    feed(&raw, "d", 1, 16);
    check_seen("<abc\r\n\0x><d>", 12);
    CU_ASSERT_EQUAL(framing_missing(&raw, "abc", 3, "abc", 3), 3);
    struct cut cut = framing_cut(&raw, "abc", 3, 0, 16, &(struct scan){.at = 0});
    CU_ASSERT_EQUAL(cut.total, 3);
    CU_ASSERT_EQUAL(cut.size, 3);
}

static void test_line(void)
{
    CHECK(&line, "abc\r\ndef\nghi\r\n", 10, "<abc><def><ghi>");
    CHECK(&line, "\r\n\n\r\n", 10, "<><><>");
    CHECK(&line, "a\rb\r\nc\r\r\n\r\r\n", 10, "<a\rb><c\r><\r>");
    CHECK(&line, "a\0b\nunfinished\r", 10, "<a\0b>");
    CHECK(&line, "\n", 1, "<>");
}

static void test_line_limit(void)
{
    CHECK(&line, "abcd\r\nabcd\nx\n", 4, "<abcd><abcd><x>");
    CHECK(&line, "abcd\r", 4, "");             /* the CR may belong to the end */
    CHECK(&line, "abcd\rx\n", 4, "!");         /* it does not */
    CHECK(&line, "ab\nabcde\r\n", 4, "<ab>!"); /* one over */
    CHECK(&line, "abcde", 4, "!");             /* as soon as it is known */
    CHECK(&line, "abc\r\r\n", 4, "<abc\r>");
    CHECK(&line, "abcd\r\r\n", 4, "!");
}

static void test_length32(void)
{
    CHECK(&length32, "\0\0\0\3abc\0\0\0\0\0\0\0\1x\0\0\0\2y", 16, "<\0\0\0\3abc><\0\0\0\0><\0\0\0\1x>");
    CHECK(&length32, "\0\0\0\4abcd\0\0\0\5abcde", 8, "<\0\0\0\4abcd>!");
    CHECK(&length32, "\0\0\0", 16, "");
}

/* What completes a message is taken, and no byte of the next one. */
static void test_missing(void)
{
    CU_ASSERT_EQUAL(framing_missing(&length32, "\0", 1, "\0\0\3abcdef", 9), 3);
    CU_ASSERT_EQUAL(framing_missing(&length32, "\0\0\0\3a", 5, "bcdef", 5), 2);
    CU_ASSERT_EQUAL(framing_missing(&length32, "\0\0\0\3a", 5, "b", 1), 1);
    CU_ASSERT_EQUAL(framing_missing(&line, "abc", 3, "d\ne\nf", 5), 2);
    CU_ASSERT_EQUAL(framing_missing(&line, "abc\r", 4, "\nx", 2), 1);
    CU_ASSERT_EQUAL(framing_missing(&line, "abc", 3, "def", 3), 3);
    CU_ASSERT_EQUAL(framing_missing(&function, "3a", 2, "bc0", 3), 3);
}

static void test_length32_hostile(void)
{
    CHECK(&length32, "\377\377\377\377", 64 << 20, "!");
    CHECK(&length32, "\377\377\377\374", 64 << 20, "!"); /* 4 + this wraps around in 32 bits */
    CHECK(&length32, "\177\377\377\377", 64 << 20, "!");
    CHECK(&length32, "\200\0\0\0", 64 << 20, "!");
    CHECK(&length32, "\0\0\1\0", 16, "!");
    CHECK(&length32, "\1\0\0\0", 1 << 20, "!");
    struct cut cut = framing_cut(&length32, "\377\377\377\377", 4, 0, SIZE_MAX / 2, &(struct scan){.at = 0});
    CU_ASSERT_EQUAL(cut.total, 0);
}

static void test_function(void)
{
    CHECK(&function,
          "3abc0"
          "9123456789"
          "2a",
          16, "<3abc><0><9123456789>");
    CHECK(&function, "1ax", 16, "<1a>!");
    CHECK(&function, "3abc4abcd", 4, "<3abc>!");
}

/* `measure` cannot tell yet: the limit counts what has come. */
static void test_function_undecided(void)
{
    CHECK(&function, "!abcdef", 8, "");
    CHECK(&function, "!abcdefg", 8, "!");
}

static void test_block(void)
{
    CHECK(&block, "abc\n\0\rgh", 3, "<abc><\n\0\r>");
    CHECK(&block, "a", 2, "!"); /* announced is enough */
    CU_ASSERT_EQUAL(framing_missing(&block, "a", 1, "bcdef", 5), 2);
    CU_ASSERT_EQUAL(framing_missing(&block, "a", 1, "b", 1), 1);
}

/* Long streams with cuts anywhere. */
static void test_chance(void)
{
    static char stream[1 << 18], expected[SEEN_SIZE];
    uint64_t chance = 99;

    for (unsigned round = 0; round < 20; round++) {
        size_t size = 0, expected_size = 0;
        bool lines = round % 2;
        while (size < sizeof(stream) - 3000) {
            size_t length = unit_below(&chance, unit_below(&chance, 20) ? 30 : 2900), start = size;
            if (!lines) {
                memcpy(stream + size, (char[]){0, 0, (char)(length >> 8), (char)length}, 4);
                size += 4;
            }
            for (size_t i = 0; i < length; i++)
                stream[size++] = lines ? "abc\r\t x\0"[unit_below(&chance, 8)] : (char)unit_random(&chance);
            if (lines && size > start && stream[size - 1] == '\r')
                stream[size - 1] = '.';
            expected[expected_size++] = '<';
            memcpy(expected + expected_size, stream + start, size - start);
            expected_size += size - start;
            expected[expected_size++] = '>';
            if (lines && unit_below(&chance, 2))
                stream[size++] = '\r';
            if (lines)
                stream[size++] = '\n';
        }
        for (size_t done = 0, piece; done < size; done += piece) {
            piece = 1 + unit_below(&chance, unit_below(&chance, 4) ? 40 : 10000);
            if (piece > size - done)
                piece = size - done;
            feed(lines ? &line : &length32, stream + done, piece, 3000);
        }
        check_seen(expected, expected_size);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"raw", test_raw},
        {"line", test_line},
        {"line limit", test_line_limit},
        {"length32", test_length32},
        {"length32, hostile", test_length32_hostile},
        {"missing", test_missing},
        {"function", test_function},
        {"function, undecided", test_function_undecided},
        {"block", test_block},
        {"chance", test_chance},
        {0},
    };
    int result = unit_main("framing", tests);
    buffer_trim();
    return result;
}
