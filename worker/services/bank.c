/*
 * The bank: protobuf messages in checksummed frames. A business message is one handler and one row of `skills`.
 */
#include "bank.pb-c.h"
#include "proto/frame.h"
#include "worker/session.h"
#include <string.h>
#include <sys/mman.h>

/*
 * ---- the arena: the memory of one decoded message ----
 *
 *   first_room, then, for messages that need more:   chunk -> chunk -> ...
 *
 * Decoding allocates, and arena_reset() gives everything back at once. The first room is enough for every frame of the
 * default max_frame; larger messages map further chunks, which do not outlive the message. They have no other limit
 * than EXPANSION times max_frame, so that every frame that may be sent can be decoded: who raises max_frame decides.
 * Decoding GiBs takes seconds; a worker that gets on with it does not hang.
 */

enum {
    ARENA_ALIGNMENT = 16,
    ARENA_FIRST = 8 << 20,
    ARENA_CHUNK = 16 << 20,
};

/*
 * The largest growth of a message by decoding. The smallest field takes two bytes of a frame: an empty `head` becomes a
 * struct, a pointer to it, and a note of protobuf-c's scanner, whose tables are up to twice as long as needed.
 */
enum {
    SCANNED_MEMBER = 32,
    EXPANSION = (sizeof(Ccserver__OutsHead) + sizeof(Ccserver__OutsHead *) + (size_t)2 * SCANNED_MEMBER) / 2,
    DEFAULT_MAX_FRAME = 65536,
};
_Static_assert((size_t)DEFAULT_MAX_FRAME *EXPANSION + 4096 <= ARENA_FIRST, "a frame of the default size always fits");

struct chunk {
    struct chunk *next;
    size_t size;
};
_Static_assert(sizeof(struct chunk) % ARENA_ALIGNMENT == 0, "what follows the header is aligned");

static _Alignas(ARENA_ALIGNMENT) char first_room[ARENA_FIRST];

static struct {
    char *next, *end; /* free bytes of the room in use */
    struct chunk *chunks;
    struct section *section; /* whose message it is */
    size_t mapped;           /* bytes of all chunks */
    bool exhausted;          /* an allocation has failed: the message is not to blame */
} arena = {.next = first_room, .end = first_room + ARENA_FIRST};

/* Go on in a new chunk with room for `size` bytes. 0, or -1 when there is no memory. */
static int arena_grow(size_t size)
{
    struct chunk *chunk = MAP_FAILED;
    size_t total = ARENA_CHUNK;

    if (size > ARENA_CHUNK - sizeof(*chunk))
        total = size + sizeof(*chunk);
    if (total > size)
        chunk = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED) {
        arena.exhausted = true;
        return -1;
    }
    section_beat(arena.section);
    *chunk = (struct chunk){.next = arena.chunks, .size = total};
    arena.chunks = chunk;
    arena.mapped += total;
    arena.next = (char *)(chunk + 1);
    arena.end = (char *)chunk + total;
    return 0;
}

static void arena_unmap(void)
{
    for (struct chunk *chunk; (chunk = arena.chunks);) {
        arena.chunks = chunk->next;
        munmap(chunk, chunk->size);
    }
    arena.mapped = 0;
    arena.exhausted = false;
    arena.end = first_room + ARENA_FIRST;
}

static void arena_reset(void)
{
    if (arena.chunks || arena.exhausted)
        arena_unmap();
    arena.next = first_room;
}

static void *arena_alloc(void *unused, size_t size)
{
    size_t aligned = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);

    (void)unused;
    if (aligned < size || (aligned > (size_t)(arena.end - arena.next) && arena_grow(aligned) < 0))
        return NULL;
    void *memory = arena.next;
    arena.next += aligned;
    return memory;
}

static void arena_free(void *unused, void *memory)
{
    (void)unused;
    (void)memory; /* the reset takes all at once */
}

static ProtobufCAllocator arena_allocator = {.alloc = arena_alloc, .free = arena_free};

/* ---- skills ---- */

/* What a handler has decided: the message to answer with, which may be the request; NULL: no reply. */
typedef const ProtobufCMessage *handler(const ProtobufCMessage *request);

/* A transaction without a ledger behind it: accepted as it came. */
static const ProtobufCMessage *transact(const ProtobufCMessage *request)
{
    return request;
}

static const ProtobufCMessage *consume(const ProtobufCMessage *request)
{
    (void)request;
    return NULL;
}

static const ProtobufCMessage *give_back(const ProtobufCMessage *request)
{
    return request;
}

static const struct skill {
    const ProtobufCMessageDescriptor *type;
    handler *handle;
} skills[] = {
    {&ccserver__withdraw__descriptor, transact},   {&ccserver__deposit__descriptor, transact},
    {&ccserver__outsourcing__descriptor, consume}, {&ccserver__time_stamp__descriptor, give_back},
    {&ccserver__app_inter__descriptor, give_back}, {&ccserver__outs_head__descriptor, give_back},
    {&ccserver__error__descriptor, give_back},
};

static const struct skill *find_skill(const struct frame *frame)
{
    for (size_t i = 0; i < sizeof(skills) / sizeof(skills[0]); i++)
        if (strcmp(skills[i].type->name, frame->name) == 0)
            return &skills[i];
    return NULL;
}

/* ---- the service ---- */

static void reply(struct session *session, const ProtobufCMessage *message)
{
    const char *name = message->descriptor->name;
    size_t name_size = strlen(name);
    size_t body_size = protobuf_c_message_get_packed_size(message);
    char *bytes = session_reserve(session, frame_size(name_size, body_size));

    if (!bytes)
        return;
    protobuf_c_message_pack(message, frame_begin(bytes, name, name_size));
    session_commit(session, frame_end(bytes, name_size, body_size));
}

static void reply_error(struct session *session, enum frame_result result)
{
    Ccserver__Error error = CCSERVER__ERROR__INIT;

    const char *text = frame_text(result);

    error.code = (int32_t)result;
    error.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
    reply(session, &error.base);
}

/* The client is told whose fault it is. Only its own one counts as an error of the protocol. */
static void reply_not_decoded(struct session *session, size_t size)
{
    static struct log_limit limit;

    if (!arena.exhausted) {
        reply_error(session, FRAME_BAD_BODY);
        session_count_error(session);
        return;
    }
    log_limited(&limit, 1, LOG_LEVEL_ERROR, "%s: out of memory for a message of %zu bytes from %s (%zu MiB taken)",
                session_listener(session), size, session_peer(session), arena.mapped >> 20);
    reply_error(session, FRAME_OUT_OF_MEMORY);
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    struct frame frame;
    enum frame_result result = frame_decode(bytes, size, &frame);

    if (result != FRAME_OK) {
        reply_error(session, result);
        return SESSION_REJECT;
    }
    const struct skill *skill = find_skill(&frame);
    if (!skill) {
        reply_error(session, FRAME_UNKNOWN_TYPE);
        session_count_error(session);
        return SESSION_CONTINUE;
    }
    arena.section = session_section(session);
    const ProtobufCMessage *request = protobuf_c_message_unpack(skill->type, &arena_allocator, frame.body_size,
                                                                frame.body);
    const ProtobufCMessage *answer = request ? skill->handle(request) : NULL;
    if (!request)
        reply_not_decoded(session, size);
    else if (answer)
        reply(session, answer);
    arena_reset();
    return SESSION_CONTINUE;
}

static void oversize(struct session *session)
{
    reply_error(session, FRAME_BAD_LENGTH);
}

const struct service bank_service = {
    .name = "bank",
    .framing = {.kind = FRAMING_LENGTH32},
    .max_frame = DEFAULT_MAX_FRAME,
    .message = message,
    .oversize = oversize,
};
