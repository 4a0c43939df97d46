/*
 * A session's client as the owner of its connection: messages go to the service, the end of its stream ends the
 * session.
 */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include "worker/core/session.h"

/* Fill in a section, whose sessions have such clients; `config`, `stats` and `core` must outlive it. */
void client_section_init(struct section *section, struct core *core, const struct listener_config *config,
                         struct stats_listener *stats);

/* What other owners of a client's connection have in common with this one. */
#define CLIENT_OWNER                                                                                                   \
    .enter = client_enter, .pressure = client_pressure, .arm = client_arm, .active_ms = client_active_ms,              \
    .exhausted = client_exhausted, .flushed = client_flushed, .queued = client_queued

/* The service has changed its framing, or what is to be skipped. False: none of its bytes are being handed over. */
bool client_update_sink(const struct session *session);

void client_enter(struct conn *conn);

void client_pressure(struct conn *conn);
void client_arm(struct conn *conn);
uint64_t *client_active_ms(struct conn *conn);
void client_exhausted(struct conn *conn, enum conn_shortage what);
void client_flushed(struct conn *conn);
void client_queued(struct conn *conn);

#endif
