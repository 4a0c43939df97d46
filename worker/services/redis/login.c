#include "worker/services/redis/login.h"
#include "proto/resp.h"
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 8, DIGITS_MAX = 9 };

static bool take_text(char text[LOGIN_TEXT_MAX], uint16_t *size, const struct resp_word *word)
{
    if (word->size > LOGIN_TEXT_MAX)
        return false;
    memcpy(text, word->bytes, word->size);
    *size = (uint16_t)word->size;
    return true;
}

/* NULL: the default user, who then has a password. */
static bool take_password(struct login *login, const struct resp_word *user, const struct resp_word *password)
{
    login->has_password = true;
    login->has_user = user != NULL;
    return (!user || take_text(login->user, &login->user_size, user)) &&
           take_text(login->password, &login->password_size, password);
}

/* A number as Redis reads it would be more: signs, and leading zeros are its own affair. */
static bool take_database(struct login *login, const struct resp_word *word)
{
    uint32_t number = 0;

    if (word->size == 0 || word->size > DIGITS_MAX || (word->bytes[0] == '0' && word->size > 1))
        return false;
    for (size_t i = 0; i < word->size; i++) {
        if (word->bytes[i] < '0' || word->bytes[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(word->bytes[i] - '0');
    }
    login->database = number;
    return true;
}

bool login_is_name(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (name[i] < '!' || name[i] > '~')
            return false;
    return size <= LOGIN_TEXT_MAX;
}

static void take_name(struct login *login, const char *name, size_t size)
{
    login->has_name = true;
    login->name_size = (uint16_t)size;
    memcpy(login->name, name, size);
}

void login_set_name(struct login *login, const char *name, size_t size)
{
    take_name(login, name, size);
    login->is_named_only = true;
}

/* HELLO 2|3 [AUTH user password] [SETNAME name] */
static bool take_hello(struct login *login, const struct resp_word *words, uint64_t count, bool *verifies)
{
    uint64_t at = 2;

    if (count < 2 || (!resp_word_is(&words[1], "2") && !resp_word_is(&words[1], "3")))
        return false;
    login->is_resp3 = words[1].bytes[0] == '3';
    if (count - at >= 3 && resp_word_is(&words[at], "AUTH")) {
        *verifies = true;
        if (!take_password(login, &words[at + 1], &words[at + 2]))
            return false;
        at += 3;
    }
    if (count - at == 2 && resp_word_is(&words[at], "SETNAME")) {
        if (words[at + 1].size == 0 || !login_is_name(words[at + 1].bytes, words[at + 1].size))
            return false;
        take_name(login, words[at + 1].bytes, words[at + 1].size);
        at += 2;
    }
    return at == count;
}

bool login_change(struct login *login, enum command_kind kind, const char *bytes, size_t size, bool *verifies)
{
    struct resp_word words[WORDS_MAX];
    uint64_t count = 0;

    if (resp_words(bytes, size, words, WORDS_MAX, &count) < 1 || count > WORDS_MAX)
        return false;
    *verifies = kind == COMMAND_AUTH;
    login->has_name = login->is_named_only = false;
    switch (kind) {
    case COMMAND_SELECT: return count == 2 && take_database(login, &words[1]);
    case COMMAND_AUTH:
        return (count == 2 && take_password(login, NULL, &words[1])) ||
               (count == 3 && take_password(login, &words[1], &words[2]));
    case COMMAND_HELLO: return take_hello(login, words, count, verifies);
    default: return false;
    }
}

/* ---- the greeting ---- */

struct text {
    char *bytes;
    size_t size;
};

static void add(struct text *text, const char *bytes, size_t size)
{
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

static void add_word(struct text *text, const char *word, size_t size)
{
    text->size += (size_t)sprintf(text->bytes + text->size, "$%zu\r\n", size);
    add(text, word, size);
    add(text, "\r\n", 2);
}

static void begin(struct text *text, unsigned words, const char *name)
{
    text->size += (size_t)sprintf(text->bytes + text->size, "*%u\r\n", words);
    add_word(text, name, strlen(name));
}

static void add_password(struct text *text, const struct login *login)
{
    static const char nobody[] = "default";

    if (login->is_resp3 && !login->has_user)
        add_word(text, nobody, strlen(nobody));
    else if (login->has_user)
        add_word(text, login->user, login->user_size);
    add_word(text, login->password, login->password_size);
}

static void add_identity(struct text *text, const struct login *login)
{
    if (login->is_resp3) {
        begin(text, login->has_password ? 5 : 2, "HELLO");
        add_word(text, "3", 1);
        if (login->has_password)
            add_word(text, "AUTH", 4);
    } else if (login->has_password) {
        begin(text, login->has_user ? 3 : 2, "AUTH");
    }
    if (login->has_password)
        add_password(text, login);
}

size_t login_greeting(const struct login *login, char greeting[LOGIN_GREETING_MAX], size_t *first)
{
    struct text text = {.bytes = greeting};
    char number[16];

    add_identity(&text, login);
    *first = text.size;
    if (login->database > 0) {
        begin(&text, 2, "SELECT");
        add_word(&text, number, (size_t)snprintf(number, sizeof(number), "%u", login->database));
    }
    if (*first == 0)
        *first = text.size;
    return text.size;
}
