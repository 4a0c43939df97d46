#include "worker/segment.h"
#include "worker/more.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_SIZE = 65536 };

struct segment {
    struct segment *next;
    int fd;               /* a file's; -1: none, or it could not be opened */
    const char *constant; /* or NULL */
    uint64_t at, left;    /* bytes of the file or the constant; 0: it is neither */
    struct buffer bytes;  /* of neither */
};

static bool is_in_memory(const struct segment *segment)
{
    return segment->left == 0;
}

/* What the upstreams send would have to wait, too. session_update_flow() lets them go on. */
static void begin_output(struct session *session)
{
    session->client.flush_due = true; /* segment_pump() is called when the buffer is empty */
    for (struct session_conn *each = session->upstreams; each; each = each->next)
        conn_pause(&each->conn, true);
    turn_touch(session);
}

static struct segment *append(struct session *session, struct segment_list *list)
{
    struct segment *segment = calloc(1, sizeof(*segment));

    if (!segment) {
        session_end(session, CLOSE_memory);
        return NULL;
    }
    segment->fd = -1;
    if (list->last)
        list->last->next = segment;
    else
        list->first = segment;
    list->last = segment;
    session->more->segment_count++;
    if (list == &session->more->output)
        begin_output(session);
    return segment;
}

static void drop_first(struct session *session, struct segment_list *list)
{
    struct segment *first = list->first;

    list->first = first->next;
    if (!list->first)
        list->last = NULL;
    if (first->fd >= 0)
        close(first->fd);
    session->more->segment_count--;
    session->more->kept -= buffer_size(&first->bytes);
    buffer_clear(&first->bytes);
    free(first);
}

void segment_clear(struct session *session, struct segment_list *list)
{
    while (list->first)
        drop_first(session, list);
}

/* What waits is output, and is bounded like it. */
static void check_limits(struct session *session)
{
    if (buffer_size(&session->client.out) + session->more->kept > session->client.settings->max_output)
        session_end(session, CLOSE_overflow);
    else if (session_is_full(session) && !session_is_relay(session))
        conn_pause(&session->client, true); /* session_update_flow() lets it go on */
}

void segment_append_bytes(struct session *session, struct segment_list *list, const void *bytes, size_t size)
{
    struct segment *last = list->last && is_in_memory(list->last) ? list->last : append(session, list);

    if (!last)
        return;
    if (buffer_append(&last->bytes, bytes, size) < 0) {
        session_end(session, CLOSE_memory);
        return;
    }
    session->more->kept += size;
    check_limits(session);
}

void segment_append_constant(struct session *session, struct segment_list *list, const void *bytes, size_t size)
{
    struct segment *segment = append(session, list);

    if (!segment)
        return;
    segment->constant = bytes;
    segment->left = size;
    check_limits(session);
}

void segment_append_file(struct session *session, struct segment_list *list, int fd, uint64_t offset, uint64_t size)
{
    struct segment *segment = append(session, list);

    if (!segment) {
        close(fd);
        return;
    }
    segment->fd = fd;
    segment->at = offset;
    segment->left = size;
    check_limits(session);
}

void segment_send(struct session *session, struct segment_list *list)
{
    struct session_more *more = session->more;

    while (!more->output.first && list->first && is_in_memory(list->first)) {
        turn_send(session, buffer_bytes(&list->first->bytes), buffer_size(&list->first->bytes));
        drop_first(session, list);
    }
    if (!list->first)
        return;
    if (more->output.last)
        more->output.last->next = list->first;
    else
        more->output.first = list->first;
    more->output.last = list->last;
    *list = (struct segment_list){.first = NULL};
    begin_output(session);
}

/* Bytes that may be put into the client's buffer: a piece, or all of a segment that is in memory already. */
static size_t room_for(const struct conn *client, const struct segment *first)
{
    size_t most = client->settings->max_output < PIECE_SIZE ? client->settings->max_output : PIECE_SIZE;
    size_t used = buffer_size(&client->out), room = used < most ? most - used : 0;
    size_t size = buffer_size(&first->bytes);

    if (is_in_memory(first))
        return used == 0 || size <= room ? size : 0;
    return first->left < room ? (size_t)first->left : room;
}

/* The next `size` bytes of a segment go to the client's buffer. False when the file cannot be read. */
static bool move_piece(struct conn *client, struct segment *first, size_t size)
{
    static char piece[PIECE_SIZE];
    ssize_t got = (ssize_t)size;

    if (is_in_memory(first)) {
        conn_queue(client, buffer_bytes(&first->bytes), size);
        return true;
    }
    if (!first->constant)
        got = pread(first->fd, piece, size, (off_t)first->at);
    if (got <= 0)
        return false;
    conn_queue(client, first->constant ? first->constant + first->at : piece, (size_t)got);
    first->at += (uint64_t)got;
    first->left -= (uint64_t)got;
    return true;
}

void segment_pump(struct session *session)
{
    struct conn *client = &session->client;
    size_t size;

    if (session_has_segments(session) && client->output == OUTPUT_ENDED) { /* nobody takes it */
        segment_clear(session, &session->more->output);
        session_update_flow(session);
    }
    if (session_has_segments(session) && conn_loop_of(client)->corked == client)
        conn_uncork(conn_loop_of(client)); /* that comes first */
    if (!buffer_is_empty(&client->out))
        return;
    while (session_has_segments(session) && client->phase <= CONN_FLUSHING &&
           (size = room_for(client, session->more->output.first)) > 0) {
        struct segment_list *list = &session->more->output;
        if (!move_piece(client, list->first, size)) {
            log_error("%s: a file that is being sent has become shorter, or cannot be read",
                      section_of(session)->config->name);
            session_end(session, CLOSE_done);
            return;
        }
        if (list->first->left == 0)
            drop_first(session, list);
    }
}
