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
    /* Whoever owns the sink may change `framing` and `skip` meanwhile: for what comes after this message. */
    void (*message)(struct conn *conn, const char *bytes, size_t size);
    /* A message over `max`; or (nonsense) the framing can make nothing of the bytes: they are dropped. */
    void (*reject)(struct conn *conn, bool nonsense);
    uint64_t *skip;   /* so many bytes are to be dropped before the next message; NULL: none */
    struct scan scan; /* messages.c's own; zero when another framing is set */
};

/*
 * Hand over the messages in `bytes`, after what has been kept in conn->in, while the connection is open, not paused and
 * belongs to the same owner; keep the rest.
 */
void messages_input(struct conn *conn, struct message_sink *sink, const char *bytes, size_t size);

#endif
