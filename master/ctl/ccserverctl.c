/*
 * ccserverctl: what an operator asks a server, and has it do. It finds the server by its configuration file, and reads
 * the memory that its masters share.
 */
#include "build_info.h"
#include "master/ctl/act.h"
#include "master/ctl/ask.h"
#include "master/ctl/events.h"
#include "master/ctl/find.h"
#include "master/ctl/follow.h"
#include "master/ctl/sessions.h"
#include "master/ctl/show.h"
#include "master/ctl/terminal.h"
#include "master/ctl/top.h"
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

static const char usage_text[] =
    "usage: ccserverctl [-c FILE | -p PID | -s SOCKET] [-j] [-t SECONDS] COMMAND\n"
    "  status [-j]          what runs, since when, how the last reload and upgrade have gone\n"
    "  workers              a row for each worker\n"
    "  listeners            a row for each listener, with its traffic\n"
    "  queues               a row for each accept queue: how many wait, and were dropped\n"
    "  pools                a row for each pool\n"
    "  top [-b] [-d SEC] [-n N]  rates, workers and listeners, again and again\n"
    "  log [-f] [N]         the last N lines (default 50) that the master has logged, and with -f those to come\n"
    "  stat [PATTERN]       every figure, or those that match a shell pattern or contain a word\n"
    "  metrics              the same as OpenMetrics\n"
    "  health               exit code 0 when it is ready and all pools run\n"
    "  wait [--ready]       until it runs, or is ready\n"
    "  reload               read the configuration anew; fails where the reload does\n"
    "  reopen               open the logs anew; a configuration that has changed is read, too\n"
    "  upgrade              start the binary that is on disk now\n"
    "  resize POOL N        so many workers, until the next reload\n"
    "  drain WORKER         have it finish its sessions, and be replaced; WORKER: 0, POOL/0 or a pid\n"
    "  stop                 finish all sessions and end\n"
    "these ask a control listener, [listen NAME] with service = control:\n"
    "  sessions [-j] [--pool NAME] [--listener NAME] [--peer ADDRESS]   who is connected\n"
    "  kill ID              end a session; sessions prints its id first\n"
    "  restart POOL         replace its workers, one after the other\n"
    "  disable LISTENER     accept nobody there\n"
    "  enable LISTENER      accept there again\n"
    "  set log_level LEVEL  until the next reload\n"
    "  config               the effective configuration\n"
    "options, before or behind the command:\n"
    "  -c, --config FILE    of the server (default " CCSERVER_CONF ", without that file: built-in)\n"
    "  -p, --pid PID        of the master, instead of -c\n"
    "  -s, --socket PATH    of a control listener, instead of -c: it is asked for everything but top\n"
    "  -t, --timeout SEC    how long to wait for the end of something (default 60)\n"
    "  -j, --json           of status: the JSON document of the statistics; of workers, listeners,\n"
    "                       queues, pools, health and sessions: what they show\n"
    "  -b, --batch          of top: text for a script, without a terminal\n"
    "  -d, --delay SEC      of top: between two screens (default 1, at least 0.1)\n"
    "  -n, --iterations N   of top: so many screens\n"
    "  -f, --follow         of log: go on with what comes\n"
    "  -V, --version, -h, --help\n"
    "exit codes: 0 done, 1 refused, 3 not running, 4 not allowed, 5 no answer in time, 64 wrong usage\n";

enum {
    TIMEOUT_S = 60,
    COUNT_MAX = 1024,
    EVENTS = 50,
    WORDS_MAX = 3,
    READY = 'r',
    POOL = 'P',
    LISTENER = 'L',
    PEER = 'A'
};

enum filter { BY_POOL, BY_LISTENER, BY_PEER, FILTERS };

/* Where a command finds what it is about. */
enum way {
    BY_MEMORY, /* in the memory of the server alone */
    BY_EITHER, /* there; with -s over the socket */
    BY_SOCKET, /* over the socket alone */
};

struct command {
    const char *name;
    unsigned least, most; /* arguments */
    const char *options;  /* that are its own */
    enum way way;
};

static const struct command commands[] = {
    {"status", 0, 0, "j", BY_EITHER},      {"workers", 0, 0, "j", BY_EITHER}, {"listeners", 0, 0, "j", BY_EITHER},
    {"pools", 0, 0, "j", BY_EITHER},       {"top", 0, 0, "bdn", BY_MEMORY},   {"log", 0, 1, "f", BY_EITHER},
    {"stat", 0, 1, "", BY_EITHER},         {"metrics", 0, 0, "", BY_EITHER},  {"health", 0, 0, "j", BY_EITHER},
    {"wait", 0, 0, "r", BY_EITHER},        {"reload", 0, 0, "", BY_EITHER},   {"reopen", 0, 0, "", BY_EITHER},
    {"upgrade", 0, 0, "", BY_EITHER},      {"resize", 2, 2, "", BY_EITHER},   {"drain", 1, 1, "", BY_EITHER},
    {"stop", 0, 0, "", BY_EITHER},         {"kill", 1, 1, "", BY_SOCKET},     {"restart", 1, 1, "", BY_SOCKET},
    {"sessions", 0, 0, "jPLA", BY_SOCKET}, {"disable", 1, 1, "", BY_SOCKET},  {"enable", 1, 1, "", BY_SOCKET},
    {"queues", 0, 0, "j", BY_EITHER},      {"set", 2, 2, "", BY_SOCKET},      {"config", 0, 0, "", BY_SOCKET},
};

/* Of top, the one command that a socket does not serve. */
static const char only_by_memory[] =
    "top reads the memory of the server, which root may; over a socket ask for workers and listeners";

_Noreturn static void misused(const char *format, const char *what)
{
    fprintf(stderr, "ccserverctl: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "; see ccserverctl -h\n");
    exit(CTL_USAGE);
}

/* With the line that the command has in the usage. */
_Noreturn static void misused_command(const char *name, const char *what)
{
    const char *line = usage_text;
    size_t size = strlen(name);

    for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, "  ", 2) == 0 && strncmp(line + 2, name, size) == 0 && line[2 + size] == ' ')
            break;
    fprintf(stderr, "ccserverctl: %s: %s; see ccserverctl -h\n", name, what);
    if (line)
        fprintf(stderr, "%.*s\n", (int)strcspn(line, "\n"), line);
    exit(CTL_USAGE);
}

static long long number_of(const char *option, const char *text, long long most)
{
    const char *wrong = NULL;
    long long number = strtonum(text, 1, most, &wrong);

    if (wrong)
        misused("%s: not a number that makes sense", option);
    return number;
}

struct request {
    struct server server;
    bool json, follow, ready;
    uint64_t timeout_ms;
    struct top_options top;
    const struct command *command;
    const char *socket;                         /* NULL: not given */
    const char *words[WORDS_MAX + FILTERS + 1]; /* the command, and its arguments */
    unsigned word_count;
    const char *filters[FILTERS]; /* of sessions: more words */
    unsigned count;               /* of workers, of events */
};

static const struct command *find_command(const char *name)
{
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    misused("there is no command %s", name);
}

static void add_word(struct request *request, const char *word)
{
    if (request->word_count == WORDS_MAX)
        misused_command(request->words[0], "too few arguments, or too many");
    request->words[request->word_count++] = word;
}

/* "listener=echo" */
static void set_filter(struct request *request, enum filter filter)
{
    static const char *const keys[] = {[BY_POOL] = "pool", [BY_LISTENER] = "listener", [BY_PEER] = "peer"};
    static char words[FILTERS][128];
    int size = snprintf(words[filter], sizeof(words[filter]), "%s=%s", keys[filter], optarg);

    if (strpbrk(optarg, " \t\n") || optarg[0] == '\0' || size >= (int)sizeof(words[filter]))
        misused("--%s: that is no name or address", keys[filter]);
    request->filters[filter] = words[filter];
}

/* The options that are some command's own. */
static void parse_own(int option, struct request *request)
{
    switch (option) {
    case 'j': request->json = true; break;
    case 'f': request->follow = true; break;
    case READY: request->ready = true; break;
    case POOL: set_filter(request, BY_POOL); break;
    case LISTENER: set_filter(request, BY_LISTENER); break;
    case PEER: set_filter(request, BY_PEER); break;
    case 'b': request->top.is_batch = true; break;
    case 'n': request->top.screens = (uint32_t)number_of("-n", optarg, INT_MAX); break;
    case 'd':
        request->top.delay_ms = top_parse_delay(optarg);
        if (request->top.delay_ms == 0)
            misused("%s: not a number of seconds from 0.1 to 86400", "-d");
        break;
    default: exit(CTL_USAGE);
    }
}

static void parse_words(struct request *request)
{
    const char *argument = request->word_count > 1 ? request->words[1] : NULL;
    unsigned arguments = request->word_count - 1;

    request->command = find_command(request->words[0]);
    if (arguments < request->command->least || arguments > request->command->most)
        misused_command(request->command->name, "too few arguments, or too many");
    if (strcmp(request->command->name, "resize") == 0) {
        const char *wrong = NULL;
        request->count = (unsigned)strtonum(request->words[2], 1, COUNT_MAX, &wrong);
        if (wrong)
            misused_command("resize", "not a number from 1 to 1024");
    }
    if (strcmp(request->command->name, "log") == 0 && argument && strcmp(argument, "tail") == 0) /* as it is, always */
        request->words[1] = argument = NULL;
    if (strcmp(request->command->name, "log") == 0)
        request->count = argument ? (unsigned)number_of("log", argument, EVENTS_MAX) : EVENTS;
    if (strcmp(request->command->name, "top") == 0 && !request->top.is_batch && !terminal_is_one())
        misused("%s", "top: this is not a terminal; with -b it prints text");
}

static void parse(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"pid", required_argument, NULL, 'p'},
        {"timeout", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"batch", no_argument, NULL, 'b'},
        {"delay", required_argument, NULL, 'd'},
        {"iterations", required_argument, NULL, 'n'},
        {"follow", no_argument, NULL, 'f'},
        {"socket", required_argument, NULL, 's'},
        {"pool", required_argument, NULL, POOL},
        {"listener", required_argument, NULL, LISTENER},
        {"peer", required_argument, NULL, PEER},
        {"ready", no_argument, NULL, READY},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    char given[16] = ""; /* one of each kind */
    int option, servers = 0;

    request->server.conf_path = access(CCSERVER_CONF, F_OK) == 0 ? CCSERVER_CONF : "built-in";
    request->timeout_ms = UINT64_C(1000) * TIMEOUT_S;
    request->top.delay_ms = TOP_DELAY_MS;
    while ((option = getopt_long(argc, argv, "-c:p:s:t:jbd:n:fVh", options, NULL)) != -1) { /* '-': words are code 1 */
        servers |= (option == 'c') | (option == 'p') << 1 | (option == 's') << 2;
        switch (option) {
        case 1: add_word(request, optarg); break;
        case 'c': request->server.conf_path = optarg; break;
        case 'p':
            request->server.conf_path = NULL;
            request->server.pid = (pid_t)number_of("-p", optarg, INT_MAX);
            break;
        case 's': request->socket = optarg; break;
        case 't': request->timeout_ms = (uint64_t)number_of("-t", optarg, 86400) * 1000; break;
        case 'V': puts("ccserverctl " CCSERVER_VERSION); exit(CTL_DONE);
        case 'h': fputs(usage_text, stdout); exit(CTL_DONE);
        default:
            parse_own(option, request);
            if (!strchr(given, option))
                given[strlen(given)] = (char)option;
        }
    }
    for (; optind < argc; optind++) /* behind -- */
        add_word(request, argv[optind]);
    if (request->word_count == 0)
        misused("%s", "a command is missing");
    if (servers & (servers - 1)) /* bits: more than one of them */
        misused("%s", "-c, -p and -s exclude each other");
    parse_words(request);
    if (request->socket && request->command->way == BY_MEMORY)
        misused("%s", only_by_memory);
    if (strspn(given, request->command->options) < strlen(given))
        misused("%s: an option that is not for it", request->command->name);
}

/* ---- over the socket ---- */

static enum ctl_exit ask_for_sessions(struct request *request, struct ask *about)
{
    for (unsigned i = 0; i < FILTERS; i++)
        if (request->filters[i])
            request->words[request->word_count++] = request->filters[i];
    sessions_begin(request->json);
    about->line = sessions_line;
    enum ctl_exit result = ask(about);
    sessions_end();
    return result;
}

static enum ctl_exit carry_out_at(struct request *request, const char *path)
{
    struct ask about = {.path = path, .words = request->words, .timeout_ms = request->timeout_ms, .line = ask_print};
    const char *name = request->command->name;

    if (strcmp(name, "sessions") == 0)
        return ask_for_sessions(request, &about);
    if (strcmp(name, "stop") == 0)
        return ask_stop(&about);
    if (strcmp(name, "wait") == 0)
        return follow_wait(path, request->ready, request->timeout_ms);
    if (request->follow)
        return follow_log(path, request->count, request->timeout_ms);
    if (request->json) {
        request->words[1] = strcmp(name, "status") == 0 ? NULL : name;
        request->words[0] = "json";
    }
    return ask(&about);
}

/* ---- by the memory ---- */

static enum ctl_exit carry_out_here(struct request *request)
{
    const char *name = request->command->name, *argument = request->words[1];
    const struct act act = {.server = &request->server, .timeout_ms = request->timeout_ms};
    struct server *server = &request->server;

    if (strcmp(name, "top") == 0)
        return top_run(server, &request->top);
    if (strcmp(name, "log") == 0)
        return events_show(server, request->count, request->follow);
    if (strcmp(name, "reload") == 0 || strcmp(name, "reopen") == 0)
        return act_reload(&act);
    if (strcmp(name, "upgrade") == 0)
        return act_upgrade(&act);
    if (strcmp(name, "resize") == 0)
        return act_resize(&act, argument, request->count);
    if (strcmp(name, "drain") == 0)
        return act_drain(&act, argument);
    if (strcmp(name, "stop") == 0)
        return act_stop(&act);
    if (request->json)
        return show(server, "json", strcmp(name, "status") == 0 ? NULL : name);
    return show(server, name, argument);
}

/* Any pool can be resized over the socket; without one, by signals, only the pool main. */
static enum ctl_exit carry_out(struct request *request)
{
    bool by_socket = request->command->way == BY_SOCKET || strcmp(request->command->name, "resize") == 0;
    char path[ASK_PATH_SIZE];

    if (by_socket && ask_find(&request->server, path))
        return carry_out_at(request, path);
    if (request->command->way != BY_SOCKET)
        return carry_out_here(request);
    fprintf(stderr, "ccserverctl: %s: the configuration has no listener with service = control\n",
            request->command->name);
    return CTL_REFUSED;
}

/* What was printed has arrived, or that is an error: a full disk, a closed pipe. */
static int finish(enum ctl_exit result)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ccserverctl: standard output");
        return CTL_REFUSED;
    }
    return result;
}

int main(int argc, char **argv)
{
    static struct request request; /* too large for the stack */
    char error[512], path[ASK_PATH_SIZE];

    parse(argc, argv, &request);
    if (request.socket)
        return finish(carry_out_at(&request, request.socket));
    if (strcmp(request.command->name, "wait") == 0) {
        const struct act act = {.server = &request.server, .timeout_ms = request.timeout_ms};
        return finish(act_wait(&act, request.ready));
    }
    enum ctl_exit result = server_open(&request.server, error, sizeof(error));
    if (result == CTL_DONE)
        result = server_read(&request.server, error, sizeof(error));
    bool is_top = request.command->way == BY_MEMORY;
    if (result == CTL_NOT_ALLOWED && !is_top && find_socket(&request.server, path))
        return finish(carry_out_at(&request, path));
    if (result != CTL_DONE) {
        fprintf(stderr, "ccserverctl: %s\n", result == CTL_NOT_ALLOWED && is_top ? only_by_memory : error);
        return result;
    }
    return finish(carry_out(&request));
}
