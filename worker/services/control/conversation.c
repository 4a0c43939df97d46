#include "worker/services/control/conversation.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listing *listing_of(struct session *session)
{
    struct state *state = session_state(session);

    return &state->listing;
}

enum verdict conversation_end(struct session *session, enum answer_end how, const char *sentence)
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

bool lines_open(struct lines *lines)
{
    lines->out = open_memstream(&lines->text, &lines->size);
    return lines->out;
}

bool lines_send(struct session *session, struct lines *lines)
{
    struct state *state = session_state(session);
    bool is_whole = fclose(lines->out) == 0;

    if (is_whole)
        answer_lines(state->reply, lines->text, lines->size);
    free(lines->text);
    return is_whole;
}

enum verdict conversation_out_of_memory(struct session *session)
{
    return conversation_end(session, ANSWER_REFUSED, strerror(ENOMEM));
}
