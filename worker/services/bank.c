/*
 * The bank: protobuf messages in checksummed frames. A business message is one handler and one row of `skills`.
 */
#include "bank.pb-c.h"
#include "proto/frame.h"
#include "worker/session.h"
#include <string.h>

/* ---- the arena: one per worker, filled by decoding one message, then reset ---- */

enum { ARENA_SIZE = 8 * 1024 * 1024, ARENA_ALIGNMENT = 16 };

static struct {
    size_t used;
    _Alignas(ARENA_ALIGNMENT) char bytes[ARENA_SIZE];
} arena;

static void *arena_alloc(void *unused, size_t size)
{
    size_t aligned = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);

    (void)unused;
    if (aligned < size || aligned > ARENA_SIZE - arena.used)
        return NULL;
    void *memory = arena.bytes + arena.used;
    arena.used += aligned;
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

    error.code = (int32_t)result;
    error.text = (char *)frame_text(result);
    reply(session, &error.base);
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
    arena.used = 0;
    const ProtobufCMessage *request = protobuf_c_message_unpack(skill->type, &arena_allocator, frame.body_size,
                                                                frame.body);
    if (!request) {
        reply_error(session, FRAME_BAD_BODY);
        session_count_error(session);
        return SESSION_CONTINUE;
    }
    const ProtobufCMessage *answer = skill->handle(request);
    if (answer)
        reply(session, answer);
    return SESSION_CONTINUE;
}

static void oversize(struct session *session)
{
    reply_error(session, FRAME_BAD_LENGTH);
}

const struct service bank_service = {
    .name = "bank",
    .framing = {.kind = FRAMING_LENGTH32},
    .max_frame = 65536,
    .message = message,
    .oversize = oversize,
};
