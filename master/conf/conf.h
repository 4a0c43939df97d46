/*
 * The configuration: command line and INI file become one checked struct, or one clear sentence.
 */
#ifndef MASTER_CONF_CONF_H
#define MASTER_CONF_CONF_H

#include "common/resolve.h"
#include "worker/worker.h"
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CONF_WORKERS_MAX = 1024, CONF_LISTENERS_MAX = 64, CONF_POOLS_MAX = 16, POOL_NAME_SIZE = STATS_POOL_SIZE };

/* What the command line says, now and at every reload. */
struct conf_overrides {
    const char *file;    /* absolute, or relative to a directory that is never left; or conf_builtin_name */
    uint32_t workers;    /* 0: as the file says */
    int log_level;       /* -1: as the file says */
    const char *pidfile; /* NULL: as the file says */
    bool daemonise;      /* there is no standard error to log to */
};

/* A pool: workers that serve the same listeners. The first one is `main`, which [server] describes. */
struct pool_config {
    char name[POOL_NAME_SIZE];
    unsigned listener_count; /* that belong to it; a pool without one has no workers */
    bool publishes;          /* a service of theirs has something to say to other workers */
    bool operates;           /* a service of theirs may ask the master for changes */
    uint32_t workers;        /* 0 in the file ("auto") has become the number of online CPUs */
    uint32_t max_sessions;
    uint32_t drain_timeout_ms;
    uint32_t adopt_after_ms;
    uint32_t watchdog_timeout_ms;
    uint32_t nice;
    char cpus[OPTION_STRING_SIZE]; /* "off", "auto", or the list that `cpu_set` is */
    cpu_set_t cpu_set;
    uint32_t single;
    uint32_t recycle_sessions; /* 0: off */
    uint32_t recycle_memory;   /* bytes; 0: off */
};

struct conf {
    /* [server], and [pool NAME] */
    unsigned pool_count;
    struct pool_config pools[CONF_POOLS_MAX];
    uint32_t drain_spread_ms;
    uint32_t stop_delay_ms; /* 0: none */
    uint32_t linger_timeout_ms;
    uint32_t busy_poll_us;
    uint32_t busy_poll_force;
    char log[OPTION_STRING_SIZE];
    uint32_t log_level;   /* enum log_level */
    uint32_t session_log; /* enum session_log, as is the next one: of listeners that do not say */
    uint32_t session_log_format;
    char stats_file[OPTION_STRING_SIZE];  /* "": none */
    char pidfile[OPTION_STRING_SIZE];     /* "": none */
    char runtime_dir[OPTION_STRING_SIZE]; /* "": see runtime.h */

    /* [listen NAME] */
    unsigned listener_count;
    struct listener_config *listeners;
    uint64_t disabled; /* bits, by position: listeners at which nobody is accepted, since an operator has said so */

    /* What was read, byte for byte: a reload compares it with what stands there now. */
    char *text;
    size_t text_size;

    /* "FILE:LINE" of each listener's `bind`, by position, and behind them of `log`; see conf_place(). */
    char *places[CONF_LISTENERS_MAX + 1];
};

/* Where a configuration comes from, and how its names are resolved. */
struct conf_source {
    const char *path; /* named in every error; read unless there is a `text` */
    const char *text;
    size_t text_size;
    struct resolver *resolver;
    /*
     * An address to connect to whose name cannot be resolved is a warning, not an error, and stays unresolved. For the
     * start, where the name server may not be there yet. An address to bind is an error in any case.
     */
    bool lenient;
    /* Read also what is no regular file, such as a pipe, and wait for it: at the start, where nobody else waits. */
    bool any_file;
};

/* The tables behind the file, for the tests that hold them against the documentation. */
extern const struct option_row conf_server_options[]; /* describes struct conf */
extern const struct option_row conf_pool_options[];   /* describes struct pool_config; no value: that of [server] */
extern const struct option_row
    conf_listen_options[]; /* describes struct listener_config; `bind` and `service` are apart */

/*
 * The text of etc/ccserver.conf, without its comments. It is read for the path conf_builtin_name: for this very
 * pointer, so that a file may have any name.
 */
extern const char conf_builtin_text[], conf_builtin_name[];

/* The installed file, or conf_builtin_name when there is none. */
const char *conf_default_file(void);

/* What to read now: a file that has been installed meanwhile takes the place of the built-in text. */
const char *conf_file(const struct conf_overrides *overrides);

/*
 * Read and check a configuration. Returns 0, or -1 with "FILE:LINE: what is wrong" (for an unreadable file "FILE: why")
 * in `error`, and `conf` empty. conf_free() gives everything back. Addresses for which the resolver has no answer yet
 * are missing in `conf`: it is good for nothing but to be read again when there are answers.
 */
int conf_load_from(struct conf *conf, const struct conf_source *source, char *error, size_t error_size);

/* The file at `path`, strictly. The system resolves names meanwhile, which can block: not for the master. */
int conf_load(struct conf *conf, const char *path, char *error, size_t error_size);
void conf_free(struct conf *conf);

/*
 * For what goes wrong when a configuration that is valid is put into effect: "FILE:LINE: " of this listener's `bind`, or
 * of `log` (NULL), or "" where that is not known. Written to `place`, which is returned.
 */
enum { CONF_PLACE_SIZE = 320 };
const char *conf_place(const struct conf *conf, const struct listener_config *listener, char place[CONF_PLACE_SIZE]);

/* CPUs that this process may run on. */
uint32_t conf_online_cpus(void);

/* True when these two of stats_file, pidfile and log are one file; not when one is empty or a word. */
bool conf_is_same_file(const char *path, const char *other);

/* Disable or enable the listener of this name. One whose service operates stays enabled: nobody could enable it again. */
void conf_disable(struct conf *conf, const char *name, bool disabled);

/* How many workers this pool, or all pools together, are to have. */
unsigned conf_pool_workers(const struct pool_config *pool);
unsigned conf_workers(const struct conf *conf);
void conf_each_pool_workers(const struct conf *conf, unsigned workers[CONF_POOLS_MAX]);

/* The command line beats the file. Returns 0, or -1 with a sentence in `error`. */
int conf_override(struct conf *conf, const struct conf_overrides *overrides, char *error, size_t error_size);

/* Log what is valid but opens a door: a proxy through which strangers become local clients of another listener. */
void conf_warn(const struct conf *conf);

/* Log what differs, a line each: "reload: [listen echo] - backlog = 16". */
void conf_log_changes(const struct conf *old, const struct conf *new);

/* The effective configuration, defaults included, in the form conf_load() reads. */
void conf_print(const struct conf *conf, FILE *out);

/* The same as text, which the caller frees; NULL when out of memory. */
char *conf_text(const struct conf *conf);

/* Every key with type, range, default and help, as comments: the reference part of the documentation. */
void conf_print_reference(FILE *out);

#endif
