/*
 * Memory that the workers of a pool share: `shared_size` bytes for each section whose service asks for them. It outlives
 * workers and reloads, as long as the section stays in its pool with its service; a newer binary begins with its own.
 */
#ifndef MASTER_SHARED_H
#define MASTER_SHARED_H

#include "master/conf/conf.h"

/*
 * Give each section of `conf` that needs some its memory: what one of the same name has already, else new, zeroed. 0, or
 * -1 with a sentence in `error`.
 */
int shared_claim(struct conf *conf, char *error, size_t error_size);

/* Release what no section of `conf` has. */
void shared_keep(const struct conf *conf);

/* In a child: what is not for workers of this pool is not to be found in it. */
void shared_leave(const char *pool_name);

#endif
