/*
 * The control socket of a server that one may not look into, by the places where it usually is.
 */
#ifndef MASTER_CTL_FIND_H
#define MASTER_CTL_FIND_H

#include "master/ctl/ask.h"
#include <stdbool.h>

/* The path of the socket `control.sock` on which a master of the server listens. False: there is none that one may use. */
bool find_socket(const struct server *server, char path[ASK_PATH_SIZE]);

#endif
