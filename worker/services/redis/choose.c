#include "worker/services/redis/choose.h"
#include "worker/services/redis/pipe.h"
#include <stdlib.h>
#include <string.h>

void choose_take(struct session *session, struct variant *variant)
{
    struct state *state = session_state(session);

    if (variant == state->variant)
        return;
    client_count(session, COUNT_LOGINS);
    variant_enter(variant);
    variant_leave(state->variant, session_now_ms(session));
    state->variant = variant;
}

void choose_forget(struct state *state)
{
    if (state->next)
        explicit_bzero(state->next, sizeof(*state->next));
    free(state->next);
    state->next = NULL;
}

/* With the name that HELLO has brought, if any. */
static void accept_login(struct session *session, struct variant *variant)
{
    struct state *state = session_state(session);

    if (state->next->has_name)
        client_set_name(state, state->next->name, state->next->name_size);
    variant->may_name |= state->next->is_named_only;
    choose_take(session, variant);
}

/* The server has answered. Where there is no room for one more variant, the session stays on the link that it has asked. */
void choose_answered(struct session *session, bool is_accepted)
{
    struct state *state = session_state(session);
    struct variant *variant = is_accepted ? variants_get(client_variants(session), state->next) : NULL;

    if (is_accepted && !variant) {
        choose_forget(state);
        state->mode = MODE_LEAVES;
        session_wake(session);
        return;
    }
    client_give_back_own(session);
    if (variant)
        accept_login(session, variant);
    choose_forget(state);
    session_resume(session);
}

/* What the server says to a login that it has accepted lately from somebody else, who has not needed a password. */
static bool answer_known_login(struct session *session, enum command_kind kind)
{
    const struct state *state = session_state(session);
    struct variant *variant = variants_find(client_variants(session), state->next);

    if (!variant || (!variant->is_accepted && variant->greeting_size > 0))
        return false;
    if (kind == COMMAND_SELECT)
        client_answer_text(session, "+OK\r\n");
    else if (state->next->is_resp3 && variant->hello_size > 0)
        client_answer(session, variant->hello, variant->hello_size);
    else
        return false;
    accept_login(session, variant);
    return true;
}

/* Over a link of its own, from which the answer comes to choose_answered(). */
static enum verdict ask_apart(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    client_take_own(session);
    if (client_ask(session, state->own, bytes, size) < 0) {
        client_close_own(state);
        choose_forget(state);
        return SESSION_CONTINUE;
    }
    state->mode = MODE_CHOOSES;
    session_pause(session);
    return SESSION_CONTINUE;
}

enum verdict choose_begin(struct session *session, enum command_kind kind, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    bool verifies;

    state->next = malloc(sizeof(*state->next));
    if (!state->next)
        return SESSION_ABORT;
    *state->next = state->variant->login;
    if (!login_change(state->next, kind, bytes, size, &verifies)) {
        choose_forget(state);
        return pipe_leave(session, bytes, size);
    }
    if (!verifies && answer_known_login(session, kind)) {
        choose_forget(state);
        return SESSION_CONTINUE;
    }
    return ask_apart(session, bytes, size);
}

enum verdict choose_name(struct session *session, const char *name, size_t name_size, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    state->next = malloc(sizeof(*state->next));
    if (!state->next)
        return SESSION_ABORT;
    *state->next = state->variant->login;
    login_set_name(state->next, name, name_size);
    return ask_apart(session, bytes, size);
}
