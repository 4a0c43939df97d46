/*
 * A client of the service: what it is doing, what it asks, and the link that it may have for itself.
 */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "worker/services/redis/request.h"
#include "worker/services/redis/variant.h"
#include "worker/session.h"

struct config {
    struct sock_address upstream;
    uint32_t connect_timeout_ms;
    uint32_t connections;
    uint32_t multiplex;
    uint32_t protocol;
};

enum { NAME_MAX_SIZE = 256 }; /* of CLIENT SETNAME; a longer one is the server's affair */

/* What a session is doing. */
enum mode {
    MODE_SHARES,
    MODE_CHOOSES, /* another login: the server is being asked over its own link */
    MODE_OWNS,    /* a link, in a transaction */
    MODE_LEAVES,  /* its own link is about to become a pipe */
    MODE_PIPE,
    MODE_BROKEN, /* its own link has ended in the middle of something */
};

struct state {
    struct variant *variant;
    struct link *own;   /* NULL: none */
    struct login *next; /* that is being chosen; NULL: none is */
    char *name;         /* of CLIENT SETNAME; NULL: none */
    char *kept;         /* a request that waits for what is due; NULL: none does */
    size_t kept_size;   /* bytes */
    uint32_t due;       /* answers that have not come; while there are any, */
    uint8_t place;      /* what shares is asked over this link, so that it takes effect in its order */
    uint8_t mode;       /* enum mode */
    bool in_multi, watches;
    bool is_known; /* its own link, or the pipe: the server has taken something */
};

/* What is counted, in the order of the table of the service. */
enum counter {
    COUNT_SHARED, /* requests over shared links */
    COUNT_OWN,    /* over links of clients' own */
    COUNT_ERRORS, /* answers that are errors */
    COUNT_LOST,
    COUNT_LOGINS,
    COUNT_PIPES,
};

static inline void client_count(struct session *session, enum counter counter)
{
    section_count(session_section(session), counter, 1);
}

/* What `section_state` is. */
struct shared {
    struct variants variants;
    struct link_target target;
};

static inline struct variants *client_variants(struct session *session)
{
    struct shared *shared = section_state(session_section(session));

    return &shared->variants;
}

/* Answer here, behind what is due. SESSION_ABORT: no memory. */
enum verdict client_answer(struct session *session, const char *bytes, size_t size);
enum verdict client_answer_text(struct session *session, const char *text);

/* Write what a client is told when the server could not be reached, and log it, but not too often. Returns its size. */
enum { CLIENT_FAILURE_SIZE = 320 };
size_t client_failure(struct section *section, int error, char text[CLIENT_FAILURE_SIZE]);

/* End a reply with what has gone wrong. `sent`: the server may have done what was asked. */
void client_fail(struct section *section, struct reply *reply, bool sent, int error);

/* End a reply with what the server has said to the login that it was to be asked with. */
void client_refuse(struct reply *reply, const char *why);

/* Name it; of no bytes: no longer. Without memory it has no name. */
void client_set_name(struct state *state, const char *name, size_t size);

/* Ask over this link. -1: it has been refused, and that is the answer. */
int client_ask(struct session *session, struct link *link, const char *bytes, size_t size);

/* Ask over a shared link: one request; or a transaction that has come whole. */
enum verdict client_ask_shared(struct session *session, const char *bytes, size_t size);
enum verdict client_ask_all(struct session *session, const char *bytes, size_t size);

/* Take up this request when all that was asked before is answered: `woken` does. */
enum verdict client_keep(struct session *session, const char *bytes, size_t size);
void client_forget_kept(struct state *state);

/* Have a link for oneself, that bears the client's name. False, with errno: there is none to be had. */
bool client_take_own(struct session *session);

/* Ask over it; a transaction is followed. */
enum verdict client_ask_own(struct session *session, enum command_kind kind, const char *bytes, size_t size);

/* Go back to the others; the link is made clean. Or close it. Nothing happens where there is none. */
void client_give_back_own(struct session *session);
void client_close_own(struct state *state);

#endif
