/*
 * Numbers of slots in the statistics: slots are numbered within their pool, and the totals are kept by one number.
 *
 *   main 0 -> 0      main 1 -> 1      bank 0 -> 2 ...      in the order of their first start
 *
 * Both masters of an upgrade use one table.
 */
#ifndef COMMON_STATS_NUMBER_H
#define COMMON_STATS_NUMBER_H

#include "common/stats.h"

/*
 * The number of slot `id` of this pool, in all totals and entries. A slot that is new gets a free one, or else that of
 * a slot which has no worker: its totals move to `renumbered`, so that no sum changes. -1 with ENOMEM: none is left.
 * stats_find() gives none out.
 */
int stats_number(struct stats_area *area, const char *pool, unsigned id);
int stats_find(const struct stats_area *area, const char *pool, unsigned id);

#endif
