/*
 * The load client: what its files share.
 *
 *   ccpp_client.c      main(): options, threads, report
 *   client_options.c   the command line -> struct config
 *   client_payload.c   what is sent and what must come back, one copy for all sessions
 *   client_worker.c    a thread: its epoll, its sessions, its phases (starting, warm-up, measuring, draining)
 *   client_session.c   one connection: sends, receives, counts
 *   client_report.c    the figures, for people and as JSON
 *
 * Threads share nothing that is written while they run, the word of an interruption aside, and allocate nothing then. A
 * session is a few offsets into the shared payload, so ten thousand of them with 54,500 bytes under way each need no
 * memory here.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "bench/histogram.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { EXIT_USAGE = 64, SERVERS_MAX = 256 };

enum mode {
    MODE_STREAM,  /* whatever is read is sent back: what the original does */
    MODE_BATCH,   /* the next batch goes out when the whole last one is back, or on schedule */
    MODE_CONNECT, /* a connection for each batch */
};

struct config {
    const char *host, *port;
    struct sockaddr_storage address;
    socklen_t address_size;
    uint32_t threads, sessions;
    uint32_t frames;             /* per batch, unless `bytes` or `lines` */
    uint32_t bytes;              /* per batch of plain bytes; 0: no */
    uint32_t lines, line_length; /* per batch; bytes without the CRLF. 0: no */
    double time_s, warmup_s;
    double rate;      /* batches per second over all sessions; 0: closed loop */
    uint64_t batches; /* in total, instead of a time; 0: no */
    enum mode mode;
    bool spin, verify;
    int cpu; /* of the first thread; -1: not pinned */
    const char *json;
    clockid_t server_clocks[SERVERS_MAX]; /* CPU clocks of the processes of --cpu-of */
    unsigned server_count;
};

/*
 * What a batch is. A session may begin in the middle, at any multiple of the grain, and so of plain bytes and of
 * many lines each sends another sequence (a reply that goes to the wrong session shows; frames are all alike).
 * `request` and `reply` hold two copies in a row: a whole batch is one piece from wherever it begins.
 */
struct payload {
    char *request, *reply;
    uint32_t request_size, reply_size;   /* of one batch, and of one copy */
    uint32_t request_grain, reply_grain; /* the smallest part that the server answers by itself */
    uint32_t message_size;               /* of a reply: what is counted as one message */
};

/* One list: how a session can fail, as the report calls it, and in words. */
#define CLIENT_FAILURES(X)                                                                                             \
    X(connect, "could not connect")                                                                                    \
    X(reset, "connection lost")                                                                                        \
    X(closed, "closed by the server before the reply was complete")                                                    \
    X(excess, "more bytes came back than were due")                                                                    \
    X(mismatch, "wrong bytes in a reply")                                                                              \
    X(missing, "no reply any more")

enum failure {
#define X(name, text) FAILURE_##name,
    CLIENT_FAILURES(X)
#undef X
        FAILURES
};

struct counts {
    uint64_t bytes, reads, batches;
    struct histogram latency_ns;
};

struct session {
    int fd;                        /* -1: none */
    bool finished;                 /* nothing more to do, or failed */
    bool waits_out;                /* EPOLLOUT is on */
    uint32_t to_send;              /* bytes that may go out and have not */
    uint32_t request_at, reply_at; /* positions in the payload */
    uint32_t expected;             /* reply bytes that are due, for all that was sent or will be from `to_send` */
    uint32_t batch_left;           /* reply bytes until a batch is complete */
    uint32_t overdue;              /* open loop: batches whose time has come while the one before was not back */
    uint64_t quota;                /* bytes that may still be added to `to_send` */
    uint64_t started_ns;           /* when the batch was sent; open loop: when it should have been */
};

/* What the threads have in common. */
struct run {
    const struct config *config;
    const struct payload *payload;
    pthread_barrier_t barrier; /* everybody has connected; then: everybody may start */
    uint64_t start_ns;
    bool abandoned;          /* somebody could not connect */
    atomic_bool interrupted; /* Ctrl-C: end the measurement now */
};

enum phase { PHASE_START, PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN, PHASE_OVER };

struct worker {
    struct run *run;
    unsigned number;
    pthread_t thread;
    int epoll_fd;
    enum phase phase;
    struct session *sessions;
    uint32_t session_count, first_session; /* how many, and the number of the first among all of the run */
    uint32_t started_sessions;             /* those after them have not sent anything yet */
    uint32_t unfinished_sessions;
    char *buffer;          /* READ_SIZE bytes, for every read of this thread */
    struct counts *counts; /* where the present phase counts: one of the two below */
    struct counts measured, ignored;
    uint64_t now_ns, last_read_ns;
    uint64_t warmup_ns;        /* when the warm-up began */
    uint64_t begin_ns, end_ns; /* of the measurement */
    struct rusage usage_begin, usage_end;
    uint64_t server_cpu_ns;        /* thread 0: what the servers used during the measurement */
    double interval_ns, period_ns; /* open loop: between batches of this thread, and of one of its sessions */
    uint64_t released;             /* open loop: batches whose time has come */
    uint64_t unfinished_batches;   /* open loop: of those, not back at the end */
    uint64_t failures[FAILURES];
    char first_failure[160];
} __attribute__((aligned(64)));

enum { READ_SIZE = 256 * 1024 };

static inline uint64_t client_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Fill in `config`, or print what is wrong in one line and exit. */
void options_parse(struct config *config, int argc, char **argv);

/* Returns 0, or -1 when out of memory. */
int payload_init(struct payload *payload, const struct config *config);
void payload_fini(struct payload *payload);

/* The thread. `data` is a struct worker with `run`, `number`, `session_count` and `first_session` set. */
void *worker_main(void *data);

/* Prepare a session. It has no connection yet. */
void session_init(struct worker *worker, struct session *session, uint32_t number);

/* Connect and wait for it. Returns 0, or -1 after session_fail(). */
int session_open(struct worker *worker, struct session *session);

/* Start the first batch of a closed loop. */
void session_start(struct worker *worker, struct session *session);

/* Open loop: the time for a batch has come, at `due_ns`. */
void session_release(struct worker *worker, struct session *session, uint64_t due_ns);

/* Readiness from epoll. */
void session_event(struct worker *worker, struct session *session, uint32_t events);

/* Start nothing new. The session is finished when what is under way has come back. */
void session_stop(struct worker *worker, struct session *session);

/* Count a failure and close. `error` is an errno value or 0. */
void session_fail(struct worker *worker, struct session *session, enum failure failure, int error);

/* Print the figures of all threads. `json` may be NULL. Returns the number of failures. */
uint64_t report(const struct run *run, const struct worker *workers, unsigned count, FILE *text, FILE *json);

#endif
