/*
 * Sockets and their addresses: the few calls on descriptors that master and worker share.
 */
#ifndef COMMON_SOCK_H
#define COMMON_SOCK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SOCK_TEXT_SIZE = 128, SOCK_MORE_MAX = 15 };

/* One address of a host. */
union sock_inet {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* An address to bind or to connect to. A name can stand for several, all of which are here: nothing is owned. */
struct sock_address {
    socklen_t size; /* of `any`; 0: a name that has not been resolved */
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_un local;
        union sock_inet inet;
    };
    char text[SOCK_TEXT_SIZE]; /* as the user wrote it */
    unsigned more_count;       /* further addresses of the name, in the order in which they are to be tried */
    union sock_inet more[SOCK_MORE_MAX];
};

/*
 * Parse "127.0.0.1:9998", "[::1]:9998", "localhost:9998" or "unix:/run/x.sock". Port 0 lets the kernel choose. Never
 * blocks: a name is left with `size` 0, see common/resolve.h. Returns 0, or -1 with a sentence in `why`.
 */
int sock_parse(struct sock_address *address, const char *text, char *why, size_t why_size);

/* True when it is a name that has no address (yet). */
bool sock_is_unresolved(const struct sock_address *address);

/* The host of "host:port" or "[host]:port". Returns `host`, empty when there is none. */
char *sock_host(const struct sock_address *address, char *host, size_t host_size);

/* How many addresses there are to try, and the n-th of them (with a size and no text). */
unsigned sock_count(const struct sock_address *address);
struct sock_address sock_nth(const struct sock_address *address, unsigned n);

/* Write an address in the form sock_parse reads. Returns `text`. */
char *sock_format(const struct sockaddr *address, socklen_t size, char *text, size_t text_size);

/* True for addresses that would collide when both are bound. Port 0 never collides. */
bool sock_same(const struct sock_address *a, const struct sock_address *b);

/* True for 0.0.0.0 and [::]: it stands for all addresses of the machine. */
bool sock_is_wildcard(const struct sock_address *address);

/* The port, in host order; 0 also for a unix address. */
unsigned sock_port(const struct sock_address *address);

/* True for the very same address and port (or path), whatever the spelling. */
bool sock_equal(const struct sock_address *a, const struct sock_address *b);

/*
 * Bind and listen on `address`, once per element of `fds` (`count` of them, all non-blocking and close-on-exec).
 * TCP: `count` SO_REUSEPORT sockets, and EADDRINUSE if anybody else listens there, even one of the same user. A port of
 * 0 is replaced in `address` by the one the kernel chose. Unix: one socket in fds[0], the others are -1; a stale file
 * is replaced, a live one is EADDRINUSE. Returns 0, or -1 with errno and nothing left open.
 */
int sock_listen(struct sock_address *address, int backlog, int *fds, unsigned count);

/*
 * The same for a TCP address that collides with one at which this process listens already, such as 127.0.0.1:80 beside
 * 0.0.0.0:80. It has to share the port from the start, so it does not notice whether others of the same user do: see
 * sock_has_strangers().
 */
int sock_listen_beside(struct sock_address *address, int backlog, int *fds, unsigned count);

/* One socket more for the group that sock_listen() made at this TCP address. The descriptor, or -1 with errno. */
int sock_listen_more(const struct sock_address *address, int backlog);

/* False for a TCP socket that was shut down, in whatever process. */
bool sock_is_listening(int fd);

/* True when a listening socket has been shut down, by whoever holds it. */
bool sock_is_shut(int fd);

/*
 * Ignore whoever wants to connect to this listening TCP socket from now on, without a reset: clients try again within a
 * second, and find another socket that listens there then. Who has connected already can still be accepted.
 */
void sock_drop_newcomers(int fd);

/*
 * Start a non-blocking connect to the first address. Returns the descriptor (connected, or in progress), or -1 with
 * errno: EHOSTUNREACH for a name without an address, EAGAIN for a unix socket whose queue is full.
 */
int sock_connect(const struct sock_address *address);

/*
 * True when a TCP connection leads to itself: who connects to a port of this machine that nobody listens on can be
 * given that very port as its own, and is then connected to itself (a simultaneous open). Nobody is there. `port` is
 * the one that was connected to.
 */
bool sock_is_self_connected(int fd, unsigned port);

/* The pending error of a socket, as connect() would have returned it; 0 when there is none. */
int sock_error(int fd);

/* No Nagle delay; nothing happens on a socket that is not TCP. */
void sock_set_nodelay(int fd);

#endif
