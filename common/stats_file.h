/*
 * The memory file of one worker's block: made by its master, mapped by that master, by the worker, and during an
 * upgrade by the other master. Sealed: who has it mapped can neither cut it short under the others' feet nor let it
 * grow.
 */
#ifndef COMMON_STATS_FILE_H
#define COMMON_STATS_FILE_H

#include "common/stats.h"
#include <stdbool.h>
#include <sys/types.h>

/* A new one, zeroed but for the head of the block; its memory is allocated. The descriptor, or -1 with errno. */
int stats_file_create(unsigned number, pid_t owner);

/*
 * The one that another master has open as `fd`. -1 with errno; EBADF when what is there cannot be the file of a block:
 * that process may be gone, and another one have its pid.
 */
int stats_file_open(pid_t owner, int fd);

/*
 * A block without a file, where the limit for the size of files allows none: children inherit it, and have to unmap
 * those of others. No other master can see it. NULL with errno.
 */
struct stats_block *stats_without_block_file(unsigned number, pid_t owner);

/* Map it, to read only or to write too. A child of this process will not have it: a block has one writer. NULL/errno.
 */
struct stats_block *stats_file_map(int fd, bool writable);
void stats_file_unmap(struct stats_block *block);

#endif
