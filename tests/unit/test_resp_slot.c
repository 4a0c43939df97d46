/*
 * Slots of a cluster: Redis' own for a few hundred keys.
 */
#include "proto/resp_slot.h"
#include "tests/unit/vectors.h"

/* From a copy of the exact size, so that a checker of memory sees a read beyond it. */
static unsigned slot_of(const char *key, size_t size)
{
    char *copy = malloc(size + !size);

    memcpy(copy, key, size);
    unsigned slot = resp_slot(copy, size);
    free(copy);
    return slot;
}

static void check_slot(const struct vector *vector)
{
    unsigned wanted = (unsigned)strtoul(vector->bytes[1], NULL, 10);

    CU_ASSERT(wanted < RESP_SLOTS);
    CU_ASSERT_EQUAL(slot_of(vector->bytes[0], vector->sizes[0]), wanted);
}

static void test_vectors(void)
{
    CU_ASSERT(vectors_each("tests/vectors/resp_slots.tsv", check_slot) >= 300);
}

/* 31c3 is the check value of the specification. */
static void test_check_value(void)
{
    CU_ASSERT_EQUAL(slot_of("123456789", 9), 0x31c3 % RESP_SLOTS);
    CU_ASSERT_EQUAL(slot_of("", 0), 0);
}

static void test_braces(void)
{
    CU_ASSERT_EQUAL(slot_of("x{user}y", 8), slot_of("user", 4));
    CU_ASSERT_EQUAL(slot_of("x{user}{other}", 14), slot_of("user", 4));
    CU_ASSERT_NOT_EQUAL(slot_of("{}user", 6), slot_of("user", 4));
    CU_ASSERT_NOT_EQUAL(slot_of("{user", 5), slot_of("user", 4));
    CU_ASSERT_NOT_EQUAL(slot_of("user}", 5), slot_of("user", 4));
}

/* Every byte value reaches an entry of the table of its own. */
static void test_bytes(void)
{
    bool seen[RESP_SLOTS] = {false};

    for (int byte = 0; byte < 256; byte++) {
        unsigned slot = slot_of(&(char){(char)byte}, 1);
        CU_ASSERT_FATAL(slot < RESP_SLOTS);
        CU_ASSERT(!seen[slot]);
        seen[slot] = true;
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"vectors", test_vectors},
        {"check value", test_check_value},
        {"braces", test_braces},
        {"bytes", test_bytes},
        {0},
    };
    return unit_main("resp_slot", tests);
}
