#include "worker/services/control/change.h"
#include "common/request.h"
#include "worker/session.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/* A reload waits for the generation of this worker to be gone, which would wait for the answer to this session. */
static bool is_overtaken(const struct state *state, const struct report *report, enum progress_result result)
{
    return report && result == PROGRESS_GOES_ON && state->progress.kind == PROGRESS_RELOAD &&
           report->state->generation != state->progress.generation;
}

void change_watch(struct session *session)
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
        conversation_end(session, ANSWER_REFUSED,
                         "another reload came first; this one begins when the workers before it are gone");
    else if (result != PROGRESS_GOES_ON)
        conversation_end(session, result == PROGRESS_DONE ? ANSWER_DONE : ANSWER_REFUSED, text);
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
        conversation_end(session, ANSWER_REFUSED, text);
    else if (state->watches)
        change_watch(session);
    else
        conversation_end(session, ANSWER_DONE, text);
}

static enum verdict ask(struct session *session, uint32_t kind, uint32_t number, const char *name)
{
    struct state *state = session_state(session);

    if (admin_ask((enum request_kind)kind, number, name, answered, session_id(session)) == 0)
        return conversation_end(session, ANSWER_REFUSED, "too much is asked of the master at this moment: try again");
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
        return conversation_end(session, ANSWER_REFUSED, strerror(errno));
    progress_begin(&state->progress, what, name, number, report->area, report->state);
    state->watches = true;
    return ask(session, kind, number, name);
}

enum verdict change_reload(struct session *session, const struct command *command, char *const *words)
{
    (void)words;
    return ask_and_watch(session, command->kind, PROGRESS_RELOAD, 0, "");
}

enum verdict change_upgrade(struct session *session, const struct command *command, char *const *words)
{
    (void)words;
    return ask_and_watch(session, command->kind, PROGRESS_UPGRADE, 0, "");
}

enum verdict change_resize(struct session *session, const struct command *command, char *const *words)
{
    const char *wrong;
    uint32_t count = (uint32_t)strtonum(words[2], 1, 1024, &wrong);

    if (wrong)
        return conversation_end(session, ANSWER_MISUSED, "resize: not a number of workers that makes sense");
    return ask_and_watch(session, command->kind, PROGRESS_RESIZE, count, words[1]);
}

enum verdict change_restart(struct session *session, const struct command *command, char *const *words)
{
    return ask_and_watch(session, command->kind, PROGRESS_RESTART, 0, words[1]);
}

enum verdict change_drain(struct session *session, const struct command *command, char *const *words)
{
    const struct report *report = admin_state();
    const struct state_worker *worker = report ? state_find_worker(report->state, words[1]) : NULL;
    char text[128];

    if (worker && worker->pid == getpid()) /* it ends when this session has */
        return ask(session, command->kind, (uint32_t)worker->pid, "");
    if (worker)
        return ask_and_watch(session, command->kind, PROGRESS_DRAIN, (uint32_t)worker->pid, "");
    snprintf(text, sizeof(text), "there is no worker %.64s", words[1]);
    return conversation_end(session, ANSWER_REFUSED, text);
}

enum verdict change_by_name(struct session *session, const struct command *command, char *const *words)
{
    return ask(session, command->kind, 0, words[1] ? words[1] : "");
}

enum verdict change_set(struct session *session, const struct command *command, char *const *words)
{
    uint32_t level = LOG_LEVEL_DEBUG;

    if (strcmp(words[1], "log_level") != 0)
        return conversation_end(session, ANSWER_MISUSED, "set: only log_level can be set");
    while (level <= LOG_LEVEL_ERROR && strcmp(words[2], log_level_name((enum log_level)level)) != 0)
        level++;
    if (level > LOG_LEVEL_ERROR)
        return conversation_end(session, ANSWER_MISUSED, "set log_level: one of " LOG_LEVEL_CHOICES);
    return ask(session, command->kind, level, "");
}
