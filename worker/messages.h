/*
 * From the bytes of a connection to whole messages: cut, kept while they are unfinished, handed over one by one.
 */
#ifndef WORKER_MESSAGES_H
#define WORKER_MESSAGES_H

#include "worker/core/conn.h"
#include "worker/framing.h"

/* Where the messages of a connection go. */
struct message_sink {
    const struct framing *framing;
    size_t max; /* bytes of a message */
    void (*message)(struct conn *conn, const char *bytes, size_t size);
    /* A message over `max`, or the framing makes no sense of the bytes: they are dropped. */
    void (*oversize)(struct conn *conn);
};

/*
 * Hand over the messages in `bytes`, after what has been kept in conn->in, while the connection is open, not paused and
 * belongs to the same owner; keep the rest.
 */
void messages_input(struct conn *conn, const struct message_sink *sink, const char *bytes, size_t size);

#endif
