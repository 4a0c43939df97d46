/*
 * ccserver: options, configuration, sockets, workers, loop.
 */
#include "build_info.h"
#include "common/log.h"
#include "common/signals.h"
#include "master/conf.h"
#include "master/master.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/unistd.h>

struct options {
    const char *conf_file;
    uint32_t workers; /* 0: as the file says */
    bool check, dump, daemonise;
    const char *pidfile; /* NULL: as the file says */
    int log_level;       /* -1: as the file says */
};

static struct {
    struct conf conf;
    struct master master;
    struct pidfh *pidfile;
    int ready_pipe; /* -d: the parent waits at its other end; -1 otherwise */
} self = {.master.signal_fd = -1, .ready_pipe = -1};

/* ---- the command line ---- */

static const struct option_row *log_level_row(void)
{
    return option_find(conf_server_options, "log_level");
}

_Noreturn static void usage(void)
{
    printf(
        "usage: ccserver [-c FILE] [-w N] [-t] [-T] [-d] [-p PIDFILE] [-l LOGLEVEL] [-V] [-h]\n"
        "  -c, --config FILE      configuration file (default " CCSERVER_CONF ")\n"
        "  -w, --workers N        number of workers, 1 to %d (default: as the file says, else one per CPU)\n"
        "  -t, --test             check the configuration and exit\n"
        "  -T, --dump             print the effective configuration and exit\n"
        "  -d, --daemon           go to the background when all workers are ready\n"
        "  -p, --pidfile FILE     write and lock a pid file\n"
        "  -l, --log-level LEVEL  %s\n"
        "  -V, --version          print the version and exit\n"
        "  -h, --help             print this and exit\n"
        "signals: TERM, INT stop gracefully (twice: at once), QUIT stop at once, USR1 statistics, HUP reopen the log\n",
        CONF_WORKERS_MAX, log_level_row()->choices);
    exit(EXIT_SUCCESS);
}

_Noreturn static void bad_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn static void bad_usage(const char *format, ...)
{
    va_list arguments;
    char text[256];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "ccserver: %s (see ccserver -h)\n", text);
    exit(EX_USAGE);
}

static uint32_t parse_workers(const char *text)
{
    const char *why = NULL;
    long long number = strtonum(text, 1, CONF_WORKERS_MAX, &why);

    if (why || text[0] < '0' || text[0] > '9') /* strtonum allows white space and a sign */
        bad_usage("-w %s: the number of workers must be 1 to %d", text, CONF_WORKERS_MAX);
    return (uint32_t)number;
}

static int parse_log_level(const char *text)
{
    struct conf scratch;
    char why[256];

    if (option_set(log_level_row(), text, &scratch, why, sizeof(why)) < 0)
        bad_usage("-l %s: %s", text, why);
    return (int)scratch.log_level;
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},
        {"workers", required_argument, NULL, 'w'},
        {"test", no_argument, NULL, 't'},
        {"dump", no_argument, NULL, 'T'},
        {"daemon", no_argument, NULL, 'd'},
        {"pidfile", required_argument, NULL, 'p'},
        {"log-level", required_argument, NULL, 'l'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {"keys", no_argument, NULL, 'k'},
        {0},
    };
    struct options options = {.conf_file = CCSERVER_CONF, .log_level = -1};

    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":c:w:tTdp:l:Vh", names, NULL)) != -1;) {
        switch (c) {
        case 'c': options.conf_file = optarg; break;
        case 'w': options.workers = parse_workers(optarg); break;
        case 't': options.check = true; break;
        case 'T': options.dump = true; break;
        case 'd': options.daemonise = true; break;
        case 'p': options.pidfile = optarg; break;
        case 'l': options.log_level = parse_log_level(optarg); break;
        case 'h': usage();
        case 'k': conf_print_reference(stdout); exit(EXIT_SUCCESS);
        case 'V': printf("ccserver " CCSERVER_VERSION "\n"); exit(EXIT_SUCCESS);
        case ':': bad_usage("%s needs a value", argv[optind - 1]);
        default: bad_usage("unknown option %s", argv[optind - 1]);
        }
    }
    if (optind < argc)
        bad_usage("unexpected argument '%s'", argv[optind]);
    return options;
}

/* ---- the steps to a running server ---- */

_Noreturn static void fail(const char *what, const char *why)
{
    fprintf(stderr, "ccserver: %s%s%s\n", what, *what ? ": " : "", why);
    exit(EXIT_FAILURE);
}

static void load_conf(const struct options *options)
{
    char why[512];

    if (conf_load(&self.conf, options->conf_file, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s\n", why);
        exit(EXIT_FAILURE);
    }
    if (options->workers)
        self.conf.workers = options->workers;
    if (options->log_level >= 0)
        self.conf.log_level = (uint32_t)options->log_level;
    if (options->pidfile && strlcpy(self.conf.pidfile, options->pidfile, OPTION_STRING_SIZE) >= OPTION_STRING_SIZE)
        bad_usage("-p: the path is longer than %d characters", OPTION_STRING_SIZE - 1);
    if (options->daemonise && strcmp(self.conf.log, "stderr") == 0)
        bad_usage("-d: there is no standard error in the background; set `log` to syslog or a file");
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            log_warn("cannot raise the descriptor limit: %s", strerror(errno));
    }
}

static void lock_pidfile(void)
{
    pid_t other = 0;
    char why[128];

    if (self.conf.pidfile[0] == '\0')
        return;
    self.pidfile = pidfile_open(self.conf.pidfile, 0644, &other);
    if (self.pidfile)
        return;
    if (errno != EEXIST)
        fail(self.conf.pidfile, strerror(errno));
    snprintf(why, sizeof(why), "another master is running, pid %d", (int)other);
    fail(self.conf.pidfile, why);
}

static void bind_all(void)
{
    char why[512];

    if (slots_init(&self.master.slots, &self.conf, why, sizeof(why)) < 0) {
        slots_fini(&self.master.slots);
        pidfile_remove(self.pidfile);
        fail("", why);
    }
}

/* The parent returns to the shell when the workers are ready, so that "it started" is true when it says so. */
static void daemonise(void)
{
    int ends[2];
    char ready = 0;

    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("-d", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        fail("-d", strerror(errno));
    if (pid > 0) {
        close(ends[1]);
        if (read(ends[0], &ready, 1) == 1 && ready)
            _exit(EXIT_SUCCESS);
        fprintf(stderr, "ccserver: the server did not start, see its log\n");
        _exit(EXIT_FAILURE);
    }
    close(ends[0]);
    self.ready_pipe = ends[1];
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    if (chdir("/") < 0)
        log_warn("cannot leave the working directory: %s", strerror(errno));
}

static void tell_parent(bool ready)
{
    char byte = ready ? 1 : 0;

    if (self.ready_pipe < 0)
        return;
    if (write(self.ready_pipe, &byte, 1) < 0)
        log_warn("the parent is gone: %s", strerror(errno));
    close(self.ready_pipe);
    self.ready_pipe = -1;
}

/* What a worker must not share with the master. */
static void leave_to_master(void)
{
    close(self.master.signal_fd);
    pidfile_close(self.pidfile);
    if (self.ready_pipe >= 0)
        close(self.ready_pipe);
}

static void read_signals_from_descriptor(void)
{
    sigset_t mask;

    signals_block(&mask);
    self.master.signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (self.master.signal_fd < 0)
        log_fatal("signalfd: %s", strerror(errno));
}

static void open_log(void)
{
    log_set_level((enum log_level)self.conf.log_level);
    log_set_role("master");
    if (log_open(self.conf.log) < 0)
        fail(self.conf.log, strerror(errno));
}

int main(int argc, char **argv, char **environment)
{
    struct options options = parse_options(argc, argv);

    load_conf(&options);
    if (options.check)
        printf("%s: configuration is valid\n", options.conf_file);
    if (options.dump)
        conf_print(&self.conf, stdout);
    if (options.check || options.dump)
        return EXIT_SUCCESS;

    setproctitle_init(argc, argv, environment);
    open_log();
    raise_descriptor_limit();
    read_signals_from_descriptor();
    lock_pidfile();
    bind_all();
    if (options.daemonise)
        daemonise();
    pidfile_write(self.pidfile);
    setproctitle("master");
    log_notice("ccserver " CCSERVER_VERSION " starts %u workers", self.conf.workers);

    self.master.conf = &self.conf;
    self.master.started = tell_parent;
    self.master.slots.in_child = leave_to_master;
    int code = master_run(&self.master);

    slots_unlink(&self.conf);
    slots_fini(&self.master.slots);
    pidfile_remove(self.pidfile);
    conf_free(&self.conf);
    return code;
}
