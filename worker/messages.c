#include "worker/messages.h"

/* A callback may have paused or closed the connection, or made it a side of a relay. */
static bool may_hand_over(const struct conn *conn, const struct conn_owner *owner)
{
    return conn->phase == CONN_OPEN && conn->input != INPUT_PAUSED && conn->owner == owner;
}

/* Drop what is to be skipped. Returns how many of `size` bytes that are. */
static size_t skip(struct message_sink *sink, size_t size)
{
    size_t skipped = *sink->skip < size ? (size_t)*sink->skip : size;

    *sink->skip -= skipped;
    return skipped;
}

/*
 * Hand over whole messages. The first `scanned` bytes are known to hold no end, and sink->scan is how far the first
 * message has been measured; on return, the first unfinished one. Returns the bytes used.
 */
static size_t dispatch(struct conn *conn, const struct conn_owner *owner, struct message_sink *sink, const char *bytes,
                       size_t size, size_t scanned)
{
    size_t used = 0;

    while (used < size && may_hand_over(conn, owner)) {
        if (sink->skip && *sink->skip > 0) {
            used += skip(sink, size - used);
            sink->scan = (struct scan){.at = 0};
            scanned = 0;
            continue;
        }
        struct cut cut = framing_cut(sink->framing, bytes + used, size - used, scanned, sink->max, &sink->scan);
        if (cut.total < 0) {
            sink->reject(conn, cut.total == CUT_NONSENSE);
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

/* How far the kept message has been measured is kept with it. */
static void note_scan(struct conn *conn, const struct message_sink *sink)
{
    if (sink->framing->measure_on && !buffer_is_empty(&conn->in))
        buffer_set_note(&conn->in, sink->scan.state, sink->scan.at);
}

void messages_input(struct conn *conn, struct message_sink *sink, const char *bytes, size_t size)
{
    const struct conn_owner *owner = conn->owner;

    if (sink->framing->measure_on) {
        sink->scan = (struct scan){.at = 0};
        if (!buffer_is_empty(&conn->in))
            sink->scan.at = buffer_note(&conn->in, &sink->scan.state);
    }
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
        note_scan(conn, sink);
        if (size == 0)
            break;
    }
    if (size > 0 && buffer_is_empty(&conn->in)) {
        size_t used = dispatch(conn, owner, sink, bytes, size, 0);
        bytes += used;
        size -= used;
    }
    if (size == 0 || conn->phase != CONN_OPEN || keep(conn, bytes, size) < 0)
        return;
    note_scan(conn, sink);
}
