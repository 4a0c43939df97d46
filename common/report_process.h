/*
 * What the kernel knows about a worker: read from /proc by whoever reports, so that the worker does nothing for it.
 */
#ifndef COMMON_REPORT_PROCESS_H
#define COMMON_REPORT_PROCESS_H

#include "common/state.h"
#include <stdint.h>

struct report_process {
    bool is_known;         /* else there is no process, or no /proc */
    uint64_t cpu_ms;       /* it has used since it started; the kernel counts in hundredths of a second */
    uint64_t memory_bytes; /* resident, with what it shares with others */
    int64_t descriptors;   /* open ones; -1: this kernel does not tell (before 6.2) */
};

/* Look at the process of each worker of `state`, in their order. */
void report_processes_take(const struct master_state *state, struct report_process *processes);

#endif
