/*
 * The commands of ccserverctl that only look.
 */
#ifndef MASTER_CTL_SHOW_H
#define MASTER_CTL_SHOW_H

#include "master/ctl/server.h"
#include <stdbool.h>

/* Everything there is to know, as the USR1 statistics have it. */
enum ctl_exit show_status(struct server *server, bool json);
enum ctl_exit show_workers(struct server *server);
enum ctl_exit show_listeners(struct server *server);
enum ctl_exit show_pools(struct server *server);

/* OpenMetrics; the samples of it whose name matches the shell pattern, or contains it. */
enum ctl_exit show_metrics(struct server *server);
enum ctl_exit show_stat(struct server *server, const char *pattern);

/* CTL_DONE when it is ready and all pools run, else CTL_REFUSED; one line says which. */
enum ctl_exit show_health(struct server *server);

#endif
