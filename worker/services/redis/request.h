/*
 * Requests of a client as the service sees them: where one ends, what kind it is, and when a transaction is there in one
 * piece.
 */
#ifndef REDIS_REQUEST_H
#define REDIS_REQUEST_H

#include "worker/services/redis/commands.h"
#include "worker/session.h"
#include <stdint.h>

enum { REQUEST_WHOLE_MAX = 64 << 10 }; /* bytes; a larger one is handed over in pieces, and passed on */

/* The size of the request that `bytes` begins with; 0: it is not whole, or none. */
size_t request_size(const char *bytes, size_t size);

/* What a message of a client is: the request that it begins with. */
struct request {
    size_t size; /* of the first request; the message is larger when it is a whole transaction; 0: it is none */
    enum command_kind kind;
};

/* Look at it; and the same of the message that request_measure() has cut last, which has been looked at then. */
struct request request_look(const char *bytes, size_t size);
struct request request_measured(const char *bytes, size_t size);

/* The kind of a whole request: of MULTI and the like with a wrong number of words COMMAND_READ, since they only fail. */
enum command_kind request_kind(const char *bytes, size_t size);

/*
 * framing.measure_on of the client: a request; or MULTI with all that belongs to it up to EXEC, when that has arrived and
 * each command of it shares; or what makes no sense here, or is too large to be kept, as it is.
 */
ssize_t request_measure(const char *bytes, size_t size, struct scan *scan);

#endif
