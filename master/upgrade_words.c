#include "master/upgrade_words.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <bsd/string.h>

enum { FAIL_TRIES = 100, FAIL_PAUSE_MS = 10, PAUSE_MS = 50 };

static const char *const names[] = {
#define X(name) #name,
    UPGRADE_WORDS(X)
#undef X
};

static bool is_closed(int error)
{
    return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

void upgrade_words_send(struct upgrade *upgrade, enum upgrade_word word)
{
    if (upgrade->channel < 0)
        return;
    upgrade->unsent |= 1U << word;
    upgrade_words_flush(upgrade);
}

void upgrade_words_flush(struct upgrade *upgrade)
{
    static struct log_limit limit;

    for (unsigned word = 0; upgrade->unsent && word < WORD_UNKNOWN; word++) {
        if (!upgrade_words_is_unsent(upgrade, word))
            continue;
        if (send(upgrade->channel, names[word], strlen(names[word]), MSG_NOSIGNAL) >= 0) {
            upgrade->unsent &= ~(1U << word);
        } else if (is_closed(errno)) {
            upgrade->unsent = 0;
        } else {
            log_limited(&limit, 1, LOG_LEVEL_WARN, "upgrade: %s will be sent again: %s", names[word], strerror(errno));
            return;
        }
    }
}

bool upgrade_words_is_unsent(const struct upgrade *upgrade, enum upgrade_word word)
{
    return upgrade->unsent & 1U << word;
}

void upgrade_words_fail(int channel, const char *error)
{
    char text[UPGRADE_TEXT_SIZE];
    int size = snprintf(text, sizeof(text), "%s %s", names[WORD_FAILED], error);
    size_t length = size < (int)sizeof(text) ? (size_t)size : sizeof(text) - 1;

    for (unsigned i = 0; i < FAIL_TRIES && send(channel, text, length, MSG_NOSIGNAL) < 0 && !is_closed(errno); i++)
        poll(NULL, 0, FAIL_PAUSE_MS);
}

/* As recv(), but tries at once again after an interruption, or a reset: words that came before it can be read after it.
 */
static ssize_t receive_packet(struct upgrade *upgrade, char *text)
{
    ssize_t size = -1;

    for (unsigned i = 0; i < 3 && size < 0; i++) {
        size = recv(upgrade->channel, text, UPGRADE_TEXT_SIZE - 1, MSG_DONTWAIT);
        if (size < 0 && errno != EINTR && errno != ECONNRESET)
            break;
    }
    return size;
}

enum upgrade_word upgrade_words_receive(struct upgrade *upgrade, char *error)
{
    const size_t failed = strlen(names[WORD_FAILED]);
    char text[UPGRADE_TEXT_SIZE];
    ssize_t size = receive_packet(upgrade, text);

    if (size < 0 && errno != EAGAIN)
        upgrade->receive_again_ms = clock_now_ms() +
                                    PAUSE_MS; /* no memory: the word stays there, but must not make us spin */
    if (size <= 0)
        return size < 0 ? WORD_NONE : WORD_END;
    text[size] = '\0';
    for (unsigned word = 0; word < WORD_FAILED; word++)
        if (strcmp(text, names[word]) == 0)
            return word;
    if (strncmp(text, names[WORD_FAILED], failed) != 0 || text[failed] != ' ')
        return WORD_UNKNOWN;
    strlcpy(error, text + failed + 1, UPGRADE_TEXT_SIZE);
    return WORD_FAILED;
}
