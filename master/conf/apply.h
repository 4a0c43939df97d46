/*
 * What the sections of the configuration mean: their rows become values of struct conf, checked.
 */
#ifndef MASTER_CONF_APPLY_H
#define MASTER_CONF_APPLY_H

#include "master/conf/reader.h"

/* Check the rows of the section that has been read, and store their values. 0, or -1 with the error kept. */
int apply_server(struct conf_reader *reader);
int apply_listen(struct conf_reader *reader);

/* apply_pool.c: and what can only be checked when all sections have been read. */
int apply_pool(struct conf_reader *reader);
void apply_pools(struct conf_reader *reader);

/* What they share. */
int apply_bind(struct conf_reader *reader, const struct conf_row *row, struct listener_config *listener);
int apply_row(struct conf_reader *reader, const struct option_row *option, const struct conf_row *row, void *base);
int apply_unknown_key(struct conf_reader *reader, const struct conf_row *row, const char *where,
                      const struct option_row *table, const struct option_row *more);

#endif
