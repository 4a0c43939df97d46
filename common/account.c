#include "common/account.h"
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bsd/stdlib.h>

enum { NOBODY = -1 };

/* True when it stands for no name: nothing, or a number. */
static bool is_number(const char *text, id_t *id, const char **error)
{
    *error = NULL;
    *id = (id_t)NOBODY;
    if (text[strspn(text, "0123456789")] != '\0')
        return false;
    if (*text)
        *id = (id_t)strtonum(text, 0, UINT32_MAX - 1, error);
    return true;
}

static int bad_number(const char *number_error, char *error, size_t error_size)
{
    if (!number_error)
        return 0;
    snprintf(error, error_size, "the number is %s", number_error);
    return -1;
}

int account_user(const char *text, uid_t *user, char *error, size_t error_size)
{
    const struct passwd *entry;
    const char *number_error;

    if (is_number(text, user, &number_error))
        return bad_number(number_error, error, error_size);
    FILE *in = fopen("/etc/passwd", "re");
    while (in && (entry = fgetpwent(in)))
        if (strcmp(entry->pw_name, text) == 0) {
            *user = entry->pw_uid;
            break;
        }
    if (in)
        fclose(in);
    if (*user != (uid_t)NOBODY)
        return 0;
    snprintf(error, error_size, "there is no such user in /etc/passwd");
    return -1;
}

int account_group(const char *text, gid_t *group, char *error, size_t error_size)
{
    const struct group *entry;
    const char *number_error;

    if (is_number(text, group, &number_error))
        return bad_number(number_error, error, error_size);
    FILE *in = fopen("/etc/group", "re");
    while (in && (entry = fgetgrent(in)))
        if (strcmp(entry->gr_name, text) == 0) {
            *group = entry->gr_gid;
            break;
        }
    if (in)
        fclose(in);
    if (*group != (gid_t)NOBODY)
        return 0;
    snprintf(error, error_size, "there is no such group in /etc/group");
    return -1;
}
