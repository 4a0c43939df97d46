/*
 * The table of accept queues in shared memory: what is read is what was written, and nothing leads out of it.
 */
#include "common/queue_table.h"
#include "tests/unit/unit.h"
#include <sys/mman.h>

static struct queue_record *record;
static struct queue_table table, copy;
static const struct queue_version version = {.master = 100, .generation = 2, .changes = 3};

static void begin(void)
{
    record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(record != MAP_FAILED);
    memset(&table, 0, sizeof(table));
    memset(&copy, 0xff, sizeof(copy));
    table.version = version;
    table.count = table.total = 3;
    for (unsigned i = 0; i < table.count; i++)
        table.entries[i] = (struct queue_entry){.identity = {.cookie = 10 + i, .inode = 20 + i},
                                                .place = {.listener = 1, .address = 2, .slot = (uint16_t)i}};
}

static void end(void)
{
    munmap(record, sizeof(*record));
}

static void test_write_and_read(void)
{
    begin();
    CU_ASSERT_FALSE(queue_table_read(record, &copy)); /* nobody has written */
    queue_table_write(record, &table);
    CU_ASSERT_TRUE(queue_table_read(record, &copy));
    CU_ASSERT(queue_version_equal(&copy.version, &version) && copy.count == 3 && copy.total == 3);
    CU_ASSERT_EQUAL(memcmp(copy.entries, table.entries, 3 * sizeof(table.entries[0])), 0);
    CU_ASSERT_EQUAL(copy.entries[3].identity.cookie, UINT64_MAX); /* only what there is was copied */
    end();
}

/* A new binary, generation or change makes it another one; one that was not written to its end is none. */
static void test_is_written(void)
{
    struct queue_version other = version;

    begin();
    CU_ASSERT_FALSE(queue_table_is_written(record, &version));
    queue_table_write(record, &table);
    CU_ASSERT_TRUE(queue_table_is_written(record, &version));
    other.master++;
    CU_ASSERT_FALSE(queue_table_is_written(record, &other));
    other = version;
    other.generation++;
    CU_ASSERT_FALSE(queue_table_is_written(record, &other));
    other = version;
    other.changes++;
    CU_ASSERT_FALSE(queue_table_is_written(record, &other));
    atomic_fetch_add(&record->sequence, 1); /* a writer that has died in the middle */
    CU_ASSERT_FALSE(queue_table_is_written(record, &version));
    CU_ASSERT_FALSE(queue_table_read(record, &copy));
    queue_table_write(record, &table);
    CU_ASSERT_TRUE(queue_table_is_written(record, &version) && queue_table_read(record, &copy));
    end();
}

/* Whoever has written it: nobody who reads it leaves the array. */
static void test_forged(void)
{
    begin();
    queue_table_write(record, &table);
    record->table.count = record->table.total = UINT32_MAX;
    CU_ASSERT_TRUE(queue_table_read(record, &copy));
    CU_ASSERT(copy.count == QUEUES_MAX && copy.total == UINT32_MAX);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"write and read", test_write_and_read},
        {"is written", test_is_written},
        {"forged", test_forged},
        {0},
    };
    return unit_main("queue table", tests);
}
