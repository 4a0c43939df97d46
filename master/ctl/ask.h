/*
 * The commands of ccserverctl that a control service answers, over its unix socket: a line of words is sent, and lines
 * come back, see worker/services/control/answer.h.
 */
#ifndef MASTER_CTL_ASK_H
#define MASTER_CTL_ASK_H

#include "master/ctl/server.h"

enum { ASK_PATH_SIZE = 128 };

/* The path of the socket of a server that has been opened. False: its configuration has no control listener. */
bool ask_find(const struct server *server, char path[ASK_PATH_SIZE]);

struct ask {
    const char *path;
    const char *const *words; /* ends with NULL */
    uint64_t timeout_ms;
    /* For each line of the answer but the last one, without its LF; it may be changed. */
    void (*line)(char *line);
    bool is_quiet; /* nothing is printed when there is no answer: it is asked again */
};

/* Ask, and print how it has ended, as the commands of act.h do. */
enum ctl_exit ask(const struct ask *ask);

/* A line of an answer as it is, but for what could steer the terminal. */
void ask_print(char *line);

/* Ask for the end of the server, and wait until its master is gone. */
enum ctl_exit ask_stop(const struct ask *ask);

#endif
