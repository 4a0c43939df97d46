/*
 * Operating the server: one command a line, over a unix socket. ccserverctl is its client; `nc -NU` will do.
 *
 *    message() --- looks only ------------------------------> answer
 *        |-------- asks the master --> answered() --> watch() --> answer      common/progress.h
 *        '-------- asks the workers --> listing.h ----------> answer
 *
 * One command is carried out at a time; the next one waits in the socket. Whoever may connect may look; only root, the
 * server's user and `control_group` may change something. What is asked of the master is answered by the master alone,
 * so nothing depends on this process but its own clients.
 */
#include "common/account.h"
#include "common/progress.h"
#include "common/report_show.h"
#include "worker/admin.h"
#include "worker/services/control/answer.h"
#include "worker/services/control/listing.h"
#include "worker/session.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

enum { WORDS_MAX = 4, WATCH_MS = 20, WATCH = 1, LOOK = 2, IDLE_MS = 30 * 1000, EVENTS = 50 };

struct config {
    char group_name[OPTION_STRING_SIZE];
    gid_t group;
};

static const struct option_row options[] = {
    {.name = "control_group",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, group_name),
     .value = "",
     .help = "a group from /etc/group whose members may change the server, too; unix_group and unix_mode let them in"},
    {0},
};

static int configure(void *user, struct option_error *error)
{
    struct config *config = user;
    char why[128];

    if (account_group(config->group_name, &config->group, why, sizeof(why)) < 0)
        return option_fail(error, "control_group", "control_group = %s: %s", config->group_name, why);
    return 0;
}

struct state {
    struct reply *reply; /* the place of the answer that is due; NULL: none */
    bool asks, watches;  /* what it waits for: the master's answer; what comes of it */
    struct progress progress;
    struct listing listing;
};

struct listing *listing_of(struct session *session)
{
    struct state *state = session_state(session);

    return &state->listing;
}

/* ---- the answer ---- */

static enum verdict end(struct session *session, enum answer_end how, const char *sentence)
{
    struct state *state = session_state(session);
    struct reply *reply = state->reply;

    if (!reply)
        return SESSION_CONTINUE;
    state->reply = NULL;
    state->asks = state->watches = false;
    session_set_timer_of(session, WATCH, 0);
    session_set_timer_of(session, LOOK, 0);
    answer_end(reply, how, sentence);
    session_resume(session);
    return SESSION_CONTINUE;
}

/* Lines are collected in a stream, and sent when it is closed. */
struct lines {
    FILE *out;
    char *text;
    size_t size;
};

/* False: out of memory. */
static bool lines_open(struct lines *lines)
{
    lines->out = open_memstream(&lines->text, &lines->size);
    return lines->out;
}

/* False: out of memory, and nothing is sent. */
static bool lines_send(struct session *session, struct lines *lines)
{
    struct state *state = session_state(session);
    bool is_whole = fclose(lines->out) == 0;

    if (is_whole)
        answer_lines(state->reply, lines->text, lines->size);
    free(lines->text);
    return is_whole;
}

/* ---- commands that look ---- */

struct command;
typedef enum verdict run(struct session *session, const struct command *command, char *const *words);

struct command {
    const char *name;
    unsigned least, most; /* words behind it */
    run *run;
    uint32_t kind; /* of the request, where it makes one */
    bool changes;
    const char *help;
};

static enum verdict out_of_memory(struct session *session)
{
    return end(session, ANSWER_REFUSED, strerror(ENOMEM));
}

static enum verdict show(struct session *session, const struct command *command, char *const *words)
{
    const struct report *report = admin_report();
    struct lines lines;

    if (!report)
        return end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return out_of_memory(session);
    enum report_shown shown = report_show(lines.out, report, command->name, words[1]);
    if (!lines_send(session, &lines))
        return out_of_memory(session);
    if (shown == REPORT_UNKNOWN)
        return end(session, ANSWER_MISUSED, "json: pools, workers, listeners, queues or health can follow");
    return end(session, shown == REPORT_SHOWN ? ANSWER_DONE : ANSWER_REFUSED,
               shown == REPORT_NOTHING ? "no figure matches" : "");
}

static enum verdict show_log(struct session *session, const struct command *command, char *const *words)
{
    static struct event events[EVENTS_MAX];
    const struct report *report = admin_state();
    const char *wrong = NULL;
    unsigned count = words[1] ? (unsigned)strtonum(words[1], 1, EVENTS_MAX, &wrong) : EVENTS;
    struct lines lines;

    (void)command;
    if (wrong)
        return end(session, ANSWER_MISUSED, "log: not a number that makes sense");
    if (!report)
        return end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return out_of_memory(session);
    unsigned found = event_read(&report->area->service.events, events);
    for (unsigned i = found > count ? found - count : 0; i < found; i++)
        report_show_event(lines.out, &events[i]);
    return lines_send(session, &lines) ? end(session, ANSWER_DONE, "") : out_of_memory(session);
}

/* For whoever asks again and again: the lines behind an id, below one that says which these are. */
static enum verdict show_next_of_log(struct session *session, const struct command *command, char *const *words)
{
    static struct event events[EVENTS_MAX];
    const struct report *report = admin_state();
    const char *wrong = NULL;
    uint64_t last = (uint64_t)strtonum(words[1], 0, INT64_MAX, &wrong), lost;
    struct lines lines;

    (void)command;
    if (wrong)
        return end(session, ANSWER_MISUSED, "follow: not a number that makes sense");
    if (!report)
        return end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return out_of_memory(session);
    const struct event_ring *ring = &report->area->service.events;
    uint64_t newest = atomic_load(&ring->count);
    if (last > newest) /* another server by now */
        last = 0;
    unsigned found = event_read_next(ring, &last, &lost, events);
    fprintf(lines.out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %u\n", last, lost, newest, found);
    for (unsigned i = 0; i < found; i++)
        report_show_event(lines.out, &events[i]);
    return lines_send(session, &lines) ? end(session, ANSWER_DONE, "") : out_of_memory(session);
}

static enum verdict show_config(struct session *session, const struct command *command, char *const *words)
{
    const struct state *state = session_state(session);
    const char *text = admin_configuration(session_section(session));

    (void)command;
    (void)words;
    if (!text)
        return out_of_memory(session);
    answer_lines(state->reply, text, strlen(text));
    return end(session, ANSWER_DONE, "");
}

/* ---- sessions ---- */

static void send_line(struct session *session, const char *line, size_t size)
{
    const struct state *state = session_state(session);

    answer_lines(state->reply, line, size);
}

static void listed(struct session *session, const char *refusal)
{
    listing_clear(listing_of(session));
    end(session, refusal ? ANSWER_REFUSED : ANSWER_DONE, refusal ? refusal : "");
}

static void begin_listing(struct session *session)
{
    *listing_of(session) = (struct listing){.line = send_line, .ended = listed};
    session_set_timer_of(session, LOOK, LISTING_PATIENCE_MS);
}

static enum verdict list_sessions(struct session *session, const struct command *command, char *const *words)
{
    static const char *const keys[] = {"pool=", "listener=", "peer="};
    static const char heading[] =
        "id\tpool\tlistener\tpeer\tage_ms\tidle_ms\tbytes_in\tbytes_out\tqueued\tstate\tupstream\n";
    const char *values[] = {"", "", ""};

    (void)command;
    for (unsigned i = 1; words[i]; i++) {
        unsigned key = 0;
        while (key < 3 && strncmp(words[i], keys[key], strlen(keys[key])) != 0)
            key++;
        if (key == 3)
            return end(session, ANSWER_MISUSED, "sessions: pool=NAME, listener=NAME and peer=ADDRESS can follow");
        values[key] = words[i] + strlen(keys[key]);
    }
    begin_listing(session);
    send_line(session, heading, strlen(heading));
    if (listing_begin(session, values[0], values[1], values[2]) < 0)
        listed(session, strerror(errno));
    return SESSION_CONTINUE;
}

static enum verdict kill_session(struct session *session, const struct command *command, char *const *words)
{
    (void)command;
    begin_listing(session);
    if (listing_kill(session, words[1]) < 0)
        listed(session, errno == EINVAL ? "that is no id of a session: `sessions` has them first" : strerror(errno));
    return SESSION_CONTINUE;
}

/* ---- commands that change something ---- */

/* A reload waits for the generation of this worker to be gone, which would wait for the answer to this session. */
static bool is_overtaken(const struct state *state, const struct report *report, enum progress_result result)
{
    return report && result == PROGRESS_GOES_ON && state->progress.kind == PROGRESS_RELOAD &&
           report->state->generation != state->progress.generation;
}

/* Look what has come of it. */
static void watch(struct session *session)
{
    struct state *state = session_state(session);
    const struct report *report = admin_state();
    struct lines lines;
    char text[PROGRESS_TEXT_SIZE];

    session_set_timer_of(session, WATCH, WATCH_MS);
    if (!lines_open(&lines))
        return;
    enum progress_result result = report ? progress_look(&state->progress, report->area, report->state, lines.out, text)
                                         : PROGRESS_GOES_ON;
    lines_send(session, &lines);
    if (is_overtaken(state, report, result))
        end(session, ANSWER_REFUSED, "another reload came first; this one begins when the workers before it are gone");
    else if (result != PROGRESS_GOES_ON)
        end(session, result == PROGRESS_DONE ? ANSWER_DONE : ANSWER_REFUSED, text);
}

static void answered(uint64_t id, const struct request_answer *answer, int fd)
{
    struct session *session = session_find(id);
    struct state *state = session ? session_state(session) : NULL;
    char text[REQUEST_TEXT_SIZE];

    (void)fd; /* comes with no answer to these */
    if (!state || !state->asks)
        return;
    state->asks = false;
    snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, answer->text);
    if (answer->is_refused)
        end(session, ANSWER_REFUSED, text);
    else if (state->watches)
        watch(session);
    else
        end(session, ANSWER_DONE, text);
}

static enum verdict ask(struct session *session, uint32_t kind, uint32_t number, const char *name)
{
    struct state *state = session_state(session);

    if (admin_ask((enum request_kind)kind, number, name, answered, session_id(session)) == 0)
        return end(session, ANSWER_REFUSED, "too much is asked of the master at this moment: try again");
    state->asks = true;
    session_set_timer_of(session, WATCH, WATCH_MS);
    return SESSION_CONTINUE;
}

/* Ask, and then watch what comes of it. */
static enum verdict ask_and_watch(struct session *session, uint32_t kind, enum progress_kind what, uint32_t number,
                                  const char *name)
{
    struct state *state = session_state(session);
    const struct report *report = admin_state();

    if (!report)
        return end(session, ANSWER_REFUSED, strerror(errno));
    progress_begin(&state->progress, what, name, number, report->area, report->state);
    state->watches = true;
    return ask(session, kind, number, name);
}

static enum verdict reload(struct session *session, const struct command *command, char *const *words)
{
    (void)words;
    return ask_and_watch(session, command->kind, PROGRESS_RELOAD, 0, "");
}

static enum verdict upgrade(struct session *session, const struct command *command, char *const *words)
{
    (void)words;
    return ask_and_watch(session, command->kind, PROGRESS_UPGRADE, 0, "");
}

static enum verdict resize(struct session *session, const struct command *command, char *const *words)
{
    const char *wrong;
    uint32_t count = (uint32_t)strtonum(words[2], 1, 1024, &wrong);

    if (wrong)
        return end(session, ANSWER_MISUSED, "resize: not a number of workers that makes sense");
    return ask_and_watch(session, command->kind, PROGRESS_RESIZE, count, words[1]);
}

static enum verdict restart(struct session *session, const struct command *command, char *const *words)
{
    return ask_and_watch(session, command->kind, PROGRESS_RESTART, 0, words[1]);
}

static enum verdict drain(struct session *session, const struct command *command, char *const *words)
{
    const struct report *report = admin_state();
    const struct state_worker *worker = report ? state_find_worker(report->state, words[1]) : NULL;
    char text[128];

    if (worker && worker->pid == getpid()) /* it ends when this session has */
        return ask(session, command->kind, (uint32_t)worker->pid, "");
    if (worker)
        return ask_and_watch(session, command->kind, PROGRESS_DRAIN, (uint32_t)worker->pid, "");
    snprintf(text, sizeof(text), "there is no worker %.64s", words[1]);
    return end(session, ANSWER_REFUSED, text);
}

static enum verdict ask_by_name(struct session *session, const struct command *command, char *const *words)
{
    return ask(session, command->kind, 0, words[1] ? words[1] : "");
}

static enum verdict set(struct session *session, const struct command *command, char *const *words)
{
    uint32_t level = LOG_LEVEL_DEBUG;

    if (strcmp(words[1], "log_level") != 0)
        return end(session, ANSWER_MISUSED, "set: only log_level can be set");
    while (level <= LOG_LEVEL_ERROR && strcmp(words[2], log_level_name((enum log_level)level)) != 0)
        level++;
    if (level > LOG_LEVEL_ERROR)
        return end(session, ANSWER_MISUSED, "set log_level: one of " LOG_LEVEL_CHOICES);
    return ask(session, command->kind, level, "");
}

/* ---- words ---- */

static run help;

static const struct command commands[] = {
    {"status", 0, 0, show, 0, false, "what runs, since when, how the last reload and upgrade have gone"},
    {"json", 0, 1, show, 0, false, "[pools|workers|listeners|health]: the statistics as JSON, or a part"},
    {"workers", 0, 0, show, 0, false, "a row for each worker"},
    {"listeners", 0, 0, show, 0, false, "a row for each listener, with its traffic"},
    {"queues", 0, 0, show, 0, false, "a row for each accept queue"},
    {"pools", 0, 0, show, 0, false, "a row for each pool"},
    {"stat", 0, 1, show, 0, false, "[PATTERN]: every figure, or those that match"},
    {"metrics", 0, 0, show, 0, false, "the same as OpenMetrics"},
    {"health", 0, 0, show, 0, false, "ok, or why it is not"},
    {"log", 0, 1, show_log, 0, false, "[N]: the last lines that the master has logged"},
    {"follow", 1, 1, show_next_of_log, 0, false, "ID: the lines behind this one, for who asks again"},
    {"config", 0, 0, show_config, 0, false, "the effective configuration"},
    {"sessions", 0, 3, list_sessions, 0, false, "[pool=NAME] [listener=NAME] [peer=ADDRESS]: who is connected"},
    {"kill", 1, 1, kill_session, 0, true, "ID: end a session"},
    {"reload", 0, 0, reload, REQUEST_RELOAD, true, "open the logs anew, and read the configuration"},
    {"reopen", 0, 0, reload, REQUEST_RELOAD, true, "the same"},
    {"upgrade", 0, 0, upgrade, REQUEST_UPGRADE, true, "start the binary that is on disk now"},
    {"resize", 2, 2, resize, REQUEST_RESIZE, true, "POOL N: so many workers, until the next reload"},
    {"restart", 1, 1, restart, REQUEST_RESTART, true, "POOL: replace its workers, one after the other"},
    {"drain", 1, 1, drain, REQUEST_DRAIN, true, "WORKER: replace it, and let it finish its sessions"},
    {"disable", 1, 1, ask_by_name, REQUEST_DISABLE, true, "LISTENER: accept nobody there"},
    {"enable", 1, 1, ask_by_name, REQUEST_ENABLE, true, "LISTENER: accept again"},
    {"set", 2, 2, set, REQUEST_LOG_LEVEL, true, "log_level LEVEL, until the next reload"},
    {"stop", 0, 0, ask_by_name, REQUEST_STOP, true, "finish all sessions and end"},
    {"help", 0, 0, help, 0, false, "these lines"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static enum verdict help(struct session *session, const struct command *command, char *const *words)
{
    struct lines lines;

    (void)command;
    (void)words;
    if (!lines_open(&lines))
        return out_of_memory(session);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(lines.out, "%-10s %s\n", commands[i].name, commands[i].help);
    return lines_send(session, &lines) ? end(session, ANSWER_DONE, "") : out_of_memory(session);
}

static enum verdict carry_out(struct session *session, char *const *words, unsigned count)
{
    const struct config *config = session_config(session);
    char text[128];

    for (unsigned i = 0; i < COMMANDS; i++) {
        const struct command *command = &commands[i];
        if (strcmp(command->name, words[0]) != 0)
            continue;
        if (count - 1 < command->least || count - 1 > command->most) {
            snprintf(text, sizeof(text), "%s: too few words, or too many", command->name);
            return end(session, ANSWER_MISUSED, text);
        }
        if (command->changes && !admin_may_change(session, config->group))
            return end(session, ANSWER_DENIED, "only root, the server's user and control_group may do that");
        if (command->changes)
            log_info("%s: %s %s", session_listener(session), session_peer(session), command->name);
        return command->run(session, command, words);
    }
    snprintf(text, sizeof(text), "there is no command %.64s; help lists them", words[0]);
    return end(session, ANSWER_MISUSED, text);
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    char line[512], *rest = line, *words[WORDS_MAX + 2] = {NULL};
    unsigned count = 0;

    if (memchr(bytes, '\0', size))
        return SESSION_REJECT;
    snprintf(line, sizeof(line), "%.*s", (int)size, bytes);
    for (char *word; count <= WORDS_MAX && (word = strsep(&rest, " \t"));)
        if (word[0] != '\0')
            words[count++] = word;
    if (count == 0)
        return SESSION_CONTINUE;
    state->reply = session_reply(session);
    if (!state->reply)
        return SESSION_ABORT;
    session_pause(session);
    return carry_out(session, words, count);
}

/* ---- the service ---- */

static enum verdict timer(struct session *session, unsigned number)
{
    const struct state *state = session_state(session);

    if (admin_is_gone(session)) /* nobody waits for what may take for ever */
        return SESSION_ABORT;
    if (number == WATCH && state->watches && !state->asks) {
        watch(session);
    } else if (number == WATCH && state->asks) {
        session_set_timer_of(session, WATCH, WATCH_MS);
    } else if (number == LOOK && state->listing.count > 0) {
        session_set_timer_of(session, LOOK, LISTING_PATIENCE_MS);
        listing_look(session);
    }
    return SESSION_CONTINUE;
}

static void closed(struct session *session, enum close_reason reason)
{
    struct state *state = session_state(session);

    (void)reason;
    listing_clear(&state->listing);
    if (state->reply)
        reply_end(state->reply);
}

const struct service control_service = {
    .name = "control",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = 500,
    .idle_timeout_ms = IDLE_MS,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .configure = configure,
    .operates = true,
    .message = message,
    .timer = timer,
    .close = closed,
};
