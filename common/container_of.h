/*
 * From an embedded member to the struct that it is embedded in.
 */
#ifndef COMMON_CONTAINER_OF_H
#define COMMON_CONTAINER_OF_H

#include <stddef.h>

/* The `type` whose member `member` is what `pointer` points to. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
