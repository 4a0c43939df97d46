/*
 * The sessions of this worker, for an operator. Whoever asks has a connection that the master has made, which is served
 * like a client: by a service of its own that no configuration names. It answers lines with lines:
 *
 *    list LISTENER PEER   a line for each session, "-" for any: tabs between what INSPECT_FIELDS names; then "end"
 *    kill FD TIME         "killed" or "none"; FD and TIME are the end of a session's id
 *
 * Where there are too many who ask, or no memory for one more, it says "busy" and ends. An end without a word is that of
 * the worker.
 * All sessions are looked through, but only some in each turn.
 */
#ifndef WORKER_INSPECT_H
#define WORKER_INSPECT_H

#include "worker/core/session.h"

/* Serve it over `fd`, which is owned by it. */
void inspect_open(struct core *core, int fd);

#endif
