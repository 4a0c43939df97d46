/*
 * Pipes: a client and a connection of its own, between which bytes pass untouched until one of them leaves.
 */
#ifndef REDIS_PIPE_H
#define REDIS_PIPE_H

#include "worker/services/redis/client.h"

/*
 * Make a pipe of the client from this request on; all that it has asked is answered. Its own link becomes the pipe where it
 * has one, with what the server remembers of it; else the connection begins as the client's has: with its login, its name.
 */
enum verdict pipe_leave(struct session *session, const char *bytes, size_t size);

/* A connection that has not been greeted; and the pipe over it. NULL is taken for memory that is out. */
struct conn *pipe_connect(struct session *session);
enum verdict pipe_become(struct session *session, struct conn *upstream, const char *bytes, size_t size);

#endif
