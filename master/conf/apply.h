/*
 * What the sections of the configuration mean: their rows become values of struct conf, checked.
 */
#ifndef MASTER_CONF_APPLY_H
#define MASTER_CONF_APPLY_H

#include "master/conf/reader.h"

/* Check the rows of the section that has been read, and store their values. 0, or -1 with the error kept. */
int apply_server(struct conf_reader *reader);
int apply_listen(struct conf_reader *reader);

#endif
