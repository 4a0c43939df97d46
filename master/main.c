/*
 * ccserver, from its start to its end: main() is the ladder, each step above it a rung.
 */
#include "build_info.h"
#include "common/backtrace.h"
#include "common/file.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/title.h"
#include "master/binary.h"
#include "master/candidate.h"
#include "master/conf/conf.h"
#include "master/daemon.h"
#include "master/limit.h"
#include "master/master.h"
#include "master/options.h"
#include "master/shared.h"
#include "master/upgrade_fork.h"
#include "worker/service_check.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static struct master master = {
    .signal_fd = -1, .upgrade.channel = -1, .guardian = {.receive_fd = -1, .send_fd = -1}, .stats_fd = -1};

/* ---- what prevents the start ---- */

_Noreturn static void bad_usage(const char *error)
{
    candidate_fail(&master.upgrade, error);
    log_complain("ccserver: %s (see ccserver -h)", error);
    exit(EX_USAGE);
}

_Noreturn static void fail(const char *what, const char *error)
{
    char text[640];

    snprintf(text, sizeof(text), "%s%s%s", what, *what ? ": " : "", error);
    candidate_fail(&master.upgrade, text);
    log_complain("ccserver: %s", text);
    daemon_report(DAEMON_HAS_REPORTED);
    exit(EXIT_FAILURE);
}

/* ---- the steps to a running server ---- */

/*
 * What an upgrade starts again: the name we were started by, if it leads to our own binary, by PATH or as it stands; it
 * may lead to a newer one by then. Else argv[0] is no name of ours, and the path of our binary is taken.
 */
static char *choose_binary(const char *name)
{
    char path[PATH_MAX], error[PATH_MAX + 64];
    struct stat ours, found;

    if (binary_find(name, path, sizeof(path), error, sizeof(error)) == 0 && stat("/proc/self/exe", &ours) == 0 &&
        stat(path, &found) == 0 && ours.st_dev == found.st_dev && ours.st_ino == found.st_ino)
        return strdup(name);
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[size > 0 ? size : 0] = '\0';
    return strdup(size > 0 ? path : name);
}

/* The arguments are copied: their place will hold the title of the process. */
static void remember_start(int argc, char **argv)
{
    master.binary = choose_binary(argc > 0 ? argv[0] : "");
    master.arguments = calloc((size_t)argc + 1, sizeof(char *));
    for (int i = 0; master.arguments && i < argc; i++)
        master.arguments[i] = strdup(argv[i]);
    if (!master.binary || !master.arguments || (argc > 0 && !master.arguments[argc - 1]))
        fail("", "out of memory");
}

static void parse_options(struct options *options, int argc, char **argv)
{
    char error[256];

    if (options_parse(options, argc, argv, error, sizeof(error)) < 0)
        bad_usage(error);
}

static void report_alive(void)
{
    candidate_report_alive(&master.upgrade);
}

static void resolve(struct names *names)
{
    int ended_by = names_await(names, report_alive);

    if (ended_by < 0)
        fail("cannot resolve names", strerror(errno));
    if (ended_by == 0) {
        names_keep(names, &master.known, "upgrade"); /* a name server that is down is no reason to serve less */
        return;
    }
    candidate_fail(&master.upgrade, "it was told to stop");
    log_notice("stopping: SIG%s while names are resolved", sigabbrev_np(ended_by));
    exit(EXIT_SUCCESS);
}

/* A second time, when there are answers for its names, it is not read but remembered: it may be a pipe. */
static void read_conf(const struct options *options, struct generation *generation)
{
    struct conf_source source = {.path = options->overrides.file,
                                 .resolver = &generation->names.resolver,
                                 .lenient = true,
                                 .any_file = !handover_is_candidate(master.upgrade.state)};
    struct conf *conf = &generation->conf;
    char *text = NULL, error[512];

    for (;;) {
        if (conf_load_from(conf, &source, error, sizeof(error)) < 0) {
            candidate_fail(&master.upgrade, error);
            log_complain("%s", error);
            exit(EXIT_FAILURE);
        }
        if (!names_are_open(&generation->names))
            break;
        if (!text) {
            source.text = text = conf->text;
            source.text_size = conf->text_size;
            conf->text = NULL;
        }
        conf_free(conf);
        resolve(&generation->names);
    }
    free(text);
}

static void check_services(void)
{
    char error[256];

    if (service_check(services, conf_listen_options, error, sizeof(error)) == 0)
        return;
    candidate_fail(&master.upgrade, error);
    log_complain("%s", error);
    exit(EXIT_FAILURE);
}

static void load_conf(const struct options *options)
{
    char error[512];

    master.fleet.current = generation_new(0);
    if (!master.fleet.current)
        fail("", strerror(errno));
    read_conf(options, master.fleet.current);
    names_fini(&master.known);
    if (conf_override(&master.fleet.current->conf, &options->overrides, error, sizeof(error)) < 0)
        bad_usage(error);
}

/* The statistics of the master that we take over from go on, if its binary lays them out as ours does. */
static void map_statistics(void)
{
    char error[256];

    if (master.stats_fd >= 0)
        master.fleet.context.stats = stats_attach(master.stats_fd);
    if (!master.fleet.context.stats && master.stats_fd >= 0)
        log_warn("statistics start anew: %s",
                 errno == EPROTO ? "the other binary lays them out in another way" : strerror(errno));
    if (!master.fleet.context.stats) {
        master.stats_fd = stats_create();
        if (master.stats_fd >= 0) {
            master.fleet.context.stats = stats_attach(master.stats_fd);
        } else if (errno == EFBIG) { /* the limit for the size of files is meant for disks */
            log_warn("statistics will not survive an upgrade: the limit for the size of files is too low");
            master.fleet.context.stats = stats_without_file();
        }
    }
    if (!master.fleet.context.stats)
        fail("statistics", strerror(errno));
    master.fleet.current->number = fleet_next_number(&master.fleet);
    if (fleet_index_listeners(&master.fleet, &master.fleet.current->conf, error, sizeof(error)) < 0)
        fail("", error);
}

static void lock_pidfile(void)
{
    const char *path = master.fleet.current->conf.pidfile;
    const struct pid_other other = {.pid = master.upgrade.pid, .file = master.upgrade.pid_file};
    char error[512];

    int result = handover_is_candidate(master.upgrade.state)
                     ? pid_check(master.pidfile, path, &other, error, sizeof(error))
                     : pid_replace(&master.pidfile, path, &other, error, sizeof(error));
    if (result < 0)
        fail("", error);
}

static void bind_all(void)
{
    struct conf *conf = &master.fleet.current->conf;
    unsigned workers[CONF_POOLS_MAX];
    char error[512];

    const char *changed = candidate_changed_single(&master);
    if (changed) {
        snprintf(error, sizeof(error), "[pool %s]: `single` changes, for which a reload is needed, not an upgrade",
                 changed);
        fail("", error);
    }
    candidate_first_workers(&master, workers);
    if (endpoints_claim(&master.fleet.endpoints, conf, workers, error, sizeof(error)) < 0 ||
        endpoints_renew(&master.fleet.endpoints, conf, error, sizeof(error)) < 0 ||
        shared_claim(conf, error, sizeof(error)) < 0) {
        pid_remove(&master.pidfile, master.fleet.current->conf.pidfile);
        fail("", error);
    }
}

static void check_stats_file(void)
{
    char error[512];

    if (!file_is_replaceable(master.fleet.current->conf.stats_file, error, sizeof(error)))
        fail("statistics", error);
}

static void close_descriptors(struct fleet *fleet, struct slot *slot)
{
    (void)fleet;
    if (slot->channel >= 0)
        close(slot->channel);
    inbox_close(&slot->inbox);
}

/* What a worker must not share with the master. */
static void leave_to_master(void)
{
    close(master.signal_fd);
    close(master.stats_fd);
    if (master.upgrade.channel >= 0)
        close(master.upgrade.channel);
    guardian_close(&master.guardian);
    pid_close(&master.pidfile);
    daemon_close();
    fleet_each_slot(&master.fleet, close_descriptors);
}

static void report_started(bool ready)
{
    daemon_report(ready ? DAEMON_READY : DAEMON_NOT_READY);
}

static void read_signals_from_descriptor(void)
{
    sigset_t mask;

    signals_block(&mask);
    master.signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (master.signal_fd < 0)
        fail("signalfd", strerror(errno));
}

static void open_log(void)
{
    log_set_level((enum log_level)master.fleet.current->conf.log_level);
    log_set_role("master");
    if (log_open(master.fleet.current->conf.log) == 0)
        return;
    int number = errno;
    char place[CONF_PLACE_SIZE], what[CONF_PLACE_SIZE + OPTION_STRING_SIZE + 8];
    conf_place(&master.fleet.current->conf, NULL, place);
    snprintf(what, sizeof(what), "%slog = %s", place, master.fleet.current->conf.log);
    fail(what, strerror(number));
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

/* The output of -t and -T is complete, or that is an error: a full disk, a pipe that is not read to its end. */
_Noreturn static void finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("standard output", strerror(errno));
    exit(EXIT_SUCCESS);
}

static void announce(const struct options *options)
{
    limit_check(&master.fleet.current->conf, NULL);
    if (options->overrides.file == conf_builtin_name)
        log_notice("there is no " CCSERVER_CONF ": the built-in configuration is served (ccserver -T prints it)");
    conf_warn(&master.fleet.current->conf);
    if (handover_is_candidate(master.upgrade.state)) {
        log_notice("ccserver " CCSERVER_VERSION " takes over from pid %d", (int)master.upgrade.pid);
        return;
    }
    log_notice("ccserver " CCSERVER_VERSION " starts %u workers", conf_workers(&master.fleet.current->conf));
    endpoints_keep_claimed(&master.fleet.endpoints, &master.fleet.current->conf);
}

/* Nothing of the master is left but its log and its signals: there may be many upgrades, and many years, to come. */
static int stay_as_guardian(void)
{
    struct upgrade *upgrade = &master.upgrade;
    pid_t in_charge = handover_has_successor(upgrade->state) ? upgrade->pid : 0;

    if (upgrade->channel >= 0)
        close(upgrade->channel);
    log_set_observer(NULL);
    stats_detach(master.fleet.context.stats);
    close(master.stats_fd);
    malloc_trim(0);
    int code = guardian_run(&master.guardian, master.signal_fd, in_charge);
    log_notice("stopped");
    return code;
}

static void end_early(int signo)
{
    _exit(128 + signo);
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
    if (upgrade_inherit(&master) < 0)
        fail("cannot take over", strerror(errno));
    parse_options(&options, argc, master.arguments);
    master.overrides = &options.overrides;
    bool is_candidate = handover_is_candidate(master.upgrade.state);
    bool as_daemon = options.overrides.daemonise && !is_candidate;
    if (as_daemon)
        closefrom(STDERR_FILENO + 1); /* a lock of our starter, for example: nothing of ours is open yet */
    log_open("stderr");               /* until the configuration is known */
    title_init(argc, argv, environment, options.overrides.file == conf_builtin_name ? NULL : options.overrides.file);
    check_services();
    load_conf(&options);
    if (!is_candidate)
        guardian_decide(&master.guardian, options.overrides.daemonise);
    if (options.check)
        conf_warn(&master.fleet.current->conf);
    if (options.check)
        printf("%s: configuration is valid\n", options.overrides.file);
    if (options.dump)
        conf_print(&master.fleet.current->conf, stdout);
    if (options.check || options.dump)
        finish_output();

    open_log();
    backtrace_on_crash(); /* workers inherit it */
    limit_raise();
    read_signals_from_descriptor();
    map_statistics();
    check_stats_file();
    if (as_daemon && daemon_fork() < 0)
        fail("-d", strerror(errno));
    lock_pidfile();
    bind_all();
    if (as_daemon)
        daemon_detach();
    title_set("master");
    announce(&options);

    master.started = report_started;
    master.fleet.context.endpoints = &master.fleet.endpoints;
    master.fleet.context.in_child = leave_to_master;
    int code = master_run(&master);
    names_await_end();

    enum handover_state state = master.upgrade.state;
    if (handover_is_candidate(state))
        endpoints_forget_added(&master.fleet.endpoints); /* the rest is the predecessor's */
    endpoints_fini(&master.fleet.endpoints, handover_owns_sockets(state, code != EXIT_SUCCESS));
    pid_remove(&master.pidfile, master.fleet.current->conf.pidfile);
    generation_free(master.fleet.current);
    if (handover_has_handed_over(state) && master.guardian.stays)
        code = stay_as_guardian();
    return code;
}
