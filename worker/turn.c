#include "worker/turn.h"
#include "worker/deadline.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { FIRST_CAPACITY = 64, ROUNDS_MAX = 8 };

void turn_touch(struct session *session)
{
    struct core *core = core_of(session);
    struct session_set *set = &core->touched;

    if (session->touched || session->client.phase == CONN_CLOSED)
        return;
    if (set->count == set->capacity) {
        unsigned capacity = set->capacity ? 2 * set->capacity : FIRST_CAPACITY;
        struct session **array = reallocarray(set->array, capacity, sizeof(struct session *));
        if (!array) {
            session_end(session, CLOSE_memory);
            return;
        }
        set->array = array;
        set->capacity = capacity;
    }
    set->array[set->count++] = session;
    session->touched = true;
    core->loop.reactor.hurry = true; /* this turn may be over already */
}

void turn_send(struct session *session, const void *bytes, size_t size)
{
    struct conn *client = &session->client;

    if (client->phase == CONN_OPEN)
        conn_send(client, bytes, size);
    if (size == 0 || client->phase != CONN_FLUSHING || client->output != OUTPUT_ON)
        return;
    if (conn_loop_of(client)->corked == client)
        conn_uncork(conn_loop_of(client)); /* that comes first */
    turn_touch(session);
    if (client->phase == CONN_FLUSHING)
        conn_queue(client, bytes, size);
}

/* What is queued, or, where nothing is, the first of what waits for that. */
static void send_what_waits(struct conn *client, bool has_segments)
{
    bool was_empty = buffer_is_empty(&client->out);

    if (client->phase <= CONN_FLUSHING && (!was_empty || has_segments))
        conn_flush(client);
    if (client->phase <= CONN_FLUSHING && was_empty && !buffer_is_empty(&client->out))
        conn_flush(client);
}

static void catch_up(struct session *session)
{
    const struct service *service = session_service(session);
    struct conn *client = &session->client;
    bool woken = session->woken;

    session->touched = session->woken = false;
    if (client->phase == CONN_CLOSED)
        return;
    if (session->more)
        buffer_clear(&session->more->reserved);
    session_enter(session);
    if (woken && client->phase == CONN_OPEN && service->woken)
        session_apply(session, service->woken(session));
    if (client->phase != CONN_CLOSED)
        session_update_flow(session);
    conn_uncork(conn_loop_of(client));
    if (!(client->handler.events & EPOLLOUT) || buffer_is_empty(&client->out)) /* else the kernel takes no more */
        send_what_waits(client, session_has_segments(session));
    session_finish_answered(session);
    session_leave(session);
    deadline_arm(session);
}

void turn_catch_up(struct core *core)
{
    struct session_set *set = &core->touched;

    /* What is done may touch others. Whoever goes on for ever, such as two sessions that wake each other, gives the
     * rest of the worker a turn in between. */
    for (unsigned round = 0; set->count > 0 && round < ROUNDS_MAX; round++) {
        unsigned count = set->count;
        for (unsigned i = 0; i < count; i++)
            catch_up(set->array[i]);
        set->count -= count;
        memmove(set->array, set->array + count, set->count * sizeof(struct session *));
    }
    /* the dead are freed now */
    unsigned kept = 0;
    for (unsigned i = 0; i < set->count; i++)
        if (set->array[i]->client.phase != CONN_CLOSED)
            set->array[kept++] = set->array[i];
        else
            set->array[i]->touched = false;
    set->count = kept;
    core->loop.reactor.hurry = kept > 0;
}

void turn_forget(struct session *session)
{
    struct session_set *set = &core_of(session)->touched;
    unsigned kept = 0;

    if (!session->touched)
        return;
    for (unsigned i = 0; i < set->count; i++)
        if (set->array[i] != session)
            set->array[kept++] = set->array[i];
    set->count = kept;
}

void turn_fini(struct core *core)
{
    free(core->touched.array);
    core->touched = (struct session_set){.array = NULL};
}
