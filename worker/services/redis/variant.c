#include "worker/services/redis/variant.h"
#include "proto/resp.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MS = 60 * 1000 };

/* ---- life ---- */

/* What is asked of a connection before anything else. */
static void greet(struct link *link)
{
    const struct variant *variant = link_user(link);
    size_t size = variant->greeting_size, first = variant->first_size;

    if (size > 0)
        link_ask(link, NULL, variant->greeting, first);
    if (size > first)
        link_ask(link, NULL, variant->greeting + first, size - first);
}

static struct link *open_link(const struct variants *variants, struct variant *variant)
{
    struct link_target target = *variants->target;

    target.connected = greet;
    target.greets_first = true;
    target.user = variant;
    return link_open(variants->section, &target);
}

static struct variant *make(const struct login *login)
{
    struct variant *variant = calloc(1, sizeof(*variant));

    if (!variant)
        return NULL;
    variant->login = *login;
    variant->greeting_size = login_greeting(login, variant->greeting, &variant->first_size);
    return variant;
}

/* Forget passwords. */
static void destroy(struct variant *variant)
{
    if (variant)
        explicit_bzero(variant, sizeof(*variant));
    free(variant);
}

int variants_start(struct variants *variants)
{
    static const struct login nobody;

    variants->all[0] = make(&nobody);
    return variants->all[0] ? 0 : -1;
}

void variants_stop(struct variants *variants)
{
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        destroy(variants->all[i]);
        variants->all[i] = NULL;
    }
}

/* Nobody has it: what is left of its links goes with it. */
static void end(struct variants *variants, unsigned place)
{
    struct variant *variant = variants->all[place];

    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        variant_drop(variant, (uint8_t)i);
    for (unsigned i = 0; i < CLEANED_MAX; i++)
        if (variant->cleaned[i])
            link_close(variant->cleaned[i]);
    destroy(variant);
    variants->all[place] = NULL;
}

void variants_tick(struct variants *variants, uint64_t now_ms)
{
    for (unsigned i = 1; i < VARIANTS_MAX; i++) {
        const struct variant *variant = variants->all[i];
        if (variant && variant->users == 0 && now_ms - variant->idle_since_ms >= IDLE_MS)
            end(variants, i);
    }
}

/* ---- logins ---- */

struct variant *variants_find(const struct variants *variants, const struct login *login)
{
    char greeting[LOGIN_GREETING_MAX];
    struct variant *found = NULL;
    size_t first, size = login_greeting(login, greeting, &first);

    for (unsigned i = 0; i < VARIANTS_MAX && !found; i++) {
        struct variant *variant = variants->all[i];
        if (variant && variant->greeting_size == size && memcmp(variant->greeting, greeting, size) == 0)
            found = variant;
    }
    explicit_bzero(greeting, sizeof(greeting));
    return found;
}

/* A free place; the one whose variant nobody has had for longest, which goes; 0: there is none. */
static unsigned make_place(struct variants *variants)
{
    unsigned oldest = 0;

    for (unsigned i = 1; i < VARIANTS_MAX; i++) {
        const struct variant *variant = variants->all[i];
        if (!variant)
            return i;
        if (variant->users == 0 && (!oldest || variant->idle_since_ms < variants->all[oldest]->idle_since_ms))
            oldest = i;
    }
    if (oldest)
        end(variants, oldest);
    return oldest;
}

struct variant *variants_get(struct variants *variants, const struct login *login)
{
    struct variant *variant = variants_find(variants, login);
    unsigned place = variant ? 0 : make_place(variants);

    if (place)
        variant = variants->all[place] = make(login);
    return variant;
}

void variant_enter(struct variant *variant)
{
    variant->users++;
}

void variant_leave(struct variant *variant, uint64_t now_ms)
{
    variant->users--;
    variant->idle_since_ms = now_ms;
}

/* ---- shared links ---- */

struct link *variant_link(const struct variants *variants, struct variant *variant, uint8_t place)
{
    if (!variant->links[place])
        variant->links[place] = open_link(variants, variant);
    return variant->links[place];
}

struct link *variant_quietest(const struct variants *variants, struct variant *variant, uint8_t *place)
{
    struct link *quietest = variant_link(variants, variant, *place);

    for (unsigned i = 0; i < variants->connections; i++) {
        struct link *link = variant_link(variants, variant, (uint8_t)i);
        if (link && (!quietest || link_unanswered(link) < link_unanswered(quietest))) {
            quietest = link;
            *place = (uint8_t)i;
        }
    }
    return quietest;
}

void variant_drop(struct variant *variant, uint8_t place)
{
    struct link *link = variant->links[place];

    variant->links[place] = NULL;
    if (link)
        link_close(link);
}

/* ---- taken links ---- */

/* Where it stands among those that are made clean, of NULL a free place; CLEANED_MAX: nowhere. */
static unsigned cleaned_place(const struct variant *variant, const struct link *link)
{
    unsigned i = 0;

    while (i < CLEANED_MAX && variant->cleaned[i] != link)
        i++;
    return i;
}

/* Redis forgets all about the connection; then it is greeted again. */
static bool ask_reset(struct link *link)
{
    static const char reset[] = "*1\r\n$5\r\nRESET\r\n";

    if (!link_is_connected(link) || link_unanswered(link) > 0 || link_ask(link, NULL, reset, strlen(reset)) < 0)
        return false;
    greet(link);
    return true;
}

void variant_return(struct variant *variant, struct link *link)
{
    unsigned place = cleaned_place(variant, NULL);

    if (place < CLEANED_MAX && ask_reset(link))
        variant->cleaned[place] = link;
    else
        link_close(link);
}

/* ---- what nobody waits for ---- */

static void note_refusal(struct variant *variant, const char *bytes, size_t size)
{
    variant->is_accepted = false;
    if (size >= REFUSAL_SIZE)
        size = 0;
    memcpy(variant->refusal, bytes, size);
    variant->refusal[size] = '\0';
}

/* All of its questions are lost: none has been asked. */
static void close_refused(struct variant *variant, struct link *link)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (variant->links[i] != link)
            continue;
        variant_drop(variant, (uint8_t)i);
        return;
    }
    link_close(link);
}

static void note_greeting(struct variant *variant, const char *bytes, size_t size)
{
    variant->is_accepted = true;
    if ((bytes[0] == '%' || bytes[0] == '*') && size < HELLO_SIZE) {
        memcpy(variant->hello, bytes, size);
        variant->hello_size = size;
    }
}

static void clean_on(struct variant *variant, unsigned place, bool is_refused)
{
    struct link *link = variant->cleaned[place];

    if (!is_refused && link_unanswered(link) > 0)
        return;
    variant->cleaned[place] = NULL;
    if (is_refused)
        link_close(link);
    else
        link_return(link);
}

/* That the user may not name the connection: it goes on without a name. */
static bool is_about_name(const char *bytes, size_t size)
{
    static const char command[] = "'client";

    return memmem(bytes, size, command, strlen(command));
}

void variant_answered(struct link *link, const char *bytes, size_t size)
{
    struct variant *variant = link_user(link);
    unsigned place = cleaned_place(variant, link);
    bool is_refused = resp_is_error(bytes);

    if (place < CLEANED_MAX) {
        clean_on(variant, place, is_refused);
    } else if (is_refused && is_about_name(bytes, size)) {
        return;
    } else if (is_refused) {
        note_refusal(variant, bytes, size);
        close_refused(variant, link);
    } else {
        note_greeting(variant, bytes, size);
    }
}

void variant_lost(struct link *link)
{
    struct variant *variant = link_user(link);
    unsigned place = cleaned_place(variant, link);

    if (place == CLEANED_MAX)
        return;
    variant->cleaned[place] = NULL;
    link_close(link);
}
