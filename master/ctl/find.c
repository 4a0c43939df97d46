#include "master/ctl/find.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bsd/string.h>

/*
 * Whether it listens there: the kernel keeps who has called listen(), so nothing has to be asked. Just after an upgrade that
 * is one of two.
 */
static bool listens_at(const struct server *server, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    if (strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_it = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && server_has_master(server, peer.pid);
    if (fd >= 0)
        close(fd);
    return is_it;
}

static bool try_pattern(const struct server *server, const char *folder, char path[ASK_PATH_SIZE])
{
    glob_t found = {0};
    bool is_found = false;

    if (snprintf(path, ASK_PATH_SIZE, "%s/control.sock", folder) >= ASK_PATH_SIZE)
        return false;
    if (glob(path, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !is_found; i++)
            is_found = listens_at(server, found.gl_pathv[i]) &&
                       strlcpy(path, found.gl_pathv[i], ASK_PATH_SIZE) < ASK_PATH_SIZE;
    globfree(&found);
    return is_found;
}

/* The last two are where the units have it: ccserver.service, and those of the template. */
bool find_socket(const struct server *server, char path[ASK_PATH_SIZE])
{
    const char *folders[] = {getenv("RUNTIME_DIRECTORY"), "/run/ccserver", "/run/ccserver/*"};

    for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (folders[i] && try_pattern(server, folders[i], path))
            return true;
    return false;
}
