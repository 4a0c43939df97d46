/*
 * The words between two masters during an upgrade: what they mean is drawn in upgrade.c. One packet is one word. A word
 * that cannot be sent now (no room, no memory, interrupted) is kept and sent again until the other side is gone.
 */
#ifndef MASTER_UPGRADE_WORDS_H
#define MASTER_UPGRADE_WORDS_H

#include "master/upgrade.h"
#include <stdbool.h>
#include <stddef.h>

/* In the order in which the protocol says them, so that kept words never overtake each other. */
#define UPGRADE_WORDS(X)                                                                                               \
    X(ALIVE)                                                                                                           \
    X(YIELD)                                                                                                           \
    X(YIELDED)                                                                                                         \
    X(READY)                                                                                                           \
    X(YOURS)                                                                                                           \
    X(MINE)                                                                                                            \
    X(STOPPING)                                                                                                        \
    X(QUICKLY)                                                                                                         \
    X(SHUTDOWN)                                                                                                        \
    X(FAILED) /* the only one with a text, "FAILED error": upgrade_words_fail() */

enum upgrade_word {
#define X(name) WORD_##name,
    UPGRADE_WORDS(X)
#undef X
        WORD_UNKNOWN, /* of another version: not for us */
    WORD_NONE,        /* nothing to be read now */
    WORD_END,         /* the other master is gone */
};

enum { UPGRADE_TEXT_SIZE = 640 };

/* Say it, now or at a later upgrade_words_flush(); nothing happens without a channel. */
void upgrade_words_send(struct upgrade *upgrade, enum upgrade_word word);
void upgrade_words_flush(struct upgrade *upgrade);

/* Whether it has not been sent yet. */
bool upgrade_words_is_unsent(const struct upgrade *upgrade, enum upgrade_word word);

/* The last word of a process that exits: waits up to a second until it can be sent. */
void upgrade_words_fail(int channel, const char *error);

/* Read the next word; `error` (UPGRADE_TEXT_SIZE) is what stands behind FAILED. */
enum upgrade_word upgrade_words_receive(struct upgrade *upgrade, char *error);

#endif
