#include "worker/link_conn.h"
#include "worker/messages.h"
#include "worker/reply.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>

enum { PAUSE_FIRST_MS = 50, PAUSE_MAX_MS = 5000, DOUBLINGS_MAX = 7 };

static const struct conn_owner link_owner;

static struct link_conn *link_conn_of(const struct conn *conn)
{
    return container_of(conn, struct link_conn, conn);
}

static struct link *link_of(const struct conn *conn)
{
    return link_conn_of(conn)->link;
}

static uint64_t now_of(const struct link *link)
{
    return link->settings.loop->reactor.now_ms;
}

bool link_is_connected(const struct link *link)
{
    const struct conn *conn = link->current ? &link->current->conn : NULL;

    return conn && conn->phase == CONN_OPEN && !conn->error;
}

bool link_takes(const struct link *link)
{
    return link_is_connected(link) && (link->greeting || link->greeted == 0 || !link->target.greets_first);
}

size_t link_queued(const struct link *link)
{
    return buffer_size(&link->waiting) + (link->current ? buffer_size(&link->current->conn.out) : 0);
}

/* ---- the end of the turn, and the timer ---- */

void link_note_due(struct link *link)
{
    if (link->due)
        return;
    link->due = true;
    LIST_INSERT_HEAD(&link->section->core->due, link, due_too);
    link->settings.loop->reactor.hurry = true; /* if this turn has ended already, the next one does not sleep */
}

/* How long the connection may stay as it is; UINT32_MAX: for ever. */
static uint32_t patience_ms(const struct link *link)
{
    if (!link_is_connected(link) || link->use == LINK_TAKEN)
        return UINT32_MAX;
    if (link->questions.count == 0)
        return link->target.linger_ms;
    return link->target.answer_timeout_ms ? link->target.answer_timeout_ms : UINT32_MAX;
}

static uint64_t patience_end_ms(const struct link *link)
{
    uint32_t ms = patience_ms(link);

    return ms == UINT32_MAX ? UINT64_MAX : link->heard_ms + ms + 1; /* the stamp was rounded down: never early */
}

/* Activity only stamps the link: the timer may go off too early, and is filed anew then. */
void link_file_timer(struct link *link)
{
    uint64_t due_ms = patience_end_ms(link);

    if (link->current && link->current->conn.deadline_ms && link->current->conn.deadline_ms < due_ms)
        due_ms = link->current->conn.deadline_ms;
    if (due_ms != UINT64_MAX && link->use != LINK_CLOSED && (!link->timer.due_ms || due_ms < link->timer.due_ms))
        timer_set(&link->settings.loop->reactor.wheel, &link->timer, due_ms);
}

/* ---- pressure ---- */

void link_hold(struct link *link, struct session *session)
{
    question_at(&link->questions, link->questions.count - 1)->holds = true;
    session->more->held++;
    conn_pause(&session->client, true);
}

static void release(struct question *question)
{
    struct session *session = question->holds ? reply_session(question->reply) : NULL;

    question->holds = false;
    if (session && --session->more->held == 0)
        turn_touch(session);
}

/* Something has been answered, sent or lost: let those go on that are held, when half of the room is free. */
static void relieve(struct link *link)
{
    if (!link->full || link->questions.count > link->target.unanswered_max / 2 ||
        link_queued(link) > link->settings.low_water)
        return;
    link->full = false;
    for (unsigned i = 0; i < link->questions.count; i++)
        release(question_at(&link->questions, i));
}

void link_settle(struct link *link)
{
    if (link->due)
        return; /* what has been asked meanwhile goes out first, at the end of the turn */
    if (link->current)
        conn_update_events(&link->current->conn);
    relieve(link);
    link_file_timer(link);
}

/* ---- connecting ---- */

/* The server could not be reached, or has answered nothing: leave it alone for a while. */
static void back_off(struct link *link, int error)
{
    uint32_t most_ms = PAUSE_FIRST_MS << (link->failures < DOUBLINGS_MAX ? link->failures : DOUBLINGS_MAX);
    uint64_t mixed = ((uintptr_t)link ^ now_of(link) << 20) * 0x9e3779b97f4a7c15u;

    if (most_ms > PAUSE_MAX_MS)
        most_ms = PAUSE_MAX_MS;
    link->failures++;
    link->retry_ms = now_of(link) + most_ms - (mixed >> 32) % (most_ms / 2);
    link->error = error ? error : ECONNRESET;
}

static void count_failure(const struct link *link)
{
    stats_count(&link->section->stats->upstream_failures, 1);
}

int link_connect(struct link *link)
{
    struct link_conn *made = calloc(1, sizeof(*made));

    if (!made)
        return ENOMEM;
    made->link = link;
    conn_init(&made->conn, &link->settings, &link_owner, -1, CONN_CONNECTING);
    int error = attempt_begin(&made->attempt, &made->conn, link->target.address, link->target.connect_timeout_ms);
    if (error) {
        free(made);
        count_failure(link);
        back_off(link, error);
        return error;
    }
    link->current = made;
    link->conn_count++;
    link_note_due(link);
    return 0;
}

/* ---- what is lost ---- */

/* Those that are not marked yet, but for the last `spared` ones, are lost. */
static void mark_lost(struct link *link, unsigned spared, bool sent, int error)
{
    for (unsigned i = 0; i + spared < link->questions.count; i++) {
        struct question *question = question_at(&link->questions, i);
        if (question->lost)
            continue;
        question->lost = true;
        question->sent = sent;
        question->error = (uint16_t)error;
    }
}

static void report_lost(struct link *link)
{
    struct question_queue *questions = &link->questions;

    if (link->reporting)
        return; /* what this is called from goes on with it */
    link->reporting = true;
    while (questions->count > 0 && question_at(questions, 0)->lost) {
        struct question first = question_pop(questions);
        release(&first);
        if (link->target.lost && !link->silent)
            link->target.lost(link, first.reply, first.sent, first.error);
        else if (first.reply)
            reply_end(first.reply);
    }
    link->reporting = false;
    relieve(link);
}

/* What the connection has not sent may be, on another one. Where that waits already what is queued goes with the
 * connection: it is what `connected` has asked of it. */
static void take_back_queued(struct link *link)
{
    struct buffer *out = &link->current->conn.out;

    if (!buffer_is_empty(&link->waiting))
        return;
    link->waiting = *out;
    out->chunk = NULL;
}

static void end_use(struct link *link)
{
    if (link->use == LINK_TAKEN) {
        link->use = LINK_SPENT;
    } else if (link->use == LINK_KEPT) {
        LIST_REMOVE(link, kept_too);
        link->use = LINK_STALE;
        link_note_due(link);
    }
}

static void drop_connection(struct link *link)
{
    conn_close(&link->current->conn);
    link->current = NULL;
    end_use(link);
}

void link_lose(struct link *link, int error)
{
    bool proven = link->current->proven, again = proven && link->use == LINK_SHARED;
    size_t size;
    unsigned unsent = question_count_within(&link->questions, link_queued(link), &size);

    mark_lost(link, unsent, true, error);
    take_back_queued(link);
    drop_connection(link);
    if (!proven)
        back_off(link, error);
    if (again && unsent > 0) {
        buffer_consume(&link->waiting, buffer_size(&link->waiting) - size); /* the rest of one that was sent in part */
        error = link_connect(link);
    }
    if (!link->current) {
        mark_lost(link, 0, false, error);
        buffer_clear(&link->waiting);
    }
    report_lost(link);
}

/* ---- answers ---- */

/* False while nothing of the oldest question has been sent: what comes then cannot be its answer. */
static bool answer_is_due(const struct link *link)
{
    return link->questions.count > 0 &&
           (link->questions.bytes > link_queued(link) || question_at(&link->questions, 0)->size == 0);
}

/* The message as it has come: what was cut off from a line follows it. */
static void pass_on(const struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    if (link->target.framing.kind == FRAMING_LINE)
        size += bytes[size] == '\r' ? 2 : 1;
    reply_send(reply, bytes, size);
    reply_end(reply);
}

static void count_answer(const struct link *link, const struct question *question)
{
    stats_count_duration(link->section->stats->durations[DURATION_upstream_answered],
                         link->settings.loop->reactor.now_ns - question->asked_ns);
}

static void send_waiting(struct link *link)
{
    struct buffer *out = &link->current->conn.out;

    if (buffer_append(out, buffer_bytes(&link->waiting), buffer_size(&link->waiting)) < 0)
        link_lose(link, ENOMEM);
    else
        buffer_clear(&link->waiting);
}

/* With the last one, what has waited for it is sent. */
static void greeting_answered(struct link *link)
{
    if (--link->greeted > 0 || !link->target.greets_first)
        return;
    send_waiting(link);
    link_note_due(link);
}

static void deliver(struct conn *conn, const char *bytes, size_t size)
{
    struct link *link = link_of(conn);

    link->heard_ms = now_of(link);
    if (!answer_is_due(link)) {
        if (link->target.push && link->use != LINK_KEPT)
            link->target.push(link, bytes, size);
        else /* nobody could make anything of it */
            link_lose(link, EPROTO);
        return;
    }
    struct question first = question_pop(&link->questions);
    release(&first);
    count_answer(link, &first);
    if (!first.greeting) {
        link_conn_of(conn)->proven = true;
        link->failures = 0;
    }
    relieve(link);
    if (link->target.answer)
        link->target.answer(link, first.reply, bytes, size);
    else if (first.reply)
        pass_on(link, first.reply, bytes, size);
    if (first.greeting && conn->phase == CONN_OPEN)
        greeting_answered(link);
}

static void reject(struct conn *conn, bool nonsense)
{
    link_lose(link_of(conn), nonsense ? EPROTO : EMSGSIZE);
}

static void input(struct conn *conn, const char *bytes, size_t size)
{
    const struct link_target *target = &link_of(conn)->target;
    struct message_sink sink = {
        .framing = &target->framing, .max = target->max_frame, .message = deliver, .reject = reject};

    messages_input(conn, &sink, bytes, size);
}

/* ---- as the owner of a connection ---- */

static void enter(struct conn *conn)
{
    (void)conn;
}

static void leave(struct conn *conn)
{
    if (conn->phase != CONN_CLOSED)
        link_settle(link_of(conn));
}

static void ended(struct conn *conn, int error)
{
    if (conn->phase == CONN_CLOSED)
        return;
    if (conn->phase == CONN_CONNECTING)
        count_failure(link_of(conn));
    link_lose(link_of(conn), error);
}

/* The connection stands: what `connected` asks comes first, then what has waited. */
static void greet(struct link *link)
{
    struct link_conn *current = link->current;

    link->heard_ms = now_of(link);
    if (link->target.connected) {
        link->greeting = true;
        link->greeted = 0;
        link->target.connected(link);
        link->greeting = false;
        if (link->current != current)
            return;
    }
    if (link->greeted == 0 || !link->target.greets_first)
        send_waiting(link);
}

static void connected(struct conn *conn, int error)
{
    error = attempt_ended(&link_conn_of(conn)->attempt, conn, error);
    if (error == EINPROGRESS)
        link_file_timer(link_of(conn));
    else if (error)
        ended(conn, error);
    else
        greet(link_of(conn));
}

static bool expired(struct conn *conn)
{
    if (conn->phase != CONN_CONNECTING)
        return false;
    if (conn->error)
        ended(conn, conn->error);
    else
        connected(conn, ETIMEDOUT);
    return true;
}

static void broken(struct conn *conn)
{
    take_back_queued(link_of(conn));
}

static void pressure(struct conn *conn)
{
    (void)conn; /* link_settle() looks: questions count, too */
}

static void arm(struct conn *conn)
{
    link_file_timer(link_of(conn));
}

static uint64_t *active_ms(struct conn *conn)
{
    return &link_of(conn)->active_ms;
}

static void exhausted(struct conn *conn, enum conn_shortage what)
{
    if (what == CONN_UNWATCHED) {
        take_back_queued(link_of(conn));
        conn_expire(conn, 0); /* the timer tells */
    } else {
        link_lose(link_of(conn), ENOMEM);
    }
}

void link_free(struct link *link)
{
    if (link->due || link->conn_count > 0)
        return;
    LIST_REMOVE(link, all);
    question_free(&link->questions);
    buffer_clear(&link->waiting);
    free(link);
}

static void closed(struct conn *conn)
{
    struct link *link = link_of(conn);

    free(link_conn_of(conn));
    link->conn_count--;
    if (link->use == LINK_CLOSED)
        link_free(link);
}

static const struct conn_owner link_owner = {
    .enter = enter,
    .leave = leave,
    .input = input,
    .ended = ended,
    .pressure = pressure,
    .arm = arm,
    .active_ms = active_ms,
    .exhausted = exhausted,
    .connected = connected,
    .broken = broken,
    .expired = expired,
    .closed = closed,
};

/* It has been answered, or has been silent, for long enough. */
static void check_patience(struct link *link)
{
    if (!link->current || patience_end_ms(link) > now_of(link))
        return;
    if (link->questions.count > 0)
        link_lose(link, ETIMEDOUT);
    else
        drop_connection(link);
}

void link_expired(struct timer_wheel *wheel, struct timer *timer)
{
    struct link *link = container_of(timer, struct link, timer);
    struct conn *conn = link->current ? &link->current->conn : NULL;

    (void)wheel;
    if (conn && conn->deadline_ms && conn->deadline_ms <= now_of(link))
        conn_expired(conn);
    check_patience(link);
    if (link->questions.count == 0)
        question_free(&link->questions);
    link_settle(link);
}
