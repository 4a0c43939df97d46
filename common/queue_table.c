#include "common/queue_table.h"
#include "common/sequence.h"
#include <stddef.h>
#include <string.h>

static uint32_t at_most_all(uint32_t count)
{
    return count < QUEUES_MAX ? count : QUEUES_MAX;
}

/* Copy what means something: nothing does behind the last entry. */
static void copy(void *target, const void *source)
{
    struct queue_table *to = target;
    const struct queue_table *from = source;

    memcpy(to, from, offsetof(struct queue_table, entries));
    memcpy(to->entries, from->entries, at_most_all(to->count) * sizeof(to->entries[0]));
}

bool queue_version_equal(const struct queue_version *a, const struct queue_version *b)
{
    return a->master == b->master && a->generation == b->generation && a->changes == b->changes;
}

bool queue_table_is_written(const struct queue_record *record, const struct queue_version *version)
{
    return atomic_load(&record->sequence) % 2 == 0 && queue_version_equal(&record->table.version, version);
}

void queue_table_write(struct queue_record *record, const struct queue_table *table)
{
    sequence_begin(&record->sequence);
    copy(&record->table, table);
    sequence_end(&record->sequence);
}

bool queue_table_read(const struct queue_record *record, struct queue_table *table)
{
    bool is_whole = sequence_read(&record->sequence, SEQUENCE_SPINS, copy, table, &record->table);

    if (is_whole)
        table->count = at_most_all(table->count);
    return is_whole;
}
