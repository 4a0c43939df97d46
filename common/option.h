/*
 * Configuration keys as rows of a table.
 *
 * A key is one row: its name, its type, where its value goes, range, default and a line of help. Parsing, printing the
 * effective configuration and the test that demands documentation for every key all read the same rows. The master has
 * one table per kind of section; a service brings the table of its own keys (see worker/session.h).
 */
#ifndef COMMON_OPTION_H
#define COMMON_OPTION_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPTION_BOOL,    /* uint32_t: "on" or "off"; 1 or 0 */
    OPTION_INT,     /* uint32_t: a decimal number */
    OPTION_SIZE,    /* uint32_t, bytes: a number and an optional unit k, m or g (powers of 1024) */
    OPTION_TIME,    /* uint32_t, milliseconds: a number and a unit ms, s, m or h; a bare 0 needs none */
    OPTION_TIME_US, /* uint32_t, microseconds: the same, with us instead of m and h */
    OPTION_MODE,    /* uint32_t: permissions of a file, in octal */
    OPTION_ENUM,    /* uint32_t: index of one of the words in `choices` */
    OPTION_STRING,  /* char[OPTION_STRING_SIZE] */
    OPTION_ADDRESS, /* struct sock_address (common/sock.h): ADDR:PORT, [ADDR6]:PORT, NAME:PORT or unix:/PATH; to connect
                       to */
};

enum { OPTION_STRING_SIZE = 256 };

struct option_row {
    const char *name; /* NULL ends a table */
    enum option_type type;
    size_t offset;       /* where the value goes, from the start of the struct that the table describes */
    uint32_t min, max;   /* OPTION_INT, ..._SIZE, ..._TIME, ..._MODE: inclusive, in the unit of the stored value */
    const char *zero;    /* a word that stands for 0 ("off", "auto"), allowed beside the range; NULL: none */
    const char *choices; /* OPTION_ENUM: the words, separated by '|', e.g. "redis|raw" */
    const char *value;   /* the default, spelled as in a file; NULL: the key is mandatory or has an empty default */
    const char *help;    /* one line for the reader of the documentation */
};

/* What was wrong with which key. A service's `configure` fills it in so that the master can name the line. */
struct option_error {
    const char *key; /* the key to blame; NULL: the section as a whole */
    char why[224];   /* a sentence without the file name and line */
};

/* Bytes that a value of this type takes. */
size_t option_value_size(enum option_type type);

/* Row of `table` called `name`, or NULL. */
const struct option_row *option_find(const struct option_row *table, const char *name);

/*
 * Store every default of `table` into `base`. 0, or -1 with a sentence in `why`: an address may need a name server, or
 * memory that is not there.
 */
int option_defaults(const struct option_row *table, void *base, char *why, size_t why_size);

/*
 * Parse `text` as `row` says and store it into `base`. Returns 0, or -1 with a sentence in `why` (of `why_size` bytes)
 * such as "must be 1 to 1024 or auto"; `base` is then unchanged. Never blocks: the name in an address is left
 * unresolved (common/resolve.h).
 */
int option_set(const struct option_row *row, const char *text, void *base, char *why, size_t why_size);

/* Write the value in `base` as it would stand in a file, with the largest unit that divides it ("30s", "64k", "auto").
 */
void option_format(const struct option_row *row, const void *base, char *text, size_t text_size);

/* Write "name = value" lines for the whole table to `out`. */
void option_print(FILE *out, const struct option_row *table, const void *base);

/* Fill `error` in (printf style). Always returns -1, so that a check can end with `return option_fail(...)`. */
int option_fail(struct option_error *error, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
