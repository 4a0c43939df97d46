/*
 * Memory that processes share by a descriptor, which also outlives an exec().
 */
#ifndef COMMON_MEMORY_FILE_H
#define COMMON_MEMORY_FILE_H

#include <stddef.h>

/*
 * A descriptor of `size` bytes of zeroed memory, closed at exec and open for seals; -1 with errno. `name` is what shows
 * up in /proc. A limit for the size of files (RLIMIT_FSIZE) is meant for disks: where the process may, it is lifted
 * meanwhile.
 */
int memory_file_create(const char *name, size_t size);

#endif
