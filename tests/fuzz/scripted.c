#include "tests/fuzz/scripted.h"
#include "tests/fuzz/asking.h"
#include "worker/client.h"
#include <stdlib.h>
#include <string.h>

enum { CALLS_IN_A_CALLBACK = 3, CLIENTS_MAX = 4096, PLACES_MAX = 4096, CONSTANT_SIZE = 1 << 17, CONSTANT_SEED = 0 };

struct scripted scripted;

struct branch {
    struct conn *conn; /* NULL: none, or it has ended */
    uint32_t seed;     /* of what the upstream types */
    uint64_t taken;    /* bytes of it that messages have brought */
    uint32_t own_seed;
    uint64_t sent;
    struct expected expected;
};

/* A session as the test knows it. It outlives the server's, since bytes under way are checked afterwards. */
struct client {
    struct session *session; /* NULL before `open` and after `close` */
    uint64_t id;
    bool closed, coupled, paused, woken, told;
    bool asks;     /* over links, which may hold it up */
    bool finished; /* its service has closed it, and nothing has been dropped since */
    bool cut;      /* what was sent to it was too much, or memory was out */
    unsigned coupled_in;
    uint32_t seed, own_seed;
    uint64_t taken, sent;
    struct expected expected;
    struct branch link;
    const struct framing *framing;
    uint64_t timer_us[SESSION_TIMERS]; /* when they are to go off; 0: not set */
};

struct state {
    struct client *client;
};

_Static_assert(sizeof(struct state) == SCRIPTED_STATE_SIZE, "the state of a session");

static struct client *clients;
static unsigned client_count;
static struct place *places;
static unsigned place_count;
static uint32_t last_seed;
static struct client *arriving;   /* accepted, `open` has not been called */
static struct branch *connecting; /* session_connect() is being called */
static unsigned callbacks;
static char constant[CONSTANT_SIZE];

/* ---- the test's side ---- */

uint32_t scripted_new_seed(void)
{
    return ++last_seed;
}

size_t some_size(void)
{
    unsigned byte = next_byte();

    return byte < 128 ? byte : byte < 250 ? (size_t)(byte - 120) * 64 : (size_t)(byte - 240) * 5000;
}

struct expected *scripted_arrives(uint32_t seed)
{
    if (client_count == CLIENTS_MAX)
        kernel_blame("the test has room for fewer clients");
    struct client *client = &clients[client_count++];

    *client = (struct client){.seed = seed, .own_seed = scripted_new_seed()};
    arriving = client;
    return &client->expected;
}

struct expected *scripted_connects(uint32_t *seed)
{
    if (!connecting)
        return NULL;
    *seed = connecting->seed;
    return &connecting->expected;
}

void scripted_begin(void)
{
    if (!clients) {
        clients = calloc(CLIENTS_MAX, sizeof(*clients));
        places = calloc(PLACES_MAX, sizeof(*places));
        for (size_t i = 0; i < CONSTANT_SIZE; i++)
            constant[i] = (char)kernel_byte(CONSTANT_SEED, i);
    }
    memset(&scripted, 0, sizeof(scripted));
    client_count = place_count = last_seed = callbacks = 0;
    arriving = NULL;
}

struct client *scripted_client(struct session *session)
{
    struct client *client = ((struct state *)session_state(session))->client;

    callbacks++;
    if (!client || client->closed || client->session != session)
        kernel_blame("a callback for a session that is closed");
    if (session->client.phase == CONN_CLOSED && !session->client.handler.ready)
        kernel_blame("a callback of a session that has ended");
    return client;
}

/* ---- what it sends ---- */

static bool is_open(const struct client *client)
{
    return client->session && client->session->client.phase == CONN_OPEN;
}

/* When the time to drain is up, places are given up. */
static void note_given_up(const struct place *place)
{
    place->client->cut |= !reply_session(place->reply);
}

/* Whoever has been closed by its service and ends in a call has not been told everything. */
static void note_cut(struct client *client)
{
    client->cut |= client->session && client->session->client.phase == CONN_CLOSED;
}

static void fill(char *bytes, size_t size, uint32_t seed, uint64_t from)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)kernel_byte(seed, from + i);
}

static int open_file(struct client *client, uint32_t *seed, uint64_t size)
{
    struct kernel_socket *file = kernel_open(KERNEL_FILE);

    if (!file)
        return -1;
    *seed = file->seed = scripted_new_seed();
    file->typed = size;
    if (next_byte() % 16 == 0) { /* shorter than is said */
        file->typed = size / 2;
        client->cut = true;
    }
    return kernel_fd_of(file);
}

static void send_some(struct client *client)
{
    static char bytes[CONSTANT_SIZE];
    size_t size = some_size(), from = size / 3;
    uint32_t seed;
    int fd;

    if (client->coupled)
        return;
    switch (next_byte() % 6) {
    case 0:
        if (is_open(client))
            expected_add(&client->expected, CONSTANT_SEED, from, size);
        session_send_static(client->session, constant + from, size);
        break;
    case 1:
        if ((fd = open_file(client, &seed, from + size)) < 0)
            return;
        if (is_open(client))
            expected_add(&client->expected, seed, from, size);
        session_send_file(client->session, fd, from, size);
        break;
    default:
        fill(bytes, size, client->own_seed, client->sent);
        if (is_open(client))
            expected_add(&client->expected, client->own_seed, client->sent, size);
        client->sent += size;
        session_send(client->session, bytes, size);
    }
    note_cut(client);
}

static void reserve_some(struct client *client)
{
    size_t size = some_size(), used = size * (next_byte() % 3) / 2;

    if (client->coupled)
        return;
    char *room = session_reserve(client->session, size);
    note_cut(client);
    if (!room)
        return;
    fill(room, used, client->own_seed, client->sent);
    if (is_open(client))
        expected_add(&client->expected, client->own_seed, client->sent, used);
    client->sent += used;
    session_commit(client->session, used);
    note_cut(client);
}

/* ---- places of answers ---- */

bool place_reserve(struct place *place, struct client *client)
{
    bool was_open = is_open(client);
    struct reply *reply = session_reply(client->session);

    note_cut(client);
    if (reply && !was_open)
        kernel_blame("a place of a session that is closing");
    if (reply)
        *place = (struct place){.reply = reply, .client = client, .number = expected_open(&client->expected)};
    return reply != NULL;
}

static void reserve_some_place(struct client *client)
{
    if (place_count < PLACES_MAX && !client->coupled && place_reserve(&places[place_count], client))
        place_count++;
}

static bool takes(const struct client *client)
{
    return client->session && client->session->client.phase <= CONN_FLUSHING;
}

void place_send(const struct place *place)
{
    static char bytes[CONSTANT_SIZE];
    struct client *client = place->client;
    size_t size = some_size(), from = size / 3;
    uint32_t seed;
    int fd;

    note_given_up(place);
    if (reply_session(place->reply) && reply_session(place->reply) != client->session)
        kernel_blame("a place of another session");
    switch (next_byte() % 6) {
    case 0:
        if (takes(client))
            expected_add_to(&client->expected, place->number, CONSTANT_SEED, from, size);
        reply_send_static(place->reply, constant + from, size);
        break;
    case 1:
        if ((fd = open_file(client, &seed, from + size)) < 0)
            return;
        if (takes(client))
            expected_add_to(&client->expected, place->number, seed, from, size);
        reply_send_file(place->reply, fd, from, size);
        break;
    default:
        fill(bytes, size, client->own_seed, client->sent);
        if (takes(client))
            expected_add_to(&client->expected, place->number, client->own_seed, client->sent, size);
        client->sent += size;
        reply_send(place->reply, bytes, size);
    }
    note_cut(client);
}

void place_end(const struct place *place)
{
    note_given_up(place);
    expected_end(&place->client->expected, place->number);
    reply_end(place->reply);
    note_cut(place->client);
}

/* One of those that are kept. */
static void end_place(unsigned index)
{
    struct place place = places[index];

    places[index] = places[--place_count];
    place_end(&place);
}

static void act_on_place(void)
{
    if (place_count == 0)
        return;
    unsigned index = (next_byte() << 8 | next_byte()) % place_count;

    if (next_byte() % 2)
        place_send(&places[index]);
    else
        end_place(index);
}

/* ---- upstreams ---- */

static const struct upstream target;

/* The upstream before this one is closed, if its descriptor is not yet: nothing more is written to it. */
static void forget(const struct expected *expected)
{
    static struct expected nothing;

    for (unsigned i = 0; i < KERNEL_SOCKETS; i++)
        if (kernel.sockets[i].kind == KERNEL_STREAM && kernel.sockets[i].owner == expected)
            kernel.sockets[i].owner = &nothing;
}

static void connect_some(struct client *client)
{
    static const struct sock_address address = {.size = sizeof(struct sockaddr), .any.sa_family = AF_INET};

    if (client->link.conn || client->coupled || !is_open(client))
        return;
    forget(&client->link.expected);
    expected_free(&client->link.expected);
    client->link = (struct branch){.seed = scripted_new_seed(), .own_seed = scripted_new_seed()};
    connecting = &client->link;
    client->link.conn = session_connect(client->session, &address, 200, &target);
    connecting = NULL;
}

static void send_upstream(struct client *client)
{
    static char bytes[CONSTANT_SIZE];
    struct branch *link = &client->link;
    size_t size = some_size();

    if (!link->conn || client->coupled)
        return;
    fill(bytes, size, link->own_seed, link->sent);
    expected_add(&link->expected, link->own_seed, link->sent, size);
    link->sent += size;
    upstream_send(link->conn, bytes, size);
    note_cut(client);
}

static const struct kernel_socket *socket_to(const struct expected *expected)
{
    for (unsigned i = 0; i < KERNEL_SOCKETS; i++)
        if (kernel.sockets[i].kind == KERNEL_STREAM && kernel.sockets[i].owner == expected)
            return &kernel.sockets[i];
    return NULL;
}

static void couple(struct client *client)
{
    struct branch *link = &client->link;

    if (!link->conn || client->coupled || client->framing->kind == FRAMING_LINE || !is_open(client) ||
        (client->session->more && client->session->more->skip > 0))
        return;
    client->coupled = true;
    client->coupled_in = callbacks;
    expected_add(&client->expected, link->seed, link->taken, UINT64_MAX);
    expected_add(&link->expected, client->seed, client->taken, UINT64_MAX);
    session_couple(client->session, link->conn);
}

/* Closed by the service. A relay is none then: what has been read of either side has gone to the other one. */
static void close_upstream(struct client *client)
{
    struct branch *link = &client->link;
    const struct kernel_socket *near = socket_to(&client->expected), *far = socket_to(&link->expected);

    if (!link->conn || !is_open(client) || (client->coupled && (client->coupled_in == callbacks || !near)))
        return;
    if (client->coupled) {
        uint64_t taken = far ? far->taken - buffer_size(&link->conn->in) : link->taken;
        expected_cut_last(&client->expected, taken - link->taken);
        client->taken = near->taken - buffer_size(&client->session->client.in);
        client->coupled = false;
    }
    upstream_close(link->conn);
    link->conn = NULL;
    note_cut(client);
}

/* ---- what it sets ---- */

static void set_timer(struct client *client)
{
    unsigned number = next_byte() % (SESSION_TIMERS + 1);
    uint32_t ms = next_byte() * 3;

    if (number < SESSION_TIMERS && session_has_timers(client->session))
        client->timer_us[number] = ms ? kernel.turn_us + ms * UINT64_C(1000) : 0;
    if (number == 0)
        session_set_timer(client->session, ms);
    else
        session_set_timer_of(client->session, number, ms);
    note_cut(client);
}

static void hold_up(struct client *client)
{
    client->paused = next_byte() % 2;
    if (client->paused)
        session_pause(client->session);
    else
        session_resume(client->session);
    note_cut(client);
}

enum { FRAMINGS = 6 };
static const struct framing framings[FRAMINGS];

static void change_framing(struct client *client)
{
    unsigned which = next_byte() % (FRAMINGS + 1);

    if (client->coupled || !is_open(client))
        return;
    session_set_framing(client->session, which == FRAMINGS ? NULL : &framings[which]);
    client->framing = which == FRAMINGS ? &session_service(client->session)->framing : &framings[which];
    note_cut(client);
}

static void skip_some(struct client *client)
{
    size_t size = some_size();

    if (client->coupled || !is_open(client))
        return;
    session_skip(client->session, size);
    client->taken += size;
    note_cut(client);
}

/* To other workers, of which there are none here. */
static void speak(struct section *section)
{
    static char bytes[CONSTANT_SIZE];

    section_count(section, next_byte() % (STATS_OWN_COUNTERS + 1), next_byte());
    size_t size = some_size();
    bool can = section->config->service->published && size <= SECTION_PUBLISH_MAX;
    if ((section_publish(section, bytes, size) == 0) != can)
        kernel_blame("what can be published is not, or the other way round");
}

static void on_published(struct section *section, const char *bytes, size_t size)
{
    (void)section, (void)bytes, (void)size;
    kernel_blame("somebody has published");
}

static void ask(struct client *client)
{
    struct session_info info;

    session_get_info(client->session, &info);
    session_peer(client->session);
    session_count_error(client->session);
    speak(session_section(client->session));
    session_peer_is_local(client->session);
    if (session_now_ms(client->session) * 1000 > kernel.now_us)
        kernel_blame("the clock is early");
    if (!client->id)
        client->id = session_id(client->session);
    if (client->link.conn)
        upstream_queued(client->link.conn);
    session_queued(client->session);
    note_cut(client);
}

static void wake(struct client *client)
{
    client->woken |= is_open(client);
    session_wake(client->session);
    note_cut(client);
}

/* One call on a session that may end in the middle of it. */
static void act_on(struct client *client)
{
    switch (next_byte() % 18) {
    case 0:
    case 1:
    case 2: send_some(client); break;
    case 3: reserve_some(client); break;
    case 4: set_timer(client); break;
    case 5: connect_some(client); break;
    case 6:
    case 7: send_upstream(client); break;
    case 8: couple(client); break;
    case 9: close_upstream(client); break;
    case 10: reserve_some_place(client); break;
    case 11:
    case 12: act_on_place(); break;
    case 13: hold_up(client); break;
    case 14: change_framing(client); break;
    case 15: skip_some(client); break;
    case 16: wake(client); break;
    default: ask(client);
    }
}

/* Somebody else: found by number. NULL: there is nobody. */
static struct client *some_client(void)
{
    unsigned begin = next_byte();

    for (unsigned i = 0; i < client_count; i++) {
        struct client *client = &clients[(begin + i) % client_count];
        struct session *found = client->id ? session_find(client->id) : NULL;
        if (found != (client->id && is_open(client) ? client->session : NULL))
            kernel_blame("a number is another session's, or nobody's");
        if (found)
            return client;
    }
    return NULL;
}

static void act(struct client *client)
{
    for (unsigned i = next_byte() % (CALLS_IN_A_CALLBACK + 1); i > 0; i--) {
        struct client *other = next_byte() % 4 ? NULL : some_client();
        if (other || client)
            act_on(other ? other : client);
    }
}

/* ---- callbacks ---- */

static enum verdict answer(struct client *client)
{
    unsigned byte = next_byte();

    act(client);
    if (byte < 235)
        return SESSION_CONTINUE;
    client->finished |= byte < 250;
    client->cut |= byte >= 250;
    return byte < 243 ? SESSION_CLOSE : byte < 250 ? SESSION_REJECT : SESSION_ABORT;
}

/* A callback that comes only while the session is open. */
static struct client *open_client_of(struct session *session)
{
    struct client *client = scripted_client(session);

    if (!is_open(client))
        kernel_blame("a callback of a session that is closing");
    return client;
}

struct client *scripted_open(struct session *session)
{
    struct client *client = arriving;

    ((struct state *)session_state(session))->client = client;
    arriving = NULL;
    client->session = session;
    client->framing = &session_service(session)->framing;
    callbacks++;
    scripted.opened++;
    return client;
}

static enum verdict on_open(struct session *session)
{
    return answer(scripted_open(session));
}

void scripted_check_typed(uint32_t seed, uint64_t at, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)bytes[i] != kernel_byte(seed, at + i))
            kernel_blame("a message that nobody has typed");
}

void scripted_take(struct client *client, const char *bytes, size_t size)
{
    scripted_check_typed(client->seed, client->taken, bytes, size);
    client->taken += size;
}

enum verdict scripted_ask(struct client *client)
{
    unsigned byte = next_byte();

    client->asks = true;
    if (byte < 245)
        return SESSION_CONTINUE;
    client->finished |= byte < 250;
    client->cut |= byte >= 250;
    return byte < 250 ? SESSION_CLOSE : SESSION_ABORT;
}

static enum verdict on_message(struct session *session, const char *bytes, size_t size)
{
    struct client *client = open_client_of(session);

    if (client->coupled)
        kernel_blame("a message of a client that is coupled");
    if (client->paused)
        kernel_blame("a message of a client that is paused");
    scripted_take(client, bytes, size);
    if (client->framing->kind == FRAMING_LINE) {
        client->taken += kernel_byte(client->seed, client->taken) == '\r';
        if (kernel_byte(client->seed, client->taken++) != '\n')
            kernel_blame("a line without its end");
    } else if (client->framing->kind == FRAMING_FUNCTION && size != (uint8_t)bytes[0] + 1u) {
        kernel_blame("a message of another size than was measured");
    } else if (client->framing->kind == FRAMING_BLOCK && size != client->framing->block_size) {
        kernel_blame("a block of another size");
    }
    return answer(client);
}

static void on_oversize(struct session *session)
{
    act(scripted_client(session));
}

static enum verdict on_timer(struct session *session, unsigned number)
{
    struct client *client = scripted_client(session);
    uint64_t *timer_us = &client->timer_us[number];

    if (!session_has_timers(session))
        kernel_blame("a timer of a session that is closing and owes no answer");
    if (*timer_us == 0)
        kernel_blame("a timer that nobody has set");
    if (kernel.now_us < *timer_us)
        kernel_blame("a timer that goes off early");
    if (kernel.previous_turn_us >= *timer_us + TIMER_TICK_MS * 1000)
        kernel_blame("a timer that goes off late");
    *timer_us = 0;
    return answer(client);
}

static enum verdict on_timeout(struct session *session)
{
    return on_timer(session, 0);
}

static enum verdict on_drained(struct session *session)
{
    return answer(open_client_of(session));
}

static enum verdict on_woken(struct session *session)
{
    struct client *client = open_client_of(session);

    if (!client->woken)
        kernel_blame("woken by nobody");
    client->woken = false;
    return answer(client);
}

static enum verdict on_draining(struct session *session)
{
    struct client *client = open_client_of(session);

    if (client->told)
        kernel_blame("told twice that the worker leaves");
    client->told = true;
    return answer(client);
}

/* A session that its service has closed has sent everything, unless the client took no more or is gone, or
 * memory was out. */
static void check_last_words(struct client *client, enum close_reason reason)
{
    const struct kernel_socket *socket = socket_to(&client->expected);

    if (!socket)
        kernel_blame("the descriptor was closed before the service was told");
    if (kernel.starved || section_of(client->session)->config->max_output <= SCRIPTED_OUTPUT_SMALL)
        return;
    if (client->finished && !client->cut && (reason == CLOSE_done || reason == CLOSE_protocol) && !client->coupled &&
        socket->room > 0 && !socket->failed && !socket->reset && !expected_is_owed(&client->expected) &&
        !expected_is_all_written(&client->expected))
        kernel_blame("a session was closed, and its last words were not sent");
    if (reason == CLOSE_drain && !scripted.hurried && !client->paused && !client->asks &&
        !expected_is_owed(&client->expected) && socket->typed > socket->taken)
        kernel_blame("a session was not read though nobody held it up");
}

void scripted_close(struct session *session, enum close_reason reason)
{
    struct client *client = scripted_client(session);

    if (reason >= CLOSE_REASONS)
        kernel_blame("an unknown reason");
    check_last_words(client, reason);
    client->cut = true;
    act(client);
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].client == client && reply_session(places[i].reply))
            kernel_blame("a place of a session that has ended");
    client->closed = true;
    client->session = NULL;
    client->link.conn = NULL;
    scripted.ended++;
}

static enum verdict on_connected(struct session *session, struct conn *conn)
{
    struct client *client = scripted_client(session);

    if (client->link.conn != conn)
        kernel_blame("a connection that nobody has asked for");
    return answer(client);
}

static enum verdict on_answer(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    struct client *client = scripted_client(session);

    if (client->link.conn != conn || client->coupled)
        kernel_blame("an answer of a connection that has ended, or is coupled");
    scripted_check_typed(client->link.seed, client->link.taken, bytes, size);
    client->link.taken += size;
    return answer(client);
}

static enum verdict on_upstream_closed(struct session *session, struct conn *conn, int error)
{
    struct client *client = scripted_client(session);

    (void)error;
    if (client->link.conn != conn)
        kernel_blame("a connection has ended twice");
    client->link.conn = NULL;
    return client->coupled ? SESSION_CLOSE : answer(client);
}

/* ---- the life of a worker ---- */

static int on_start(struct section *section, char *error, size_t error_size)
{
    (void)error, (void)error_size;
    *(unsigned *)section_state(section) = ++scripted.started;
    section_beat(section);
    return 0;
}

static void on_tick(struct section *section)
{
    if (*(unsigned *)section_state(section) == 0)
        kernel_blame("a tick of a section that was not started");
    act(some_client());
}

static void on_stop(struct section *section)
{
    *(unsigned *)section_state(section) = 0;
    if (scripted.opened != scripted.ended)
        kernel_blame("stopped before the sessions have ended");
    scripted.stopped++;
}

void scripted_let_go(void)
{
    for (unsigned i = 0; i < client_count; i++)
        if (is_open(&clients[i])) {
            session_resume(clients[i].session);
            clients[i].paused = false;
        }
    for (unsigned i = 0; i < place_count;)
        if (places[i].number % 8 == 0)
            i++;
        else
            end_place(i);
}

void scripted_end(void)
{
    while (place_count > 0) {
        if (reply_session(places[0].reply))
            kernel_blame("a place of a session that has ended");
        end_place(0);
    }
    for (unsigned i = 0; i < client_count; i++) {
        expected_free(&clients[i].expected);
        expected_free(&clients[i].link.expected);
    }
}

/* ---- services ---- */

/* The first byte tells the size; one in 256 makes no sense. */
static ssize_t measure(const char *bytes, size_t size)
{
    uint8_t first = (uint8_t)bytes[0];

    (void)size;
    return first == 255 ? -1 : first + 1;
}

/* The same, byte by byte. */
static ssize_t measure_on(const char *bytes, size_t size, struct scan *scan)
{
    if (scan->at > size || scan->state != scan->at * UINT64_C(7) || (scan->at > 0 && (uint8_t)bytes[0] < scan->at))
        kernel_blame("progress of another message");
    if ((uint8_t)bytes[0] == 255)
        return -1;
    for (; scan->at < size; scan->at++, scan->state += 7)
        if (scan->at == (uint8_t)bytes[0])
            return scan->at + 1;
    return 0;
}

static const struct framing framings[FRAMINGS] = {
    {.kind = FRAMING_RAW},
    {.kind = FRAMING_LINE},
    {.kind = FRAMING_FUNCTION, .measure = measure},
    {.kind = FRAMING_FUNCTION, .measure_on = measure_on},
    {.kind = FRAMING_BLOCK, .block_size = 64},
    {.kind = FRAMING_BLOCK, .block_size = 3000}, /* more than some sections' max_frame */
};

static const struct upstream target = {
    .framing = {.kind = FRAMING_RAW}, .connected = on_connected, .message = on_answer, .closed = on_upstream_closed};

#define SERVICE                                                                                                        \
    .state_size = SCRIPTED_STATE_SIZE, .section_size = sizeof(unsigned), .start = on_start, .stop = on_stop,           \
    .open = on_open, .message = on_message, .oversize = on_oversize, .timeout = on_timeout, .timer = on_timer,         \
    .woken = on_woken, .close = scripted_close

static const struct service service_raw = {
    .name = "raw", .framing = {.kind = FRAMING_RAW}, .published = on_published, SERVICE};
static const struct service service_line = {
    .name = "line", .framing = {.kind = FRAMING_LINE}, .draining = on_draining, SERVICE};
static const struct service service_sized = {
    .name = "sized", .framing = {.kind = FRAMING_FUNCTION, .measure = measure}, .turn_end = on_tick, SERVICE};
static const struct service service_drained = {
    .name = "drained", .framing = {.kind = FRAMING_RAW}, .drained = on_drained, .draining = on_draining, SERVICE};
static const struct service service_parts = {.name = "parts",
                                             .framing = {.kind = FRAMING_FUNCTION, .measure_on = measure_on},
                                             .nonsense = on_oversize,
                                             .tick = on_tick,
                                             .tick_ms = 50,
                                             SERVICE};
const struct service *const scripted_services[SCRIPTED_SERVICES] = {&service_raw,     &service_line,  &service_sized,
                                                                    &service_drained, &service_parts, &asking_service};
