/*
 * A kernel in memory for one worker: sockets, epoll, control pipe, clock and allocator, all of which can be told to
 * fail.
 *
 *   core (recv, send, accept4, epoll_wait ...)          the test
 *        |  renamed in the library (fake_names)           |  kernel_client(), kernel_type(), kernel_reset() ...
 *        +-----------------> struct socket <--------------+
 *
 * What a peer types is not stored: byte number `n` of stream `seed` is kernel_byte(seed, n), so that any byte can be
 * checked wherever it comes out. Time moves only in epoll_wait(), and usleep().
 */
#ifndef TESTS_FUZZ_FAKE_KERNEL_H
#define TESTS_FUZZ_FAKE_KERNEL_H

#include "common/channel.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERNEL_FIRST_FD = 1000, KERNEL_SOCKETS = 256, KERNEL_BACKLOG = 16, KERNEL_ROOM = 1 << 16, KERNEL_WORDS = 9 };

enum kernel_kind {
    KERNEL_NONE,
    KERNEL_EPOLL,
    KERNEL_QUEUE,
    KERNEL_STREAM,
    KERNEL_CHANNEL,
    KERNEL_SIGNALS,
    KERNEL_FILE
};

/* The calls that can fail on purpose; each with the errors that it may fail with. */
enum kernel_call {
    CALL_ACCEPT,
    CALL_EPOLL_ADD,
    CALL_EPOLL_CHANGE,
    CALL_EPOLL_WAIT,
    CALL_RECEIVE,
    CALL_SEND,
    CALL_SOCKET,
    CALL_CONNECT,
    CALL_CHANNEL_SEND,
    CALL_FILE_READ,
    CALL_MEMORY,
    CALLS
};

struct kernel_socket {
    enum kernel_kind kind;
    bool watched; /* by epoll */
    uint32_t events;
    void *data;
    /* KERNEL_STREAM */
    uint32_t seed;         /* of what the peer types */
    uint64_t typed, taken; /* bytes the peer has sent (or the file has), and those that the core has read */
    uint64_t written;      /* bytes that the core has written */
    uint32_t room;         /* bytes that the core may write before EAGAIN */
    uint32_t unacknowledged;
    int error;                                   /* pending; reported once */
    bool connecting, ended, reset, shut, failed; /* ended: the peer's FIN; shut: ours; failed: a send was refused */
    void *owner;                                 /* of the test: who expects what is written */
    /* KERNEL_QUEUE */
    uint32_t waiting[KERNEL_BACKLOG]; /* seeds of clients that have connected */
    unsigned waiting_count;
    bool closed_by_peer; /* shut down by somebody else */
};

struct kernel {
    uint64_t now_us, turn_us, previous_turn_us; /* the clock, and what it was at the last two returns of epoll_wait() */
    struct kernel_socket sockets[KERNEL_SOCKETS];
    struct {
        int error;
        unsigned after, times; /* so many calls from now; that often */
    } failing[CALLS];
    unsigned open, blocks; /* descriptors and allocations that the core holds */
    unsigned idle_turns;   /* turns in a row that were ready for something and did nothing */
    bool progress;
    bool starved; /* some call has failed on purpose */
    /* Control pipe: what the master has said and the core has not read; and whether the master is gone. */
    struct channel_message words[KERNEL_WORDS];
    int word_fds[KERNEL_WORDS];
    unsigned word_count;
    bool master_gone, sent_ready;
    unsigned signal; /* to be read from the signalfd; 0: none */
    /* Hooks of the test. */
    void (*before_turn)(void);                                                      /* epoll_wait() is called */
    void (*accepted)(struct kernel_socket *socket);                                 /* a client's stream */
    void (*connected)(struct kernel_socket *socket);                                /* an upstream's stream */
    void (*wrote)(struct kernel_socket *socket, const uint8_t *bytes, size_t size); /* in order */
};

extern struct kernel kernel;

/* Everything closed, nothing failing, the clock at a second. */
void kernel_boot(void);

/* Byte `n` of the stream `seed`. */
uint8_t kernel_byte(uint32_t seed, uint64_t n);

struct kernel_socket *kernel_socket_of(int fd);
int kernel_fd_of(const struct kernel_socket *socket);

/* A new descriptor. NULL when there is none left. */
struct kernel_socket *kernel_open(enum kernel_kind kind);

/* The next `times` calls of a kind fail, after `after` that do not. */
void kernel_fail(enum kernel_call call, int error, unsigned after, unsigned times);

/* A word of the master; `fd` >= 0 comes along. What has no room is lost; the last place is for a DRAIN. */
void kernel_say(uint32_t type, uint32_t value, int fd);

_Noreturn void kernel_blame(const char *sentence);

#endif
