/*
 * A server as seen from outside: found by its configuration among all processes, and read from the memory that its
 * masters share. Nobody is asked, so it works also while everything hangs.
 */
#ifndef MASTER_CTL_SERVER_H
#define MASTER_CTL_SERVER_H

#include "common/state.h"
#include "common/stats.h"
#include <stdbool.h>
#include <stddef.h>

/* What ccserverctl exits with. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_REFUSED = 1,
    CTL_NOT_RUNNING = 3,
    CTL_NOT_ALLOWED = 4,
    CTL_NO_ANSWER = 5,
    CTL_USAGE = 64,
};

struct server {
    const char *conf_path; /* what it was asked for with; NULL: `pid` alone counts */
    pid_t pid;             /* of the master in charge */
    struct stats_area *area;
    struct master_state state; /* as it was when it was last read */
};

/*
 * Find the server that runs with the configuration file `server->conf_path`, or whose master is `server->pid` (0: look
 * for it), and map its memory. CTL_DONE, or another exit code with a sentence in `error`.
 */
enum ctl_exit server_open(struct server *server, char *error, size_t error_size);

/* Read the state anew; where another master is in charge by now, it is found. As server_open(). */
enum ctl_exit server_read(struct server *server, char *error, size_t error_size);

/* Whether the process says by its title that it is a master of this server; of one that was asked for by its pid: is it. */
bool server_has_master(const struct server *server, pid_t pid);

/* Whether the process that was in charge when the state was last read has ended, reaped or not. */
bool server_has_ended(const struct server *server);

#endif
