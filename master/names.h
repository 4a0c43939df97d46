/*
 * Names of hosts, resolved without waiting: whoever reads a configuration gets its answers from a table. What the table
 * does not have yet, a child asks for.
 *
 *   conf_load_from() --- ask ---> names         the first time: no answer yet, the question is noted
 *                                   | names_ask()                    fork
 *                                   v
 *                               child: a thread per question, getaddrinfo()
 *                                   | SOCK_SEQPACKET, an answer a packet
 *                                   v
 *   conf_load_from() <--------- names           when all have been answered, or it has taken too long
 *
 * The child holds nothing of the master's, and dies with it. It is believed nothing: a packet that makes no sense is
 * not looked at.
 */
#ifndef MASTER_NAMES_H
#define MASTER_NAMES_H

#include "common/resolve.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { NAMES_DEADLINE_MS = 10 * 1000 };

struct name {
    char host[RESOLVE_HOST_SIZE];
    bool answered; /* `answer` is there; it may be that it cannot be resolved */
    bool wanted;   /* by the configuration that was read last */
    struct resolve_answer answer;
};

struct names {
    struct resolver resolver; /* first: conf_load_from() gets to the table through it */
    struct name *all;
    unsigned count;
    pid_t pid; /* of the child; 0: none is running */
    int fd;    /* where its answers come from; valid with a pid */
    uint64_t due_ms;
};

/* An empty table; names_fini() stops the child and frees the table, which is then empty again. */
void names_init(struct names *names);
void names_fini(struct names *names);

/* True when a name has no answer yet; when one has an answer without an address. */
bool names_are_open(const struct names *names);
bool names_have_failed(const struct names *names);

/* Forget the answers without an address, so that these names are asked for again. */
void names_reopen_failed(struct names *names);

/* Before a configuration is read, and after that: drop the names that it does not mention. */
void names_begin_reading(struct names *names);
void names_end_reading(struct names *names);

/* Start a child that asks for what has no answer. 0, or -1 with errno. */
int names_ask(struct names *names);

/*
 * Take in what the child has found out. Returns true when there is nothing more to wait for: all is answered, or the
 * child is gone, or the deadline has passed; what is still open is answered with an error then, and the child killed.
 * Does not block. The death of the child is a SIGCHLD; the loop reaps it.
 */
bool names_receive(struct names *names, uint64_t now_ms);

/* Stop asking. The table stays. */
void names_stop(struct names *names);

/*
 * Before the loop has begun: ask, and wait for the answers, which the deadline bounds. `alive` is called about once a
 * second. The signals that the loop handles are blocked from here on; SIGTERM, SIGINT and SIGQUIT end the waiting.
 * Returns 0, or the signal, or -1 with errno.
 */
int names_await(struct names *names, void (*alive)(void));

/*
 * Outside the loop, where nobody reaps: wait for a child that has been stopped. It has been killed, so that this takes
 * no time, unless the kernel cannot: then it is left to whoever inherits it.
 */
void names_await_end(void);

/* Give names that cannot be resolved now the answers that `old` has, and log that it was found at this `occasion`. */
void names_keep(struct names *names, const struct names *old, const char *occasion);

/*
 * The names that have addresses, for the candidate of an upgrade, a line each: HOST \t ADDRESS \t ADDRESS ... -1 with
 * errno. What makes no sense is not read.
 */
int names_write(const struct names *names, FILE *out);
int names_read(struct names *names, FILE *in);

/* Do both stand for the same? The order of the addresses does not count. */
bool names_same(const struct names *a, const struct names *b);

/* Log the names that have an address now and had none in `old`. */
void names_log_found(const struct names *names, const struct names *old);

/* Log the names that have no address, and when they are tried again. */
void names_log_failed(const struct names *names, uint32_t again_ms);

/* Make an independent copy, without a child. 0, or -1 when out of memory. */
int names_copy(struct names *copy, const struct names *names);

#endif
