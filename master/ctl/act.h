/*
 * The commands of ccserverctl that change something. They send the signal that does it, and watch in the shared memory
 * what comes of it.
 */
#ifndef MASTER_CTL_ACT_H
#define MASTER_CTL_ACT_H

#include "master/ctl/server.h"
#include <stdbool.h>

/* How long to wait for the end of something, milliseconds; what is printed on the way. */
struct act {
    struct server *server;
    uint64_t timeout_ms;
};

/* Read the configuration anew. CTL_REFUSED with its mistake on standard error. */
enum ctl_exit act_reload(const struct act *act);

/* Start the binary that is on disk now. */
enum ctl_exit act_upgrade(const struct act *act);

/* One worker of the pool main more or fewer at a time, until there are `count`. */
enum ctl_exit act_resize(const struct act *act, const char *pool, unsigned count);

/* Have a worker finish its sessions, and be replaced. `name`: "0" of main, "POOL/0", or a pid. */
enum ctl_exit act_drain(const struct act *act, const char *name);

/* Stop gracefully, until the last process of it is gone. */
enum ctl_exit act_stop(const struct act *act);

/* Until it runs, and is ready. `server` need not be open yet; one that is closed is asked over its socket. */
enum ctl_exit act_wait(const struct act *act, bool ready);

#endif
