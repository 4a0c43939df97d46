/*
 * Variants: the shared connections of a worker to its server, one set for each login that clients have chosen.
 *
 *    variant ---- login, greeting
 *       links[connections] ==== server      for all whose login it is
 *       link_take() ==== server             for one session at a time; given back clean
 *
 * There is always the one of the default login. Others are made when a server has accepted the login, and go when nobody has
 * had it for a while.
 */
#ifndef REDIS_VARIANT_H
#define REDIS_VARIANT_H

#include "worker/services/redis/login.h"
#include "worker/session.h"

enum { CONNECTIONS_MAX = 16, VARIANTS_MAX = 64, CLEANED_MAX = 16, REFUSAL_SIZE = 256, HELLO_SIZE = 512 };

struct variant {
    struct login login;
    unsigned users; /* sessions */
    uint64_t idle_since_ms;
    struct link *links[CONNECTIONS_MAX];
    struct link *cleaned[CLEANED_MAX]; /* taken links that have been given up, and are on their way back */
    char greeting[LOGIN_GREETING_MAX];
    size_t greeting_size, first_size; /* of all of it, and of the first request */
    bool is_accepted;                 /* by the server, when it was last asked */
    bool may_name;                    /* CLIENT SETNAME has been allowed */
    char refusal[REFUSAL_SIZE];       /* what the server says otherwise */
    char hello[HELLO_SIZE];           /* its answer to HELLO */
    size_t hello_size;                /* 0: not known */
};

/* Of a section. */
struct variants {
    struct section *section;
    const struct link_target *target;  /* what its links are made from; `connected` and `user` are set here */
    uint32_t connections;              /* links of a variant */
    struct variant *all[VARIANTS_MAX]; /* the first one has the default login */
};

/* Make the default one; the other members have been set. -1: no memory. */
int variants_start(struct variants *variants);

/* Free all; the links end with the worker. */
void variants_stop(struct variants *variants);

/* Free those that nobody has had for a minute. */
void variants_tick(struct variants *variants, uint64_t now_ms);

/* The variant with this login; NULL: there is none. */
struct variant *variants_find(const struct variants *variants, const struct login *login);

/* The same; it is made where there is none. NULL: too many are in use, or no memory. */
struct variant *variants_get(struct variants *variants, const struct login *login);

/* A session begins to have it, and ceases. */
void variant_enter(struct variant *variant);
void variant_leave(struct variant *variant, uint64_t now_ms);

/* The shared link with the fewest questions, and its place; and the one at this place. NULL: no memory. */
struct link *variant_quietest(const struct variants *variants, struct variant *variant, uint8_t *place);
struct link *variant_link(const struct variants *variants, struct variant *variant, uint8_t place);

/* Close the shared link at this place: variant_link() makes another one. */
void variant_drop(struct variant *variant, uint8_t place);

/* Give back a link that was taken: its server forgets first what was done with it. Where it cannot, it is closed. */
void variant_return(struct variant *variant, struct link *link);

/* An answer to nobody's question; and such a question that is lost: of a greeting, or of what makes a link clean. */
void variant_answered(struct link *link, const char *bytes, size_t size);
void variant_lost(struct link *link);

#endif
