/*
 * Mistakes of a service's author, found when the program starts, with a sentence.
 */
#ifndef WORKER_SERVICE_CHECK_H
#define WORKER_SERVICE_CHECK_H

#include "worker/session.h"

/*
 * Look at all services, a list that ends with NULL. `general` are the keys that every section has; no service may have
 * one of that name. Returns 0, or -1 with a sentence in `error` about the first mistake.
 */
int service_check(const struct service *const *services, const struct option_row *general, char *error,
                  size_t error_size);

#endif
