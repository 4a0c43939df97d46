#include "worker/words.h"
#include "common/channel.h"
#include "common/log.h"
#include <errno.h>
#include <string.h>

enum { AGAIN_MS = 20, SHUTDOWN_EACH_MS = 100 };

void words_miss(struct words *words, uint32_t number)
{
    uint8_t bit = (uint8_t)(1 << number % 8);

    if (number >= STATS_NUMBERS_MAX || words->missed[number / 8] & bit)
        return;
    words->missed[number / 8] |= bit;
    words->missed_count++;
}

/* True when this need not be said again. */
static bool say(struct words *words, int channel, enum channel_type type, uint32_t value, uint64_t now_ms)
{
    static struct log_limit limit;
    enum channel_result result = channel_send(channel, type, value);

    if (result == CHANNEL_BROKEN)
        log_limited(&limit, 1, LOG_LEVEL_ERROR, "the master cannot be told %s: %s", channel_name(type),
                    strerror(errno));
    if (result == CHANNEL_OK || result == CHANNEL_CLOSED)
        return true;
    words->again_ms = now_ms + AGAIN_MS;
    return false;
}

static void say_missed(struct words *words, int channel, uint64_t now_ms)
{
    for (uint32_t i = 0; words->missed_count > 0 && i < STATS_NUMBERS_MAX; i++) {
        uint8_t bit = (uint8_t)(1 << i % 8);
        if (!(words->missed[i / 8] & bit))
            continue;
        if (!say(words, channel, CHANNEL_MISSED, i, now_ms))
            return;
        words->missed[i / 8] &= (uint8_t)~bit;
        words->missed_count--;
    }
}

void words_say(struct words *words, int channel, uint64_t now_ms)
{
    words->again_ms = 0;
    if (words->ready) /* before anything else: what comes before it, the master does not believe */
        words->ready = !say(words, channel, CHANNEL_READY, 0, now_ms);
    if (words->leaving && !words->again_ms)
        words->leaving = !say(words, channel, CHANNEL_LEAVING, words->operator_asks, now_ms);
    if (words->shutdown && !words->again_ms && now_ms >= words->shutdown_ms) {
        words->shutdown = !say(words, channel, CHANNEL_SHUTDOWN, 0, now_ms);
        words->shutdown_ms = now_ms + SHUTDOWN_EACH_MS;
    }
    if (!words->again_ms)
        say_missed(words, channel, now_ms);
}
