/*
 * Users and groups by name. They are looked up in /etc/passwd and /etc/group alone: a directory service could keep the
 * master waiting.
 */
#ifndef COMMON_ACCOUNT_H
#define COMMON_ACCOUNT_H

#include <stddef.h>
#include <sys/types.h>

/* "" is -1. Return 0, or -1 with a sentence in `error`. */
int account_user(const char *text, uid_t *user, char *error, size_t error_size);
int account_group(const char *text, gid_t *group, char *error, size_t error_size);

#endif
