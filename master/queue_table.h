/*
 * The accept queues of the generation that serves, for reports: listed in the shared memory for whoever has no descriptor
 * of them (common/queue_table.h), and measured by the master, which has.
 */
#ifndef MASTER_QUEUE_TABLE_H
#define MASTER_QUEUE_TABLE_H

#include "common/report_queues.h"
#include "master/master.h"

/* At each turn, in the master that is in charge: write the table to the shared memory when a queue has come or gone. */
void queue_table_publish(struct master *master);

/*
 * Measure them all. Those of unix sockets stay unknown: the kernel tells their figures only in ways that may have to wait
 * for a module of it.
 */
void queue_table_measure(const struct master *master, struct report_queues *queues);

#endif
