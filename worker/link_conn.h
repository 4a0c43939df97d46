/*
 * The connections of a link, one after the other: made, asked over, lost.
 *
 *   struct link ---- current ---> struct link_conn: CONNECTING -> OPEN -> CLOSED
 *     questions: asked, in the order of their answers
 *       [sent | sent in part | queued]
 *     bytes of what is queued: in conn.out where the connection takes them, else in `waiting`
 *
 * With a question there is always a connection, if only one that is being made: where none can be made the question is
 * refused, or lost.
 */
#ifndef WORKER_LINK_CONN_H
#define WORKER_LINK_CONN_H

#include "worker/attempt.h"
#include "worker/core/session.h"
#include "worker/question.h"

/* A closed one lives until the end of the batch, as all connections do; its link may have the next one by then. */
struct link_conn {
    struct conn conn;
    struct link *link;
    struct attempt attempt;
    bool proven; /* it has answered a question */
};

enum link_use {
    LINK_SHARED,
    LINK_TAKEN, /* by link_take() */
    LINK_KEPT,  /* returned, and connected */
    LINK_SPENT, /* taken, and its connection has ended */
    LINK_STALE, /* kept, and its connection has ended: it is closed at the end of the turn */
    LINK_CLOSED,
};

struct link {
    struct section *section;
    struct link_target target;
    struct conn_settings settings;
    struct link_conn *current; /* NULL: none */
    struct buffer waiting;     /* questions that no connection takes yet, or any more */
    struct question_queue questions;
    struct timer timer;
    uint64_t active_ms;  /* when a byte was last moved */
    uint64_t heard_ms;   /* when the server last said something, was first asked, or was connected */
    uint64_t retry_ms;   /* no attempt to connect before */
    unsigned failures;   /* attempts and connections in a row that have answered nothing */
    int error;           /* of the last of them */
    uint8_t use;         /* enum link_use */
    bool full;           /* sessions that ask are held */
    bool due;            /* something is to be done at the end of the turn */
    bool greeting;       /* `connected` is being called */
    bool reporting;      /* `lost` is being called */
    bool silent;         /* the service is not called any more */
    unsigned conn_count; /* with those that are closed and have not been freed: they use its settings */
    unsigned greeted;    /* questions that `connected` has asked, and that are not answered */
    unsigned taken_count;
    struct link *lender;   /* whom it was taken from; NULL: nobody, or it is closed */
    struct link_list kept; /* of those taken from it, which wait for the next user */
    LIST_ENTRY(link) all, due_too, kept_too;
};

/* True when what is asked can be sent: it is connected, and has greeted where that comes first. */
bool link_takes(const struct link *link);

/* Bytes that have been asked and not been handed to the kernel. */
size_t link_queued(const struct link *link);

/* Something is to be done at the end of the turn: link_catch_up() will. */
void link_note_due(struct link *link);

/* File the timer for the earliest deadline, if it is earlier than what it is filed for. */
void link_file_timer(struct link *link);

/* timer.expired of a link */
void link_expired(struct timer_wheel *wheel, struct timer *timer);

/* Tell epoll what the connection waits for, let those go on for whom there is room, file the timer. */
void link_settle(struct link *link);

/* Begin to connect. Returns 0, or an errno value when it has failed on the spot. */
int link_connect(struct link *link);

/*
 * End the connection. What was sent is lost. What was not is asked again at once when the server is known to answer: it
 * has had enough of this one connection, such as an idle one. Else it is lost, too.
 */
void link_lose(struct link *link, int error);

/* The session that has just asked is held until there is room again, or it has been answered. */
void link_hold(struct link *link, struct session *session);

/* It is closed: free it, unless something else still has to be done about it and will. */
void link_free(struct link *link);

#endif
