#include "master/slot_words.h"
#include "common/log.h"
#include <errno.h>
#include <string.h>

bool slot_send(const struct slot *slot, enum channel_type type, uint32_t value)
{
    static struct log_limit limit;
    enum channel_result result = slot->channel < 0 ? CHANNEL_CLOSED : channel_send(slot->channel, type, value);

    if (result == CHANNEL_BROKEN)
        log_limited(&limit, 1, LOG_LEVEL_ERROR, "%s cannot be told %s: %s", slot->name, channel_name(type),
                    strerror(errno));
    return result == CHANNEL_OK || result == CHANNEL_CLOSED;
}

static bool send_with_fd(const struct slot *slot, struct channel_message *message, int fd)
{
    static struct log_limit limit;

    message->count = fd >= 0;
    enum channel_result result = slot->channel < 0 ? CHANNEL_CLOSED : channel_send_fds(slot->channel, message, &fd);
    if (result == CHANNEL_AGAIN || result == CHANNEL_BROKEN)
        log_limited(&limit, 1, LOG_LEVEL_ERROR, "%s cannot be told %s: %s", slot->name, channel_name(message->type),
                    result == CHANNEL_AGAIN ? "its control pipe is full" : strerror(errno));
    return result == CHANNEL_OK;
}

void slot_answer(const struct slot *slot, const struct request_answer *answer, int fd)
{
    struct channel_message message = {.type = CHANNEL_ANSWER, .answer = *answer};

    send_with_fd(slot, &message, fd);
}

bool slot_send_inspect(const struct slot *slot, int fd)
{
    struct channel_message message = {.type = CHANNEL_INSPECT};

    return send_with_fd(slot, &message, fd);
}

/* The rest of its time to drain: the message may be sent late. */
static uint32_t drain_ms_left(const struct slot_context *context, const struct slot *slot)
{
    uint64_t close_ms = slot->supervised.end_ms - SUPERVISOR_GRACE_MS;

    return close_ms > context->now_ms ? (uint32_t)(close_ms - context->now_ms) : 0;
}

static void send_removed(struct slot *slot)
{
    struct slot_words *words = &slot->words;

    for (uint32_t i = 0; words->removed_count > 0 && i < sizeof(words->removed) * 8; i++) {
        uint8_t bit = (uint8_t)(1 << i % 8);
        if (!(words->removed[i / 8] & bit))
            continue;
        if (!slot_send(slot, CHANNEL_REFUSE, i))
            return;
        words->removed[i / 8] &= (uint8_t)~bit;
        words->removed_count--;
    }
}

/* What an operator has changed since the process was told, or forked. */
static void send_changes(struct slot *slot)
{
    const struct conf *conf = slot->conf;

    if (slot->told_log_level != conf->log_level && slot_send(slot, CHANNEL_LOG_LEVEL, conf->log_level))
        slot->told_log_level = conf->log_level;
    for (uint32_t i = 0; slot->told_disabled != conf->disabled && i < conf->listener_count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        bool disabled = conf->disabled & bit, told = slot->told_disabled & bit;
        if (disabled == told)
            continue;
        if (!slot_send(slot, disabled ? CHANNEL_DISABLE : CHANNEL_ENABLE, i))
            return;
        slot->told_disabled ^= bit;
    }
}

/* Addresses to refuse come before DRAIN, since they count from then on. */
void slot_send_words(const struct slot_context *context, struct slot *slot)
{
    struct slot_words *words = &slot->words;

    if (words->reopen_log)
        words->reopen_log = !slot_send(slot, CHANNEL_REOPEN_LOG, 0);
    if (slot->conf && slot->channel >= 0)
        send_changes(slot);
    send_removed(slot);
    if (words->drain && words->removed_count == 0)
        words->drain = !slot_send(slot, context->for_good ? CHANNEL_STOP : CHANNEL_DRAIN, drain_ms_left(context, slot));
}

void slot_send_reopen_log(struct slot_context *context, struct slot *slot)
{
    slot->words.reopen_log = slot->channel >= 0;
    slot_send_words(context, slot);
}

void slot_send_refuse(struct slot_context *context, struct slot *slot, uint32_t index)
{
    uint8_t bit = (uint8_t)(1 << index % 8), *bits = &slot->words.removed[index / 8];

    if (slot->channel < 0 || *bits & bit)
        return;
    *bits |= bit;
    slot->words.removed_count++;
    slot_send_words(context, slot);
}

void slot_send_drain(const struct slot_context *context, struct slot *slot)
{
    slot->words.drain = true;
    slot_send_words(context, slot);
}
