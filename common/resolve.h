/*
 * Names of hosts become addresses.
 *
 * Asking a name server can take as long as the name server likes. Whoever must not wait hands out a resolver that looks
 * into a table instead (master/names.h); the one here asks the system and blocks.
 */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

#include "common/sock.h"

enum { RESOLVE_ADDRESSES_MAX = 1 + SOCK_MORE_MAX, RESOLVE_HOST_SIZE = SOCK_TEXT_SIZE, RESOLVE_ERROR_SIZE = 96 };

/* What a name stands for. */
struct resolve_answer {
    unsigned count;                                   /* 0: it could not be resolved */
    union sock_inet addresses[RESOLVE_ADDRESSES_MAX]; /* without ports, in the order in which they are to be tried */
    char error[RESOLVE_ERROR_SIZE];
};

/* Whom to ask. A resolver that has no answer yet returns false, and notes that it has been asked. */
struct resolver {
    bool (*ask)(struct resolver *resolver, const char *host, struct resolve_answer *answer);
};

/* Ask the system: files, name servers, whatever it is configured to. Blocks. Duplicates are dropped. */
void resolve_now(const char *host, struct resolve_answer *answer);

/* The same as a resolver, which always has an answer. */
extern struct resolver resolve_system;

/* Give an unresolved address what its name stands for: the answer must have an address. */
void resolve_apply(struct sock_address *address, const struct resolve_answer *answer);

/* True when both have the same addresses, in whatever order: name servers like to rotate them. */
bool resolve_same(const struct resolve_answer *a, const struct resolve_answer *b);

#endif
