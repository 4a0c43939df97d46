#include "worker/services/control/listing.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ask_next(struct session *session);

static void go_on(struct session *session)
{
    struct listing *listing = listing_of(session);

    if (listing->conn)
        upstream_close(listing->conn);
    listing->conn = NULL;
    listing->at++;
    ask_next(session);
}

/* ---- a worker ---- */

/* The pool stands behind the id, which comes first. */
static void pass_on(struct session *session, const struct listing *listing, const char *line, size_t size)
{
    const char *tab = memchr(line, '\t', size);
    char text[512];

    if (!tab)
        return;
    int length = snprintf(text, sizeof(text), "%.*s\t%s%.*s\n", (int)(tab - line), line,
                          listing->workers[listing->at].pool, (int)(size - (size_t)(tab - line)), tab);
    if (length < (int)sizeof(text))
        listing->line(session, text, (size_t)length);
}

static bool is_word(const char *line, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(line, word, size) == 0;
}

static void say_silent(struct session *session, const struct listing *listing)
{
    char text[128];
    int size = snprintf(text, sizeof(text), "# the worker with pid %d does not answer\n",
                        (int)listing->workers[listing->at].pid);

    listing->line(session, text, (size_t)size);
}

static void give_up(struct session *session)
{
    struct listing *listing = listing_of(session);

    if (listing->kills) {
        listing->ended(session, "its worker does not answer");
        return;
    }
    say_silent(session, listing);
    go_on(session);
}

static enum verdict answered(struct session *session, struct conn *conn, const char *line, size_t size)
{
    struct listing *listing = listing_of(session);

    (void)conn;
    listing->is_silent = false;
    if (is_word(line, size, "busy")) {
        give_up(session);
    } else if (listing->kills) {
        listing->ended(session, is_word(line, size, "killed") ? NULL : "there is no such session any more");
    } else if (is_word(line, size, "end")) {
        go_on(session);
    } else {
        pass_on(session, listing, line, size);
    }
    return SESSION_CONTINUE;
}

/* The worker has ended, and its sessions with it. */
static enum verdict ended(struct session *session, struct conn *conn, int error)
{
    struct listing *listing = listing_of(session);

    (void)error;
    if (listing->conn != conn)
        return SESSION_CONTINUE;
    listing->conn = NULL;
    if (listing->kills)
        listing->ended(session, "its worker is gone");
    else
        go_on(session);
    return SESSION_CONTINUE;
}

static const struct upstream worker = {
    .framing = {.kind = FRAMING_LINE}, .max_frame = 1024, .message = answered, .closed = ended};

static void connected(uint64_t id, const struct request_answer *answer, int fd)
{
    struct session *session = session_find(id);
    struct listing *listing = session ? listing_of(session) : NULL;

    if (!listing || listing->asked != answer->id) { /* it has been given up meanwhile */
        if (fd >= 0)
            close(fd);
        return;
    }
    listing->is_silent = false;
    listing->asked = 0;
    if (!answer->is_refused && fd >= 0)
        listing->conn = admin_connect(session, fd, &worker);
    if (listing->conn)
        upstream_send(listing->conn, listing->question, strlen(listing->question));
    else if (listing->kills)
        listing->ended(session, "its worker is gone");
    else
        go_on(session);
}

/* ---- all of them ---- */

static void ask_next(struct session *session)
{
    struct listing *listing = listing_of(session);

    if (listing->at >= listing->count) {
        listing->ended(session, NULL);
        return;
    }
    listing->asked = admin_ask(REQUEST_INSPECT, (uint32_t)listing->workers[listing->at].pid, "", connected,
                               session_id(session));
    if (listing->asked == 0)
        listing->ended(session, "too much is asked of the master at this moment: try again");
}

/* -1 with errno. */
static int take_workers(struct listing *listing, const char *pool)
{
    const struct report *report = admin_state();

    if (!report)
        return -1;
    listing->workers = calloc(report->state->worker_count + 1, sizeof(*listing->workers));
    if (!listing->workers)
        return -1;
    for (unsigned i = 0; i < report->state->worker_count; i++) {
        const struct state_worker *each = &report->state->workers[i];
        struct listing_worker *taken = &listing->workers[listing->count];
        if (each->pid == 0 || each->ready_ms == 0 || (pool[0] && strcmp(each->pool, pool) != 0))
            continue;
        taken->pid = each->pid;
        snprintf(taken->pool, sizeof(taken->pool), "%s", each->pool);
        listing->count++;
    }
    return 0;
}

int listing_begin(struct session *session, const char *pool, const char *listener, const char *peer)
{
    struct listing *listing = listing_of(session);

    if (take_workers(listing, pool) < 0)
        return -1;
    snprintf(listing->question, sizeof(listing->question), "list %.47s %.127s\n", listener[0] ? listener : "-",
             peer[0] ? peer : "-");
    ask_next(session);
    return 0;
}

int listing_kill(struct session *session, const char *id)
{
    struct listing *listing = listing_of(session);
    int pid, fd, end = 0;
    uint64_t opened_ms;

    if (sscanf(id, "%d-%d-%" SCNx64 "%n", &pid, &fd, &opened_ms, &end) != 3 || id[end] != '\0' || pid <= 0) {
        errno = EINVAL;
        return -1;
    }
    listing->workers = calloc(1, sizeof(*listing->workers));
    if (!listing->workers)
        return -1;
    listing->workers[0].pid = pid;
    listing->count = 1;
    listing->kills = true;
    snprintf(listing->question, sizeof(listing->question), "kill %d %" PRIx64 "\n", fd, opened_ms);
    ask_next(session);
    return 0;
}

void listing_look(struct session *session)
{
    struct listing *listing = listing_of(session);

    if (session_queued(session) > 0) /* it is our client that does not read */
        return;
    if (listing->is_silent)
        give_up(session);
    else
        listing->is_silent = true;
}

void listing_clear(struct listing *listing)
{
    if (listing->conn)
        upstream_close(listing->conn);
    free(listing->workers);
    *listing = (struct listing){.line = listing->line, .ended = listing->ended};
}
