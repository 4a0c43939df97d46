#include "worker/services/redis/local.h"
#include "proto/resp.h"
#include "worker/services/redis/choose.h"
#include "worker/services/redis/pipe.h"
#include <stdlib.h>
#include <string.h>

enum verdict local_quit(struct session *session)
{
    client_answer_text(session, "+OK\r\n");
    return SESSION_CLOSE;
}

enum verdict local_reset(struct session *session)
{
    struct state *state = session_state(session);

    client_give_back_own(session);
    free(state->name);
    state->name = NULL;
    choose_take(session, client_variants(session)->all[0]);
    return client_answer_text(session, "+RESET\r\n");
}

/* What the server has allowed to somebody with the same login lately is not asked again; what it would refuse is. */
static enum verdict set_name(struct session *session, const struct resp_word *name, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    if (!state->variant->may_name || !login_is_name(name->bytes, name->size))
        return choose_name(session, name->bytes, name->size, bytes, size);
    client_set_name(state, name->bytes, name->size);
    return client_answer_text(session, "+OK\r\n");
}

/* A shared connection has no name; its own link has the client's. The server says whether the user may know it. */
static enum verdict get_name(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    if (!state->name)
        return client_ask_shared(session, bytes, size);
    if (!client_take_own(session))
        return pipe_leave(session, bytes, size);
    state->mode = MODE_OWNS;
    return client_ask_own(session, COMMAND_READ, bytes, size);
}

/* CLIENT: what is told here of a client is its own; SETINFO is answered by a server that knows it. */
enum verdict local_client(struct session *session, const char *bytes, size_t size)
{
    struct resp_word words[3];
    uint64_t count = 0;
    int found = resp_words(bytes, size, words, 3, &count);

    if (found >= 2 && resp_word_is(&words[1], "SETINFO"))
        return client_ask_shared(session, bytes, size);
    if (found == 2 && count == 2 && resp_word_is(&words[1], "GETNAME"))
        return get_name(session, bytes, size);
    if (found == 3 && count == 3 && resp_word_is(&words[1], "SETNAME") && words[2].size <= NAME_MAX_SIZE)
        return set_name(session, &words[2], bytes, size);
    return pipe_leave(session, bytes, size);
}
