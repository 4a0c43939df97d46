#include "worker/reply.h"
#include "worker/more.h"
#include "worker/segment.h"
#include "worker/turn.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct reply {
    struct session *session; /* NULL: it has ended */
    struct reply *next;
    struct segment_list kept; /* until it is the first one */
    bool ended;
    bool anonymous;      /* made for what session_send() has sent behind other places */
    uint64_t asked_ns;   /* when the turn began that has read the question; 0: there is none, or it is not counted */
    uint64_t asked_turn; /* which turn that was */
};

static struct reply *append(struct session *session)
{
    struct session_more *more = more_of(session);
    struct reply *reply = more ? calloc(1, sizeof(*reply)) : NULL;

    if (!reply)
        return NULL;
    reply->session = session;
    if (more->last_reply)
        more->last_reply->next = reply;
    else
        more->first_reply = reply;
    more->last_reply = reply;
    more->reply_count++;
    return reply;
}

/* Take the message that is being read out of the account of this turn: it counts when it is answered. A message for
 * which several places are reserved counts once. */
static void delay_account(struct reply *reply)
{
    struct turn_account *account = &section_of(reply->session)->account;
    const struct core *core = core_of(reply->session);

    if (core->reading != reply->session || account->read == account->delayed)
        return;
    account->delayed++;
    reply->asked_ns = core->loop.reactor.now_ns;
    reply->asked_turn = stats_read(&core->loop.reactor.stats->turns);
}

struct reply *session_reply(struct session *session)
{
    if (session->client.phase != CONN_OPEN)
        return NULL;
    struct reply *reply = append(session);
    if (!reply) {
        session_end(session, CLOSE_memory);
        return NULL;
    }
    session->more->takes_places = true;
    delay_account(reply);
    session->reply_due &= session_is_relay(session); /* it waits for bytes, which are nobody's answer */
    if (session_is_full(session) || session_is_relay(session))
        session_update_flow(session);
    return reply;
}

/* Count the message that has been answered now: in the account of this turn if it has read it, else by the time. */
static void account_for(const struct reply *reply)
{
    struct section *section = section_of(reply->session);
    const struct reactor *reactor = &section->core->loop.reactor;

    if (reply->asked_ns == 0)
        return;
    if (reply->asked_turn == stats_read(&reactor->stats->turns))
        section->account.delayed--;
    else
        stats_count_duration(section->stats->durations[DURATION_answered], reactor->now_ns - reply->asked_ns);
}

/* Places whose answers are there go out, up to the first one that is still open. */
static void advance(struct session *session)
{
    struct session_more *more = session->more;

    for (struct reply *first; (first = more->first_reply);) {
        segment_send(session, &first->kept);
        if (!first->ended)
            return;
        more->first_reply = first->next;
        if (!more->first_reply)
            more->last_reply = NULL;
        more->reply_count--;
        segment_clear(session, &first->kept);
        free(first);
    }
}

/* Where to put what is sent to it and cannot be sent at once. */
static struct segment_list *queue_of(struct reply *reply)
{
    struct session_more *more = reply->session->more;

    return more->first_reply == reply ? &more->output : &reply->kept;
}

static bool takes(const struct reply *reply)
{
    return reply->session && !reply->ended && reply->session->client.phase <= CONN_FLUSHING;
}

void reply_send(struct reply *reply, const void *bytes, size_t size)
{
    if (!takes(reply) || size == 0)
        return;
    if (reply->session->more->first_reply == reply && !session_has_segments(reply->session))
        turn_send(reply->session, bytes, size);
    else
        segment_append_bytes(reply->session, queue_of(reply), bytes, size);
}

void reply_send_static(struct reply *reply, const void *bytes, size_t size)
{
    if (takes(reply) && size > 0)
        segment_append_constant(reply->session, queue_of(reply), bytes, size);
}

void reply_send_file(struct reply *reply, int fd, uint64_t offset, uint64_t size)
{
    if (takes(reply) && size > 0)
        segment_append_file(reply->session, queue_of(reply), fd, offset, size);
    else
        close(fd);
}

void reply_end(struct reply *reply)
{
    struct session *session = reply->session;

    if (!session) {
        free(reply);
        return;
    }
    reply->ended = true;
    session->active_ms = session_now(session); /* the idle time begins */
    if (!reply->anonymous) {
        account_for(reply);
        stats_count(&section_of(session)->stats->messages_out, 1);
    }
    if (session->more->first_reply != reply)
        return;
    advance(session);
    turn_touch(session); /* its input may go on, and its client may wait for the end */
}

struct session *reply_session(const struct reply *reply)
{
    return reply->session && reply->session->client.phase != CONN_CLOSED ? reply->session : NULL;
}

struct segment_list *reply_behind(struct session *session)
{
    struct reply *last = session->more->last_reply;

    if (last->anonymous)
        return &last->kept;
    if (!(last = append(session))) {
        session_end(session, CLOSE_memory);
        return NULL;
    }
    last->anonymous = last->ended = true;
    return &last->kept;
}

void reply_forget_all(struct session *session)
{
    struct session_more *more = session->more;

    if (!more)
        return;
    for (struct reply *reply; (reply = more->first_reply);) {
        more->first_reply = reply->next;
        segment_clear(session, &reply->kept);
        reply->session = NULL;
        if (reply->ended)
            free(reply);
    }
    more->last_reply = NULL;
    more->reply_count = 0;
}
