/*
 * What a service that shows the server, or changes it, may know and do beyond session.h: read the state of the master
 * and the counters of all workers from the memory that they share, which is there also while others hang; ask the
 * master for changes; and ask the workers for their sessions.
 */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H

#include "common/report_sums.h"
#include "common/request.h"
#include "worker/session.h"

enum { ADMIN_FRESH_MS = 20 };

/*
 * The server as it is now, or was at most ADMIN_FRESH_MS ago; valid until the next call. While sums->at_ms is the same,
 * so is all of it. NULL with errno when its memory cannot be mapped, or has never been found unwritten.
 */
const struct report *admin_report(void);

/* The state alone, as it is now, which costs less; and the area that it is in. */
const struct report *admin_state(void);

/*
 * Ask the master, from a service that operates. `answered` is called once with the answer, in a later turn, and with
 * `user`; `fd`, which is the callee's from then on, is a connection to a worker, or -1. A master that has gone does not
 * answer. The id of the answer to come; 0 with EAGAIN when ASKS_MAX requests are under way.
 */
typedef void admin_answered(uint64_t user, const struct request_answer *answer, int fd);
uint32_t admin_ask(enum request_kind kind, uint32_t number, const char *name, admin_answered *answered, uint64_t user);

/* A further connection of the session over `fd`, which stands already and is owned by it. NULL, and `fd` closed, when
 * out of memory, or when the session is closing or has ended. As session_connect(). */
struct conn *admin_connect(struct session *session, int fd, const struct upstream *upstream);

/* Whether the client may change the server: root, the server's user, or a member of `group` (-1: of none). */
bool admin_may_change(const struct session *session, gid_t group);

/* Whether the client has closed its connection, both directions of it: a session that is paused hears nothing of that. */
bool admin_is_gone(const struct session *session);

/* The effective configuration of this worker's generation, as text. */
const char *admin_configuration(const struct section *section);

#endif
