#include "worker/services/control/sessions.h"
#include "worker/session.h"
#include <errno.h>
#include <string.h>

static void send_line(struct session *session, const char *line, size_t size)
{
    const struct state *state = session_state(session);

    answer_lines(state->reply, line, size);
}

static void listed(struct session *session, const char *refusal)
{
    listing_clear(listing_of(session));
    conversation_end(session, refusal ? ANSWER_REFUSED : ANSWER_DONE, refusal ? refusal : "");
}

static void begin_listing(struct session *session)
{
    *listing_of(session) = (struct listing){.line = send_line, .ended = listed};
    session_set_timer_of(session, LOOK, LISTING_PATIENCE_MS);
}

enum verdict sessions_list(struct session *session, const struct command *command, char *const *words)
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
            return conversation_end(session, ANSWER_MISUSED,
                                    "sessions: pool=NAME, listener=NAME and peer=ADDRESS can follow");
        values[key] = words[i] + strlen(keys[key]);
    }
    begin_listing(session);
    send_line(session, heading, strlen(heading));
    if (listing_begin(session, values[0], values[1], values[2]) < 0)
        listed(session, strerror(errno));
    return SESSION_CONTINUE;
}

enum verdict sessions_kill(struct session *session, const struct command *command, char *const *words)
{
    (void)command;
    begin_listing(session);
    if (listing_kill(session, words[1]) < 0)
        listed(session, errno == EINVAL ? "that is no id of a session: `sessions` has them first" : strerror(errno));
    return SESSION_CONTINUE;
}
