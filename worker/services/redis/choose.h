/*
 * Choosing a login: HELLO, AUTH and SELECT are asked over a link of the client's own, and the answer decides whose shared links
 * it asks from then on. A password is always verified by the server.
 */
#ifndef REDIS_CHOOSE_H
#define REDIS_CHOOSE_H

#include "worker/services/redis/client.h"

/* Ask for another login; all that the client has asked is answered. It is paused until the answer has come. */
enum verdict choose_begin(struct session *session, enum command_kind kind, const char *bytes, size_t size);

/* The same for CLIENT SETNAME: the server says whether it may, and the client goes on as before. */
enum verdict choose_name(struct session *session, const char *name, size_t name_size, const char *bytes, size_t size);

/* The answer has come, and has been passed on. */
void choose_answered(struct session *session, bool is_accepted);

/* Take this one, which the server has accepted. */
void choose_take(struct session *session, struct variant *variant);

/* Forget what was being chosen, if anything. */
void choose_forget(struct state *state);

#endif
