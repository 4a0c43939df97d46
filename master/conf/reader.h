/*
 * The configuration while it is being read: shared by conf.c, which reads, and apply.c, which understands.
 */
#ifndef MASTER_CONF_READER_H
#define MASTER_CONF_READER_H

#include "master/conf/conf.h"

enum { CONF_ROWS_MAX = 64, CONF_NAME_SIZE = 64, CONF_VALUE_SIZE = OPTION_STRING_SIZE, CONF_PIECES_MAX = 512 };

/* One `name = value` of the section that is being read. */
struct conf_row {
    int line;
    char name[CONF_NAME_SIZE];
    char value[CONF_VALUE_SIZE];
};

/* Lines from `first` of the text on are those of a file, from its line `line` on. */
struct conf_piece {
    int first, line;
    char *path;
};

struct conf_reader {
    struct conf *conf;
    const struct conf_source *source;
    char *text; /* of all files */
    size_t size, taken;
    int line;          /* of what the library has been given last */
    const char *value; /* in that line, behind the '=' */
    int failed_line;   /* of the error in `error`; 0: none */
    char *error;
    size_t error_size;
    /* The section that is being read; applied when it ends. */
    enum { SECTION_NONE, SECTION_UNKNOWN, SECTION_SERVER, SECTION_POOL, SECTION_LISTEN } section;
    char name[CONF_NAME_SIZE]; /* of a pool or a listener */
    int section_line;
    bool section_damaged; /* a line of it could not be read: a key may only seem to be missing */
    bool server_seen;
    /* What is checked when all sections are known: lines, and which keys of a pool or listener are its own (bits). */
    int pool_lines[CONF_POOLS_MAX], listener_pool_lines[CONF_LISTENERS_MAX], listener_lines[CONF_LISTENERS_MAX];
    unsigned pool_keys[CONF_POOLS_MAX], listener_keys[CONF_LISTENERS_MAX];
    unsigned piece_count;
    struct conf_piece pieces[CONF_PIECES_MAX];
    bool named[LISTENER_ADDRESSES_MAX]; /* addresses of the listener that a name stands for */
    unsigned row_count;
    struct conf_row rows[CONF_ROWS_MAX];
};

/* Keep this error if it is nearer to the start of the file than what is in `error`. Always returns -1. */
int reader_fail_at(struct conf_reader *reader, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Where a line of the text comes from. */
struct conf_place {
    const char *path;
    int line;
};
struct conf_place reader_place(const struct conf_reader *reader, int line);

/* Row of the section that is being read, or NULL. */
const struct conf_row *reader_find_row(const struct conf_reader *reader, const char *name);

#endif
