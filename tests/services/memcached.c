/*
 * memcached's text protocol. Each worker has a store of its own, a tree of libc's; one that is full begins anew.
 *
 *    line "set k 0 0 5" --> block of 5 + 2 bytes --> "STORED"       values may hold any bytes
 *    line "get k" ---------------------------------> the value
 */
#include "worker/session.h"
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_MAX = 250, VALUE_MAX = 1 << 20, STORE_MAX = 64 << 20, WORDS_MAX = 6, MONTH_S = 30 * 24 * 3600 };

struct item {
    const char *key, *value; /* behind the item */
    uint64_t version, end_ms;
    int64_t flags;
    size_t size;
};

struct store {
    void *root;
    uint64_t version;
    size_t bytes;
};

struct state {
    char command; /* whose value is awaited: s, a, r; 0: none */
    bool noreply;
    struct item item; /* that is to be stored */
    char key[KEY_MAX + 1];
    struct framing block;
};

/* ---- the store ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static void drop(struct store *store, struct item *item)
{
    tdelete(item, &store->root, compare);
    store->bytes -= sizeof(*item) + strlen(item->key) + 1 + item->size;
    free(item);
}

static void drop_all(struct section *section)
{
    struct store *store = section_state(section);

    tdestroy(store->root, free);
    *store = (struct store){.version = store->version};
}

/* NULL: there is none, or its time is over. */
static struct item *find(const struct session *session, const char *key)
{
    struct store *store = section_state(session_section(session));
    struct item *const *node = tfind(&(struct item){.key = key}, &store->root, compare);

    if (!node || (*node)->end_ms == 0 || (*node)->end_ms > session_now_ms(session))
        return node ? *node : NULL;
    drop(store, *node);
    return NULL;
}

/* As memcached takes it: seconds from now, or a date when it is more than a month. */
static uint64_t end_of(const struct session *session, int64_t ttl)
{
    int64_t left = ttl > MONTH_S ? ttl - time(NULL) : ttl;

    return ttl == 0 ? 0 : left <= 0 ? 1 : session_now_ms(session) + (uint64_t)left * 1000;
}

/* ---- commands ---- */

static enum verdict say(struct session *session, const char *text)
{
    const struct state *state = session_state(session);

    if (!state->noreply) {
        session_send(session, text, strlen(text));
        session_send(session, "\r\n", 2);
    }
    return SESSION_CONTINUE;
}

/* Errors are said also to who wants no reply. */
static enum verdict complain(struct session *session, const char *text)
{
    ((struct state *)session_state(session))->noreply = false;
    session_count_error(session);
    return say(session, text);
}

/* A copy of `like` takes the place of the item with this key; `text` says so. */
static enum verdict put(struct session *session, const struct item *like, const char *text)
{
    struct store *store = section_state(session_section(session));
    size_t key_size = strlen(like->key) + 1, bytes = sizeof(*like) + key_size + like->size;
    struct item *item = malloc(bytes), *old;

    if (!item)
        return complain(session, "SERVER_ERROR out of memory storing object");
    *item = *like;
    item->version = ++store->version;
    item->key = memcpy(item + 1, like->key, key_size);
    item->value = memcpy((char *)(item + 1) + key_size, like->value, like->size);
    if ((old = find(session, item->key)))
        drop(store, old);
    if (store->bytes + bytes > STORE_MAX)
        drop_all(session_section(session));
    store->bytes += bytes;
    if (tsearch(item, &store->root, compare))
        return say(session, text);
    free(item);
    return SESSION_ABORT;
}

static bool read_number(const char *word, int64_t min, int64_t *number)
{
    char *end = NULL;

    *number = word ? strtoll(word, &end, 10) : 0;
    return word && end != word && *end == '\0' && *number >= min;
}

static enum verdict get(struct session *session, bool with_version, char *keys)
{
    for (char *key, *rest; (key = strtok_r(keys, " ", &rest)); keys = NULL) {
        const struct item *item = find(session, key);
        char head[KEY_MAX + 80], version[24] = "";
        if (!item)
            continue;
        if (with_version)
            snprintf(version, sizeof(version), " %" PRIu64, item->version);
        snprintf(head, sizeof(head), "VALUE %s %" PRId64 " %zu%s", key, item->flags, item->size, version);
        say(session, head);
        session_send(session, item->value, item->size);
        say(session, "");
    }
    return say(session, "END");
}

/* set KEY FLAGS TTL SIZE: its block is awaited. */
static enum verdict announce(struct session *session, char command, char **words, unsigned count)
{
    struct state *state = session_state(session);
    int64_t size, ttl;

    if (count != 4 || !read_number(words[1], 0, &state->item.flags) || !read_number(words[2], INT64_MIN, &ttl) ||
        !read_number(words[3], 0, &size))
        return complain(session, "CLIENT_ERROR bad command line format");
    if (size > VALUE_MAX) {
        session_skip(session, (uint64_t)size + 2);
        return complain(session, "SERVER_ERROR object too large for cache");
    }
    state->command = command;
    state->item.size = (size_t)size;
    state->item.end_ms = end_of(session, ttl);
    state->item.key = memcpy(state->key, words[0], strlen(words[0]) + 1);
    state->block = (struct framing){.kind = FRAMING_BLOCK, .block_size = (size_t)size + 2};
    session_set_framing(session, &state->block);
    return SESSION_CONTINUE;
}

static enum verdict take_value(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    bool is_wanted = state->command == 's' || (state->command == 'r') == !!find(session, state->key);

    state->command = 0;
    state->item.value = bytes;
    session_set_framing(session, NULL);
    if (memcmp(bytes + size - 2, "\r\n", 2) != 0)
        return complain(session, "CLIENT_ERROR bad data chunk");
    return is_wanted ? put(session, &state->item, "STORED") : say(session, "NOT_STORED");
}

/* Up goes round at 2^64, down stops at 0. */
static enum verdict count_by(struct session *session, const struct item *item, const char *word, bool up)
{
    char text[24] = "", key[KEY_MAX + 1], *end;
    uint64_t delta = strtoull(word, &end, 10), number;
    struct item changed = *item;

    memcpy(text, item->value, item->size < sizeof(text) ? item->size : sizeof(text) - 1);
    if (end == word || *end || word[0] == '-' || item->size == 0 || item->size > 20 || text[strspn(text, "0123456789")])
        return complain(session, "CLIENT_ERROR cannot increment or decrement non-numeric value");
    number = strtoull(text, NULL, 10);
    number = up ? number + delta : number > delta ? number - delta : 0;
    changed.size = (size_t)snprintf(text, sizeof(text), "%" PRIu64, number);
    changed.value = text;
    changed.key = memcpy(key, item->key, strlen(item->key) + 1);
    return put(session, &changed, text);
}

/* delete KEY, incr KEY BY, decr KEY BY, touch KEY TTL. */
static enum verdict change(struct session *session, const char *verb, char **words, unsigned count)
{
    struct item *item = find(session, words[0]);
    int64_t ttl = 0;

    if (count != (verb[2] == 'l' ? 1 : 2) || (verb[0] == 't' && !read_number(words[1], INT64_MIN, &ttl)))
        return complain(session, "CLIENT_ERROR bad command line format");
    if (!item)
        return say(session, "NOT_FOUND");
    if (verb[2] == 'c')
        return count_by(session, item, words[1], verb[0] == 'i');
    if (verb[0] == 't')
        item->end_ms = end_of(session, ttl);
    else
        drop(section_state(session_section(session)), item);
    return say(session, verb[0] == 't' ? "TOUCHED" : "DELETED");
}

static bool is_one_of(const char *word, const char *list)
{
    const char *at = strstr(list, word);

    return at && (at == list || at[-1] == ' ') && strchr(" ", at[strlen(word)]);
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    static char line[VALUE_MAX + 3];
    struct state *state = session_state(session);
    char *words[WORDS_MAX], *rest;
    unsigned count = 0;

    if (state->command)
        return take_value(session, bytes, size);
    memcpy(line, bytes, size);
    line[size] = '\0';
    state->noreply = false;
    const char *verb = strtok_r(line, " ", &rest);
    if (!verb)
        return complain(session, "ERROR");
    if (is_one_of(verb, "get gets"))
        return get(session, verb[3] == 's', rest);
    while (count < WORDS_MAX && (words[count] = strtok_r(NULL, " ", &rest)))
        count++;
    state->noreply = count > 0 && strcmp(words[count - 1], "noreply") == 0;
    count -= state->noreply;
    if (count > 0 && strlen(words[0]) <= KEY_MAX && is_one_of(verb, "set add replace"))
        return announce(session, verb[0], words, count);
    if (count > 0 && strlen(words[0]) <= KEY_MAX && is_one_of(verb, "delete incr decr touch"))
        return change(session, verb, words, count);
    if (strcmp(verb, "quit") == 0)
        return SESSION_CLOSE;
    if (strcmp(verb, "version") == 0)
        return say(session, "VERSION ccserver");
    if (strcmp(verb, "flush_all") == 0)
        drop_all(session_section(session));
    return strcmp(verb, "flush_all") == 0 ? say(session, "OK") : complain(session, "ERROR");
}

const struct service memcached_service = {
    .name = "memcached",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = VALUE_MAX + 2,
    .state_size = sizeof(struct state),
    .section_size = sizeof(struct store),
    .message = message,
    .stop = drop_all,
};
