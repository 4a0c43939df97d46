/*
 * Listening unix sockets: their files appear complete, with owner and mode, and take no living server's place.
 */
#ifndef COMMON_UNIX_LISTENER_H
#define COMMON_UNIX_LISTENER_H

#include "common/file.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who may connect; that takes the permission to write. */
struct unix_access {
    uint32_t mode; /* permissions; 0: as the umask says */
    uid_t user;    /* -1: that of the process */
    gid_t group;   /* -1: that of the process, or of the folder where that is inherited */
};

/* What there is without any keys. */
#define UNIX_ACCESS_DEFAULT ((struct unix_access){.user = (uid_t)-1, .group = (gid_t)-1})

bool unix_access_equal(const struct unix_access *a, const struct unix_access *b);

/*
 * Listen at `path` (which fits a struct sockaddr_un). A socket that nobody listens at any more is replaced; anything
 * else that has the name is EADDRINUSE. Of several that start at the same moment one succeeds. Returns the descriptor,
 * non-blocking and close-on-exec, and in `id` which file it is; or -1 with errno.
 */
int unix_listen(const char *path, int backlog, const struct unix_access *access, struct file_id *id);

/* Whether a socket at `path` could be given this access, tried at one that is removed again. 0, or -1 with errno. */
int unix_try_access(const char *path, const struct unix_access *access);

/* Change who may connect to a socket that lives. ESTALE when `path` is not this file. 0, or -1 with errno. */
int unix_set_access(const char *path, const struct file_id *id, const struct unix_access *access);

#endif
