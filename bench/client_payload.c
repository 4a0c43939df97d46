#include "bench/client.h"
#include <stdlib.h>
#include <string.h>

/*
 * The withdraw message of the original's client in its frame, written down and not computed: a mistake in the server's
 * encoder or checksum cannot hide by being made twice. The line `withdraw` of tests/vectors/frames.tsv.
 */
static const char withdraw[] = "\x00\x00\x00\x69\x00\x00\x00\x12"
                               "ccserver.withdraw\0"
                               "\x0a\x0dWITHDRAW01001"
                               "\x12\x0fSERIALNO1201001"
                               "\x1a\x11PP_CLIENT_8888888"
                               "\x20\xd4\xfc\x0a"
                               "\x2a\x06mymind"
                               "\x32\x0esdfsdfdsfdfsdf"
                               "\xd4\x1d\x94\x91";

enum { WITHDRAW_SIZE = sizeof(withdraw) - 1 };
_Static_assert(WITHDRAW_SIZE == 109, "the frame of the benchmarks");

static const char echo_prefix[] = "ccserver echo:";

/* The same bytes in every run: xorshift64*. */
static unsigned chance(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (unsigned)(*state * 0x2545f4914f6cdd1du >> 40);
}

static void fill_bytes(struct payload *payload)
{
    uint64_t state = 1;

    for (uint32_t i = 0; i < payload->request_size; i++)
        payload->request[i] = (char)chance(&state);
}

static void fill_frames(struct payload *payload, uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++)
        memcpy(payload->request + (size_t)i * WITHDRAW_SIZE, withdraw, WITHDRAW_SIZE);
}

/* Small letters only: no line is a command or contains an end of line. */
static void fill_lines(struct payload *payload, uint32_t lines)
{
    const size_t prefix_size = strlen(echo_prefix), length = payload->request_grain - 2;
    uint64_t state = 1;

    for (uint32_t i = 0; i < lines; i++) {
        char *line = payload->request + (size_t)i * payload->request_grain;
        char *reply = payload->reply + (size_t)i * payload->reply_grain;
        for (size_t k = 0; k < length; k++)
            line[k] = (char)('a' + chance(&state) % 26);
        memcpy(line + length, "\r\n", 2);
        memcpy(reply, echo_prefix, prefix_size);
        memcpy(reply + prefix_size, line, length + 2);
    }
}

static void set_sizes(struct payload *payload, const struct config *config)
{
    uint32_t count = config->frames;

    payload->request_grain = payload->reply_grain = payload->message_size = WITHDRAW_SIZE;
    if (config->bytes) {
        count = config->bytes;
        payload->request_grain = payload->reply_grain = 1;
        payload->message_size = config->bytes;
    } else if (config->lines) {
        count = config->lines;
        payload->request_grain = config->line_length + 2;
        payload->reply_grain = payload->message_size = payload->request_grain + (uint32_t)strlen(echo_prefix);
    }
    payload->request_size = count * payload->request_grain;
    payload->reply_size = count * payload->reply_grain;
}

int payload_init(struct payload *payload, const struct config *config)
{
    set_sizes(payload, config);
    payload->request = malloc(2 * (size_t)payload->request_size);
    payload->reply = config->lines ? malloc(2 * (size_t)payload->reply_size) : payload->request;
    if (!payload->request || !payload->reply)
        return -1;
    if (config->bytes)
        fill_bytes(payload);
    else if (config->lines)
        fill_lines(payload, config->lines);
    else
        fill_frames(payload, config->frames);
    memcpy(payload->request + payload->request_size, payload->request, payload->request_size);
    if (payload->reply != payload->request)
        memcpy(payload->reply + payload->reply_size, payload->reply, payload->reply_size);
    return 0;
}

void payload_fini(struct payload *payload)
{
    if (payload->reply != payload->request)
        free(payload->reply);
    free(payload->request);
}
