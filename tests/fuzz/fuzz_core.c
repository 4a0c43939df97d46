/*
 * The whole worker in one process: reactor, sessions, upstreams, relays, listeners, adoption and drain run for real, on
 * a kernel in memory (fake_kernel.h) that fails when it is told to. The input is a program: what clients, upstreams,
 * the master and the kernel do between two turns of the loop, and what the services answer.
 *
 * What must hold, whatever happens:
 *   - `close` comes once for each session that was opened, and no callback after it
 *   - a peer receives what was sent to it, in order: every byte, from the first on, until the connection failed
 *   - a service is given what its client has typed, in order, cut as its framing says
 *   - a timer never goes off early, nor later than one tick
 *   - the loop sleeps when there is nothing to do; a drain ends in time
 *   - what is asked over a link is sent in order, answered or lost in order, each exactly once, and lost as sent if a
 *     byte of it was
 *   - descriptors and memory are all given back
 */
#include "tests/fuzz/fake_kernel.h"
#include "worker/client.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    LISTENERS = 5,
    DRAIN_MS = 1000,
    SHORT_MS = 40,
    IDLE_MS = 3000,
    TURNS_MAX = 20000,
    CALLS_IN_A_CALLBACK = 3,
    CLIENTS_MAX = 8192,
    OUTPUT_SMALL = 4096
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the program ---- */

static struct {
    const uint8_t *bytes;
    size_t size;
    bool over;
} input;

static unsigned next_byte(void)
{
    if (input.size == 0)
        return 0;
    input.size--;
    return *input.bytes++;
}

/* ---- what each side may expect to be written to it ---- */

/* A stream is made of pieces, each from a place in a source: what a service sends itself, or what another peer types.
 */
struct piece {
    uint32_t seed;
    uint64_t from;  /* in the source */
    uint64_t begin; /* in the stream */
};

enum { PIECES = 2 };

struct stream {
    struct piece pieces[PIECES];
    unsigned count;
    uint64_t sent; /* by the service itself, before it was coupled */
};

static uint8_t expected_byte(const struct stream *stream, uint64_t n)
{
    const struct piece *piece = &stream->pieces[stream->count - 1];

    while (piece > stream->pieces && piece->begin > n)
        piece--;
    return kernel_byte(piece->seed, piece->from + n - piece->begin);
}

/* ---- services ---- */

struct branch {
    struct conn *conn;    /* NULL: none, or it has ended */
    uint32_t seed;        /* of what the upstream types */
    uint64_t taken;       /* bytes of it that messages have brought */
    struct stream stream; /* to the upstream */
    bool coupled;
};

/* A session as the test knows it. It outlives the server's, since bytes under way are checked afterwards. */
struct client {
    struct session *session; /* NULL before `open` and after `close` */
    bool used, closed, coupled;
    uint64_t last_word; /* what had been sent to it when its service closed it; 0: it has not */
    uint32_t seed;
    uint64_t taken;
    struct stream stream;
    struct branch link;
    uint64_t timer_us; /* when it is to go off; 0: not set */
};

struct state {
    struct client *client;
};

static struct client clients[CLIENTS_MAX];
static unsigned client_count, opened, ended;
static uint32_t last_seed;
static struct client *arriving;   /* accepted, `open` has not been called */
static struct branch *connecting; /* session_connect() is being called */
static const char filler[1 << 17] = "";

static struct client *client_of(struct session *session)
{
    struct client *client = ((struct state *)session_state(session))->client;

    if (!client || client->closed || client->session != session)
        kernel_blame("a callback for a session that is closed");
    return client;
}

static void fill(char *bytes, size_t size, const struct stream *stream, uint64_t from)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)kernel_byte(stream->pieces[0].seed, from + i);
}

static size_t some_size(void)
{
    unsigned byte = next_byte();

    return byte < 128 ? byte : byte < 250 ? (size_t)(byte - 120) * 64 : (size_t)(byte - 240) * 5000;
}

static void send_some(struct session *session, struct client *client)
{
    static char bytes[sizeof(filler)];
    size_t size = some_size();

    if (client->coupled)
        return;
    fill(bytes, size, &client->stream, client->stream.sent);
    client->stream.sent += size;
    session_send(session, bytes, size);
}

static void reserve_some(struct session *session, struct client *client)
{
    size_t size = some_size(), used = size * (next_byte() % 3) / 2;

    if (client->coupled)
        return;
    char *room = session_reserve(session, size);
    if (!room)
        return;
    fill(room, used, &client->stream, client->stream.sent);
    client->stream.sent += used;
    session_commit(session, used);
}

static const struct upstream target;

static const struct sock_address address = {.size = sizeof(struct sockaddr), .any.sa_family = AF_INET};

static void connect_some(struct session *session, struct client *client)
{
    if (client->link.conn || client->coupled)
        return;
    client->link = (struct branch){.seed = last_seed + 1, .stream = {.count = 1, .pieces = {{.seed = last_seed + 2}}}};
    last_seed += 2;
    connecting = &client->link;
    client->link.conn = session_connect(session, &address, 200, &target);
    connecting = NULL;
}

static void send_upstream(struct client *client)
{
    static char bytes[sizeof(filler)];
    struct branch *link = &client->link;
    size_t size = some_size();

    if (!link->conn || client->coupled)
        return;
    fill(bytes, size, &link->stream, link->stream.sent);
    link->stream.sent += size;
    upstream_send(link->conn, bytes, size);
}

static void couple(struct session *session, struct client *client)
{
    struct branch *link = &client->link;

    if (!link->conn || client->coupled || section_of(session)->config->service->framing.kind == FRAMING_LINE)
        return;
    client->coupled = link->coupled = true;
    client->stream.pieces[1] = (struct piece){.seed = link->seed, .from = link->taken, .begin = client->stream.sent};
    link->stream.pieces[1] = (struct piece){.seed = client->seed, .from = client->taken, .begin = link->stream.sent};
    client->stream.count = link->stream.count = 2;
    session_couple(session, link->conn);
}

static void set_timer(struct session *session, struct client *client)
{
    uint32_t ms = next_byte() * 3;

    client->timer_us = ms ? kernel.turn_us + ms * UINT64_C(1000) : 0;
    session_set_timer(session, ms);
}

/* Some calls, on a session that may end in the middle of them. */
static void act(struct session *session)
{
    struct client *client = client_of(session);

    for (unsigned i = next_byte() % (CALLS_IN_A_CALLBACK + 1); i > 0; i--)
        switch (next_byte() % 10) {
        case 0:
        case 1: send_some(session, client); break;
        case 2: reserve_some(session, client); break;
        case 3: set_timer(session, client); break;
        case 4: connect_some(session, client); break;
        case 5: send_upstream(client); break;
        case 6: couple(session, client); break;
        case 7: session_peer(session); break;
        case 8: session_count_error(session); break;
        default: session_peer_is_local(session);
        }
}

static enum verdict answer(struct session *session)
{
    struct client *client = client_of(session);
    unsigned byte = next_byte();

    if (session->client.phase != CONN_OPEN)
        kernel_blame("a callback of a session that has ended");
    act(session);
    if (byte < 230)
        return SESSION_CONTINUE;
    if (byte < 250 && client->last_word == 0)
        client->last_word = client->stream.sent;
    return byte < 240 ? SESSION_CLOSE : byte < 250 ? SESSION_REJECT : SESSION_ABORT;
}

static enum verdict on_open(struct session *session)
{
    struct client *client = arriving;

    ((struct state *)session_state(session))->client = client;
    arriving = NULL;
    client->session = session;
    opened++;
    return answer(session);
}

static void check_typed(uint32_t seed, uint64_t at, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)bytes[i] != kernel_byte(seed, at + i))
            kernel_blame("a message that nobody has typed");
}

static enum verdict on_message(struct session *session, const char *bytes, size_t size)
{
    struct client *client = client_of(session);

    if (client->coupled)
        kernel_blame("a message of a client that is coupled");
    check_typed(client->seed, client->taken, bytes, size);
    client->taken += size;
    if (section_of(session)->config->service->framing.kind == FRAMING_LINE) {
        client->taken += kernel_byte(client->seed, client->taken) == '\r';
        if (kernel_byte(client->seed, client->taken++) != '\n')
            kernel_blame("a line without its end");
    }
    return answer(session);
}

static void on_oversize(struct session *session)
{
    act(session);
}

static enum verdict on_timeout(struct session *session)
{
    struct client *client = client_of(session);

    if (client->timer_us == 0)
        kernel_blame("a timer that nobody has set");
    if (kernel.now_us < client->timer_us)
        kernel_blame("a timer that goes off early");
    if (kernel.previous_turn_us >= client->timer_us + TIMER_TICK_MS * 1000)
        kernel_blame("a timer that goes off late");
    client->timer_us = 0;
    return answer(session);
}

static enum verdict on_drained(struct session *session)
{
    return answer(session);
}

static const struct kernel_socket *socket_to(const struct stream *stream)
{
    for (unsigned i = 0; i < KERNEL_SOCKETS; i++)
        if (kernel.sockets[i].kind == KERNEL_STREAM && kernel.sockets[i].owner == stream)
            return &kernel.sockets[i];
    return NULL;
}

/* A session that its service has closed has sent everything, unless the client took no more or is gone, or
 * memory was out. */
static void check_last_words(const struct client *client, enum close_reason reason)
{
    const struct kernel_socket *socket = socket_to(&client->stream);

    if (!socket)
        kernel_blame("the descriptor was closed before the service was told");
    if (kernel.starved || section_of(client->session)->config->max_output <= OUTPUT_SMALL)
        return;
    if (client->last_word && (reason == CLOSE_done || reason == CLOSE_protocol) && !client->coupled &&
        socket->room > 0 && !socket->failed && !socket->reset && socket->written < client->last_word)
        kernel_blame("a session was closed, and its last words were not sent");
}

static void on_close(struct session *session, enum close_reason reason)
{
    struct client *client = client_of(session);

    if (reason >= CLOSE_REASONS)
        kernel_blame("an unknown reason");
    check_last_words(client, reason);
    session_peer(session);
    client->closed = true;
    client->session = NULL;
    client->link.conn = NULL;
    ended++;
}

static enum verdict on_connected(struct session *session, struct conn *conn)
{
    if (client_of(session)->link.conn != conn)
        kernel_blame("a connection that nobody has asked for");
    return answer(session);
}

static enum verdict on_answer(struct session *session, struct conn *conn, const char *bytes, size_t size)
{
    struct client *client = client_of(session);

    if (client->link.conn != conn || client->coupled)
        kernel_blame("an answer of a connection that has ended, or is coupled");
    check_typed(client->link.seed, client->link.taken, bytes, size);
    client->link.taken += size;
    return answer(session);
}

static enum verdict on_upstream_closed(struct session *session, struct conn *conn, int error)
{
    struct client *client = client_of(session);

    (void)error;
    if (client->link.conn != conn)
        kernel_blame("a connection has ended twice");
    client->link.conn = NULL;
    return client->coupled ? SESSION_CLOSE : answer(session);
}

static const struct upstream target = {
    .framing = {.kind = FRAMING_RAW}, .connected = on_connected, .message = on_answer, .closed = on_upstream_closed};

/* The first byte tells the size; one in 256 makes no sense. */
static ssize_t measure(const char *bytes, size_t size)
{
    uint8_t first = (uint8_t)bytes[0];

    (void)size;
    return first == 255 ? -1 : first + 1;
}

#define SERVICE                                                                                                        \
    .state_size = sizeof(struct state), .open = on_open, .message = on_message, .oversize = on_oversize,               \
    .timeout = on_timeout, .close = on_close

static const struct service service_raw = {.name = "raw", .framing = {.kind = FRAMING_RAW}, SERVICE};
static const struct service service_line = {.name = "line", .framing = {.kind = FRAMING_LINE}, SERVICE};
static const struct service service_sized = {
    .name = "sized", .framing = {.kind = FRAMING_FUNCTION, .measure = measure}, SERVICE};
static const struct service service_drained = {
    .name = "drained", .framing = {.kind = FRAMING_RAW}, .drained = on_drained, SERVICE};

/* ---- links ---- */

enum { QUESTIONS = 1 << 14, SHARED = 0, TAKEN = 1, WIRES = 2 };

struct asked {
    struct reply *reply;   /* NULL: nobody's */
    struct client *client; /* whose */
    uint32_t seed, size;   /* of the question */
    uint32_t written;      /* bytes of it that the server has been sent */
};

/* A link as the test knows it, with what has been asked over it: those from `first` to `next` are not answered. */
static struct wire {
    struct link *link;
    struct asked asked[QUESTIONS];
    unsigned first, next;
    uint32_t seed;  /* of what the server of the present connection types */
    uint64_t taken; /* bytes of it that messages have brought */
    unsigned at;    /* which is being written */
    bool begun;     /* something has been written on the present connection */
} wires[WIRES];

static struct wire *asking; /* link_ask() is being called */
static struct link_target asked_of;

static struct wire *wire_of(const struct link *link)
{
    for (unsigned i = 0; i < WIRES; i++)
        if (wires[i].link == link)
            return &wires[i];
    kernel_blame("a callback of a link that is closed, or not in use");
}

static struct asked *asked_at(struct wire *wire, unsigned n)
{
    return &wire->asked[n % QUESTIONS];
}

static void connect_wire(struct kernel_socket *socket)
{
    struct wire *wire = asking ? asking : &wires[SHARED];

    wire->seed = socket->seed = ++last_seed;
    wire->taken = 0;
    wire->begun = false;
    socket->owner = wire;
}

static struct wire *wire_to(const struct kernel_socket *socket)
{
    for (unsigned i = 0; i < WIRES; i++)
        if (socket->owner == &wires[i])
            return &wires[i];
    return NULL;
}

/* The server answers at once; what it has typed before, and what it types on its own, may be answers, too. */
static void answer_asked(struct kernel_socket *socket)
{
    if (next_byte() % 4 != 0)
        socket->typed += kernel_byte(socket->seed, socket->typed) % 16 + 1;
}

static void check_asked(struct kernel_socket *socket, struct wire *wire, const uint8_t *bytes, size_t size)
{
    if (!wire->begun)
        wire->at = wire->first;
    wire->begun = true;
    for (size_t i = 0; i < size; i++) {
        while (wire->at != wire->next && asked_at(wire, wire->at)->written == asked_at(wire, wire->at)->size)
            wire->at++;
        struct asked *asked = asked_at(wire, wire->at);
        if (wire->at == wire->next || bytes[i] != kernel_byte(asked->seed, asked->written++))
            kernel_blame("a byte was sent that nobody has asked next");
        if (asked->written == asked->size)
            answer_asked(socket);
    }
}

/* `before`: the link says that it comes before all others. */
static bool ask(struct wire *wire, struct reply *reply, struct client *client, bool before)
{
    static char bytes[sizeof(filler)];
    struct asked asked = {.reply = reply, .client = client, .seed = ++last_seed, .size = (uint32_t)some_size() + 1};

    for (uint32_t i = 0; i < asked.size; i++)
        bytes[i] = (char)kernel_byte(asked.seed, i);
    asking = wire;
    int result = link_ask(wire->link, reply, bytes, asked.size);
    asking = NULL;
    if (result < 0)
        return false;
    *asked_at(wire, before ? --wire->first : wire->next++) = asked;
    if (wire->next - wire->first != link_unanswered(wire->link))
        kernel_blame("a link counts otherwise");
    return true;
}

/* The oldest is answered or lost. */
static struct asked take_first(struct wire *wire, const struct reply *reply)
{
    if (wire->first == wire->next || asked_at(wire, wire->first)->reply != reply)
        kernel_blame("an answer to another question");
    return *asked_at(wire, wire->first++);
}

static void end_reply(const struct asked *asked)
{
    static char bytes[512];
    size_t size = next_byte() * 2;

    if (!asked->reply)
        return;
    if (reply_session(asked->reply)) {
        fill(bytes, size, &asked->client->stream, asked->client->stream.sent);
        asked->client->stream.sent += size;
        reply_send(asked->reply, bytes, size);
    }
    reply_end(asked->reply);
}

static void on_link_connected(struct link *link)
{
    if (next_byte() % 2)
        ask(wire_of(link), NULL, NULL, true);
}

static void check_said(struct wire *wire, const char *bytes, size_t size)
{
    check_typed(wire->seed, wire->taken, bytes, size);
    wire->taken += size;
}

static void on_link_answer(struct link *link, struct reply *reply, const char *bytes, size_t size)
{
    struct wire *wire = wire_of(link);
    struct asked asked = take_first(wire, reply);

    check_said(wire, bytes, size);
    if (asked.written == 0)
        kernel_blame("an answer to what has not been asked");
    end_reply(&asked);
    if (next_byte() % 8 == 0)
        ask(wire, NULL, NULL, false);
}

static void on_link_lost(struct link *link, struct reply *reply, bool sent, int error)
{
    struct wire *wire = wire_of(link);
    struct asked asked = take_first(wire, reply);

    (void)error;
    if (sent != (asked.written > 0))
        kernel_blame("a question was sent, or was not");
    end_reply(&asked);
    if (next_byte() % 8 == 0)
        ask(wire, NULL, NULL, false);
}

static void on_link_push(struct link *link, const char *bytes, size_t size)
{
    struct wire *wire = wire_of(link);

    check_said(wire, bytes, size);
    if (wire->first != wire->next && asked_at(wire, wire->first)->written > 0)
        kernel_blame("an answer was taken for none");
}

/* Many small ones; some make no sense. */
static ssize_t measure_answer(const char *bytes, size_t size)
{
    uint8_t first = (uint8_t)bytes[0];

    (void)size;
    return first == 255 ? -1 : first % 16 + 1;
}

static int open_shared(struct section *section)
{
    wires[SHARED].first = wires[SHARED].next = 1 << 20;
    wires[SHARED].link = link_open(section, &asked_of);
    return wires[SHARED].link ? 0 : -1;
}

static void close_wire(struct wire *wire)
{
    if (wire->link)
        link_close(wire->link);
    wire->link = NULL;
    if (wire->first != wire->next)
        kernel_blame("a question was forgotten");
}

static void use_taken(void)
{
    struct wire *wire = &wires[TAKEN];

    if (!wire->link) {
        wire->link = link_take(wires[SHARED].link);
        wire->first = wire->next = 1 << 20;
    } else if (next_byte() % 4 == 0) {
        close_wire(wire);
    } else if (next_byte() % 4 == 0 && wire->first == wire->next) {
        link_return(wire->link);
        wire->link = NULL;
    } else {
        ask(wire, NULL, NULL, false);
    }
}

static enum verdict on_asking_open(struct session *session)
{
    ((struct state *)session_state(session))->client = arriving;
    arriving->session = session;
    arriving = NULL;
    opened++;
    return SESSION_CONTINUE;
}

static enum verdict on_asking_message(struct session *session, const char *bytes, size_t size)
{
    struct client *client = client_of(session);
    unsigned byte = next_byte();

    check_said(&(struct wire){.seed = client->seed, .taken = client->taken}, bytes, size);
    client->taken += size;
    if (byte < 4)
        close_wire(&wires[SHARED]);
    for (unsigned i = byte % 8; i > 0; i--) {
        if (!wires[SHARED].link && open_shared(session_section(session)) < 0)
            break;
        if (next_byte() % 8 == 0)
            use_taken();
        struct reply *reply = session_reply(session);
        if (reply && !ask(&wires[SHARED], reply, client, false))
            reply_end(reply);
    }
    if (byte < 245)
        return SESSION_CONTINUE;
    if (byte >= 250)
        return SESSION_ABORT;
    client->last_word = client->stream.sent;
    return SESSION_CLOSE;
}

static int on_start(struct section *section, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    wires[TAKEN].link = NULL;
    wires[TAKEN].first = wires[TAKEN].next;
    return open_shared(section);
}

static const struct service service_asking = {.name = "asking",
                                              .framing = {.kind = FRAMING_RAW},
                                              .state_size = sizeof(struct state),
                                              .start = on_start,
                                              .open = on_asking_open,
                                              .message = on_asking_message,
                                              .close = on_close};

static const struct service *const offered[LISTENERS] = {&service_raw, &service_line, &service_sized, &service_drained,
                                                         &service_asking};

/* ---- the peers ---- */

static void on_accepted(struct kernel_socket *socket)
{
    struct client *client = &clients[client_count++ % CLIENTS_MAX];

    *client = (struct client){
        .used = true, .seed = socket->seed, .stream = {.count = 1, .pieces = {{.seed = ++last_seed}}}};
    arriving = client;
    socket->owner = &client->stream;
}

static void on_connect(struct kernel_socket *socket)
{
    if (!connecting) {
        connect_wire(socket);
        return;
    }
    socket->seed = connecting->seed;
    socket->owner = &connecting->stream;
}

static void on_wrote(struct kernel_socket *socket, const uint8_t *bytes, size_t size)
{
    struct wire *wire = wire_to(socket);

    if (wire) {
        check_asked(socket, wire, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != expected_byte(socket->owner, socket->written + i))
            kernel_blame("a byte was sent that does not come next");
}

static struct kernel_socket *some_stream(void)
{
    unsigned begin = next_byte();

    for (unsigned i = 0; i < KERNEL_SOCKETS; i++) {
        struct kernel_socket *socket = &kernel.sockets[(begin + i) % KERNEL_SOCKETS];
        if (socket->kind == KERNEL_STREAM)
            return socket;
    }
    return NULL;
}

static struct kernel_socket *queues[LISTENERS];

static void visit(void)
{
    struct kernel_socket *queue = queues[next_byte() % LISTENERS];

    if (queue->kind == KERNEL_QUEUE && queue->waiting_count < KERNEL_BACKLOG)
        queue->waiting[queue->waiting_count++] = ++last_seed;
}

static void peer_acts(unsigned what)
{
    struct kernel_socket *socket = some_stream();

    if (!socket || socket->reset)
        return;
    if (socket->connecting) { /* it is decided now */
        socket->connecting = false;
        if (what % 3 == 0) {
            socket->error = ECONNREFUSED;
            socket->reset = true;
        }
        return;
    }
    switch (what) {
    case 0:
    case 1:
        if (!socket->ended)
            socket->typed += some_size();
        break;
    case 2: socket->ended = true; break;
    case 3:
        socket->reset = true;
        socket->error = ECONNRESET;
        break;
    case 4: socket->room = (uint32_t)some_size(); break;
    default: socket->room += KERNEL_ROOM; socket->unacknowledged /= 2;
    }
}

/* ---- the kernel and the master ---- */

static const int errors[CALLS][6] = {
    [CALL_ACCEPT] = {EMFILE, ENOMEM, EPERM, ECONNABORTED, EINTR, EAGAIN},
    [CALL_EPOLL_ADD] = {ENOSPC, ENOMEM, ENOSPC, ENOMEM, ENOSPC, ENOMEM},
    [CALL_EPOLL_CHANGE] = {ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM},
    [CALL_EPOLL_WAIT] = {EINTR, EINTR, EINTR, EINTR, EINTR, EINTR},
    [CALL_RECEIVE] = {EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM, EHOSTUNREACH},
    [CALL_SEND] = {EAGAIN, EINTR, ENOBUFS, EPIPE, ECONNRESET, ENOMEM},
    [CALL_SOCKET] = {EMFILE, ENOMEM, ENFILE, EAFNOSUPPORT, EACCES, ENOBUFS},
    [CALL_CONNECT] = {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, EPERM, ECONNREFUSED, ENOMEM},
    [CALL_CHANNEL_SEND] = {EAGAIN, ENOBUFS, ENOMEM, EAGAIN, EINTR, EAGAIN},
    [CALL_MEMORY] = {ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM},
};

static void kernel_acts(void)
{
    unsigned call = next_byte() % CALLS, error = next_byte() % 6, after = next_byte() % 8;

    kernel_fail(call, errors[call][error], after, 1 + next_byte() % 3);
}

static void master_acts(void)
{
    unsigned slot = 1 + next_byte() % 3;

    switch (next_byte() % 8) {
    case 0:
    case 1: {
        struct kernel_socket *queue = kernel_open(KERNEL_QUEUE);
        if (!queue)
            return;
        queue->waiting[queue->waiting_count++] = ++last_seed;
        kernel_say(CHANNEL_ADOPT, slot, kernel_fd_of(queue));
        break;
    }
    case 2:
    case 3: kernel_say(CHANNEL_RELEASE, slot, -1); break;
    case 4: kernel_say(CHANNEL_REFUSE, next_byte() % LISTENERS, -1); break;
    case 5: kernel_say(next_byte() % 2 ? CHANNEL_DRAIN : CHANNEL_STOP, next_byte() * 4, -1); break;
    case 6: kernel.signal = next_byte() % 4 ? SIGINT : SIGTERM; break;
    default: kernel.master_gone |= next_byte() == 0;
    }
}

static unsigned turns_left;

/* At the end everybody can take everything, nothing fails, and the master tells the worker to go. */
static void end_program(void)
{
    input.over = true;
    memset(kernel.failing, 0, sizeof(kernel.failing));
    for (unsigned i = 0; i < KERNEL_SOCKETS; i++)
        kernel.sockets[i].room = 1 << 30;
    kernel_say(CHANNEL_DRAIN, DRAIN_MS, -1);
}

static void before_turn(void)
{
    for (unsigned i = 0; i < 8 && input.size > 0; i++) {
        unsigned what = next_byte() % 16;
        kernel.progress = true;
        if (what < 6)
            peer_acts(what);
        else if (what < 9)
            visit();
        else if (what == 9)
            kernel_acts();
        else if (what == 10)
            master_acts();
        else if (what == 11)
            kernel.now_us += next_byte() * UINT64_C(1000);
        else
            return;
    }
    if (input.size == 0 && !input.over)
        end_program();
    if (input.over && turns_left-- == 0)
        kernel_blame("the drain does not end");
}

/* ---- one run ---- */

static void check_end(const struct stats_block *stats)
{
    if (opened != ended)
        kernel_blame("a session was opened, and not closed");
    if (kernel.open != 0)
        kernel_blame("a descriptor was left open");
    if (kernel.blocks != 0)
        kernel_blame("memory was not given back");
    for (unsigned i = 0; i < LISTENERS; i++)
        if (stats_open(&stats->listeners[i]) != 0)
            kernel_blame("the statistics count a session as open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct listener_config configs[LISTENERS];
    static struct worker_socket sockets[LISTENERS];
    static struct stats_block stats;

    input.bytes = data;
    input.size = size;
    input.over = false;
    opened = ended = client_count = last_seed = 0;
    turns_left = TURNS_MAX;
    memset(&stats, 0, sizeof(stats));
    kernel_boot();
    log_set_level(LOG_LEVEL_FATAL);
    kernel.before_turn = before_turn;
    kernel.accepted = on_accepted;
    kernel.connected = on_connect;
    kernel.wrote = on_wrote;
    unsigned flags = next_byte();
    for (unsigned i = 0; i < LISTENERS; i++) {
        queues[i] = kernel_open(KERNEL_QUEUE);
        configs[i] = (struct listener_config){.service = offered[i],
                                              .index = i,
                                              .backlog = KERNEL_BACKLOG,
                                              .idle_timeout_ms = flags & 1   ? SHORT_MS
                                                                 : flags & 2 ? IDLE_MS
                                                                             : 0,
                                              .max_frame = flags & 4 ? 100 : 4096,
                                              .high_water = flags & 8 ? 1024 : 65536,
                                              .low_water = flags & 8 ? 100 : 16384,
                                              .max_output = flags & 16 ? OUTPUT_SMALL : 1 << 20};
        configs[i].name[0] = 'a';
        sockets[i] = (struct worker_socket){.fd = kernel_fd_of(queues[i]), .listener = &configs[i]};
    }
    asked_of = (struct link_target){.address = &address,
                                    .connect_timeout_ms = 200,
                                    .answer_timeout_ms = flags & 1 ? SHORT_MS : 0,
                                    .linger_ms = flags & 2 ? SHORT_MS : IDLE_MS,
                                    .unanswered_max = flags & 4 ? 4 : 100,
                                    .framing = {.kind = FRAMING_FUNCTION, .measure = measure_answer},
                                    .max_frame = 100,
                                    .connected = on_link_connected,
                                    .answer = on_link_answer,
                                    .lost = on_link_lost,
                                    .push = flags & 8 ? on_link_push : NULL};
    struct kernel_socket *channel = kernel_open(KERNEL_CHANNEL);
    struct worker_env env = {.channel = kernel_fd_of(channel),
                             .stats = &stats,
                             .sockets = sockets,
                             .socket_count = LISTENERS,
                             .max_sessions = flags & 32 ? 3 : 1000,
                             .linger_timeout_ms = flags & 64 ? SHORT_MS : 2000};
    if (worker_run(&env) == EXIT_SUCCESS && !kernel.sent_ready && !kernel.master_gone)
        kernel_blame("the master was not told that the worker is ready");
    for (unsigned i = 0; i < kernel.word_count; i++)
        if (kernel.word_fds[i] >= 0)
            kernel.open--; /* still under way */
    channel->kind = KERNEL_NONE;
    kernel.open--;
    check_end(&stats);
    return 0;
}
