#include "bench/client.h"
#include "bench/withdraw.h"
#include <stdlib.h>
#include <string.h>

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
