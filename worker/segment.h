/*
 * Output that is read when the client can take it: constants and files; and what is sent behind them.
 *
 *   client.out, 64 KiB at a time <- more.output: segment -> segment ...     constant | file | bytes
 *
 * The place of an answer that is still to come has such a list of its own, see reply.c.
 */
#ifndef WORKER_SEGMENT_H
#define WORKER_SEGMENT_H

#include "worker/core/session.h"

/*
 * Append to a list of the session: what waits behind its buffer (more.output), or for its turn. Where memory is out, or
 * more than max_output is queued in all, the session ends.
 */
void segment_append_bytes(struct session *session, struct segment_list *list, const void *bytes, size_t size);
void segment_append_constant(struct session *session, struct segment_list *list, const void *bytes, size_t size);
void segment_append_file(struct session *session, struct segment_list *list, int fd, uint64_t offset, uint64_t size);

/* Send what is in `list` to the client, behind what it gets already; the list is empty afterwards. */
void segment_send(struct session *session, struct segment_list *list);

/* The client's buffer is empty, and it can take more: fill it. Nothing happens when no segment waits. */
void segment_pump(struct session *session);

/* Drop what is in it. */
void segment_clear(struct session *session, struct segment_list *list);

#endif
