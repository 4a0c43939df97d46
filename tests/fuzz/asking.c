#include "tests/fuzz/asking.h"

enum { BYTES_MAX = 1 << 17, QUESTIONS = 1 << 14, SHARED = 0, TAKEN = 1, WIRES = 2 };

struct asked {
    struct place place;  /* of the answer; its `reply` is NULL: nobody's */
    uint32_t seed, size; /* of the question */
    uint32_t written;    /* bytes of it that the server has been sent */
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
static const struct place nobody;

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

void *asking_connects(uint32_t *seed)
{
    struct wire *wire = asking ? asking : &wires[SHARED];

    wire->seed = *seed = scripted_new_seed();
    wire->taken = 0;
    wire->begun = false;
    return wire;
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

bool asking_wrote(struct kernel_socket *socket, const uint8_t *bytes, size_t size)
{
    struct wire *wire = wire_to(socket);

    if (!wire)
        return false;
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
    return true;
}

/* `before`: the link says that it comes before all others. */
static bool ask(struct wire *wire, struct place place, bool before)
{
    static char bytes[BYTES_MAX];
    struct asked asked = {.place = place, .seed = scripted_new_seed(), .size = (uint32_t)some_size() + 1};

    for (uint32_t i = 0; i < asked.size; i++)
        bytes[i] = (char)kernel_byte(asked.seed, i);
    asking = wire;
    int result = link_ask(wire->link, place.reply, bytes, asked.size);
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
    if (wire->first == wire->next || asked_at(wire, wire->first)->place.reply != reply)
        kernel_blame("an answer to another question");
    return *asked_at(wire, wire->first++);
}

static void end_reply(const struct asked *asked)
{
    if (!asked->place.reply)
        return;
    place_send(&asked->place);
    place_end(&asked->place);
}

static void on_link_connected(struct link *link)
{
    if (next_byte() % 2)
        ask(wire_of(link), nobody, true);
}

static void check_said(struct wire *wire, const char *bytes, size_t size)
{
    scripted_check_typed(wire->seed, wire->taken, bytes, size);
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
        ask(wire, nobody, false);
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
        ask(wire, nobody, false);
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
        ask(wire, nobody, false);
    }
}

static enum verdict on_open(struct session *session)
{
    scripted_open(session);
    return SESSION_CONTINUE;
}

static enum verdict on_message(struct session *session, const char *bytes, size_t size)
{
    struct client *client = scripted_client(session);
    unsigned byte = next_byte();

    scripted_take(client, bytes, size);
    if (byte < 4)
        close_wire(&wires[SHARED]);
    for (unsigned i = byte % 8; i > 0; i--) {
        struct place place;
        if (!wires[SHARED].link && open_shared(session_section(session)) < 0)
            break;
        if (next_byte() % 8 == 0)
            use_taken();
        if (place_reserve(&place, client) && !ask(&wires[SHARED], place, false))
            place_end(&place);
    }
    return scripted_ask(client);
}

static int on_start(struct section *section, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    wires[TAKEN].link = NULL;
    wires[TAKEN].first = wires[TAKEN].next;
    return open_shared(section);
}

const struct service asking_service = {.name = "asking",
                                       .framing = {.kind = FRAMING_RAW},
                                       .state_size = SCRIPTED_STATE_SIZE,
                                       .start = on_start,
                                       .open = on_open,
                                       .message = on_message,
                                       .close = scripted_close};

void asking_begin(const struct link_target *target, bool pushes)
{
    asked_of = *target;
    asked_of.framing = (struct framing){.kind = FRAMING_FUNCTION, .measure = measure_answer};
    asked_of.max_frame = 100;
    asked_of.connected = on_link_connected;
    asked_of.answer = on_link_answer;
    asked_of.lost = on_link_lost;
    asked_of.push = pushes ? on_link_push : NULL;
}
