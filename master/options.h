/*
 * The command line.
 */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include "master/conf/conf.h"
#include <stdbool.h>
#include <stddef.h>

struct options {
    struct conf_overrides overrides;
    bool check, dump;
};

/*
 * Parse the arguments, which must stay where they are. What only asks for a text (-h, -V, --keys) is answered, and the
 * process exits. Returns 0, or -1 with a sentence in `error`.
 */
int options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size);

#endif
