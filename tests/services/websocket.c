/*
 * WebSocket (RFC 6455): the handshake, then every message comes back. Who is connected when the server leaves is sent
 * a close frame with code 1001.
 *
 *    head of a request -> open_socket() -> frames: measured by their heads, unmasked, collected until FIN
 */
/* pkg-config: libcrypto */
#include "worker/session.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 8192, MESSAGE_MAX = 1 << 20, FRAME_HEAD_MAX = 14 };
enum { OP_CONTINUED, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };
enum { CODE_LEAVING = 1001, CODE_PROTOCOL = 1002, CODE_NOT_TEXT = 1007, CODE_TOO_LARGE = 1009 };

struct state {
    bool open;      /* the handshake is over */
    uint8_t opcode; /* of the message whose frames are being collected; 0: none */
    char *message;
    size_t size;
};

/* ---- frames ---- */

struct frame {
    unsigned char opcode;
    bool is_last, is_wrong;
    size_t head_size, size; /* the mask is the end of the head */
};

/* False: there is more to come of its head. */
static bool read_frame(const char *bytes, size_t size, struct frame *frame)
{
    const unsigned char *b = (const unsigned char *)bytes;
    unsigned length_size = size < 2 || (b[1] & 127) < 126 ? 0 : (b[1] & 127) == 126 ? 2 : 8;

    if (size < 2 || size < 2 + length_size + 4)
        return false;
    *frame = (struct frame){.opcode = b[0] & 15, .is_last = b[0] & 128, .head_size = 2 + length_size + 4};
    for (unsigned i = 0; i < length_size; i++)
        frame->size = frame->size << 8 | b[2 + i];
    if (length_size == 0)
        frame->size = b[1] & 127;
    bool control = frame->opcode >= OP_CLOSE;
    frame->is_wrong = (b[0] & 0x70) || !(b[1] & 128) || (control && (!frame->is_last || frame->size > 125)) ||
                      (frame->opcode > OP_BINARY && !control) || frame->opcode > OP_PONG;
    return true;
}

static ssize_t measure_frame(const char *bytes, size_t size)
{
    struct frame frame;

    if (!read_frame(bytes, size, &frame))
        return 0;
    if (frame.is_wrong)
        return -1;
    return frame.size > MESSAGE_MAX ? (ssize_t)2 * MESSAGE_MAX : (ssize_t)(frame.head_size + frame.size);
}

static const struct framing frames = {.kind = FRAMING_FUNCTION, .measure = measure_frame};

static void send_frame(struct session *session, unsigned char opcode, const char *bytes, size_t size)
{
    unsigned char head[10] = {128 | opcode, (unsigned char)size};
    size_t head_size = size < 126 ? 2 : size < 65536 ? 4 : 10;

    if (head_size > 2)
        head[1] = head_size == 4 ? 126 : 127;
    for (size_t i = 2, rest = size; head_size > 2 && i < head_size; i++, rest >>= 8)
        head[head_size + 1 - i] = (unsigned char)rest;
    session_send(session, head, head_size);
    session_send(session, bytes, size);
}

static enum verdict send_close(struct session *session, unsigned code)
{
    send_frame(session, OP_CLOSE, (char[]){(char)(code >> 8), (char)code}, 2);
    return SESSION_CLOSE;
}

/* ---- messages ---- */

static bool is_utf8(const char *bytes, size_t size)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};

    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)bytes[i++];
        unsigned more = c < 0x80                ? 0
                        : c >= 0xc2 && c < 0xe0 ? 1
                        : c >= 0xe0 && c < 0xf0 ? 2
                        : c >= 0xf0 && c < 0xf5 ? 3
                                                : 4;
        uint32_t rune = more ? c & (0x3fu >> more) : c;
        if (more > 3 || more > size - i)
            return false;
        for (unsigned k = 0; k < more; k++, i++) {
            if ((bytes[i] & 0xc0) != 0x80)
                return false;
            rune = rune << 6 | (bytes[i] & 0x3f);
        }
        if (rune < smallest[more] || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
            return false;
    }
    return true;
}

static enum verdict collect(struct session *session, const struct frame *frame, const char *bytes)
{
    struct state *state = session_state(session);
    enum verdict verdict = SESSION_CONTINUE;

    if ((frame->opcode == OP_CONTINUED) != (state->opcode != 0))
        return send_close(session, CODE_PROTOCOL);
    char *message = frame->size > MESSAGE_MAX - state->size ? NULL
                                                            : realloc(state->message, state->size + frame->size + 1);
    if (!message)
        return send_close(session, CODE_TOO_LARGE);
    memcpy(message + state->size, bytes, frame->size);
    state->message = message;
    state->size += frame->size;
    if (frame->opcode)
        state->opcode = frame->opcode;
    if (!frame->is_last)
        return SESSION_CONTINUE;
    if (state->opcode == OP_TEXT && !is_utf8(state->message, state->size))
        verdict = send_close(session, CODE_NOT_TEXT);
    else
        send_frame(session, state->opcode, state->message, state->size);
    free(state->message);
    state->message = NULL;
    state->size = state->opcode = 0;
    return verdict;
}

static enum verdict take_frame(struct session *session, const char *bytes, size_t size)
{
    static char payload[MESSAGE_MAX];
    struct frame frame = {.size = 0};

    read_frame(bytes, size, &frame);
    for (size_t i = 0; i < frame.size; i++)
        payload[i] = (char)(bytes[frame.head_size + i] ^ bytes[frame.head_size - 4 + i % 4]);
    if (frame.opcode < OP_CLOSE)
        return collect(session, &frame, payload);
    if (frame.opcode == OP_PING)
        send_frame(session, OP_PONG, payload, frame.size);
    if (frame.opcode == OP_CLOSE && frame.size == 1)
        return send_close(session, CODE_PROTOCOL);
    if (frame.opcode == OP_CLOSE) {
        send_frame(session, OP_CLOSE, payload, frame.size < 2 ? 0 : 2); /* its own code */
        return SESSION_CLOSE;
    }
    return SESSION_CONTINUE;
}

/* ---- the handshake ---- */

static ssize_t measure_head(const char *bytes, size_t size, struct scan *scan)
{
    size_t from = scan->at > 3 ? scan->at - 3 : 0;
    const char *end = memmem(bytes + from, size - from, "\r\n\r\n", 4);

    scan->at = (uint32_t)size;
    if (end ? end - bytes >= HEAD_MAX : size >= HEAD_MAX)
        return -1;
    return end ? end + 4 - bytes : 0;
}

static enum verdict open_socket(struct session *session, const char *bytes, size_t size)
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct state *state = session_state(session);
    char head[HEAD_MAX + 8], key[65] = "", answer[256];
    unsigned char digest[EVP_MAX_MD_SIZE], accept[EVP_MAX_MD_SIZE * 2];
    unsigned version = 0, digest_size = 0;
    char *rest, *line;

    snprintf(head, sizeof(head), "%.*s", (int)size, bytes);
    line = strtok_r(head, "\r\n", &rest);
    bool is_get = line && strncmp(line, "GET ", 4) == 0;
    while ((line = strtok_r(NULL, "\r\n", &rest)))
        if (strncasecmp(line, "Sec-WebSocket-Key:", 18) == 0)
            sscanf(line + 18, " %64s", key);
        else if (strncasecmp(line, "Sec-WebSocket-Version:", 22) == 0)
            sscanf(line + 22, "%9u", &version);
    int length = snprintf(answer, sizeof(answer), "%s%s", key, magic);
    if (!is_get || !key[0] || version != 13 ||
        !EVP_Digest(answer, (size_t)length, digest, &digest_size, EVP_sha1(), NULL)) {
        static const char refusal[] = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
                                      "Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        session_send_static(session, refusal, strlen(refusal));
        return SESSION_REJECT;
    }
    EVP_EncodeBlock(accept, digest, (int)digest_size);
    session_send(session, answer,
                 (size_t)snprintf(answer, sizeof(answer),
                                  "HTTP/1.1 101 Switching Protocols\r\n"
                                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                                  accept));
    state->open = true;
    session_set_framing(session, &frames);
    return SESSION_CONTINUE;
}

/* ---- the service ---- */

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);

    return state->open ? take_frame(session, bytes, size) : open_socket(session, bytes, size);
}

static void nonsense(struct session *session)
{
    if (((struct state *)session_state(session))->open)
        send_close(session, CODE_PROTOCOL);
}

static void oversize(struct session *session)
{
    if (((struct state *)session_state(session))->open)
        send_close(session, CODE_TOO_LARGE);
}

static enum verdict draining(struct session *session)
{
    return ((struct state *)session_state(session))->open ? send_close(session, CODE_LEAVING) : SESSION_CONTINUE;
}

static void closed(struct session *session, enum close_reason reason)
{
    (void)reason;
    free(((struct state *)session_state(session))->message);
}

const struct service websocket_service = {
    .name = "websocket",
    .framing = {.kind = FRAMING_FUNCTION, .measure_on = measure_head},
    .max_frame = MESSAGE_MAX + FRAME_HEAD_MAX,
    .state_size = sizeof(struct state),
    .message = message,
    .oversize = oversize,
    .nonsense = nonsense,
    .draining = draining,
    .close = closed,
};
