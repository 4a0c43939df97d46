#include "worker/segment.h"
#include "worker/more.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_SIZE = 65536 };

struct segment {
    struct segment *next;
    int fd;               /* a file's; -1: none */
    const char *constant; /* or NULL */
    uint64_t at, left;    /* bytes of the file or the constant */
    struct buffer bytes;  /* of neither */
};

static bool is_in_memory(const struct segment *segment)
{
    return segment->fd < 0 && !segment->constant;
}

static struct segment *append(struct segment_list *list)
{
    struct segment *segment = calloc(1, sizeof(*segment));

    if (!segment)
        return NULL;
    segment->fd = -1;
    if (list->last)
        list->last->next = segment;
    else
        list->first = segment;
    list->last = segment;
    return segment;
}

static void drop_first(struct segment_list *list)
{
    struct segment *first = list->first;

    list->first = first->next;
    if (!list->first)
        list->last = NULL;
    if (first->fd >= 0)
        close(first->fd);
    buffer_clear(&first->bytes);
    free(first);
}

void segment_clear(struct segment_list *list)
{
    while (list->first)
        drop_first(list);
}

bool segment_append_bytes(struct segment_list *list, const void *bytes, size_t size)
{
    struct segment *last = list->last && is_in_memory(list->last) ? list->last : append(list);

    return last && buffer_append(&last->bytes, bytes, size) == 0;
}

bool segment_append_constant(struct segment_list *list, const void *bytes, size_t size)
{
    struct segment *segment = append(list);

    if (!segment)
        return false;
    segment->constant = bytes;
    segment->left = size;
    return true;
}

bool segment_append_file(struct segment_list *list, int fd, uint64_t offset, uint64_t size)
{
    struct segment *segment = append(list);

    if (!segment) {
        close(fd);
        return false;
    }
    segment->fd = fd;
    segment->at = offset;
    segment->left = size;
    return true;
}

size_t segment_last_size(const struct segment_list *list)
{
    return list->last ? buffer_size(&list->last->bytes) : 0;
}

void segment_send(struct session *session, struct segment_list *list)
{
    struct session_more *more = session->more;

    if (!list->first)
        return;
    while (!more->output.first && list->first && is_in_memory(list->first)) {
        turn_send(session, buffer_bytes(&list->first->bytes), buffer_size(&list->first->bytes));
        drop_first(list);
    }
    if (!list->first)
        return;
    if (more->output.last)
        more->output.last->next = list->first;
    else
        more->output.first = list->first;
    more->output.last = list->last;
    *list = (struct segment_list){.first = NULL};
    session->client.flush_due = true; /* segment_pump() is called when the buffer is empty */
    if (turn_touch(session) < 0)
        session_end(session, CLOSE_memory);
}

/* The next piece of a segment goes to the client's buffer. False when the file cannot be read. */
static bool move_piece(struct conn *client, struct segment *first)
{
    static char piece[PIECE_SIZE];
    size_t size = first->left < PIECE_SIZE ? (size_t)first->left : PIECE_SIZE;
    ssize_t got = (ssize_t)size;

    if (is_in_memory(first)) {
        conn_queue(client, buffer_bytes(&first->bytes), buffer_size(&first->bytes));
        return true;
    }
    if (first->fd >= 0)
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

    while (session_has_segments(session) && buffer_is_empty(&client->out) && client->phase <= CONN_FLUSHING) {
        struct segment_list *list = &session->more->output;
        if (!move_piece(client, list->first)) {
            log_error("%s: a file that is being sent has become shorter, or cannot be read",
                      section_of(session)->config->name);
            session_end(session, CLOSE_done);
            return;
        }
        if (list->first->left == 0)
            drop_first(list);
    }
}
