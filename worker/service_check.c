#include "worker/service_check.h"
#include "common/stats.h"
#include <stdarg.h>
#include <string.h>

enum {
    MAX_FRAME_MIN = 16,
    MAX_FRAME_MAX = 64 << 20,
    TICK_MIN_MS = 8,
    SHARED_MAX = 1 << 30,
    STATE_MAX = 1 << 20, /* bytes; a session's state is there also while it is idle */
};

static int fail(char *error, size_t error_size, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fail(char *error, size_t error_size, const char *name, const char *format, ...)
{
    char sentence[200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    snprintf(error, error_size, "service '%s': %s", name, sentence);
    return -1;
}

static bool is_name(const char *name)
{
    return name && name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static int check_callbacks(const struct service *service, char *error, size_t error_size)
{
    const struct framing *framing = &service->framing;

    if (!service->message && !service->ready && !service->open) /* which may make each session a relay */
        return fail(error, error_size, service->name,
                    "it has neither `message` nor `ready`: nothing would come of what clients send");
    if (service->message && service->ready)
        return fail(error, error_size, service->name, "with `ready` it reads itself: `message` would never be called");
    if (service->ready && (service->drained || service->oversize || service->nonsense))
        return fail(error, error_size, service->name,
                    "with `ready`, `drained`, `oversize` and `nonsense` would never be called");
    if (framing->kind > FRAMING_BLOCK)
        return fail(error, error_size, service->name, "there is no framing %d", (int)framing->kind);
    if (framing->kind == FRAMING_FUNCTION && !framing->measure && !framing->measure_on)
        return fail(error, error_size, service->name, "FRAMING_FUNCTION needs `measure` or `measure_on`");
    if (framing->kind == FRAMING_BLOCK && framing->block_size == 0)
        return fail(error, error_size, service->name, "FRAMING_BLOCK needs a block_size");
    if (framing->kind != FRAMING_FUNCTION && (framing->measure || framing->measure_on))
        return fail(error, error_size, service->name, "`measure` is of use with FRAMING_FUNCTION only");
    if (service->tick && service->tick_ms < TICK_MIN_MS)
        return fail(error, error_size, service->name, "tick_ms = %u: a `tick` comes every %d ms at the most",
                    service->tick_ms, TICK_MIN_MS);
    if (service->tick_ms && !service->tick)
        return fail(error, error_size, service->name, "tick_ms without `tick`");
    return 0;
}

static int check_sizes(const struct service *service, char *error, size_t error_size)
{
    if (service->max_frame && (service->max_frame < MAX_FRAME_MIN || service->max_frame > MAX_FRAME_MAX))
        return fail(error, error_size, service->name, "max_frame = %u: must be %d to %d", service->max_frame,
                    MAX_FRAME_MIN, MAX_FRAME_MAX);
    if (service->state_size > STATE_MAX)
        return fail(error, error_size, service->name, "state_size = %zu: every session would take that, %d at most",
                    service->state_size, STATE_MAX);
    if (service->shared_size > SHARED_MAX)
        return fail(error, error_size, service->name, "shared_size = %zu: %d at most", service->shared_size,
                    SHARED_MAX);
    if ((service->configure || service->unconfigure) && service->config_size == 0)
        return fail(error, error_size, service->name, "`configure` without a config_size");
    return 0;
}

static int check_option(const struct service *service, const struct option_row *row, const struct option_row *general,
                        char *error, size_t error_size)
{
    if (!is_name(row->name))
        return fail(error, error_size, service->name, "'%s' is no name for a key: a-z, 0-9, _ and -", row->name);
    if (option_find(general, row->name) || strcmp(row->name, "bind") == 0 || strcmp(row->name, "service") == 0)
        return fail(error, error_size, service->name, "the key %s is every section's already", row->name);
    if (option_find(service->options, row->name) != row)
        return fail(error, error_size, service->name, "the key %s stands in its table twice", row->name);
    if (row->offset + option_value_size(row->type) > service->config_size)
        return fail(error, error_size, service->name, "config_size = %zu is too small for the key %s",
                    service->config_size, row->name);
    if (!row->help || !row->help[0])
        return fail(error, error_size, service->name, "the key %s has no line of help", row->name);
    return 0;
}

static int check_counters(const struct service *service, char *error, size_t error_size)
{
    const struct counter_row *rows = service->counters;

    for (unsigned i = 0; rows && rows[i].name; i++) {
        if (i == STATS_OWN_COUNTERS)
            return fail(error, error_size, service->name, "more than %d counters", STATS_OWN_COUNTERS);
        if (!is_name(rows[i].name) || strchr(rows[i].name, '-')) /* it becomes the name of a metric */
            return fail(error, error_size, service->name, "'%s' is no name for a counter: a-z, 0-9 and _",
                        rows[i].name);
        if (!rows[i].help || !rows[i].help[0])
            return fail(error, error_size, service->name, "the counter %s has no line of help", rows[i].name);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(rows[j].name, rows[i].name) == 0)
                return fail(error, error_size, service->name, "the counter %s stands in its table twice", rows[i].name);
    }
    return 0;
}

int service_check(const struct service *const *services, const struct option_row *general, char *error,
                  size_t error_size)
{
    for (const struct service *const *each = services; *each; each++) {
        const struct service *service = *each;
        if (!is_name(service->name))
            return fail(error, error_size, service->name ? service->name : "", "that is no name: a-z, 0-9, _ and -");
        for (const struct service *const *other = services; other < each; other++)
            if (strcmp((*other)->name, service->name) == 0)
                return fail(error, error_size, service->name, "there are two of that name");
        if (check_callbacks(service, error, error_size) < 0 || check_sizes(service, error, error_size) < 0 ||
            check_counters(service, error, error_size) < 0)
            return -1;
        for (const struct option_row *row = service->options; row && row->name; row++)
            if (check_option(service, row, general, error, error_size) < 0)
                return -1;
    }
    return 0;
}
