/*
 * The statistics of a server that this process does not belong to, or is a worker of: mapped to be read, through the
 * descriptors of a master under /proc. Nobody is asked for them.
 */
#ifndef COMMON_STATS_VIEW_H
#define COMMON_STATS_VIEW_H

#include "common/stats.h"

/*
 * Map the area of the master `pid`, to be released with stats_detach(). NULL with errno: ENOENT when it has none, EPROTO
 * when its layout is that of another binary, EACCES when this user may not look into that process.
 */
struct stats_area *stats_view_of(pid_t pid);

#endif
