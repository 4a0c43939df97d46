#include "master/conf/account.h"
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bsd/stdlib.h>

enum { NOBODY = -1 };

/* True when it stands for no name: nothing, or a number. */
static bool is_number(const char *text, id_t *id, const char **why)
{
    *why = NULL;
    *id = (id_t)NOBODY;
    if (text[strspn(text, "0123456789")] != '\0')
        return false;
    if (*text)
        *id = (id_t)strtonum(text, 0, UINT32_MAX - 1, why);
    return true;
}

static int bad_number(const char *number_why, char *why, size_t why_size)
{
    if (!number_why)
        return 0;
    snprintf(why, why_size, "the number is %s", number_why);
    return -1;
}

int account_user(const char *text, uid_t *user, char *why, size_t why_size)
{
    const struct passwd *entry;
    const char *number_why;

    if (is_number(text, user, &number_why))
        return bad_number(number_why, why, why_size);
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
    snprintf(why, why_size, "there is no such user in /etc/passwd");
    return -1;
}

int account_group(const char *text, gid_t *group, char *why, size_t why_size)
{
    const struct group *entry;
    const char *number_why;

    if (is_number(text, group, &number_why))
        return bad_number(number_why, why, why_size);
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
    snprintf(why, why_size, "there is no such group in /etc/group");
    return -1;
}
