/*
 * The limit of descriptors, which bounds the sessions of a worker as `max_sessions` does.
 */
#ifndef MASTER_LIMIT_H
#define MASTER_LIMIT_H

#include "master/conf/conf.h"

/* As high as the hard limit allows. Workers inherit it. */
void limit_raise(void);

/*
 * Warn when a worker of `conf` cannot have as many sessions as max_sessions says; not again at a reload that asks for
 * no more than `old` did (NULL at the start).
 */
void limit_check(const struct conf *conf, const struct conf *old);

#endif
