/*
 * Accept queues, as the kernel knows them: how many connections wait in the queue of a listening socket, how many may,
 * and how many were dropped since it was full. Who has the socket asks it (TCP only); who has not asks NETLINK_SOCK_DIAG,
 * as ss(8) does, and recognises the socket by its identity.
 */
#ifndef COMMON_SOCK_DIAG_H
#define COMMON_SOCK_DIAG_H

#include <stdbool.h>
#include <stdint.h>

/* Which socket it is, in whatever process. Before Linux 5.4 a cookie is of one network namespace, an inode never is. */
struct sock_identity {
    uint64_t cookie; /* no other socket gets it later; 0: not known */
    uint32_t inode;
};

struct sock_queue {
    uint32_t length; /* connections that wait to be accepted; one more than `limit` fits */
    uint32_t limit;  /* the backlog, or what the system allows of it */
    uint32_t drops;  /* packets of new connections that it had no room for */
    bool has_drops;  /* else they are not known: of a unix socket, or before Linux 4.12 */
};

/* The identity of the socket `fd`; all zero when the kernel does not tell. */
struct sock_identity sock_diag_identify(int fd);

/* Measure the accept queue of our TCP socket `fd`. False when it does not listen, or is a unix socket. */
bool sock_diag_measure(int fd, struct sock_queue *queue);

/*
 * Hand each listening socket of `family` (AF_INET, AF_INET6, AF_UNIX) in this network namespace to found(), at most
 * SOCK_DIAG_MAX of them. The kernel answers at once or not at all: nothing is waited for, except for a kernel module
 * that is loaded for the first question. 0, or -1 with errno when it has no answer, or none to the end.
 */
enum { SOCK_DIAG_MAX = 65536 };
int sock_diag_each(int family,
                   void (*found)(void *user, const struct sock_identity *identity, const struct sock_queue *queue),
                   void *user);

#endif
