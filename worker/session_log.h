/*
 * The session log: a line for each session at its end, where `session_log` asks for it.
 *
 *   conn ----> the log's owner of the connection ----> the owner that it would have otherwise
 *              notes whose bytes and messages are counted now
 *
 * The listener counts anyway. A session is given what its listener has counted while it was this session's turn, so
 * nothing is counted twice. Where nobody asks for the log, connections have their plain owners, and sessions no figures:
 * nothing of this costs anything.
 */
#ifndef WORKER_SESSION_LOG_H
#define WORKER_SESSION_LOG_H

#include "worker/core/session.h"

/* Bytes of a session of this listener: of the struct itself, its state, its tail, and its figures where it is logged. */
size_t session_log_size(const struct listener_config *config);

/* The owner through which the log hears of the client's connection: `plain` itself in a section without a log. */
const struct conn_owner *session_log_owner(const struct section *section, const struct conn_owner *plain);

/* A session is opened, and has ended. Nothing happens in a section without a log. */
void session_log_begin(struct session *session);
void session_log_end(struct session *session);

#endif
