/*
 * Operating the server: one command a line, over a unix socket. ccserverctl is its client; `nc -NU` will do.
 *
 *    message() --- look.h ----------------------------------> answer
 *        |-------- change.h: asks the master, and watches --> answer      common/progress.h
 *        '-------- sessions.h: asks the workers, listing.h -> answer
 *
 * One command is carried out at a time; the next one waits in the socket. Whoever may connect may look; only root, the
 * server's user and `control_group` may change something. What is asked of the master is answered by the master alone,
 * so nothing depends on this process but its own clients.
 */
#include "common/account.h"
#include "common/request.h"
#include "worker/admin.h"
#include "worker/services/control/change.h"
#include "worker/services/control/conversation.h"
#include "worker/services/control/look.h"
#include "worker/services/control/sessions.h"
#include "worker/session.h"
#include <string.h>

enum { WORDS_MAX = 4, IDLE_MS = 30 * 1000 };

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

/* ---- words ---- */

static run help;

static const struct command commands[] = {
    {"status", 0, 0, look_at, 0, false, "what runs, since when, how the last reload and upgrade have gone"},
    {"json", 0, 1, look_at, 0, false, "[pools|workers|listeners|health]: the statistics as JSON, or a part"},
    {"workers", 0, 0, look_at, 0, false, "a row for each worker"},
    {"listeners", 0, 0, look_at, 0, false, "a row for each listener, with its traffic"},
    {"queues", 0, 0, look_at, 0, false, "a row for each accept queue"},
    {"pools", 0, 0, look_at, 0, false, "a row for each pool"},
    {"stat", 0, 1, look_at, 0, false, "[PATTERN]: every figure, or those that match"},
    {"metrics", 0, 0, look_at, 0, false, "the same as OpenMetrics"},
    {"health", 0, 0, look_at, 0, false, "ok, or why it is not"},
    {"log", 0, 1, look_at_log, 0, false, "[N]: the last lines that the master has logged"},
    {"follow", 1, 1, look_at_next_of_log, 0, false, "ID: the lines behind this one, for who asks again"},
    {"config", 0, 0, look_at_config, 0, false, "the effective configuration"},
    {"sessions", 0, 3, sessions_list, 0, false, "[pool=NAME] [listener=NAME] [peer=ADDRESS]: who is connected"},
    {"kill", 1, 1, sessions_kill, 0, true, "ID: end a session"},
    {"reload", 0, 0, change_reload, REQUEST_RELOAD, true, "open the logs anew, and read the configuration"},
    {"reopen", 0, 0, change_reload, REQUEST_RELOAD, true, "the same"},
    {"upgrade", 0, 0, change_upgrade, REQUEST_UPGRADE, true, "start the binary that is on disk now"},
    {"resize", 2, 2, change_resize, REQUEST_RESIZE, true, "POOL N: so many workers, until the next reload"},
    {"restart", 1, 1, change_restart, REQUEST_RESTART, true, "POOL: replace its workers, one after the other"},
    {"drain", 1, 1, change_drain, REQUEST_DRAIN, true, "WORKER: replace it, and let it finish its sessions"},
    {"disable", 1, 1, change_by_name, REQUEST_DISABLE, true, "LISTENER: accept nobody there"},
    {"enable", 1, 1, change_by_name, REQUEST_ENABLE, true, "LISTENER: accept again"},
    {"set", 2, 2, change_set, REQUEST_LOG_LEVEL, true, "log_level LEVEL, until the next reload"},
    {"stop", 0, 0, change_by_name, REQUEST_STOP, true, "finish all sessions and end"},
    {"help", 0, 0, help, 0, false, "these lines"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static enum verdict help(struct session *session, const struct command *command, char *const *words)
{
    struct lines lines;

    (void)command;
    (void)words;
    if (!lines_open(&lines))
        return conversation_out_of_memory(session);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(lines.out, "%-10s %s\n", commands[i].name, commands[i].help);
    return lines_send(session, &lines) ? conversation_end(session, ANSWER_DONE, "")
                                       : conversation_out_of_memory(session);
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
            return conversation_end(session, ANSWER_MISUSED, text);
        }
        if (command->changes && !admin_may_change(session, config->group))
            return conversation_end(session, ANSWER_DENIED,
                                    "only root, the server's user and control_group may do that");
        if (command->changes)
            log_info("%s: %s %s", session_listener(session), session_peer(session), command->name);
        return command->run(session, command, words);
    }
    snprintf(text, sizeof(text), "there is no command %.64s; help lists them", words[0]);
    return conversation_end(session, ANSWER_MISUSED, text);
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
        change_watch(session);
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
