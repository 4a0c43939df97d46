/*
 * The words between two masters: kept while they cannot be sent, and never in another order.
 */
#include "common/channel.h"
#include "common/log.h"
#include "master/upgrade_words.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct upgrade predecessor, candidate;

static void connect_both(void)
{
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(channel_open(ends), 0);
    predecessor = (struct upgrade){.channel = ends[0]};
    candidate = (struct upgrade){.channel = ends[1]};
}

static void close_both(void)
{
    close(predecessor.channel);
    close(candidate.channel);
}

/* Until the candidate can send no more. Returns how many words that were. */
static unsigned fill(void)
{
    unsigned count = 0;

    while (send(candidate.channel, "ALIVE", 5, 0) == 5)
        count++;
    return count;
}

static enum upgrade_word hear(struct upgrade *upgrade)
{
    char error[UPGRADE_TEXT_SIZE];

    return upgrade_words_receive(upgrade, error);
}

static void test_said_and_heard(void)
{
    connect_both();
    for (enum upgrade_word word = WORD_ALIVE; word < WORD_FAILED; word++) {
        upgrade_words_send(&candidate, word);
        CU_ASSERT_EQUAL(hear(&predecessor), word);
    }
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_NONE);
    close(candidate.channel);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_END);
    close(predecessor.channel);
}

static void test_kept_words_keep_their_order(void)
{
    connect_both();
    unsigned filled = fill();
    upgrade_words_send(&candidate, WORD_READY);
    upgrade_words_send(&candidate, WORD_MINE);
    upgrade_words_send(&candidate, WORD_STOPPING);
    upgrade_words_send(&candidate, WORD_ALIVE);
    CU_ASSERT_TRUE(upgrade_words_is_unsent(&candidate, WORD_READY) && upgrade_words_is_unsent(&candidate, WORD_MINE));
    for (unsigned i = 0; i < filled; i++)
        CU_ASSERT_EQUAL(hear(&predecessor), WORD_ALIVE);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_NONE);
    upgrade_words_flush(&candidate);
    CU_ASSERT_EQUAL(candidate.unsent, 0);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_ALIVE);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_READY);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_MINE);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_STOPPING);
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_NONE);
    close_both();
}

static void test_nothing_is_owed_to_who_is_gone(void)
{
    connect_both();
    fill();
    upgrade_words_send(&candidate, WORD_MINE);
    CU_ASSERT_TRUE(upgrade_words_is_unsent(&candidate, WORD_MINE));
    close(predecessor.channel);
    upgrade_words_flush(&candidate);
    CU_ASSERT_EQUAL(candidate.unsent, 0);
    close(candidate.channel);
}

/* Closing with something unread is a reset for the other side: it must not hide what had been said before. */
static void test_the_last_words_of_who_has_not_listened(void)
{
    char error[UPGRADE_TEXT_SIZE] = "";

    connect_both();
    upgrade_words_send(&predecessor, WORD_YOURS);
    upgrade_words_fail(candidate.channel, "pid: No space left on device");
    close(candidate.channel);
    CU_ASSERT_EQUAL(upgrade_words_receive(&predecessor, error), WORD_FAILED);
    CU_ASSERT_STRING_EQUAL(error, "pid: No space left on device");
    CU_ASSERT_EQUAL(hear(&predecessor), WORD_END);
    close(predecessor.channel);
}

static void test_words_of_other_versions(void)
{
    static const char *const unknown[] = {"READ", "READYY", "FAILED", "FAILEDx", "ready"};
    char error[UPGRADE_TEXT_SIZE], longest[2 * UPGRADE_TEXT_SIZE];

    connect_both();
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        CU_ASSERT_EQUAL(send(candidate.channel, unknown[i], strlen(unknown[i]), 0), (ssize_t)strlen(unknown[i]));
        CU_ASSERT_EQUAL(hear(&predecessor), WORD_UNKNOWN);
    }
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "FAILED ", 7);
    longest[sizeof(longest) - 1] = '\0';
    upgrade_words_fail(candidate.channel, longest + 7);
    CU_ASSERT_EQUAL(upgrade_words_receive(&predecessor, error), WORD_FAILED);
    CU_ASSERT_TRUE(strlen(error) < UPGRADE_TEXT_SIZE && error[0] == 'x');
    close_both();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"said and heard", test_said_and_heard},
        {"kept words keep their order", test_kept_words_keep_their_order},
        {"nothing is owed to who is gone", test_nothing_is_owed_to_who_is_gone},
        {"the last words of who has not listened", test_the_last_words_of_who_has_not_listened},
        {"words of other versions", test_words_of_other_versions},
        {0},
    };

    log_set_level(LOG_LEVEL_ERROR);
    return unit_main("upgrade words", tests);
}
