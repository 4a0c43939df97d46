/*
 * Where the program is that an upgrade starts: what argv[0] means now, which may be another file than at the start.
 */
#ifndef MASTER_BINARY_H
#define MASTER_BINARY_H

#include <stddef.h>

/*
 * Store the path that `name` stands for in `path`: a name with a slash is one; any other is looked up in PATH, as a
 * shell does it. 0, or -1 with a sentence in `error`.
 */
int binary_find(const char *name, char *path, size_t path_size, char *error, size_t error_size);

#endif
