/*
 * A login: what a client of Redis has chosen for its connection with HELLO, AUTH and SELECT. Clients with the same login can
 * share connections; the requests that choose it are their greeting.
 */
#ifndef REDIS_LOGIN_H
#define REDIS_LOGIN_H

#include "worker/services/redis/commands.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOGIN_TEXT_MAX = 256, LOGIN_GREETING_MAX = 1024 };

/* Zeroed: the default user, RESP2, database 0. */
struct login {
    bool is_resp3;
    bool has_user, has_password;
    uint32_t database;
    uint16_t user_size, password_size;
    char user[LOGIN_TEXT_MAX], password[LOGIN_TEXT_MAX];

    /* What HELLO sets beside it, which no other client has a part in. */
    bool has_name;
    bool is_named_only; /* by CLIENT SETNAME, and nothing else has changed */
    uint16_t name_size;
    char name[LOGIN_TEXT_MAX];
};

/*
 * Change the login as a whole request of this kind (HELLO, AUTH, SELECT) asks for. False: it is no such request, or too
 * long to be kept; `login` is unspecified then. `*verifies`: it carries a password.
 */
bool login_change(struct login *login, enum command_kind kind, const char *bytes, size_t size, bool *verifies);

/* Whether Redis takes it for a name; and name it, at most LOGIN_TEXT_MAX bytes, as CLIENT SETNAME does. */
bool login_is_name(const char *name, size_t size);
void login_set_name(struct login *login, const char *name, size_t size);

/*
 * Write the requests that choose it, up to two. Returns their size, and that of the first one in `first`; 0 for the
 * default.
 */
size_t login_greeting(const struct login *login, char greeting[LOGIN_GREETING_MAX], size_t *first);

#endif
