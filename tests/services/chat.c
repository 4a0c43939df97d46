/*
 * A room for all who are connected, to whichever worker: what one says, everybody reads. "/nick NAME" gives a name,
 * "/who" tells the names, "/quit" leaves.
 *
 *    message -> announce() -> deliver(): to all members of this worker
 *                    |
 *                    '------- published() -> deliver(): the same in every other worker
 *
 * Members are kept as numbers, so that nobody holds a session that has gone. Their names are in memory that all workers
 * share. A name stays as it is for as long as somebody has the seat, so it can be read without a lock; the seats of a
 * worker that was killed are free again.
 */
#include "worker/session.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_SIZE = 30, LINE_MAX_SIZE = 500, ROOM_MAX = 10000, TAKEN = -1 };

struct seat {
    _Atomic pid_t worker; /* 0: nobody has it; TAKEN: the name is being written */
    char name[NAME_MAX_SIZE + 1];
};

struct hall { /* shared by all workers */
    atomic_uint guests;
    struct seat seats[ROOM_MAX];
};

struct room { /* of this worker */
    uint64_t members[ROOM_MAX];
    unsigned count;
};

struct state {
    uint64_t id; /* 0: not in the room */
    struct seat *seat;
};

enum { LINES };
static const struct counter_row counters[] = {[LINES] = {"lines", "said by members"}, {0}};

/* ---- to everybody ---- */

static void deliver(struct section *section, const char *line, size_t size)
{
    const struct room *room = section_state(section);

    for (unsigned i = 0; i < room->count; i++) {
        struct session *member = session_find(room->members[i]);
        if (member) /* else it has begun to close, and is about to leave */
            session_send(member, line, size);
    }
}

static void announce(struct section *section, const char *line, size_t size)
{
    deliver(section, line, size);
    section_publish(section, line, size);
}

static void announce_event(struct section *section, const char *name, const char *what)
{
    char line[2 * NAME_MAX_SIZE + 32];

    announce(section, line, (size_t)snprintf(line, sizeof(line), "* %s %s\n", name, what));
}

static void announce_said(struct session *session, const char *text, size_t size)
{
    const struct state *state = session_state(session);
    char line[NAME_MAX_SIZE + LINE_MAX_SIZE + 8];
    size_t begin = (size_t)snprintf(line, sizeof(line), "%s: ", state->seat->name);

    memcpy(line + begin, text, size);
    line[begin + size] = '\n';
    announce(session_section(session), line, begin + size + 1);
    section_count(session_section(session), LINES, 1);
}

/* ---- seats ---- */

static bool is_alive(pid_t worker)
{
    return worker > 0 && kill(worker, 0) == 0;
}

/* The name of who has this seat now; false when nobody has it. `wanted`: NULL, or only who has this name. */
static bool read_name(struct seat *seat, const char *wanted, char *name)
{
    pid_t worker = atomic_load(&seat->worker);

    memcpy(name, seat->name, sizeof(seat->name));
    name[NAME_MAX_SIZE] = '\0'; /* it may be written at this moment */
    return worker > 0 && (!wanted || strcmp(name, wanted) == 0) && atomic_load(&seat->worker) == worker &&
           is_alive(worker);
}

static bool is_taken(struct hall *hall, const char *name, const struct seat *but)
{
    char other[NAME_MAX_SIZE + 1];

    for (unsigned i = 0; i < ROOM_MAX; i++)
        if (&hall->seats[i] != but && read_name(&hall->seats[i], name, other))
            return true;
    return false;
}

/* NULL when there is no seat left, or no such name. */
static struct seat *take_seat(struct hall *hall, const char *name)
{
    for (unsigned i = 0; i < ROOM_MAX; i++) {
        struct seat *seat = &hall->seats[i];
        pid_t nobody = 0;
        if (!atomic_compare_exchange_strong(&seat->worker, &nobody, TAKEN))
            continue;
        snprintf(seat->name, sizeof(seat->name), "%s", name);
        atomic_store(&seat->worker, getpid());
        if (!is_taken(hall, name, seat)) /* also if another worker gives it away at this moment: then nobody has it */
            return seat;
        atomic_store(&seat->worker, 0);
        break;
    }
    return NULL;
}

/* Members of a worker that was killed have gone. One of the others says so. */
static void sweep(struct section *section)
{
    struct hall *hall = section_shared(section);

    for (unsigned i = 0; i < ROOM_MAX; i++) {
        struct seat *seat = &hall->seats[i];
        pid_t worker = atomic_load(&seat->worker);
        if (worker <= 0 || is_alive(worker) || !atomic_compare_exchange_strong(&seat->worker, &worker, TAKEN))
            continue;
        announce_event(section, seat->name, "has gone");
        atomic_store(&seat->worker, 0);
    }
}

/* ---- members ---- */

static enum verdict say(struct session *session, const char *text)
{
    session_send(session, text, strlen(text));
    return SESSION_CONTINUE;
}

static enum verdict enter(struct session *session)
{
    struct section *section = session_section(session);
    struct hall *hall = section_shared(section);
    struct room *room = section_state(section);
    struct state *state = session_state(session);
    uint64_t id = session_id(session);
    char name[NAME_MAX_SIZE + 1];

    snprintf(name, sizeof(name), "guest%u", atomic_fetch_add(&hall->guests, 1) + 1);
    state->seat = id > 0 && room->count < ROOM_MAX ? take_seat(hall, name) : NULL;
    if (!state->seat) {
        say(session, "* the room is full\n");
        return SESSION_CLOSE;
    }
    state->id = id;
    room->members[room->count++] = id;
    announce_event(section, name, "has come");
    return SESSION_CONTINUE;
}

/* Once: `closed` comes when the client has closed its side, too, which may be later than its farewell. */
static void leave(struct session *session)
{
    struct room *room = section_state(session_section(session));
    struct state *state = session_state(session);
    unsigned place = 0;

    if (state->id == 0)
        return;
    while (room->members[place] != state->id)
        place++;
    room->members[place] = room->members[--room->count];
    state->id = 0;
    announce_event(session_section(session), state->seat->name, "has gone");
    atomic_store(&state->seat->worker, 0);
}

static void closed(struct session *session, enum close_reason reason)
{
    (void)reason;
    leave(session);
}

/* ---- commands ---- */

static enum verdict who(struct session *session)
{
    struct hall *hall = section_shared(session_section(session));
    char name[NAME_MAX_SIZE + 1], line[NAME_MAX_SIZE + 8];

    for (unsigned i = 0; i < ROOM_MAX; i++)
        if (read_name(&hall->seats[i], NULL, name))
            session_send(session, line, (size_t)snprintf(line, sizeof(line), "> %s\n", name));
    return say(session, ">\n");
}

static enum verdict rename_member(struct session *session, const char *name, size_t size)
{
    struct state *state = session_state(session);
    char wanted[NAME_MAX_SIZE + 1] = "", event[NAME_MAX_SIZE + 32];

    if (size == 0 || size > NAME_MAX_SIZE || memchr(name, ' ', size) || memchr(name, '\0', size))
        return say(session, "* a name is one word of up to 30 bytes\n");
    memcpy(wanted, name, size);
    struct seat *seat = take_seat(section_shared(session_section(session)), wanted);
    if (!seat)
        return say(session, "* that name is taken\n");
    snprintf(event, sizeof(event), "is now %s", wanted);
    announce_event(session_section(session), state->seat->name, event);
    atomic_store(&state->seat->worker, 0);
    state->seat = seat;
    return SESSION_CONTINUE;
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    if (size >= 6 && memcmp(line, "/nick ", 6) == 0)
        return rename_member(session, line + 6, size - 6);
    if (size == 4 && memcmp(line, "/who", 4) == 0)
        return who(session);
    if (size == 5 && memcmp(line, "/quit", 5) == 0) {
        leave(session);
        return SESSION_CLOSE;
    }
    if (size > 0 && line[0] == '/')
        return say(session, "* /nick NAME, /who or /quit\n");
    announce_said(session, line, size);
    return SESSION_CONTINUE;
}

static void oversize(struct session *session)
{
    say(session, "* that was too long\n");
}

static enum verdict draining(struct session *session)
{
    return say(session, "* the server leaves; come again\n");
}

const struct service chat_service = {
    .name = "chat",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = LINE_MAX_SIZE,
    .state_size = sizeof(struct state),
    .section_size = sizeof(struct room),
    .shared_size = sizeof(struct hall),
    .counters = counters,
    .tick = sweep,
    .tick_ms = 1000,
    .published = deliver,
    .open = enter,
    .message = message,
    .oversize = oversize,
    .draining = draining,
    .close = closed,
};
