/*
 * Lines `include = PATTERN`: the files that match, in the order of their names, stand in place of the line. What is read
 * is one text; the pieces that it consists of tell where a line comes from.
 */
#ifndef MASTER_CONF_INCLUDE_H
#define MASTER_CONF_INCLUDE_H

#include "master/conf/reader.h"

/* Replace the text of `reader` by one without such lines. 0, or -1 with a sentence in its `error`. */
int include_expand(struct conf_reader *reader, size_t text_max);

/* Release the pieces. */
void include_free(struct conf_reader *reader);

#endif
