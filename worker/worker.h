/*
 * What the master knows about a worker: what to give it, and what it returns.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/option.h"
#include "common/sock.h"
#include "common/stats.h"
#include "worker/session.h"
#include <stdint.h>
#include <sys/types.h>

enum { LISTENER_ADDRESSES_MAX = 16, LISTENER_NAME_SIZE = 48 };

/* Which sessions are logged at their end, and how. */
enum session_log { SESSION_LOG_OFF, SESSION_LOG_ERRORS, SESSION_LOG_ALL };
enum session_log_format { SESSION_LOG_TEXT, SESSION_LOG_JSON };
#define SESSION_LOG_CHOICES "off|errors|all"
#define SESSION_LOG_FORMAT_CHOICES "text|json"

/* One [listen NAME] section, checked. */
struct listener_config {
    char name[LISTENER_NAME_SIZE];
    const struct service *service;
    void *service_config; /* `service->config_size` bytes */
    void *shared;         /* `service->shared_size` bytes, see master/shared.h */
    unsigned position;    /* in the configuration */
    unsigned index;       /* into stats_block.listeners */
    char pool_name[OPTION_STRING_SIZE];
    unsigned pool;                 /* whose workers serve it: the index of a pool of the configuration */
    char bind[OPTION_STRING_SIZE]; /* as the user wrote it, separated by blanks */
    unsigned address_count;
    struct sock_address addresses[LISTENER_ADDRESSES_MAX];
    uint32_t backlog;            /* connections the kernel queues per socket */
    uint32_t idle_timeout_ms;    /* 0: never */
    uint32_t answer_timeout_ms;  /* the same while an answer is due; 0: never */
    uint32_t keepalive_ms;       /* 0: off */
    uint32_t max_frame;          /* bytes */
    uint32_t high_water;         /* bytes queued for a peer at which reading stops */
    uint32_t low_water;          /* and at which it resumes */
    uint32_t max_output;         /* bytes queued for a peer at which the session is closed */
    uint32_t session_log;        /* enum session_log */
    uint32_t session_log_format; /* enum session_log_format */

    /* who may connect to its unix sockets */
    uint32_t unix_mode; /* 0: as the umask says */
    char unix_user[OPTION_STRING_SIZE], unix_group[OPTION_STRING_SIZE];
    uid_t unix_uid; /* of `unix_user`; -1: none */
    gid_t unix_gid;
};

/* One address of one listener as this worker has it. */
struct worker_socket {
    int fd; /* listening, non-blocking */
    const struct listener_config *listener;
};

/* Everything a worker is given. Owned by the master's side of the fork; valid for the worker's life. */
struct worker_env {
    unsigned slot;       /* in its pool */
    const char *name;    /* "worker 0", "bank worker 1": for the log and the title */
    int channel;         /* the child's end */
    int inbox;           /* what siblings publish; 0: there is none */
    const int *siblings; /* inboxes of those that there are already, each the worker's from now on */
    unsigned sibling_count;
    struct stats_block *stats;
    const struct worker_socket *sockets; /* the ones this slot accepts from */
    unsigned socket_count;
    uint32_t max_sessions; /* sessions open at the same time; accepting pauses there */
    uint32_t linger_timeout_ms;
    uint32_t drain_spread_ms; /* when the worker leaves, its quiet sessions are closed within this time; 0: at once */
    uint32_t busy_poll_us;    /* 0: off */
    uint64_t disabled;        /* bits, by position in the configuration: listeners at which nobody is accepted */
    const char *conf_text;    /* the effective configuration, where a service may show it; else NULL */
};

/* A child that ends with this code is not started again: its configuration or environment is broken. */
enum { WORKER_EXIT_STAY_DOWN = 2 };

/* Run a worker until it has drained, was told to quit, or lost its master. Returns the exit code of the process. */
int worker_run(const struct worker_env *env);

/* All services that were built in, ending with NULL. Generated from worker/services. */
extern const struct service *const services[];

#endif
