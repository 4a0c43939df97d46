#include "worker/services/redis/client.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILURES_LOGGED_PER_SECOND = 5 };

/* ---- answers of our own ---- */

enum verdict client_answer(struct session *session, const char *text, size_t size)
{
    struct reply *reply = session_reply(session);

    if (!reply)
        return SESSION_ABORT;
    reply_send(reply, text, size);
    reply_end(reply);
    return SESSION_CONTINUE;
}

enum verdict client_answer_text(struct session *session, const char *text)
{
    return client_answer(session, text, strlen(text));
}

size_t client_failure(struct section *section, int error, char text[CLIENT_FAILURE_SIZE])
{
    static struct log_limit limit;
    const struct config *config = section_config(section);
    char why[CLIENT_FAILURE_SIZE - 32];

    snprintf(why, sizeof(why), "upstream %s: %s", config->upstream.text,
             sock_is_unresolved(&config->upstream) ? "cannot resolve its name" : strerror(error ? error : ECONNRESET));
    log_limited(&limit, FAILURES_LOGGED_PER_SECOND, LOG_LEVEL_WARN, "%s: %s", section_name(section), why);
    return (size_t)snprintf(text, CLIENT_FAILURE_SIZE, "-LOADING ccserver: %s\r\n", why);
}

void client_fail(struct section *section, struct reply *reply, bool sent, int error)
{
    static const char lost[] = "-ERR ccserver: upstream lost; the command may have been executed\r\n";
    char text[CLIENT_FAILURE_SIZE];
    size_t size = client_failure(section, error, text);

    if (sent)
        reply_send_static(reply, lost, strlen(lost));
    else
        reply_send(reply, text, size);
    reply_end(reply);
}

void client_refuse(struct reply *reply, const char *why)
{
    reply_send(reply, why, strlen(why));
    reply_end(reply);
}

void client_set_name(struct state *state, const char *name, size_t size)
{
    free(state->name);
    state->name = size > 0 ? strndup(name, size) : NULL;
}

/* ---- asking ---- */

int client_ask(struct session *session, struct link *link, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    struct reply *reply = session_reply(session);

    if (!reply)
        return -1;
    if (!link || link_ask(link, reply, bytes, size) < 0) {
        client_fail(session_section(session), reply, false, errno);
        return -1;
    }
    state->due++;
    return 0;
}

/* The link for what it asks next: the one that it has asked before, or, when that is answered, the quietest one. */
static struct link *shared_link(struct session *session)
{
    struct state *state = session_state(session);

    return state->due ? variant_link(client_variants(session), state->variant, state->place)
                      : variant_quietest(client_variants(session), state->variant, &state->place);
}

enum verdict client_ask_shared(struct session *session, const char *bytes, size_t size)
{
    client_count(session, COUNT_SHARED);
    client_ask(session, shared_link(session), bytes, size);
    return SESSION_CONTINUE;
}

/*
 * A transaction that has come whole: each of its requests is a question. Should the link not take one of them after it has
 * taken others, it is closed, before the server has seen the end of the transaction: then nothing of it has taken
 * effect.
 */
enum verdict client_ask_all(struct session *session, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);
    struct link *link = shared_link(session);
    bool any = false;

    for (size_t next; size > 0; bytes += next, size -= next) {
        next = request_size(bytes, size);
        client_count(session, COUNT_SHARED);
        bool is_taken = client_ask(session, link, bytes, next) == 0;
        if (any && !is_taken) {
            variant_drop(state->variant, state->place);
            return SESSION_CONTINUE;
        }
        any |= is_taken;
    }
    return SESSION_CONTINUE;
}

void client_forget_kept(struct state *state)
{
    if (state->kept)
        explicit_bzero(state->kept, state->kept_size); /* it may be a password */
    free(state->kept);
    state->kept = NULL;
}

enum verdict client_keep(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    state->kept = malloc(size);
    if (!state->kept)
        return SESSION_ABORT;
    memcpy(state->kept, bytes, size);
    state->kept_size = size;
    session_pause(session);
    return SESSION_CONTINUE;
}

/* ---- a link of one's own ---- */

void client_close_own(struct state *state)
{
    struct link *own = state->own;

    state->own = NULL;
    if (own)
        link_close(own);
}

/* Nobody's question: its answer is not for the client. */
static bool name_own(const struct state *state)
{
    char text[NAME_MAX_SIZE + 64];
    int size = snprintf(text, sizeof(text), "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$%zu\r\n%s\r\n",
                        strlen(state->name), state->name);

    return link_ask(state->own, NULL, text, (size_t)size) == 0;
}

bool client_take_own(struct session *session)
{
    struct state *state = session_state(session);
    struct link *lender = variant_link(client_variants(session), state->variant, 0);

    state->own = lender ? link_take(lender) : NULL;
    state->is_known = state->own && link_is_connected(state->own);
    if (state->own && state->name && !name_own(state))
        client_close_own(state);
    return state->own;
}

void client_give_back_own(struct session *session)
{
    struct state *state = session_state(session);
    struct link *own = state->own;

    state->own = NULL;
    state->in_multi = state->watches = false;
    state->mode = MODE_SHARES;
    session_engage(session, false);
    if (own)
        variant_return(state->variant, own);
}

/* What the server makes of the transaction of a connection that asks this. */
static void follow(struct state *state, enum command_kind kind)
{
    switch (kind) {
    case COMMAND_MULTI: state->in_multi = true; break;
    case COMMAND_EXEC:
        if (state->in_multi)
            state->in_multi = state->watches = false;
        break;
    case COMMAND_WATCH: state->watches |= !state->in_multi; break;
    case COMMAND_UNWATCH: state->watches &= state->in_multi; break;
    default: break;
    }
}

enum verdict client_ask_own(struct session *session, enum command_kind kind, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    client_count(session, COUNT_OWN);
    follow(state, kind);
    session_engage(session, state->in_multi || state->watches);
    if (client_ask(session, state->own, bytes, size) == 0)
        return SESSION_CONTINUE;
    bool is_known = state->is_known;
    client_close_own(state);
    client_give_back_own(session);
    return is_known ? SESSION_CLOSE : SESSION_CONTINUE; /* it does not know what the answer was to */
}
