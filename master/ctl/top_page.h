/*
 * The rows of ccserverctl top as a page: its head, the workers, the listeners.
 */
#ifndef MASTER_CTL_TOP_PAGE_H
#define MASTER_CTL_TOP_PAGE_H

#include "master/ctl/screen.h"
#include "master/ctl/server.h"
#include "master/ctl/top_rows.h"

void top_page_print(struct screen *screen, const struct server *server, const struct top_rows *rows);

#endif
