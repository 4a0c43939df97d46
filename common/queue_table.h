/*
 * The accept queues of the generation that serves: what identifies the socket of each. It lies in the area of the
 * statistics (stats.h), written by the master in charge when a queue comes or goes, so that whoever reports can find
 * the queues among all sockets of the machine (sock_diag.h), without a descriptor of them and without asking a process.
 */
#ifndef COMMON_QUEUE_TABLE_H
#define COMMON_QUEUE_TABLE_H

#include "common/sock_diag.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    QUEUES_MAX = 16384,    /* in the table; how many there are it says, too */
    QUEUE_SHARED = 0xffff, /* in place of a slot: of a unix socket, which all slots share */
};

/* Whose queue it is. */
struct queue_place {
    uint8_t listener, address; /* in struct master_state: which listener, and which of its addresses */
    uint16_t slot;             /* in the listener's pool; also of a worker that was retired */
};

struct queue_entry {
    struct sock_identity identity;
    struct queue_place place;
};

/* Of which master and generation a table is, and of how many changes to its queues. */
struct queue_version {
    pid_t master;
    uint32_t generation;
    uint64_t changes;
};

struct queue_table {
    struct queue_version version;
    uint32_t count, total; /* entries; queues: those beyond QUEUES_MAX have no entry */
    struct queue_entry entries[QUEUES_MAX];
};

/* As it lies in shared memory. */
struct queue_record {
    _Atomic uint32_t sequence; /* see sequence.h */
    struct queue_table table;
};

bool queue_version_equal(const struct queue_version *a, const struct queue_version *b);

/* For the one writer: whether the record has a whole table of this version; write one. */
bool queue_table_is_written(const struct queue_record *record, const struct queue_version *version);
void queue_table_write(struct queue_record *record, const struct queue_table *table);

/* Copy the table. False when there is none, or it is being written at this moment. */
bool queue_table_read(const struct queue_record *record, struct queue_table *table);

#endif
