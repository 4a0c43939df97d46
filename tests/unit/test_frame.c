/*
 * Frames: every vector, every truncation, every flipped bit.
 */
#include "proto/frame.h"
#include "tests/unit/unit.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VECTORS "tests/vectors/frames.tsv"

enum { FRAME_MAX = 1024 };

struct vector {
    char name[32];
    uint8_t bytes[FRAME_MAX];
    size_t size;
};

/* The vectors that are not whole, valid frames. "bad-body" and "unknown-type" are: their content is another's matter.
 */
static const struct {
    const char *name;
    enum frame_result result;
} refused[] = {
    {"bad-checksum", FRAME_BAD_CHECKSUM}, {"bad-name-length", FRAME_BAD_NAME_LENGTH}, {"bad-name-end", FRAME_BAD_NAME},
    {"length-zero", FRAME_BAD_LENGTH},    {"length-three", FRAME_BAD_LENGTH},         {"length-huge", FRAME_BAD_LENGTH},
    {"length-max", FRAME_BAD_LENGTH},
};

static enum frame_result expected_result(const char *name)
{
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strcmp(refused[i].name, name) == 0)
            return refused[i].result;
    return FRAME_OK;
}

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t size = 0;

    for (unsigned value; size < FRAME_MAX && sscanf(hex + 2 * size, "%2x", &value) == 1; size++)
        bytes[size] = (uint8_t)value;
    return size;
}

/* Call `check` for each vector, or for the one of this name. Returns how many there were. */
static unsigned for_vectors(const char *name, void (*check)(const struct vector *vector))
{
    static char text[4 * FRAME_MAX], hex[3 * FRAME_MAX];
    struct vector vector;
    unsigned count = 0;
    FILE *file = fopen(VECTORS, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(text, sizeof(text), file)) {
        if (text[0] == '#' || sscanf(text, "%31[^\t]\t%*[^\t]\t%3000s", vector.name, hex) != 2)
            continue;
        vector.size = from_hex(hex, vector.bytes);
        if (!name || strcmp(name, vector.name) == 0) {
            check(&vector);
            count++;
        }
    }
    fclose(file);
    return count;
}

/* Decode a copy in memory of the exact size, so that a checker of memory sees a read beyond it. */
static enum frame_result decode(const uint8_t *bytes, size_t size)
{
    struct frame frame;
    uint8_t *copy = malloc(size + !size);

    memcpy(copy, bytes, size);
    enum frame_result result = frame_decode(copy, size, &frame);
    if (result == FRAME_OK) {
        CU_ASSERT(frame.name_size >= 1);
        CU_ASSERT_EQUAL(strlen(frame.name), frame.name_size);
        CU_ASSERT_EQUAL(frame_size(frame.name_size, frame.body_size), size);
        CU_ASSERT(frame.body_size == 0 || frame.body[frame.body_size - 1] == copy[size - 5]);
    }
    free(copy);
    return result;
}

static void check_result(const struct vector *vector)
{
    if (decode(vector->bytes, vector->size) != expected_result(vector->name)) {
        printf("\nvector %s: %s\n", vector->name, frame_text(decode(vector->bytes, vector->size)));
        CU_FAIL("a vector is not decoded as it should be");
    }
}

static void test_vectors(void)
{
    CU_ASSERT(for_vectors(NULL, check_result) >= 17);
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        CU_ASSERT_EQUAL(for_vectors(refused[i].name, check_result), 1);
}

static void check_fields(const struct vector *vector)
{
    struct frame frame;

    CU_ASSERT_EQUAL(vector->size, 109);
    CU_ASSERT_EQUAL_FATAL(frame_decode(vector->bytes, vector->size, &frame), FRAME_OK);
    CU_ASSERT_STRING_EQUAL(frame.name, "ccserver.withdraw");
    CU_ASSERT_EQUAL(frame.name_size, 17);
    CU_ASSERT_PTR_EQUAL(frame.body, vector->bytes + 26);
    CU_ASSERT_EQUAL(frame.body_size, 109 - 26 - 4);
}

static void check_no_body(const struct vector *vector)
{
    struct frame frame;

    CU_ASSERT_EQUAL_FATAL(frame_decode(vector->bytes, vector->size, &frame), FRAME_OK);
    CU_ASSERT_EQUAL(frame.body_size, 0);
}

static void test_fields(void)
{
    CU_ASSERT_EQUAL(for_vectors("withdraw", check_fields), 1);
    CU_ASSERT_EQUAL(for_vectors("withdraw-empty", check_no_body), 1);
}

static void check_encode(const struct vector *vector)
{
    uint8_t bytes[FRAME_MAX];
    struct frame frame;

    if (expected_result(vector->name) != FRAME_OK)
        return;
    memset(bytes, 0xee, sizeof(bytes));
    /* What is written has its checksum in little-endian order, whatever was read. */
    const bool turned = strcmp(vector->name, "withdraw-checksum-big-endian") == 0;
    const size_t same = vector->size - (turned ? 4 : 0);
    CU_ASSERT_EQUAL_FATAL(frame_decode(vector->bytes, vector->size, &frame), FRAME_OK);
    uint8_t *body = frame_begin(bytes, frame.name, frame.name_size);
    memcpy(body, frame.body, frame.body_size);
    CU_ASSERT_EQUAL(frame_end(bytes, frame.name_size, frame.body_size), vector->size);
    CU_ASSERT_EQUAL(memcmp(bytes, vector->bytes, same), 0);
    for (size_t i = 0; i < vector->size - same; i++)
        CU_ASSERT_EQUAL(bytes[same + i], vector->bytes[vector->size - 1 - i]);
    CU_ASSERT_EQUAL(bytes[vector->size], 0xee);
}

static void test_encode(void)
{
    CU_ASSERT(for_vectors(NULL, check_encode) >= 17);
}

/* Fewer bytes than were planned for are written, as a caller may. */
static void test_smallest(void)
{
    uint8_t bytes[64];

    CU_ASSERT_PTR_EQUAL(frame_begin(bytes, "x", 1), bytes + 10);
    CU_ASSERT_EQUAL(frame_end(bytes, 1, 0), FRAME_LENGTH_SIZE + FRAME_LENGTH_MIN);
    CU_ASSERT_EQUAL(memcmp(bytes, "\0\0\0\12\0\0\0\2x\0", 10), 0);
    CU_ASSERT_EQUAL(decode(bytes, 14), FRAME_OK);
    CU_ASSERT_EQUAL(decode(bytes, 13), FRAME_BAD_LENGTH);
    CU_ASSERT_EQUAL(decode(bytes, 15), FRAME_BAD_LENGTH);
    CU_ASSERT_EQUAL(decode(bytes, 0), FRAME_BAD_LENGTH);
}

static void test_name_lengths(void)
{
    static const struct {
        uint32_t name_length;
        enum frame_result result;
    } examples[] = {{0, FRAME_BAD_NAME_LENGTH},
                    {1, FRAME_BAD_NAME_LENGTH},
                    {2, FRAME_BAD_NAME},
                    {3, FRAME_OK},
                    {4, FRAME_BAD_NAME},
                    {5, FRAME_BAD_NAME_LENGTH},
                    {0xffffffff, FRAME_BAD_NAME_LENGTH},
                    {0x80000003, FRAME_BAD_NAME_LENGTH}};
    uint8_t bytes[64];

    memcpy(frame_begin(bytes, "ab", 2), "", 1);
    for (unsigned i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        for (unsigned j = 0; j < 4; j++)
            bytes[4 + j] = (uint8_t)(examples[i].name_length >> (24 - 8 * j));
        size_t size = frame_end(bytes, 2, 1); /* with the checksum that belongs to it */
        CU_ASSERT_EQUAL(decode(bytes, size), examples[i].result);
    }
}

static void check_truncations(const struct vector *vector)
{
    uint8_t longer[FRAME_MAX + 1] = {0};

    for (size_t size = 0; size < vector->size; size++)
        CU_ASSERT_EQUAL(decode(vector->bytes, size), FRAME_BAD_LENGTH);
    memcpy(longer, vector->bytes, vector->size);
    CU_ASSERT_EQUAL(decode(longer, vector->size + 1), FRAME_BAD_LENGTH);
}

/* Cut short and the length field corrected: the checksum, or the name, tells. */
static void check_shortened(const struct vector *vector)
{
    uint8_t bytes[FRAME_MAX];

    for (size_t size = 4; size < vector->size; size++) {
        memcpy(bytes, vector->bytes, size);
        memcpy(bytes, (uint8_t[]){0, 0, 0, (uint8_t)(size - 4)}, 4);
        CU_ASSERT_NOT_EQUAL(decode(bytes, size), FRAME_OK);
    }
}

static void test_truncations(void)
{
    CU_ASSERT_EQUAL(for_vectors("withdraw", check_truncations), 1);
    CU_ASSERT_EQUAL(for_vectors("withdraw", check_shortened), 1);
}

static void check_flips(const struct vector *vector)
{
    uint8_t bytes[FRAME_MAX];

    memcpy(bytes, vector->bytes, vector->size);
    for (size_t bit = 0; bit < 8 * vector->size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_NOT_EQUAL(decode(bytes, vector->size), FRAME_OK);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(decode(bytes, vector->size), FRAME_OK);
}

static void test_flips(void)
{
    CU_ASSERT_EQUAL(for_vectors("withdraw", check_flips), 1);
    CU_ASSERT_EQUAL(for_vectors("withdraw-empty", check_flips), 1);
}

/* Two orders are accepted, not four bytes in any order, nor half of each. */
static void check_byte_orders(const struct vector *vector)
{
    uint8_t bytes[FRAME_MAX];
    uint8_t *sum = bytes + vector->size - 4;

    memcpy(bytes, vector->bytes, vector->size);
    const uint8_t s[4] = {sum[0], sum[1], sum[2], sum[3]};
    memcpy(sum, (uint8_t[]){s[3], s[2], s[1], s[0]}, 4);
    CU_ASSERT_EQUAL(decode(bytes, vector->size), FRAME_OK);
    memcpy(sum, (uint8_t[]){s[2], s[3], s[0], s[1]}, 4);
    CU_ASSERT_EQUAL(decode(bytes, vector->size), FRAME_BAD_CHECKSUM);
    memcpy(sum, (uint8_t[]){s[1], s[0], s[3], s[2]}, 4);
    CU_ASSERT_EQUAL(decode(bytes, vector->size), FRAME_BAD_CHECKSUM);
    memcpy(sum, (uint8_t[]){s[3], s[2], s[1] ^ 1, s[0]}, 4);
    CU_ASSERT_EQUAL(decode(bytes, vector->size), FRAME_BAD_CHECKSUM);
}

static void test_byte_orders(void)
{
    CU_ASSERT_EQUAL(for_vectors("withdraw", check_byte_orders), 1);
    CU_ASSERT_EQUAL(for_vectors("deposit", check_byte_orders), 1);
}

static void test_texts(void)
{
    for (unsigned i = 0; i < FRAME_RESULT_COUNT; i++)
        CU_ASSERT(strlen(frame_text((enum frame_result)i)) > 3);
    CU_ASSERT_STRING_EQUAL(frame_text(FRAME_BAD_CHECKSUM), "the checksum is wrong");
    CU_ASSERT_STRING_EQUAL(frame_text(FRAME_RESULT_COUNT), "unknown error");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"vectors", test_vectors},
        {"fields", test_fields},
        {"encode", test_encode},
        {"smallest", test_smallest},
        {"name lengths", test_name_lengths},
        {"truncations", test_truncations},
        {"flips", test_flips},
        {"byte orders", test_byte_orders},
        {"texts", test_texts},
        {0},
    };
    return unit_main("frame", tests);
}
