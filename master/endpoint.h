/*
 * The listening sockets: for every address one accept queue per slot of its pool, bound before the first worker that
 * serves it is forked, and kept by the master for as long as the address is in the configuration. Workers come and go;
 * what waits in a queue stays.
 *
 *   endpoint 127.0.0.1:9997 (echo)     queues[0] queues[1] ... queues[count - 1]     one SO_REUSEPORT group
 *   endpoint unix:/run/x    (echo)     queues[0]                                     one, shared by all workers
 *
 * queue.c opens them.
 *
 * A queue outlives the worker of its number also when the number of workers shrinks: closing it would reset whoever
 * waits in it.
 */
#ifndef MASTER_ENDPOINT_H
#define MASTER_ENDPOINT_H

#include "common/unix_listener.h"
#include "master/conf/conf.h"
#include <stdbool.h>

struct endpoint {
    struct sock_address address; /* as bound: the kernel has chosen the port */
    char asked[SOCK_TEXT_SIZE];  /* as it stands in the configuration */
    char listener[LISTENER_NAME_SIZE];
    unsigned count;               /* queues */
    int queues[CONF_WORKERS_MAX]; /* descriptors; -1: a unix socket has only the first */
    bool claimed, added;          /* while a configuration is applied: it wants this one; it was bound for it */

    /* unix sockets */
    struct file_id file;       /* what we have bound; its path may lead elsewhere by now */
    struct unix_access access; /* as it was configured last */
    int former;                /* while a configuration is applied: queues[0] has taken its place; -1: none */
    struct file_id former_file;
};

struct endpoints {
    struct endpoint **all;
    unsigned count;
};

/*
 * Have queues for the numbers below `slots[pool]` at every address of `conf`, by the pool that it belongs to, binding
 * what is not there yet. Rewrites ports of 0 in `conf`. Returns 0, or -1 with a sentence in `error` and everything as
 * it was. What other addresses there are stays until endpoints_keep_claimed(); endpoints_forget_added() takes back what
 * this call has bound.
 */
int endpoints_claim(struct endpoints *endpoints, struct conf *conf, const unsigned *slots, char *error,
                    size_t error_size);
void endpoints_keep_claimed(struct endpoints *endpoints, const struct conf *conf);
void endpoints_forget_added(struct endpoints *endpoints);

/*
 * Stop listening at addresses that are not claimed, in whatever process they are open: connections are refused there
 * from now on. For a binary that takes over, whose predecessor does not know that they are dropped.
 */
void endpoints_shut_unclaimed(const struct endpoints *endpoints);

/*
 * Addresses that are not claimed, but that a wildcard among the claimed ones covers: ignore newcomers there until these
 * sockets are closed, so that who connects meanwhile comes to the wildcard instead of being reset.
 */
void endpoints_yield_covered(const struct endpoints *endpoints);

/* Listen again at all of them, with the backlogs of `conf`. */
void endpoints_listen(const struct endpoints *endpoints, const struct conf *conf);

/*
 * A process is about to be started for `number` of this pool: listen again at those of its queues that somebody has
 * shut down. A worker can do that, to siblings' queues too, and it would last: the queues outlive it.
 */
void endpoints_reopen(const struct endpoints *endpoints, const struct conf *conf, unsigned pool, unsigned number);

/*
 * For a reload or an upgrade, once all addresses are claimed and before workers are started: make unix sockets anew
 * whose files have been removed, by a cleaner of /run for example; not where another server listens now. The former
 * ones are still in use: endpoints_keep_claimed() or endpoints_forget_added() closes what is not kept. Returns 0, or -1
 * with a sentence in `error` and everything as it was.
 */
int endpoints_renew(struct endpoints *endpoints, const struct conf *conf, char *error, size_t error_size);

/* Warn of unix sockets whose path leads elsewhere now. */
void endpoints_check_files(const struct endpoints *endpoints);

/* The endpoint that serves this address of a configuration which has been claimed. */
struct endpoint *endpoints_find(const struct endpoints *endpoints, const struct sock_address *address);

/* Numbers for which there are queues at some address of a pool: as many as it has had workers at a time. */
unsigned endpoints_numbers(const struct endpoints *endpoints, const struct conf *conf, unsigned pool);

/* Numbers for which there are queues at all addresses of a pool that have any. */
unsigned endpoints_fewest(const struct endpoints *endpoints, const struct conf *conf, unsigned pool);

/* In a child: close all but `count` queues that it has use for. */
void endpoints_close_others(const struct endpoints *endpoints, const struct worker_socket *kept, unsigned count);

/* Close everything. `unlink_files`: and remove the files of unix sockets, those that are still ours. */
void endpoints_fini(struct endpoints *endpoints, bool unlink_files);

/* One more, without queues; NULL when out of memory. For the manifest (manifest.h). */
struct endpoint *endpoints_add(struct endpoints *endpoints);

/* Keep the sockets open across exec(). Only in the child that calls it. */
void endpoints_inherit(const struct endpoints *endpoints);

#endif
