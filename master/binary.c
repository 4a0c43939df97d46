#include "master/binary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

static bool is_program(const char *path)
{
    struct stat file;

    return stat(path, &file) == 0 && S_ISREG(file.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* execvp() would do, but it has a shell read what is no program: a damaged binary, for example. */
static bool find_in_path(const char *name, char *path, size_t path_size)
{
    const char *directories = getenv("PATH");

    for (const char *next = directories; next;) {
        size_t length = strcspn(next, ":");
        /* An empty entry is the working directory, but an empty PATH is none at all. */
        const char *here = length == 0 && directories[0] ? "." : "";
        int size = snprintf(path, path_size, "%.*s%s/%s", (int)length, next, here, name);
        if ((length || here[0]) && size < (int)path_size && is_program(path))
            return true;
        next = next[length] ? next + length + 1 : NULL;
    }
    return false;
}

int binary_find(const char *name, char *path, size_t path_size, char *error, size_t error_size)
{
    if (strchr(name, '/')) {
        if (strlcpy(path, name, path_size) < path_size)
            return 0;
        snprintf(error, error_size, "%s: %s", name, strerror(ENAMETOOLONG));
        return -1;
    }
    if (name[0] && find_in_path(name, path, path_size))
        return 0;
    snprintf(error, error_size, "%s: not found in PATH", name);
    return -1;
}
