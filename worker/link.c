#include "worker/link.h"
#include "worker/link_conn.h"
#include "worker/reply.h"
#include "worker/upstream.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { CONNECT_TIMEOUT_MS = 5000, LINGER_MS = 60 * 1000, UNANSWERED_MAX = 1024, TAKEN_MAX = 64 };

static uint64_t now_of(const struct link *link)
{
    return link->settings.loop->reactor.now_ms;
}

/* ---- questions ---- */

static bool is_full(const struct link *link)
{
    return link->questions.count >= link->target.unanswered_max || link_queued(link) > link->settings.high_water;
}

/* Why a question is refused; 0: it is not. */
static int refusal(const struct link *link, const struct session *session, size_t size)
{
    uint32_t max_output = link->settings.max_output;

    if (link->use >= LINK_SPENT)
        return EPIPE;
    if (size > max_output)
        return EMSGSIZE;
    if (!link->current && now_of(link) < link->retry_ms)
        return link->error;
    if (link_queued(link) + size > max_output)
        return EAGAIN;
    if (link->questions.count / 2 < link->target.unanswered_max || link->greeting)
        return 0;
    return session && session->more->held == 0 ? 0 : EAGAIN;
}

static int enqueue(struct link *link, const struct question *question, const void *bytes)
{
    struct buffer *buffer = link_takes(link) ? &link->current->conn.out : &link->waiting;

    if (question_push(&link->questions, question) < 0)
        return ENOMEM;
    if (buffer_append(buffer, bytes, question->size) < 0) {
        (void)question_pop_last(&link->questions);
        return ENOMEM;
    }
    if (question->greeting)
        question_move_last(&link->questions, link->greeted++);
    return 0;
}

int link_ask(struct link *link, struct reply *reply, const void *bytes, size_t size)
{
    struct session *session = reply ? reply_session(reply) : NULL;
    struct question question = {.reply = reply,
                                .asked_ns = link->settings.loop->reactor.now_ns,
                                .size = (uint32_t)size,
                                .greeting = link->greeting};
    int error = refusal(link, session, size);

    if (!error && !link->current)
        error = link_connect(link);
    if (!error)
        error = enqueue(link, &question, bytes);
    if (error) {
        errno = error;
        return -1;
    }
    if (link->questions.count == 1) {
        link->heard_ms = now_of(link);
        link_file_timer(link);
    }
    link->full |= is_full(link);
    if (link->full && session)
        link_hold(link, session);
    link_note_due(link);
    return 0;
}

struct section *link_section(const struct link *link)
{
    return link->section;
}

void *link_user(const struct link *link)
{
    return link->target.user;
}

unsigned link_unanswered(const struct link *link)
{
    return link->questions.count;
}

/* ---- life ---- */

static uint32_t or_default(uint32_t number, uint32_t otherwise)
{
    return number ? number : otherwise;
}

static struct link *make(struct section *section, const struct link_target *target)
{
    struct link *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->section = section;
    link->target = *target;
    link->target.connect_timeout_ms = or_default(target->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    link->target.answer_timeout_ms = or_default(target->answer_timeout_ms, section->config->answer_timeout_ms);
    link->target.linger_ms = or_default(target->linger_ms, LINGER_MS);
    link->target.unanswered_max = or_default(target->unanswered_max, UNANSWERED_MAX);
    link->target.taken_max = or_default(target->taken_max, TAKEN_MAX);
    link->target.max_frame = or_default(target->max_frame, section->config->max_frame);
    link->settings = section->upstream;
    if (target->high_water) {
        link->settings.high_water = target->high_water;
        link->settings.low_water = target->high_water / 4;
    }
    link->timer.expired = link_expired;
    LIST_INSERT_HEAD(&section->core->links, link, all);
    return link;
}

static bool cuts_messages(const struct framing *framing)
{
    if (framing->kind == FRAMING_FUNCTION)
        return framing->measure || framing->measure_on;
    return framing->kind != FRAMING_RAW;
}

struct link *link_open(struct section *section, const struct link_target *target)
{
    if (!target->address || !cuts_messages(&target->framing)) {
        errno = EINVAL;
        return NULL;
    }
    return make(section, target);
}

/* Those that were taken from a link that closes stay with their users; nobody else will need them. */
static void disown(struct link *lender)
{
    struct link *each;

    LIST_FOREACH(each, &lender->section->core->links, all) {
        if (each->lender != lender)
            continue;
        if (each->use == LINK_KEPT)
            link_close(each);
        each->lender = NULL;
    }
}

void link_close(struct link *link)
{
    enum link_use use = (enum link_use)link->use;

    if (use == LINK_CLOSED)
        return;
    link->use = LINK_CLOSED;
    timer_clear(&link->timer);
    if (use == LINK_KEPT)
        LIST_REMOVE(link, kept_too);
    if (link->lender)
        link->lender->taken_count--;
    else
        disown(link);
    link->lender = NULL;
    link_note_due(link);
    if (!link->current)
        return;
    if (link_is_connected(link))
        conn_flush(&link->current->conn);
    link_lose(link, ECANCELED);
}

struct link *link_take(struct link *link)
{
    struct link *taken = LIST_FIRST(&link->kept);

    if (link->use != LINK_SHARED || (!taken && link->taken_count >= link->target.taken_max)) {
        errno = link->use == LINK_SHARED ? EAGAIN : EPIPE;
        return NULL;
    }
    if (taken) {
        LIST_REMOVE(taken, kept_too);
    } else if ((taken = make(link->section, &link->target))) {
        taken->lender = link;
        link->taken_count++;
    } else {
        return NULL;
    }
    taken->use = LINK_TAKEN;
    return taken;
}

void link_return(struct link *link)
{
    if (link->use != LINK_TAKEN || !link->lender || !link_is_connected(link) || link->questions.count > 0) {
        link_close(link);
        return;
    }
    link->use = LINK_KEPT;
    link->heard_ms = now_of(link);
    LIST_INSERT_HEAD(&link->lender->kept, link, kept_too);
    link_file_timer(link);
}

struct conn *link_detach(struct link *link, struct session *session, const struct upstream *upstream)
{
    struct conn *conn = link->current ? &link->current->conn : NULL;

    if (link->use != LINK_TAKEN || !conn || !link_is_connected(link) || link->questions.count > 0 ||
        !buffer_is_empty(&conn->in)) {
        errno = EBUSY;
        return NULL;
    }
    reactor_want(&link->settings.loop->reactor, &conn->handler, REACTOR_OFF);
    int fd = conn->handler.fd;
    conn->handler.fd = -1;
    link_close(link);
    struct conn *adopted = upstream_adopt(session, fd, upstream);
    if (!adopted)
        errno = ENOMEM;
    return adopted;
}

/* A connection that cannot take more waits for epoll to say that it can. */
static void send_asked(struct link *link)
{
    struct conn *conn = link->current ? &link->current->conn : NULL;

    if (conn && link_is_connected(link) && !buffer_is_empty(&conn->out) && !(conn->handler.events & EPOLLOUT))
        conn_flush(conn);
    link_settle(link);
}

void link_catch_up(struct core *core)
{
    for (struct link *link; (link = LIST_FIRST(&core->due));) {
        LIST_REMOVE(link, due_too);
        link->due = false;
        if (link->use == LINK_STALE)
            link_close(link); /* which makes it due again */
        else if (link->use == LINK_CLOSED)
            link_free(link);
        else
            send_asked(link);
    }
    core->loop.reactor.hurry = core->touched.count > 0; /* who is held no longer goes on in the next turn */
}

void link_fini(struct core *core)
{
    struct link *link;

    LIST_FOREACH(link, &core->links, all) {
        link->silent = true;
        link_close(link);
    }
    link_catch_up(core);
    conn_free_closed(&core->loop);
}
