/*
 * The wall around the core: what stands in worker/core/ is for worker/ alone.
 */
#ifndef WORKER_CORE_WALL_H
#define WORKER_CORE_WALL_H

#ifdef OUTSIDE_OF_WORKER
#error "a service includes worker/session.h, the master includes worker/worker.h: neither sees worker/core/"
#endif

#endif
