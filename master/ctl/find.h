/*
 * The control socket of a server that one may not look into, by the places where it usually is.
 */
#ifndef MASTER_CTL_FIND_H
#define MASTER_CTL_FIND_H

#include "master/ctl/ask.h"
#include <stdbool.h>
#include <sys/types.h>

/* The path of the socket `control.sock` on which the process `master` listens. False: there is none that one may use. */
bool find_socket(pid_t master, char path[ASK_PATH_SIZE]);

#endif
