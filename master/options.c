#include "master/options.h"
#include "build_info.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <bsd/stdlib.h>

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

/* Where a sentence goes that says what is wrong. */
struct complaint {
    char *text;
    size_t size;
};

#define fail(complaint, ...) (snprintf((complaint)->text, (complaint)->size, __VA_ARGS__), -1)

static int parse_workers(struct options *options, const char *what, const char *text, const struct complaint *complaint)
{
    const char *error = NULL;
    long long number = strtonum(text, 1, CONF_WORKERS_MAX, &error);

    if (error || text[0] < '0' || text[0] > '9') /* strtonum allows white space and a sign */
        return fail(complaint, "%s%s: the number of workers must be 1 to %d", what, text, CONF_WORKERS_MAX);
    options->overrides.workers = (uint32_t)number;
    return 0;
}

static int parse_log_level(struct options *options, const char *text, const struct complaint *complaint)
{
    struct conf scratch;
    char error[256];

    if (option_set(log_level_row(), text, &scratch, error, sizeof(error)) < 0)
        return fail(complaint, "-l %s: %s", text, error);
    options->overrides.log_level = (int)scratch.log_level;
    return 0;
}

/* `ccserver N`: as the original takes its threads. */
static int parse_arguments(struct options *options, char **arguments, const struct complaint *complaint)
{
    if (!arguments[0])
        return 0;
    if (arguments[0][0] < '0' || arguments[0][0] > '9')
        return fail(complaint, "unexpected argument '%s'", arguments[0]);
    if (arguments[1])
        return fail(complaint, "unexpected argument '%s'", arguments[1]);
    if (options->overrides.workers)
        return fail(complaint, "the number of workers is given twice: -w %u and %s", options->overrides.workers,
                    arguments[0]);
    return parse_workers(options, "", arguments[0], complaint);
}

static int parse_option(struct options *options, int option, char **argv, const struct complaint *complaint)
{
    switch (option) {
    case 'c': options->overrides.file = optarg; return *optarg ? 0 : fail(complaint, "-c '': a file has a name");
    case 'w': return parse_workers(options, "-w ", optarg, complaint);
    case 't': options->check = true; return 0;
    case 'T': options->dump = true; return 0;
    case 'd': options->overrides.daemonise = true; return 0;
    case 'p': options->overrides.pidfile = optarg; return *optarg ? 0 : fail(complaint, "-p '': a file has a name");
    case 'l': return parse_log_level(options, optarg, complaint);
    case 'h': usage();
    case 'k': conf_print_reference(stdout); exit(EXIT_SUCCESS);
    case 'V': printf("ccserver " CCSERVER_VERSION "\n"); exit(EXIT_SUCCESS);
    case ':': return fail(complaint, "%s needs a value", argv[optind - 1]);
    default:
        if (optopt > 0 && optopt < 127)
            return fail(complaint, "unknown option -%c", optopt);
        return fail(complaint, "unknown option %s", argv[optind - 1]);
    }
}

int options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size)
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
    const struct complaint complaint = {.text = error, .size = error_size};

    *options = (struct options){.overrides = {.log_level = -1}};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":c:w:tTdp:l:Vh", names, NULL)) != -1;)
        if (parse_option(options, c, argv, &complaint) < 0)
            return -1;
    if (parse_arguments(options, argv + optind, &complaint) < 0)
        return -1;
    if (!options->overrides.file)
        options->overrides.file = conf_default_file();
    return 0;
}
