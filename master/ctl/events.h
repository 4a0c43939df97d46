/*
 * ccserverctl log: the last lines that the masters have logged, from the memory that they share.
 */
#ifndef MASTER_CTL_EVENTS_H
#define MASTER_CTL_EVENTS_H

#include "master/ctl/server.h"

/* Print the last `count` of them; with `follow` also those to come, across upgrades, until the server has ended. */
enum ctl_exit events_show(struct server *server, unsigned count, bool follow);

#endif
