/*
 * The control pipe between the master and one child: a SOCK_SEQPACKET socketpair.
 *
 *   master                                     child
 *     | <------------- READY ------------------ |  reactor runs, listeners are registered
 *     | <------------- MISSED(n) -------------- |  not all queues of slot n could be adopted: say it again
 *     | <------------- LEAVING ---------------- |  somebody else has told it to stop: it drains; 1: an operator
 *     | <------------- SHUTDOWN --------------- |  a client asked for the whole server to stop
 *     | <------------- REQUEST ---------------- |  an operator asks for something, see request.h
 *     | -------------- ADOPT(n) + queues -----> |  accept from these queues of slot n, too: nobody else does
 *     | -------------- SIBLING + inboxes -----> |  publish to these, too
 *     | -------------- RELEASE(n) ------------> |  no longer
 *     | -------------- REFUSE(i) -------------> |  address i has left the configuration: close it when you drain
 *     | -------------- DRAIN(time) -----------> |  stop accepting, finish sessions, exit 0; the sockets live on
 *     | -------------- STOP(time) ------------> |  the same, and new connections are refused: the whole server stops
 *     | -------------- REOPEN_LOG ------------> |
 *     | -------------- LOG_LEVEL(n) ----------> |
 *     | -------------- DISABLE(i) ------------> |  accept nobody at listener i of the configuration
 *     | -------------- ENABLE(i) -------------> |  accept there again
 *     | -------------- ANSWER + connection ---> |  to a REQUEST
 *     | -------------- INSPECT + connection --> |  somebody asks for the sessions of this worker
 *   EOF to the child: the master is gone. EOF to the master: the child is (about to be) gone.
 *
 * One packet is one message. The master believes no child: a packet of another size or type, descriptors from a child,
 * or a message at the wrong time end that child. What cannot be sent now, each side sends again.
 */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include "common/request.h"
#include <stdint.h>

/* One list of all messages: name, who sends it. */
#define CHANNEL_MESSAGES(X)                                                                                            \
    X(READY, "child")                                                                                                  \
    X(MISSED, "child")                                                                                                 \
    X(LEAVING, "child")                                                                                                \
    X(SHUTDOWN, "child")                                                                                               \
    X(REQUEST, "child")                                                                                                \
    X(ADOPT, "master")                                                                                                 \
    X(SIBLING, "master")                                                                                               \
    X(RELEASE, "master")                                                                                               \
    X(REFUSE, "master")                                                                                                \
    X(DRAIN, "master")                                                                                                 \
    X(STOP, "master")                                                                                                  \
    X(REOPEN_LOG, "master")                                                                                            \
    X(LOG_LEVEL, "master")                                                                                             \
    X(DISABLE, "master")                                                                                               \
    X(ENABLE, "master")                                                                                                \
    X(ANSWER, "master")                                                                                                \
    X(INSPECT, "master")

enum channel_type {
#define X(name, sender) CHANNEL_##name,
    CHANNEL_MESSAGES(X)
#undef X
        CHANNEL_TYPES
};

enum { CHANNEL_FDS_MAX = 64 };

struct channel_message {
    uint32_t type;  /* enum channel_type */
    uint32_t value; /* ADOPT, RELEASE, MISSED: slot number. REFUSE: index of the address. DRAIN, STOP: milliseconds
                       until what is left is closed. LOG_LEVEL: enum log_level. DISABLE, ENABLE: position of
                       the listener. Otherwise 0 */
    uint32_t count; /* ADOPT, SIBLING, ANSWER, INSPECT: descriptors that come along */
    uint32_t lost;  /* when received: how many of them this process had no room for */
    union {
        uint16_t address[CHANNEL_FDS_MAX]; /* ADOPT: index of the address that each of them listens on */
        struct request request;            /* REQUEST */
        struct request_answer answer;      /* ANSWER */
    };
};

enum channel_result {
    CHANNEL_OK,
    CHANNEL_AGAIN,  /* nothing there, no room, or the kernel is short of memory: try again */
    CHANNEL_CLOSED, /* the other side is gone */
    CHANNEL_BROKEN, /* EBADMSG: not one of our messages, and thrown away; or another error that errno tells */
};

/* A pair of connected ends, non-blocking and close-on-exec: fds[0] for the master, fds[1] for the child. 0 or -1/errno.
 */
int channel_open(int fds[2]);

enum channel_result channel_send(int fd, enum channel_type type, uint32_t value) __attribute__((warn_unused_result));

/* Send `message`, with as many descriptors as it counts. They stay the caller's. */
enum channel_result channel_send_fds(int fd, const struct channel_message *message, const int *fds)
    __attribute__((warn_unused_result));

/*
 * Receive a message. Descriptors, close-on-exec and the caller's from now on, are stored in `fds` (CHANNEL_FDS_MAX);
 * when this process has no room for all of them, `count` is what has arrived, `lost` the rest. Without `fds` a message
 * that brings some is CHANNEL_BROKEN, and they are closed.
 */
enum channel_result channel_receive(int fd, struct channel_message *message, int *fds)
    __attribute__((warn_unused_result));

/* "READY", for the log. */
const char *channel_name(uint32_t type);

#endif
