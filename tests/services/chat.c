/*
 * A room for all who are connected: what one says, everybody reads. "/nick NAME" gives a name, "/who" tells the names,
 * "/quit" leaves.
 *
 *    message -> publish() -> deliver(): to all members of this worker
 *
 * Members are kept as numbers, so that nobody holds a session that has gone.
 */
#include "worker/session.h"
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_SIZE = 30, LINE_MAX_SIZE = 500, ROOM_MAX = 10000 };

struct room {
    uint64_t members[ROOM_MAX];
    unsigned count;
};

struct state {
    uint64_t id; /* 0: not in the room */
    char name[NAME_MAX_SIZE + 1];
};

/* ---- to everybody ---- */

static void deliver(const struct room *room, const char *line, size_t size)
{
    for (unsigned i = 0; i < room->count; i++) {
        struct session *member = session_find(room->members[i]);
        if (member) /* else it has begun to close, and is about to leave */
            session_send(member, line, size);
    }
}

/* One worker is one room. With several, this is where a line goes to the others. */
static void publish(struct section *section, const char *line, size_t size)
{
    deliver(section_state(section), line, size);
}

static void publish_event(struct session *session, const char *what)
{
    const struct state *state = session_state(session);
    char line[2 * NAME_MAX_SIZE + 32];

    publish(session_section(session), line, (size_t)snprintf(line, sizeof(line), "* %s %s\n", state->name, what));
}

static void publish_said(struct session *session, const char *text, size_t size)
{
    const struct state *state = session_state(session);
    char line[NAME_MAX_SIZE + LINE_MAX_SIZE + 8];
    size_t begin = (size_t)snprintf(line, sizeof(line), "%s: ", state->name);

    memcpy(line + begin, text, size);
    line[begin + size] = '\n';
    publish(session_section(session), line, begin + size + 1);
}

/* ---- members ---- */

static enum verdict say(struct session *session, const char *text)
{
    session_send(session, text, strlen(text));
    return SESSION_CONTINUE;
}

static enum verdict enter(struct session *session)
{
    struct room *room = section_state(session_section(session));
    struct state *state = session_state(session);
    uint64_t id = session_id(session);

    if (id == 0 || room->count == ROOM_MAX) {
        say(session, "* the room is full\n");
        return SESSION_CLOSE;
    }
    snprintf(state->name, sizeof(state->name), "guest%llu", (unsigned long long)id);
    state->id = id;
    room->members[room->count++] = id;
    publish_event(session, "has come");
    return SESSION_CONTINUE;
}

/* Once: `closed` comes when the client has closed its side, too, which may be later than its farewell. */
static void leave(struct session *session)
{
    struct room *room = section_state(session_section(session));
    struct state *state = session_state(session);
    unsigned seat = 0;

    if (state->id == 0)
        return;
    while (room->members[seat] != state->id)
        seat++;
    room->members[seat] = room->members[--room->count];
    state->id = 0;
    publish_event(session, "has gone");
}

static void closed(struct session *session, enum close_reason reason)
{
    (void)reason;
    leave(session);
}

static const char *name_of(uint64_t id)
{
    struct session *member = session_find(id);
    const struct state *state = member ? session_state(member) : NULL;

    return state ? state->name : NULL;
}

/* ---- commands ---- */

static enum verdict who(struct session *session)
{
    const struct room *room = section_state(session_section(session));

    for (unsigned i = 0; i < room->count; i++) {
        const char *name = name_of(room->members[i]);
        char line[NAME_MAX_SIZE + 8];
        if (name)
            session_send(session, line, (size_t)snprintf(line, sizeof(line), "> %s\n", name));
    }
    return say(session, ">\n");
}

static bool is_taken(const struct room *room, const char *name)
{
    for (unsigned i = 0; i < room->count; i++) {
        const char *other = name_of(room->members[i]);
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static enum verdict rename_member(struct session *session, const char *name, size_t size)
{
    struct state *state = session_state(session);
    char wanted[NAME_MAX_SIZE + 1] = "", event[NAME_MAX_SIZE + 32];

    if (size == 0 || size > NAME_MAX_SIZE || memchr(name, ' ', size) || memchr(name, '\0', size))
        return say(session, "* a name is one word of up to 30 bytes\n");
    memcpy(wanted, name, size);
    if (is_taken(section_state(session_section(session)), wanted))
        return say(session, "* that name is taken\n");
    snprintf(event, sizeof(event), "is now %s", wanted);
    publish_event(session, event);
    memcpy(state->name, wanted, sizeof(wanted));
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
    publish_said(session, line, size);
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
    .open = enter,
    .message = message,
    .oversize = oversize,
    .draining = draining,
    .close = closed,
};
