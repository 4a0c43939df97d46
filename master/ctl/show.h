/*
 * The commands of ccserverctl that only look.
 */
#ifndef MASTER_CTL_SHOW_H
#define MASTER_CTL_SHOW_H

#include "master/ctl/server.h"

/* What report_show() has for this word. CTL_REFUSED for a server that is not well. */
enum ctl_exit show(struct server *server, const char *word, const char *pattern);

#endif
