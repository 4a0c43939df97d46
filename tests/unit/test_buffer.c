/*
 * The byte queue against a plain array, and what it takes from the allocator. buffer.c is compiled into this program
 * with an allocator that counts and can fail.
 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <string.h>

static unsigned allocations, releases;
static bool memory_is_out;

static void *counting_malloc(size_t size)
{
    if (memory_is_out) {
        errno = ENOMEM;
        return NULL;
    }
    allocations++;
    return malloc(size);
}

static void counting_free(void *memory)
{
    releases += memory != NULL;
    free(memory);
}

#define malloc counting_malloc
#define free counting_free
#include "common/buffer.c"
#undef malloc
#undef free

enum { MODEL_SIZE = 1 << 17, GIB = 1 << 30 };

static char model[MODEL_SIZE];
static size_t model_size;

static void check_against_model(const struct buffer *buffer)
{
    const struct buffer_chunk *chunk = buffer->chunk;

    CU_ASSERT_EQUAL(buffer_size(buffer), model_size);
    CU_ASSERT_EQUAL(buffer_is_empty(buffer), model_size == 0);
    if (model_size == 0) {
        CU_ASSERT_PTR_NULL(chunk);
        CU_ASSERT_PTR_NULL(buffer_bytes(buffer));
        return;
    }
    CU_ASSERT_FATAL(chunk && chunk->begin < chunk->end && chunk->end <= chunk->capacity);
    CU_ASSERT_PTR_EQUAL(buffer_bytes(buffer), chunk->bytes + chunk->begin);
    CU_ASSERT_EQUAL((chunk->capacity + sizeof(*chunk)) & (chunk->capacity + sizeof(*chunk) - 1), 0);
    CU_ASSERT_EQUAL(memcmp(buffer_bytes(buffer), model, model_size), 0);
}

static void model_append(const char *bytes, size_t size)
{
    memcpy(model + model_size, bytes, size);
    model_size += size;
}

static void model_consume(size_t size)
{
    memmove(model, model + size, model_size - size);
    model_size -= size;
}

/* Small sizes mostly, large ones sometimes, never more than `limit`. */
static size_t some_size(uint64_t *chance, size_t limit)
{
    size_t size = unit_below(chance, (size_t)1 << (4 + unit_below(chance, 15)));

    return size < limit ? size : limit;
}

static void step(struct buffer *buffer, uint64_t *chance)
{
    static char bytes[MODEL_SIZE];
    size_t size = some_size(chance, MODEL_SIZE - model_size);
    size_t used = size ? unit_below(chance, size + 1) : 0;

    switch (unit_below(chance, 16)) {
    case 0:
        buffer_clear(buffer);
        model_size = 0;
        break;
    case 1: buffer_trim(); break;
    case 2:
    case 3:
    case 4: {
        char *room = buffer_reserve(buffer, size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(room);
        memset(room, (int)unit_random(chance), size);
        model_append(room, used);
        buffer_commit(buffer, used);
        break;
    }
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)unit_random(chance);
        CU_ASSERT_EQUAL(buffer_append(buffer, bytes, size), 0);
        model_append(bytes, size);
        break;
    default:
        size = unit_below(chance, 8) == 0 ? model_size : some_size(chance, model_size);
        buffer_consume(buffer, size);
        model_consume(size);
    }
}

static void test_against_model(void)
{
    struct buffer buffer = {0};
    uint64_t chance = 20261123;

    model_size = 0;
    for (unsigned i = 0; i < 20000; i++) {
        step(&buffer, &chance);
        check_against_model(&buffer);
    }
    buffer_clear(&buffer);
    buffer_trim();
    CU_ASSERT_EQUAL(allocations, releases);
}

static void test_commit_nothing(void)
{
    struct buffer buffer = {0};

    CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&buffer, 1000));
    buffer_commit(&buffer, 0);
    CU_ASSERT_PTR_NULL(buffer.chunk);
    CU_ASSERT_EQUAL(buffer_append(&buffer, "abc", 3), 0);
    CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&buffer, 100000));
    buffer_commit(&buffer, 0);
    CU_ASSERT_EQUAL(buffer_size(&buffer), 3);
    CU_ASSERT_EQUAL(memcmp(buffer_bytes(&buffer), "abc", 3), 0);
    buffer_clear(&buffer);
}

/* The same work again costs no allocation. */
static void test_steady_state(void)
{
    static const char bytes[100000];
    struct buffer buffers[4] = {{0}};

    for (unsigned round = 0; round < 100; round++) {
        if (round == 1)
            allocations = releases = 0;
        for (unsigned i = 0; i < 4; i++)
            for (size_t size = 1; size < sizeof(bytes); size *= 3)
                CU_ASSERT_EQUAL_FATAL(buffer_append(&buffers[i], bytes, size), 0);
        for (unsigned i = 0; i < 4; i++) {
            buffer_consume(&buffers[i], buffer_size(&buffers[i]));
            CU_ASSERT_PTR_NULL(buffers[i].chunk);
        }
    }
    CU_ASSERT_EQUAL(allocations, 0);
    CU_ASSERT_EQUAL(releases, 0);
}

/* A stream through a queue that never runs empty stays in one chunk. */
static void test_stream(void)
{
    static const char bytes[100];
    struct buffer buffer = {0};

    CU_ASSERT_EQUAL_FATAL(buffer_append(&buffer, bytes, 100), 0);
    for (unsigned i = 0; i < 100000; i++) {
        CU_ASSERT_EQUAL_FATAL(buffer_append(&buffer, bytes, 100), 0);
        buffer_consume(&buffer, 100);
    }
    CU_ASSERT_EQUAL(buffer_size(&buffer), 100);
    CU_ASSERT(buffer.chunk->capacity <= 1024);
    buffer_clear(&buffer);
}

static void test_pool_is_bounded(void)
{
    enum { MANY = 100 };
    struct buffer small[MANY] = {{0}}, large[MANY] = {{0}};
    static const char bytes[200000];

    buffer_trim();
    allocations = releases = 0;
    for (unsigned i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL_FATAL(buffer_append(&small[i], bytes, 100), 0);
        CU_ASSERT_EQUAL_FATAL(buffer_append(&large[i], bytes, sizeof(bytes)), 0);
    }
    CU_ASSERT_EQUAL(allocations, 2 * MANY);
    for (unsigned i = 0; i < MANY; i++) {
        buffer_clear(&small[i]);
        buffer_clear(&large[i]);
    }
    CU_ASSERT(releases >= 2 * MANY - 16);
    CU_ASSERT(releases < 2 * MANY);
    buffer_trim();
    CU_ASSERT_EQUAL(releases, 2 * MANY);
    buffer_trim();
    CU_ASSERT_EQUAL(releases, 2 * MANY);
}

static void refuse(struct buffer *buffer, size_t size)
{
    struct buffer before = *buffer;
    size_t held = buffer_size(buffer);

    errno = 0;
    CU_ASSERT_PTR_NULL(buffer_reserve(buffer, size));
    CU_ASSERT_EQUAL(errno, ENOMEM);
    errno = 0;
    CU_ASSERT_EQUAL(buffer_append(buffer, "", size), -1);
    CU_ASSERT_EQUAL(errno, ENOMEM);
    CU_ASSERT_PTR_EQUAL(buffer->chunk, before.chunk);
    CU_ASSERT_EQUAL(buffer_size(buffer), held);
}

static void test_too_large(void)
{
    static const size_t sizes[] = {GIB, (size_t)GIB + 1, (size_t)1 << 32, ((size_t)1 << 32) + 5, (size_t)1 << 62};
    struct buffer buffer = {0};

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            refuse(&buffer, sizes[i]);
        if (round == 0)
            CU_ASSERT_EQUAL_FATAL(buffer_append(&buffer, "kept", 4), 0);
    }
    CU_ASSERT_EQUAL(memcmp(buffer_bytes(&buffer), "kept", 4), 0);
    buffer_clear(&buffer);
}

/* Only the sum of what is held and what is added is too large; nothing of it is touched. */
static void test_too_large_together(void)
{
    struct buffer buffer = {0};

    CU_ASSERT_PTR_NOT_NULL_FATAL(buffer_reserve(&buffer, GIB - 1000));
    buffer_commit(&buffer, GIB - 1000);
    refuse(&buffer, 1001);
    refuse(&buffer, GIB);
    CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&buffer, 500));
    buffer_commit(&buffer, 500);
    CU_ASSERT_EQUAL(buffer_size(&buffer), GIB - 500);
    buffer_clear(&buffer);
}

static void test_out_of_memory(void)
{
    struct buffer buffer = {0};

    buffer_trim();
    memory_is_out = true;
    refuse(&buffer, 10);
    memory_is_out = false;
    CU_ASSERT_EQUAL_FATAL(buffer_append(&buffer, "kept", 4), 0);
    memory_is_out = true;
    refuse(&buffer, 10000);
    CU_ASSERT_EQUAL(buffer_append(&buffer, "!", 1), 0); /* there is room for that */
    memory_is_out = false;
    CU_ASSERT_EQUAL(buffer_size(&buffer), 5);
    CU_ASSERT_EQUAL(memcmp(buffer_bytes(&buffer), "kept!", 5), 0);
    buffer_clear(&buffer);
}

/* Last, because what it asks for has wrapped around: the sum with a header, or with what is held, is small again. */
static void test_absurd_sizes(void)
{
    struct buffer buffer = {0};

    alarm(5);
    for (unsigned round = 0; round < 2; round++) {
        CU_ASSERT_PTR_NULL(buffer_reserve(&buffer, SIZE_MAX));
        CU_ASSERT_PTR_NULL(buffer_reserve(&buffer, SIZE_MAX - 3));
        CU_ASSERT_PTR_NULL(buffer_reserve(&buffer, SIZE_MAX / 2 + 2));
        if (round == 0)
            CU_ASSERT_EQUAL_FATAL(buffer_append(&buffer, "kept", 4), 0);
    }
    buffer_clear(&buffer);
    buffer_trim();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"against a model", test_against_model},
        {"commit nothing", test_commit_nothing},
        {"steady state", test_steady_state},
        {"stream", test_stream},
        {"pool is bounded", test_pool_is_bounded},
        {"too large", test_too_large},
        {"too large together", test_too_large_together},
        {"out of memory", test_out_of_memory},
        {"absurd sizes", test_absurd_sizes},
        {0},
    };
    return unit_main("buffer", tests);
}
