/*
 * How full the accept queues are. Whoever reports asks the kernel, so the workers do nothing for it.
 *
 *   queue_table: listener, address, slot, identity ---.
 *                                                     |--> struct report_queues
 *   sock_diag: identity, length, limit, drops --------'
 */
#ifndef COMMON_REPORT_QUEUES_H
#define COMMON_REPORT_QUEUES_H

#include "common/queue_table.h"
#include "common/state.h"

enum {
    REPORT_QUEUES_FRESH_MS = 1000,  /* the kernel is asked at most once in this time */
    REPORT_QUEUES_RETRY_MS = 10000, /* and when it has no answer, not again before this one */
};

struct report_queue {
    struct queue_place place;
    bool is_known; /* else there are no figures: it does not listen, or the kernel does not tell */
    struct sock_queue figures;
};

/* In the order of listeners, addresses and slots. */
struct report_queues {
    uint64_t at_ms; /* monotonic, when the kernel was asked; 0: it was not */
    struct queue_version version;
    uint32_t count, total; /* in `all`; how many there are */
    struct report_queue all[QUEUES_MAX];
};

/* Together: of a listener, of a worker. */
struct report_queue_sum {
    bool is_known, has_drops; /* of one of them at least */
    uint64_t length, drops;
};

/*
 * The queues of `state`, which was read at the same time as `record`; with figures that are at most
 * REPORT_QUEUES_FRESH_MS old. None at all when the two are of different generations at this moment.
 */
void report_queues_take(const struct queue_record *record, const struct master_state *state,
                        struct report_queues *queues);

/* One more, without figures. NULL when there is no room: it is only counted. */
struct report_queue *report_queues_add(struct report_queues *queues, const struct queue_place *place);

/* The sum of a listener's queues; of those of a worker's slot, without those that all slots share. NULL: none. */
struct report_queue_sum report_queues_of_listener(const struct report_queues *queues, unsigned listener);
struct report_queue_sum report_queues_of_worker(const struct report_queues *queues, const struct master_state *state,
                                                const struct state_worker *worker);

#endif
