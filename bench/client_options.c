#include "bench/client.h"
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: ccpp_client [options] <host_ip> <port> <threads> <msg_size> <sessions> <time>\n"
    "\n"
    "Opens `sessions` connections from `threads` threads and sends `msg_size` (1 to 500) withdraw frames of 109 bytes\n"
    "on each, in one write. Sends back what it reads, for `time` seconds, and prints the figures; Ctrl-C ends that\n"
    "earlier. What is out of range is clamped, with a warning. Msg/s is a whole number: frames, not reads.\n"
    "\n"
    "  --batch            send the next batch when the whole last one is back\n"
    "  --rate R           open loop: R batches a second over all sessions; latency counts from when a batch was due\n"
    "  --connect          for each batch: connect, send, read the reply, close (by a reset: no TIME_WAIT is left)\n"
    "  --bytes N          a batch is one message of N plain bytes (msg_size is ignored)\n"
    "  --lines N          a batch is N lines for the echo service (implies --batch; msg_size is ignored)\n"
    "  --line-length L    bytes of such a line without its CRLF (64)\n"
    "  --messages N       exactly N batches in total; `time` is ignored\n"
    "  --warmup S         seconds that are not counted, before `time`\n"
    "  --verify           compare every byte of the replies\n"
    "  --spin             poll instead of sleeping\n"
    "  --cpu N            pin the threads, to CPU N and those after it\n"
    "  --cpu-of PID,...   also tell how much CPU time these processes used while it was measured\n"
    "  --json FILE        write the figures as JSON; `-`: to standard output, and the text to standard error\n"
    "  --help\n"
    "\n"
    "Exit code 0: all went well; 1: a connection failed or a reply was wrong; 64: wrong usage.\n";

enum { TIME_MAX_S = 86400, FRAMES_MAX = 500 };
enum { BYTES_MAX = 16 << 20, LINES_MAX = 65536, LINE_MAX_LENGTH = 65000, SESSIONS_MAX = 1000000, THREADS_MAX = 256 };

_Noreturn static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("ccpp_client: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(" (--help lists the options)\n", stderr);
    va_end(arguments);
    exit(EXIT_USAGE);
}

static uint64_t number(const char *name, const char *text, long long min, long long max)
{
    const char *error;
    long long value = strtonum(text, min, max, &error);

    if (error)
        fail("%s: \"%s\" is not a number from %lld to %lld", name, text, min, max);
    return (uint64_t)value;
}

static double decimal(const char *name, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value) || value < min || value > max)
        fail("%s: \"%s\" is not a number from %g to %g", name, text, min, max);
    return value;
}

/* As the original does: the nearest value that is possible, but not in silence. */
static void warn_clamped(const char *name, const char *text, double used)
{
    fprintf(stderr, "ccpp_client: %s %s is out of range, %.15g is used\n", name, text, used);
}

static uint32_t clamped_number(const char *name, const char *text, uint32_t max)
{
    const char *error;
    long long value = strtonum(text, LLONG_MIN, LLONG_MAX, &error);

    if (error && strcmp(error, "invalid") == 0)
        fail("%s: \"%s\" is not a number", name, text);
    if (error) /* beyond any range: strtonum says 0 */
        value = text[strspn(text, " \t")] == '-' ? LLONG_MIN : LLONG_MAX;
    if (value >= 1 && value <= max)
        return (uint32_t)value;
    warn_clamped(name, text, value < 1 ? 1 : max);
    return value < 1 ? 1 : max;
}

static double clamped_time(const char *text)
{
    double value = decimal("time", text, -HUGE_VAL, HUGE_VAL);

    if (value > 0 && value <= TIME_MAX_S)
        return value;
    warn_clamped("time", text, value > 0 ? TIME_MAX_S : 1);
    return value > 0 ? TIME_MAX_S : 1;
}

static void resolve(struct config *config)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

    number("port", config->port, 1, 65535);
    int error = getaddrinfo(config->host, config->port, &hints, &list);
    if (error)
        fail("host_ip: \"%s\": %s", config->host, gai_strerror(error));
    memcpy(&config->address, list->ai_addr, list->ai_addrlen);
    config->address_size = list->ai_addrlen;
    freeaddrinfo(list);
}

static void parse_pids(struct config *config, const char *name, const char *list)
{
    char copy[SERVERS_MAX * 8], *rest = copy, *word;

    if (strlcpy(copy, list, sizeof(copy)) >= sizeof(copy))
        fail("%s: the list is too long", name);
    config->server_count = 0;
    while ((word = strsep(&rest, ","))) {
        pid_t pid = (pid_t)number(name, word, 1, 1 << 22);
        if (config->server_count == SERVERS_MAX)
            fail("%s: more than %d processes", name, SERVERS_MAX);
        if (clock_getcpuclockid(pid, &config->server_clocks[config->server_count++]))
            fail("%s: there is no process %d", name, pid);
    }
}

static void parse_option(struct config *config, int option, const char *name, const char *value)
{
    switch (option) {
    case 'b': config->mode = config->mode == MODE_CONNECT ? MODE_CONNECT : MODE_BATCH; break;
    case 'o': config->mode = MODE_CONNECT; break;
    case 'r': config->rate = decimal(name, value, 0.001, 1e8); break;
    case 'y': config->bytes = (uint32_t)number(name, value, 1, BYTES_MAX); break;
    case 'l': config->lines = (uint32_t)number(name, value, 1, LINES_MAX); break;
    case 'L': config->line_length = (uint32_t)number(name, value, 1, LINE_MAX_LENGTH); break;
    case 'n': config->batches = number(name, value, 1, 1000000000000); break;
    case 'w': config->warmup_s = decimal(name, value, 0, 86400); break;
    case 'v': config->verify = true; break;
    case 's': config->spin = true; break;
    case 'c': config->cpu = (int)number(name, value, 0, 4095); break;
    case 'p': parse_pids(config, name, value); break;
    case 'j': config->json = value; break;
    case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
    }
}

static void parse_options(struct config *config, int argc, char **argv)
{
    static const struct option options[] = {
        {"batch", no_argument, NULL, 'b'},
        {"rate", required_argument, NULL, 'r'},
        {"connect", no_argument, NULL, 'o'},
        {"bytes", required_argument, NULL, 'y'},
        {"lines", required_argument, NULL, 'l'},
        {"line-length", required_argument, NULL, 'L'},
        {"messages", required_argument, NULL, 'n'},
        {"warmup", required_argument, NULL, 'w'},
        {"verify", no_argument, NULL, 'v'},
        {"spin", no_argument, NULL, 's'},
        {"cpu", required_argument, NULL, 'c'},
        {"json", required_argument, NULL, 'j'},
        {"cpu-of", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, index = 0;

    opterr = 0;
    /* "+": options end at the first positional; ":": a missing value is told apart. */
    while ((option = getopt_long(argc, argv, "+:h", options, &index)) != -1) {
        if (option == ':')
            fail("%s needs a value", argv[optind - 1]);
        if (option == '?')
            fail("unknown option %s", argv[optind - 1]);
        parse_option(config, option, options[index].name, optarg);
    }
}

/* What cannot be meant. */
static void check(struct config *config)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (config->bytes && config->lines)
        fail("--bytes and --lines exclude each other");
    if (config->line_length && !config->lines)
        fail("--line-length needs --lines");
    if (config->batches && config->warmup_s > 0)
        fail("--messages and --warmup exclude each other: a count includes all of them");
    if (config->cpu != -1 && config->cpu + (long)config->threads > cpus)
        fail("--cpu: %u threads from CPU %d on, and the last CPU is %ld", config->threads, config->cpu, cpus - 1);
    if (config->line_length == 0)
        config->line_length = 64;
    if (config->mode == MODE_STREAM && (config->rate > 0 || config->lines))
        config->mode = MODE_BATCH;
    if ((uint64_t)config->lines * (config->line_length + 64) > BYTES_MAX)
        fail("--lines, --line-length: more than 16 MiB in a batch");
}

void options_parse(struct config *config, int argc, char **argv)
{
    *config = (struct config){.cpu = -1};
    parse_options(config, argc, argv);
    argv += optind;
    argc -= optind;
    if (argc != 6)
        fail("%d arguments instead of 6: host_ip port threads msg_size sessions time", argc);
    config->host = argv[0];
    config->port = argv[1];
    config->threads = clamped_number("threads", argv[2], THREADS_MAX);
    config->frames = clamped_number("msg_size", argv[3], FRAMES_MAX);
    config->sessions = clamped_number("sessions", argv[4], SESSIONS_MAX);
    config->time_s = config->batches ? 0 : clamped_time(argv[5]);
    if (config->threads > config->sessions) { /* the others would have nothing to do */
        fprintf(stderr, "ccpp_client: threads %u for %u sessions, %u is used\n", config->threads, config->sessions,
                config->sessions);
        config->threads = config->sessions;
    }
    check(config);
    resolve(config);
}
