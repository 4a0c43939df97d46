/*
 * The core from within, for a service that plays a worker gone wrong: it speaks on the control pipe and writes where it
 * should not, so that tests see what the master makes of it. Nothing else includes this.
 */
#ifndef WORKER_CORE_H
#define WORKER_CORE_H

#undef OUTSIDE_OF_WORKER
#include "worker/core/session.h"

#endif
