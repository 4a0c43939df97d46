/*
 * Requests that are answered here, since what they ask for is the client's and not of the connection that it shares.
 */
#ifndef REDIS_LOCAL_H
#define REDIS_LOCAL_H

#include "worker/services/redis/client.h"

enum verdict local_quit(struct session *session);

/* All that the client has asked is answered, also of these. */
enum verdict local_reset(struct session *session);

/* CLIENT: its name; what else there is of it is passed on. */
enum verdict local_client(struct session *session, const char *bytes, size_t size);

#endif
