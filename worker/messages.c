#include "worker/messages.h"

/* A callback may have paused or closed the connection, or made it a side of a relay. */
static bool may_hand_over(const struct conn *conn, const struct conn_owner *owner)
{
    return conn->phase == CONN_OPEN && conn->input != INPUT_PAUSED && conn->owner == owner;
}

/* Hand over whole messages. The first `scanned` bytes are known to hold no end. Returns the bytes used. */
static size_t dispatch(struct conn *conn, const struct conn_owner *owner, const struct message_sink *sink,
                       const char *bytes, size_t size, size_t scanned)
{
    size_t used = 0;

    while (used < size && may_hand_over(conn, owner)) {
        struct cut cut = framing_cut(sink->framing, bytes + used, size - used, scanned, sink->max);
        if (cut.total < 0) {
            sink->oversize(conn);
            return size;
        }
        if (cut.total == 0)
            break;
        scanned = 0;
        sink->message(conn, bytes + used, cut.size);
        used += (size_t)cut.total;
    }
    return used;
}

static int keep(struct conn *conn, const char *bytes, size_t size)
{
    if (buffer_append(&conn->in, bytes, size) == 0)
        return 0;
    conn->owner->exhausted(conn, CONN_NO_MEMORY);
    return -1;
}

void messages_input(struct conn *conn, const struct message_sink *sink, const char *bytes, size_t size)
{
    const struct conn_owner *owner = conn->owner;

    /* What was kept comes first. It takes from the new bytes only what completes its message. */
    while (!buffer_is_empty(&conn->in) && may_hand_over(conn, owner)) {
        size_t had = buffer_size(&conn->in);
        size_t taken = size > 0 ? framing_missing(sink->framing, buffer_bytes(&conn->in), had, bytes, size) : 0;
        if (keep(conn, bytes, taken) < 0)
            return;
        bytes += taken;
        size -= taken;
        size_t used = dispatch(conn, owner, sink, buffer_bytes(&conn->in), buffer_size(&conn->in), taken > 0 ? had : 0);
        buffer_consume(&conn->in, used);
        if (size == 0)
            break;
    }
    if (size > 0 && buffer_is_empty(&conn->in)) {
        size_t used = dispatch(conn, owner, sink, bytes, size, 0);
        bytes += used;
        size -= used;
    }
    if (size > 0 && conn->phase == CONN_OPEN)
        (void)keep(conn, bytes, size);
}
