/*
 * Redis for thousands of clients over a few connections. What can share a connection does; whoever sends anything else
 * gets a connection of its own from that request on, over which all bytes pass untouched:
 *
 *    requests that share --------> link ==== server      answers in the order of the questions, a send for each turn
 *    HELLO, AUTH, SELECT --------> asked apart; then the links of another variant, see redis/variant.h
 *    WATCH, MULTI that is not whole -> a link of one's own until the transaction is over
 *    any other request ----------> a pipe to the server until the client leaves
 *
 * So nothing that is not known here is ever understood wrongly. What shares, redis/commands.h knows. What a client has asked
 * before is answered before it changes from one to another.
 */
#include "common/clock.h"
#include "proto/resp.h"
#include "worker/services/redis/choose.h"
#include "worker/services/redis/client.h"
#include "worker/services/redis/local.h"
#include "worker/services/redis/pipe.h"
#include "worker/session.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNANSWERED_MAX = 1 << 16,
    TAKEN_MAX = 4096, /* links of clients' own, of one variant */
    TICK_MS = 10 * 1000,
};

static const struct option_row options[] = {
    {.name = "upstream",
     .type = OPTION_ADDRESS,
     .offset = offsetof(struct config, upstream),
     .value = "127.0.0.1:6379",
     .help = "the Redis server; a name is resolved at start and reload, its addresses are tried in turn"},
    {.name = "connect_timeout",
     .type = OPTION_TIME,
     .offset = offsetof(struct config, connect_timeout_ms),
     .min = 1,
     .max = 60 * 1000,
     .value = "5s",
     .help = "how long a connection to the upstream may take"},
    {.name = "connections",
     .type = OPTION_INT,
     .offset = offsetof(struct config, connections),
     .min = 1,
     .max = CONNECTIONS_MAX,
     .value = "2",
     .help = "how many connections of a worker its clients share"},
    {.name = "multiplex",
     .type = OPTION_BOOL,
     .offset = offsetof(struct config, multiplex),
     .value = "on",
     .help = "off: each client has a connection of its own from the beginning"},
    {.name = "protocol",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, protocol),
     .choices = "redis",
     .value = "redis",
     .help = "always redis; for service = proxy, which this is with multiplex = on"},
    {0},
};

static const struct counter_row counters[] = {
    [COUNT_SHARED] = {"redis_requests_shared", "requests over connections that clients share"},
    [COUNT_OWN] = {"redis_requests_own", "requests in transactions, over connections of their clients' own"},
    [COUNT_ERRORS] = {"redis_errors", "answers of the server that are errors"},
    [COUNT_LOST] = {"redis_requests_lost", "requests without an answer, since the connection has ended"},
    [COUNT_LOGINS] = {"redis_logins", "times that a client has chosen another user, database or version of RESP"},
    [COUNT_PIPES] = {"redis_pipes", "clients that have got a connection of their own until they leave"},
    {0},
};

/* ---- requests ---- */

/* How a request is taken up. */
enum course {
    COURSE_SHARES,
    COURSE_OWNS,
    COURSE_QUITS,
    COURSE_WAITS, /* until what is due is answered; then it is taken up alone */
};

static enum course course_of(const struct state *state, enum command_kind kind)
{
    bool owns = state->mode == MODE_OWNS;

    switch (kind) {
    case COMMAND_READ:
    case COMMAND_WRITE:
    case COMMAND_EXEC:
    case COMMAND_UNWATCH: return owns ? COURSE_OWNS : COURSE_SHARES;
    case COMMAND_BLOCKING: return owns && state->in_multi ? COURSE_OWNS : COURSE_WAITS;
    case COMMAND_MULTI:
    case COMMAND_WATCH: return owns ? COURSE_OWNS : COURSE_WAITS;
    case COMMAND_QUIT: return COURSE_QUITS;
    default: return COURSE_WAITS;
    }
}

/* Nothing is due. */
static enum verdict take_alone(struct session *session, enum command_kind kind, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    bool shares = state->mode == MODE_SHARES;

    switch (kind) {
    case COMMAND_MULTI:
    case COMMAND_WATCH:
        if (!client_take_own(session))
            return pipe_leave(session, bytes, size);
        state->mode = MODE_OWNS;
        return client_ask_own(session, kind, bytes, size);
    case COMMAND_SELECT:
    case COMMAND_AUTH:
    case COMMAND_HELLO: return shares ? choose_begin(session, kind, bytes, size) : pipe_leave(session, bytes, size);
    case COMMAND_CLIENT: return shares ? local_client(session, bytes, size) : pipe_leave(session, bytes, size);
    case COMMAND_RESET: return local_reset(session);
    default: return pipe_leave(session, bytes, size);
    }
}

static enum verdict take_one(struct session *session, enum command_kind kind, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);

    switch (course_of(state, kind)) {
    case COURSE_SHARES: return client_ask_shared(session, bytes, size);
    case COURSE_OWNS: return client_ask_own(session, kind, bytes, size);
    case COURSE_QUITS: return local_quit(session);
    default: return state->due > 0 ? client_keep(session, bytes, size) : take_alone(session, kind, bytes, size);
    }
}

static enum verdict take(struct session *session, struct request request, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);
    enum verdict verdict = SESSION_CONTINUE;

    if (request.kind != COMMAND_MULTI || request.size == size)
        return take_one(session, request.kind, bytes, size);
    if (state->mode == MODE_SHARES)
        return client_ask_all(session, bytes, size);
    for (; size > 0 && verdict == SESSION_CONTINUE; bytes += request.size, size -= request.size) { /* after a WATCH */
        request = request_look(bytes, size);
        verdict = client_ask_own(session, request.kind, bytes, request.size);
    }
    return verdict;
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    return take(session, request_measured(bytes, size), bytes, size);
}

/* All is answered, or what has happened to its own link is to be seen to. */
static enum verdict woken(struct session *session)
{
    struct state *state = session_state(session);
    char *kept = state->kept;
    size_t size = state->kept_size;

    if (state->mode == MODE_BROKEN || (state->mode == MODE_LEAVES && !state->own))
        return SESSION_CLOSE;
    if (state->due > 0 || (!kept && state->mode != MODE_LEAVES))
        return SESSION_CONTINUE;
    state->kept = NULL;
    session_resume(session);
    enum verdict verdict = state->mode == MODE_LEAVES ? pipe_leave(session, kept, kept ? size : 0)
                                                      : take(session, request_look(kept, size), kept, size);
    if (kept)
        explicit_bzero(kept, size); /* it may be a password */
    free(kept);
    return verdict;
}

/* ---- answers ---- */

/* An answer has come, or will not. */
static void settle(struct session *session)
{
    struct state *state = session_state(session);

    if (--state->due > 0)
        return;
    if (state->mode == MODE_OWNS && !state->in_multi && !state->watches)
        client_give_back_own(session);
    if (state->kept || state->mode == MODE_LEAVES || state->mode == MODE_BROKEN)
        session_wake(session);
}

static void answered(struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    struct session *session = reply ? reply_session(reply) : NULL;
    struct state *state = session ? session_state(session) : NULL;

    if (!reply) {
        variant_answered(link, bytes, size);
        return;
    }
    bool is_own = state && state->own == link;
    if (resp_is_error(bytes))
        section_count(link_section(link), COUNT_ERRORS, 1);
    if (!is_own || state->mode != MODE_LEAVES)
        reply_send(reply, bytes, size);
    reply_end(reply);
    if (is_own)
        state->is_known = true;
    if (session)
        settle(session);
    if (is_own && state->mode == MODE_CHOOSES)
        choose_answered(session, !resp_is_error(bytes));
}

/*
 * Its own link has ended. Where the server knew something of what it was in the middle of, no answer would be right, and
 * the client sees the end of its connection, too.
 */
static void own_lost(struct session *session, bool sent)
{
    struct state *state = session_state(session);
    enum mode mode = (enum mode)state->mode;
    bool is_over = mode == MODE_OWNS && (state->is_known || sent);

    choose_forget(state);
    client_close_own(state);
    client_give_back_own(session);
    if (mode == MODE_CHOOSES)
        session_resume(session);
    else if (mode == MODE_LEAVES)
        state->mode = MODE_LEAVES; /* woken() ends it */
    else if (is_over)
        state->mode = MODE_BROKEN;
}

/* The server has not accepted the login of the variant: nothing was asked. */
static bool is_refused(const struct variant *variant, bool sent, int error)
{
    return error == ECANCELED && !sent && !variant->is_accepted && variant->refusal[0];
}

static void lost(struct link *link, struct reply *reply, bool sent, int error)
{
    struct session *session = reply ? reply_session(reply) : NULL;
    const struct variant *variant = link_user(link);

    if (!session) {
        if (reply)
            reply_end(reply);
        else
            variant_lost(link);
        return;
    }
    const struct state *state = session_state(session);
    section_count(link_section(link), COUNT_LOST, 1);
    if (state->own == link)
        own_lost(session, sent);
    if (state->mode == MODE_BROKEN)
        reply_end(reply);
    else if (is_refused(variant, sent, error))
        client_refuse(reply, variant->refusal);
    else
        client_fail(link_section(link), reply, sent, error);
    settle(session);
}

/* ---- the service ---- */

static ssize_t measure_answer(const char *bytes, size_t size, struct scan *scan)
{
    struct resp_scan resp = {.at = scan->at, .parts = scan->state};
    ssize_t result = resp_reply(bytes, size, &resp);

    *scan = (struct scan){.at = resp.at, .state = resp.parts};
    return result;
}

static int start(struct section *section, char *error, size_t error_size)
{
    const struct config *config = section_config(section);
    struct shared *shared = section_state(section);

    commands_start();
    shared->target = (struct link_target){
        .address = &config->upstream,
        .connect_timeout_ms = config->connect_timeout_ms,
        .answer_timeout_ms = UINT32_MAX,
        .linger_ms = UINT32_MAX,
        .unanswered_max = UNANSWERED_MAX,
        .taken_max = TAKEN_MAX,
        .framing = {.kind = FRAMING_FUNCTION, .measure_on = measure_answer},
        .max_frame = UINT32_MAX / 2,
        .answer = answered,
        .lost = lost,
    };
    shared->variants = (struct variants){
        .section = section, .target = &shared->target, .connections = config->connections};
    if (variants_start(&shared->variants) == 0)
        return 0;
    snprintf(error, error_size, "[listen %s]: %s", section_name(section), strerror(errno));
    return -1;
}

static void tick(struct section *section)
{
    struct shared *shared = section_state(section);

    variants_tick(&shared->variants, clock_now_ms());
}

static void stop(struct section *section)
{
    struct shared *shared = section_state(section);

    variants_stop(&shared->variants);
}

static enum verdict open(struct session *session)
{
    const struct config *config = session_config(session);
    struct state *state = session_state(session);

    state->variant = client_variants(session)->all[0];
    variant_enter(state->variant);
    return config->multiplex ? SESSION_CONTINUE : pipe_become(session, pipe_connect(session), NULL, 0);
}

static void closed(struct session *session, enum close_reason reason)
{
    struct state *state = session_state(session);

    (void)reason;
    client_close_own(state);
    choose_forget(state);
    client_forget_kept(state);
    free(state->name);
    variant_leave(state->variant, session_now_ms(session));
}

const struct service redis_service = {
    .name = "redis",
    .framing = {.kind = FRAMING_FUNCTION, .measure_on = request_measure},
    .max_frame = 256 << 10, /* of what is measured, which is never more than some reads */
    .idle_timeout_ms = 120 * 1000,
    .state_size = sizeof(struct state),
    .section_size = sizeof(struct shared),
    .options = options,
    .config_size = sizeof(struct config),
    .counters = counters,
    .start = start,
    .tick = tick,
    .tick_ms = TICK_MS,
    .stop = stop,
    .open = open,
    .message = message,
    .woken = woken,
    .close = closed,
};
