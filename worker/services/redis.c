/*
 * Redis for thousands of clients over a few connections. What can share a connection does; whoever sends anything else
 * gets a connection of its own from that request on, over which all bytes pass untouched:
 *
 *    requests that share ---> link ==== server      answers in the order of the questions, a send for each turn
 *    any other request -----> what is due is answered ---> session_connect, session_couple
 *
 * So nothing that is not known here is ever understood wrongly. What shares, redis/commands.h knows. A transaction that has
 * come in one piece is one request that shares; another one is any other request.
 */
#include "proto/resp.h"
#include "worker/services/redis/commands.h"
#include "worker/session.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS_MAX = 16,
    WHOLE_REQUEST_MAX = 64 << 10, /* bytes; larger ones are relayed */
    UNANSWERED_MAX = 1 << 16,
};

struct config {
    struct sock_address upstream;
    uint32_t connect_timeout_ms;
    uint32_t connections;
    uint32_t multiplex;
    uint32_t protocol;
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

/* What all sessions of a worker share. */
struct shared {
    struct link *links[CONNECTIONS_MAX];
};

struct state {
    uint32_t due;     /* answers that have not come; while there are any, */
    uint8_t index;    /* all is asked over this link, so that it takes effect in its order */
    bool connected;   /* to a server of its own */
    char *kept;       /* a request that needs a connection of its own, and waits for what is due; NULL: none does */
    size_t kept_size; /* bytes */
};

/* ---- a connection of its own ---- */

static enum verdict upstream_connected(struct session *session, struct conn *upstream)
{
    struct state *state = session_state(session);

    (void)upstream;
    state->connected = true;
    return SESSION_CONTINUE;
}

static void send_failure(struct session *session, int error)
{
    const struct config *config = session_config(session);
    char text[512];
    int size = snprintf(text, sizeof(text), "-LOADING ccserver: upstream %s: %s\r\n", config->upstream.text,
                        sock_is_unresolved(&config->upstream) ? "cannot resolve its name" : strerror(error));

    session_send(session, text, (size_t)size);
}

static enum verdict upstream_failed(struct session *session, struct conn *upstream, int error)
{
    const struct state *state = session_state(session);

    (void)upstream;
    if (!state->connected) /* else our words could be taken for the rest of an answer that was cut short */
        send_failure(session, error);
    return SESSION_CLOSE;
}

static const struct upstream target = {
    .framing = {.kind = FRAMING_RAW},
    .connected = upstream_connected,
    .closed = upstream_failed,
};

/* From this request on; `size` is 0 where there was none yet. */
static enum verdict become_relay(struct session *session, const char *bytes, size_t size)
{
    const struct config *config = session_config(session);
    struct conn *upstream = session_connect(session, &config->upstream, config->connect_timeout_ms, &target);

    if (!upstream)
        return SESSION_ABORT;
    upstream_send(upstream, bytes, size);
    session_couple(session, upstream);
    return SESSION_CONTINUE;
}

static void answer_failure(struct reply *reply, bool sent, int error)
{
    static const char lost[] = "-ERR ccserver: upstream lost; the command may have been executed\r\n";
    char text[128];

    if (sent) {
        reply_send_static(reply, lost, strlen(lost));
    } else {
        int size = snprintf(text, sizeof(text), "-LOADING ccserver: no connection to the upstream: %s\r\n",
                            strerror(error ? error : ECONNRESET));
        reply_send(reply, text, (size_t)size);
    }
    reply_end(reply);
}

/* An answer has come, or will not: whoever waits for all of them goes on. */
static void settle(struct session *session)
{
    struct state *state = session ? session_state(session) : NULL;

    if (state && --state->due == 0 && state->kept)
        session_wake(session);
}

/* At once, or when all that it has asked before is answered. */
static enum verdict leave_the_others(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);

    if (state->due == 0)
        return become_relay(session, bytes, size);
    state->kept = malloc(size);
    if (!state->kept)
        return SESSION_ABORT;
    memcpy(state->kept, bytes, size);
    state->kept_size = size;
    session_pause(session);
    return SESSION_CONTINUE;
}

/* All is answered. */
static enum verdict woken(struct session *session)
{
    struct state *state = session_state(session);
    char *kept = state->kept;

    if (!kept || state->due > 0)
        return SESSION_CONTINUE;
    state->kept = NULL;
    session_resume(session);
    enum verdict verdict = become_relay(session, kept, state->kept_size);
    free(kept);
    return verdict;
}

static void closed(struct session *session, enum close_reason reason)
{
    struct state *state = session_state(session);

    (void)reason;
    free(state->kept);
}

/* ---- the shared connections ---- */

static void answered(struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    struct session *session = reply_session(reply);

    (void)link;
    reply_send(reply, bytes, size);
    reply_end(reply);
    settle(session);
}

static void lost(struct link *link, struct reply *reply, bool sent, int error)
{
    struct session *session = reply_session(reply);

    (void)link;
    answer_failure(reply, sent, error);
    settle(session);
}

static ssize_t measure_answer(const char *bytes, size_t size, struct scan *scan)
{
    struct resp_scan resp = {.at = scan->at, .parts = scan->state};
    ssize_t result = resp_reply(bytes, size, &resp);

    *scan = (struct scan){.at = resp.at, .state = resp.parts};
    return result;
}

/* Make a link of the section, at this place. False: out of memory. */
static bool open_link(struct section *section, uint32_t index)
{
    const struct config *config = section_config(section);
    struct shared *shared = section_state(section);
    const struct link_target to = {
        .address = &config->upstream,
        .connect_timeout_ms = config->connect_timeout_ms,
        .answer_timeout_ms = UINT32_MAX,
        .linger_ms = UINT32_MAX,
        .unanswered_max = UNANSWERED_MAX,
        .framing = {.kind = FRAMING_FUNCTION, .measure_on = measure_answer},
        .max_frame = UINT32_MAX / 2,
        .answer = answered,
        .lost = lost,
    };

    shared->links[index] = link_open(section, &to);
    return shared->links[index];
}

static int start(struct section *section, char *error, size_t error_size)
{
    const struct config *config = section_config(section);

    for (uint32_t i = 0; i < config->connections; i++)
        if (!open_link(section, i)) {
            snprintf(error, error_size, "[listen %s]: %s", section_name(section), strerror(errno));
            return -1;
        }
    return 0;
}

/* The link for what a session asks next: the one that it has asked before, or, when that is answered, the one with the
 * fewest questions. */
static struct link *link_for(struct session *session)
{
    const struct config *config = session_config(session);
    const struct shared *shared = section_state(session_section(session));
    struct state *state = session_state(session);

    for (uint32_t i = 0; state->due == 0 && i < config->connections; i++)
        if (link_unanswered(shared->links[i]) < link_unanswered(shared->links[state->index]))
            state->index = (uint8_t)i;
    return shared->links[state->index];
}

/* Ask over a shared connection; -1: it has been refused, and that is the answer. */
static int ask(struct session *session, struct link *link, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    struct reply *reply = session_reply(session);

    if (!reply)
        return -1;
    if (link_ask(link, reply, bytes, size) < 0) {
        answer_failure(reply, false, errno);
        return -1;
    }
    state->due++;
    return 0;
}

/* ---- requests ---- */

static enum command_kind kind_of(const char *bytes, size_t size, uint64_t *words)
{
    struct resp_word word[1];
    int found = resp_words(bytes, size, word, 1, words);

    return found == 1 ? command_kind(word[0].bytes, word[0].size) : COMMAND_PRIVATE;
}

/* The size of the request at `bytes`; 0: it is not whole, or none. */
static size_t whole_request(const char *bytes, size_t size)
{
    struct resp_scan scan = {.at = 0};
    ssize_t result = size > 0 ? resp_request(bytes, size, &scan) : 0;

    return result > 0 && (size_t)result <= size ? (size_t)result : 0;
}

/*
 * The size of the transaction whose MULTI has `begun` bytes, when all of it is there and each of its commands shares;
 * else that of MULTI alone.
 */
static size_t whole_transaction(const char *bytes, size_t size, size_t begun)
{
    uint64_t words;

    for (size_t at = begun, next; (next = whole_request(bytes + at, size - at)) > 0; at += next) {
        enum command_kind kind = kind_of(bytes + at, next, &words);
        if (kind == COMMAND_EXEC && words == 1)
            return at + next;
        if (kind != COMMAND_READ && kind != COMMAND_WRITE)
            break;
    }
    return begun;
}

/*
 * What makes no sense here, or is too large to be kept, is handed over as it is, and passed on. So is what is known to be
 * too large before it has arrived.
 */
static ssize_t measure_request(const char *bytes, size_t size, struct scan *scan)
{
    struct resp_scan resp = {.at = scan->at, .parts = scan->state};
    ssize_t result = resp_request(bytes, size, &resp);
    uint64_t words;

    *scan = (struct scan){.at = resp.at, .state = resp.parts};
    if (result < 0 || result > WHOLE_REQUEST_MAX || resp.at > WHOLE_REQUEST_MAX)
        return (ssize_t)size;
    if (result > 0 && (size_t)result <= size && kind_of(bytes, (size_t)result, &words) == COMMAND_MULTI && words == 1)
        return (ssize_t)whole_transaction(bytes, size, (size_t)result);
    return result;
}

/*
 * A transaction: each of its requests is a question. Should the link not take one of them after it has taken others, it
 * is closed, before the server has seen the end of the transaction: then nothing of it has taken effect.
 */
static enum verdict ask_all(struct session *session, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);
    struct link *link = link_for(session);
    bool any = false;

    for (size_t next; size > 0; bytes += next, size -= next) {
        next = whole_request(bytes, size);
        bool taken = ask(session, link, bytes, next) == 0;
        if (any && !taken) {
            uint32_t index = state->index;
            link_close(link);
            return open_link(session_section(session), index) ? SESSION_CONTINUE : SESSION_ABORT;
        }
        any |= taken;
    }
    return SESSION_CONTINUE;
}

static enum verdict ask_one(struct session *session, const char *bytes, size_t size)
{
    ask(session, link_for(session), bytes, size);
    return SESSION_CONTINUE;
}

static enum verdict quit(struct session *session)
{
    struct reply *reply = session_reply(session);

    if (!reply)
        return SESSION_ABORT;
    reply_send_static(reply, "+OK\r\n", 5);
    reply_end(reply);
    return SESSION_CLOSE;
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    size_t first = whole_request(bytes, size);
    uint64_t words = 0;
    enum command_kind kind = first > 0 ? kind_of(bytes, first, &words) : COMMAND_PRIVATE;

    switch (kind) {
    case COMMAND_READ:
    case COMMAND_WRITE: return ask_one(session, bytes, size);
    case COMMAND_MULTI:
        if (size > first)
            return ask_all(session, bytes, size);
        break;
    case COMMAND_QUIT:
        if (words == 1)
            return quit(session);
        break;
    default: break;
    }
    return leave_the_others(session, bytes, size);
}

static enum verdict open(struct session *session)
{
    const struct config *config = session_config(session);

    return config->multiplex ? SESSION_CONTINUE : become_relay(session, NULL, 0);
}

const struct service redis_service = {
    .name = "redis",
    .framing = {.kind = FRAMING_FUNCTION, .measure_on = measure_request},
    .max_frame = 256 << 10, /* of what is measured, which is never more than some reads */
    .idle_timeout_ms = 120 * 1000,
    .state_size = sizeof(struct state),
    .section_size = sizeof(struct shared),
    .options = options,
    .config_size = sizeof(struct config),
    .start = start,
    .open = open,
    .message = message,
    .woken = woken,
    .close = closed,
};
