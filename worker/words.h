/*
 * What a worker has to say to its master over the control pipe. A word that cannot be sent now, because the pipe is
 * full or the kernel short of memory, is kept and sent again until the master has it or is gone. What is kept is not a
 * queue but a state: nothing is ever said twice for having waited, and no memory is needed.
 */
#ifndef WORKER_WORDS_H
#define WORKER_WORDS_H

#include "common/stats.h"
#include <stdbool.h>
#include <stdint.h>

struct words {
    bool ready, leaving, shutdown; /* to be said */
    bool operator_asks;            /* LEAVING is an operator's wish */
    unsigned missed_count;
    uint8_t missed[STATS_NUMBERS_MAX / 8]; /* bits, by number of the slot whose queues could not be adopted */
    uint64_t again_ms;                     /* nothing is sent before that */
    uint64_t shutdown_ms;                  /* nor SHUTDOWN before that: the master takes many of them for nonsense */
};

void words_miss(struct words *words, uint32_t number);

/* Send what can be sent now. To be called once in each turn; without anything to say it costs nothing. */
void words_say(struct words *words, int channel, uint64_t now_ms);

static inline void words_send(struct words *words, int channel, uint64_t now_ms)
{
    if ((words->ready || words->leaving || words->shutdown || words->missed_count) && now_ms >= words->again_ms)
        words_say(words, channel, now_ms);
}

#endif
