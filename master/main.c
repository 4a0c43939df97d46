/*
 * ccserver: options, configuration, sockets, workers, loop.
 */
#include "build_info.h"
#include "common/backtrace.h"
#include "common/file.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/title.h"
#include "master/binary.h"
#include "master/conf.h"
#include "master/limit.h"
#include "master/master.h"
#include "master/upgrade_fork.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

struct options {
    struct conf_overrides overrides;
    bool check, dump;
};

static struct {
    struct master master;
    int ready_pipe; /* -d: the parent waits at its other end; -1 otherwise */
} self = {.master = {.signal_fd = -1, .upgrade.channel = -1, .guardian = {.hears = -1, .tells = -1}, .stats_fd = -1},
          .ready_pipe = -1};

/* ---- the command line ---- */

static const struct option_row *log_level_row(void)
{
    return option_find(conf_server_options, "log_level");
}

_Noreturn static void usage(void)
{
    printf("usage: ccserver [-c FILE] [-w N] [-t] [-T] [-d] [-p PIDFILE] [-l LOGLEVEL] [-V] [-h] [N]\n"
           "  -c, --config FILE      configuration file (default " CCSERVER_CONF ";\n"
           "                         if that is not there: the four ports of 127.0.0.1, see -T)\n"
           "  -w, --workers N        number of workers, 1 to %d (default: as the file says, else one per CPU);\n"
           "                         a lone N means the same\n"
           "  -t, --test             check the configuration and exit\n"
           "  -T, --dump             print the effective configuration and exit\n"
           "  -d, --daemon           go to the background when all workers are ready\n"
           "  -p, --pidfile FILE     write and lock a pid file\n"
           "  -l, --log-level LEVEL  %s\n"
           "  -V, --version          print the version and exit\n"
           "  -h, --help             print this and exit\n"
           "signals: TERM, INT stop gracefully (twice: at once), QUIT stop at once, USR1 statistics, HUP reload,\n"
           "         USR2 upgrade to the binary on disk, TTIN one worker more, TTOU one fewer\n",
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
    upgrade_fail(&self.master, text);
    log_complain("ccserver: %s (see ccserver -h)", text);
    exit(EX_USAGE);
}

static uint32_t parse_workers(const char *what, const char *text)
{
    const char *why = NULL;
    long long number = strtonum(text, 1, CONF_WORKERS_MAX, &why);

    if (why || text[0] < '0' || text[0] > '9') /* strtonum allows white space and a sign */
        bad_usage("%s%s: the number of workers must be 1 to %d", what, text, CONF_WORKERS_MAX);
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

/* `ccserver N`: as the original takes its threads. */
static void parse_arguments(struct options *options, char **arguments)
{
    if (!arguments[0])
        return;
    if (arguments[0][0] < '0' || arguments[0][0] > '9')
        bad_usage("unexpected argument '%s'", arguments[0]);
    if (arguments[1])
        bad_usage("unexpected argument '%s'", arguments[1]);
    if (options->overrides.workers)
        bad_usage("the number of workers is given twice: -w %u and %s", options->overrides.workers, arguments[0]);
    options->overrides.workers = parse_workers("", arguments[0]);
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
    struct options options = {.overrides = {.log_level = -1}};

    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":c:w:tTdp:l:Vh", names, NULL)) != -1;) {
        switch (c) {
        case 'c': options.overrides.file = optarg; break;
        case 'w': options.overrides.workers = parse_workers("-w ", optarg); break;
        case 't': options.check = true; break;
        case 'T': options.dump = true; break;
        case 'd': options.overrides.daemonise = true; break;
        case 'p': options.overrides.pidfile = optarg; break;
        case 'l': options.overrides.log_level = parse_log_level(optarg); break;
        case 'h': usage();
        case 'k': conf_print_reference(stdout); exit(EXIT_SUCCESS);
        case 'V': printf("ccserver " CCSERVER_VERSION "\n"); exit(EXIT_SUCCESS);
        case ':': bad_usage("%s needs a value", argv[optind - 1]);
        default:
            if (optopt > 0 && optopt < 127)
                bad_usage("unknown option -%c", optopt);
            bad_usage("unknown option %s", argv[optind - 1]);
        }
    }
    parse_arguments(&options, argv + optind);
    if (!options.overrides.file)
        options.overrides.file = conf_default_file();
    return options;
}

/* ---- the steps to a running server ---- */

/* -d: what the child tells the parent, in a byte. */
enum daemon_word { DAEMON_NOT_READY, DAEMON_READY, DAEMON_HAS_SAID_WHY };

static void tell_parent(enum daemon_word word)
{
    char byte = (char)word;

    if (self.ready_pipe < 0)
        return;
    if (write(self.ready_pipe, &byte, 1) < 0)
        log_warn("the parent is gone: %s", strerror(errno));
    close(self.ready_pipe);
    self.ready_pipe = -1;
}

static void tell_started(bool ready)
{
    tell_parent(ready ? DAEMON_READY : DAEMON_NOT_READY);
}

_Noreturn static void fail(const char *what, const char *why)
{
    char text[640];

    snprintf(text, sizeof(text), "%s%s%s", what, *what ? ": " : "", why);
    upgrade_fail(&self.master, text);
    log_complain("ccserver: %s", text);
    tell_parent(DAEMON_HAS_SAID_WHY);
    exit(EXIT_FAILURE);
}

/*
 * What an upgrade starts again: the name we were started by, if it leads to our own binary, by PATH or as it stands; it
 * may lead to a newer one by then. Else argv[0] is no name of ours, and the path of our binary is taken.
 */
static char *choose_binary(const char *name)
{
    char path[PATH_MAX], why[PATH_MAX + 64];
    struct stat ours, found;

    if (binary_find(name, path, sizeof(path), why, sizeof(why)) == 0 && stat("/proc/self/exe", &ours) == 0 &&
        stat(path, &found) == 0 && ours.st_dev == found.st_dev && ours.st_ino == found.st_ino)
        return strdup(name);
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[size > 0 ? size : 0] = '\0';
    return strdup(size > 0 ? path : name);
}

/* The arguments are copied: their place will hold the title of the process. */
static void remember_start(int argc, char **argv)
{
    self.master.binary = choose_binary(argc > 0 ? argv[0] : "");
    self.master.arguments = calloc((size_t)argc + 1, sizeof(char *));
    for (int i = 0; self.master.arguments && i < argc; i++)
        self.master.arguments[i] = strdup(argv[i]);
    if (!self.master.binary || !self.master.arguments || (argc > 0 && !self.master.arguments[argc - 1]))
        fail("", "out of memory");
}

static void tell_alive(void)
{
    upgrade_tell_alive(&self.master);
}

static void resolve(struct names *names)
{
    int ended_by = names_await(names, tell_alive);

    if (ended_by < 0)
        fail("cannot resolve names", strerror(errno));
    if (ended_by == 0)
        return;
    upgrade_fail(&self.master, "it was told to stop");
    log_notice("stopping: SIG%s while names are resolved", sigabbrev_np(ended_by));
    exit(EXIT_SUCCESS);
}

static void read_conf(const struct options *options, struct generation *generation)
{
    const struct conf_source source = {
        .path = options->overrides.file, .resolver = &generation->names.resolver, .lenient = true};
    char why[512];

    for (;;) {
        if (conf_load_from(&generation->conf, &source, why, sizeof(why)) < 0) {
            upgrade_fail(&self.master, why);
            log_complain("%s", why);
            exit(EXIT_FAILURE);
        }
        if (!names_are_open(&generation->names))
            return;
        conf_free(&generation->conf);
        resolve(&generation->names);
    }
}

static void load_conf(const struct options *options)
{
    char why[512];

    self.master.current = generation_new(0);
    if (!self.master.current)
        fail("", strerror(errno));
    read_conf(options, self.master.current);
    if (conf_override(&self.master.current->conf, &options->overrides, why, sizeof(why)) < 0)
        bad_usage("%s", why);
    self.master.overrides = &options->overrides;
}

/* The statistics of the master that we take over from go on, if its binary lays them out as ours does. */
static void map_statistics(void)
{
    char why[256];

    if (self.master.stats_fd >= 0)
        self.master.world.stats = stats_attach(self.master.stats_fd);
    if (!self.master.world.stats && self.master.stats_fd >= 0)
        log_warn("statistics start anew: %s", strerror(errno));
    if (!self.master.world.stats) {
        self.master.stats_fd = stats_create();
        if (self.master.stats_fd >= 0) {
            self.master.world.stats = stats_attach(self.master.stats_fd);
        } else if (errno == EFBIG) { /* the limit for the size of files is meant for disks */
            log_warn("statistics will not survive an upgrade: the limit for the size of files is too low");
            self.master.world.stats = stats_without_file();
        }
    }
    if (!self.master.world.stats)
        fail("statistics", strerror(errno));
    self.master.current->number = generation_next_number(&self.master);
    if (generation_index_listeners(&self.master, &self.master.current->conf, why, sizeof(why)) < 0)
        fail("", why);
}

static void lock_pidfile(void)
{
    char why[512];

    int result = handover_is_candidate(self.master.upgrade.state) ? pid_check(&self.master, why, sizeof(why))
                                                                  : pid_lock(&self.master, why, sizeof(why));
    if (result < 0)
        fail("", why);
}

static void bind_all(void)
{
    struct conf *conf = &self.master.current->conf;
    char why[512];

    if (endpoints_claim(&self.master.endpoints, conf, generation_first_count(&self.master), why, sizeof(why)) < 0 ||
        endpoints_renew(&self.master.endpoints, conf, why, sizeof(why)) < 0) {
        pid_remove(&self.master);
        fail("", why);
    }
}

enum { DAEMON_PATIENCE_MS = 60 * 1000 };

/* The parent returns to the shell when the workers are ready, so that "it started" is true when it says so. */
_Noreturn static void await_child(pid_t pid, int end)
{
    struct pollfd polled = {.fd = end, .events = POLLIN};
    char word = DAEMON_NOT_READY;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* whoever waits here may be interrupted */
    if (poll(&polled, 1, DAEMON_PATIENCE_MS) == 1 && read(end, &word, 1) == 1 && word == DAEMON_READY)
        _exit(EXIT_SUCCESS);
    kill(pid, SIGTERM);
    if (word != DAEMON_HAS_SAID_WHY)
        log_complain("ccserver: the server did not start, see its log");
    _exit(EXIT_FAILURE);
}

/*
 * Before anything is named after our pid. Standard error stays until detach(): what prevents the start is still said
 * there.
 */
static void daemonise(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("-d", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        fail("-d", strerror(errno));
    if (pid > 0) {
        close(ends[1]);
        await_child(pid, ends[0]);
    }
    close(ends[0]);
    self.ready_pipe = ends[1];
    setsid();
    /* The working directory stays: relative paths mean at a reload what they have meant at the start. */
}

static void detach(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    if (null >= 0)
        close(null);
}

static void check_stats_file(void)
{
    char why[512];

    if (!file_is_replaceable(self.master.current->conf.stats_file, why, sizeof(why)))
        fail("statistics", why);
}

static void close_channel(struct master *master, struct slot *slot)
{
    (void)master;
    if (slot->channel >= 0)
        close(slot->channel);
}

/* What a worker must not share with the master. */
static void leave_to_master(void)
{
    close(self.master.signal_fd);
    close(self.master.stats_fd);
    if (self.master.upgrade.channel >= 0)
        close(self.master.upgrade.channel);
    guardian_close(&self.master.guardian);
    pid_close(&self.master);
    if (self.ready_pipe >= 0)
        close(self.ready_pipe);
    master_each_slot(&self.master, close_channel);
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
    log_set_level((enum log_level)self.master.current->conf.log_level);
    log_set_role("master");
    if (log_open(self.master.current->conf.log) < 0)
        fail(self.master.current->conf.log, strerror(errno));
}

/* Whatever is opened must not become standard input, output or error, where others would read and write it. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            fd = open("/", O_RDONLY | O_DIRECTORY); /* nobody can write it either, which is as good */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* What -t and -T were asked for has been said, or has not: a full disk, a pipe that nobody reads to its end. */
_Noreturn static void finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("standard output", strerror(errno));
    exit(EXIT_SUCCESS);
}

static void announce(void)
{
    limit_check(&self.master.current->conf, NULL);
    if (self.master.overrides->file == conf_builtin_name)
        log_notice("there is no " CCSERVER_CONF ": the built-in configuration is served (ccserver -T prints it)");
    conf_warn(&self.master.current->conf);
    if (handover_is_candidate(self.master.upgrade.state)) {
        log_notice("ccserver " CCSERVER_VERSION " takes over from pid %d", (int)self.master.upgrade.pid);
        return;
    }
    log_notice("ccserver " CCSERVER_VERSION " starts %u workers", self.master.current->conf.workers);
    endpoints_keep_claimed(&self.master.endpoints, &self.master.current->conf);
}

/* Nothing of the master is left but its log and its signals: there may be many upgrades, and many years, to come. */
static int stay_as_guardian(void)
{
    struct upgrade *upgrade = &self.master.upgrade;
    pid_t in_charge = handover_has_successor(upgrade->state) ? upgrade->pid : 0;

    if (upgrade->channel >= 0)
        close(upgrade->channel);
    stats_detach(self.master.world.stats);
    close(self.master.stats_fd);
    malloc_trim(0);
    int code = guardian_run(&self.master.guardian, self.master.signal_fd, in_charge);
    log_notice("stopped");
    return code;
}

static void end_early(int number)
{
    _exit(128 + number);
}

/*
 * Until the signals are read from a descriptor, their default action is the right one. PID 1 has none: the kernel
 * ignores what it does not handle, and a container would have to be killed.
 */
static void be_stoppable(void)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGQUIT};

    for (unsigned i = 0; getpid() == 1 && i < sizeof(stops) / sizeof(stops[0]); i++)
        signal(stops[i], end_early);
}

int main(int argc, char **argv, char **environment)
{
    static struct options options; /* the master refers to it */

    signals_ignore_write_errors();
    title_make_room(argc, argv, environment);
    be_stoppable();
    fill_standard_descriptors();
    remember_start(argc, argv);
    if (upgrade_inherit(&self.master) < 0)
        fail("cannot take over", strerror(errno));
    options = parse_options(argc, self.master.arguments);
    bool is_candidate = handover_is_candidate(self.master.upgrade.state);
    bool as_daemon = options.overrides.daemonise && !is_candidate;
    if (as_daemon)
        closefrom(STDERR_FILENO + 1); /* a lock of our starter, for example: nothing of ours is open yet */
    log_open("stderr");               /* until the configuration is known */
    title_init(argc, argv, environment, options.overrides.file == conf_builtin_name ? NULL : options.overrides.file);
    load_conf(&options);
    if (!is_candidate)
        guardian_decide(&self.master.guardian, options.overrides.daemonise);
    if (options.check)
        conf_warn(&self.master.current->conf);
    if (options.check)
        printf("%s: configuration is valid\n", options.overrides.file);
    if (options.dump)
        conf_print(&self.master.current->conf, stdout);
    if (options.check || options.dump)
        finish_output();

    open_log();
    backtrace_on_crash(); /* workers inherit it */
    limit_raise();
    read_signals_from_descriptor();
    map_statistics();
    check_stats_file();
    if (as_daemon)
        daemonise();
    lock_pidfile();
    bind_all();
    if (as_daemon)
        detach();
    title_set("master");
    announce();

    self.master.started = tell_started;
    self.master.world.endpoints = &self.master.endpoints;
    self.master.world.in_child = leave_to_master;
    int code = master_run(&self.master);
    names_await_end();

    enum handover_state state = self.master.upgrade.state;
    if (handover_is_candidate(state))
        endpoints_forget_added(&self.master.endpoints); /* the rest is the predecessor's */
    endpoints_fini(&self.master.endpoints, handover_owns_sockets(state, code != EXIT_SUCCESS));
    pid_remove(&self.master);
    generation_free(self.master.current);
    if (handover_has_handed_over(state) && self.master.guardian.stays)
        code = stay_as_guardian();
    return code;
}
