#include "common/option.h"
#include "common/sock.h"
#include <stdarg.h>
#include <string.h>

#include <bsd/string.h>

struct unit {
    const char *name;
    uint32_t factor;
};

/* Largest first: that is how values are printed. */
static const struct unit size_units[] = {{"g", 1u << 30}, {"m", 1u << 20}, {"k", 1u << 10}, {"", 1}, {0}};
static const struct unit time_units[] = {{"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}, {0}};
static const struct unit short_time_units[] = {{"s", 1000 * 1000}, {"ms", 1000}, {"us", 1}, {0}};
static const struct unit no_units[] = {{"", 1}, {0}};

static const struct unit *units_of(enum option_type type)
{
    switch (type) {
    case OPTION_SIZE: return size_units;
    case OPTION_TIME: return time_units;
    case OPTION_TIME_US: return short_time_units;
    default: return no_units;
    }
}

size_t option_value_size(enum option_type type)
{
    switch (type) {
    case OPTION_STRING: return OPTION_STRING_SIZE;
    case OPTION_ADDRESS: return sizeof(struct sock_address);
    default: return sizeof(uint32_t);
    }
}

const struct option_row *option_find(const struct option_row *table, const char *name)
{
    for (const struct option_row *row = table; row && row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

int option_fail(struct option_error *error, const char *key, const char *format, ...)
{
    va_list arguments;

    error->key = key;
    va_start(arguments, format);
    vsnprintf(error->why, sizeof(error->why), format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- numbers ---- */

static void format_number(const struct option_row *row, uint32_t value, char *text, size_t text_size)
{
    const struct unit *unit = units_of(row->type);

    if (value == 0 && row->zero) {
        strlcpy(text, row->zero, text_size);
        return;
    }
    if (row->type == OPTION_MODE) {
        snprintf(text, text_size, "%04o", value);
        return;
    }
    while (unit->factor > 1 && (value == 0 || value % unit->factor != 0))
        unit++;
    snprintf(text, text_size, "%u%s", value / unit->factor, unit->name);
}

static int bad_number(const struct option_row *row, char *why, size_t why_size)
{
    char min[32], max[32];

    format_number(row, row->max, max, sizeof(max));
    if (row->min == 0 && row->zero)
        strlcpy(min, "0", sizeof(min));
    else
        format_number(row, row->min, min, sizeof(min));
    snprintf(why, why_size, "must be %s to %s%s%s", min, max, row->zero ? " or " : "", row->zero ? row->zero : "");
    return -1;
}

static int bad_unit(const struct option_row *row, char *why, size_t why_size)
{
    static const char *const sentences[] = {
        [OPTION_INT] = "must be a number without a unit",
        [OPTION_SIZE] = "must be a number of bytes, with a unit of k, m or g, or none",
        [OPTION_TIME] = "must be a time with a unit: ms, s, m or h",
        [OPTION_TIME_US] = "must be a time with a unit: us, ms or s",
    };
    snprintf(why, why_size, "%s%s%s", sentences[row->type], row->zero ? ", or " : "", row->zero ? row->zero : "");
    return -1;
}

static int parse_number(const struct option_row *row, const char *text, uint32_t *value, char *why, size_t why_size)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    const struct unit *unit = units_of(row->type);

    if (row->zero && strcmp(text, row->zero) == 0) {
        *value = 0;
        return 0;
    }
    if (digits == 0)
        return text[0] == '-' ? bad_number(row, why, why_size) : bad_unit(row, why, why_size);
    for (size_t i = 0; i < digits; i++)
        if (number <= UINT32_MAX)
            number = number * 10 + (uint64_t)(text[i] - '0');
    while (unit->name && strcmp(unit->name, text + digits) != 0)
        unit++;
    if (!unit->name && !(number == 0 && text[digits] == '\0'))
        return bad_unit(row, why, why_size);
    if (number > UINT32_MAX)
        return bad_number(row, why, why_size);
    number *= unit->name ? unit->factor : 1;
    if (number > row->max || number < row->min)
        return bad_number(row, why, why_size);
    *value = (uint32_t)number;
    return 0;
}

static int parse_mode(const struct option_row *row, const char *text, uint32_t *value, char *why, size_t why_size)
{
    size_t digits = strspn(text, "01234567");
    unsigned number = 0;

    if (row->zero && strcmp(text, row->zero) == 0) {
        *value = 0;
        return 0;
    }
    if (digits == 0 || digits > 6 || text[digits] != '\0' || sscanf(text, "%o", &number) != 1 || number < row->min ||
        number > row->max)
        return bad_number(row, why, why_size);
    *value = number;
    return 0;
}

/* ---- words ---- */

static const char *choices_of(const struct option_row *row)
{
    return row->type == OPTION_BOOL ? "off|on" : row->choices;
}

static int parse_choice(const struct option_row *row, const char *text, uint32_t *value, char *why, size_t why_size)
{
    const char *choices = choices_of(row);
    uint32_t index = 0;

    for (const char *word = choices; word; index++) {
        size_t size = strcspn(word, "|");
        if (strlen(text) == size && memcmp(word, text, size) == 0) {
            *value = index;
            return 0;
        }
        word = word[size] ? word + size + 1 : NULL;
    }
    snprintf(why, why_size, "must be one of %s", choices);
    return -1;
}

static void format_choice(const struct option_row *row, uint32_t value, char *text, size_t text_size)
{
    const char *word = choices_of(row);

    for (; value > 0; value--)
        word += strcspn(word, "|") + 1;
    snprintf(text, text_size, "%.*s", (int)strcspn(word, "|"), word);
}

/* ---- addresses ---- */

/* Port 0 means that the kernel may choose: nobody can connect there. */
static int parse_address(const char *text, struct sock_address *address, char *why, size_t why_size)
{
    struct sock_address parsed;

    if (sock_parse(&parsed, text, why, why_size) < 0)
        return -1;
    if (parsed.any.sa_family != AF_UNIX && sock_port(&parsed) == 0) {
        strlcpy(why, "the port must be 1 to 65535", why_size);
        return -1;
    }
    *address = parsed;
    return 0;
}

/* ---- all types ---- */

int option_set(const struct option_row *row, const char *text, void *base, char *why, size_t why_size)
{
    void *field = (char *)base + row->offset;

    switch (row->type) {
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_TIME:
    case OPTION_TIME_US: return parse_number(row, text, field, why, why_size);
    case OPTION_MODE: return parse_mode(row, text, field, why, why_size);
    case OPTION_BOOL:
    case OPTION_ENUM: return parse_choice(row, text, field, why, why_size);
    case OPTION_ADDRESS: return parse_address(text, field, why, why_size);
    case OPTION_STRING: break;
    }
    if (strlen(text) >= OPTION_STRING_SIZE) {
        snprintf(why, why_size, "must be at most %d characters", OPTION_STRING_SIZE - 1);
        return -1;
    }
    strlcpy(field, text, OPTION_STRING_SIZE);
    return 0;
}

void option_format(const struct option_row *row, const void *base, char *text, size_t text_size)
{
    const void *field = (const char *)base + row->offset;

    switch (row->type) {
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_TIME:
    case OPTION_TIME_US:
    case OPTION_MODE: format_number(row, *(const uint32_t *)field, text, text_size); break;
    case OPTION_BOOL:
    case OPTION_ENUM: format_choice(row, *(const uint32_t *)field, text, text_size); break;
    case OPTION_ADDRESS: strlcpy(text, ((const struct sock_address *)field)->text, text_size); break;
    case OPTION_STRING: strlcpy(text, field, text_size); break;
    }
}

int option_defaults(const struct option_row *table, void *base, char *why, size_t why_size)
{
    char reason[224];

    for (const struct option_row *row = table; row && row->name; row++)
        if (row->value && option_set(row, row->value, base, reason, sizeof(reason)) < 0) {
            snprintf(why, why_size, "the default of %s: %s", row->name, reason);
            return -1;
        }
    return 0;
}

void option_print(FILE *out, const struct option_row *table, const void *base)
{
    char text[OPTION_STRING_SIZE];

    for (const struct option_row *row = table; row && row->name; row++) {
        option_format(row, base, text, sizeof(text));
        fprintf(out, "%s =%s%s\n", row->name, text[0] ? " " : "", text);
    }
}
