#include "common/stats_count.h"
#include <string.h>

/* ---- what a worker has written ---- */

const char *stats_error(const struct stats_block *block, unsigned number, pid_t owner)
{
    bool intact = block->layout == STATS_LAYOUT && block->taken == number + 1 && block->owner == owner;

    return intact ? NULL : "has written over the head of its counters";
}

/* The ends are read before the beginnings: whatever a worker counts meanwhile, no session ends that has not begun. */
static void read_listener(struct stats_listener *copy, const struct stats_listener *listener)
{
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        copy->closed[i] = stats_read(&listener->closed[i]);
    copy->lost = stats_read(&listener->lost);
    atomic_thread_fence(memory_order_acquire);
#define X(name, metric, help) copy->name = stats_read(&listener->name);
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < STATS_OWN_COUNTERS; i++)
        copy->own[i] = stats_read(&listener->own[i]);
    for (unsigned i = 0; i < DURATIONS; i++)
        for (unsigned j = 0; j < DURATION_BUCKETS; j++)
            copy->durations[i][j] = stats_read(&listener->durations[i][j]);
}

/* More than any process can have counted: sums of such numbers would overflow. */
#define IMPOSSIBLE (UINT64_C(1) << 56)

static bool contradicts_itself(const struct stats_listener *listener)
{
    uint64_t ended = listener->lost, largest = 0;

    for (unsigned i = 0; i < CLOSE_REASONS; i++) {
        ended += listener->closed[i];
        largest |= listener->closed[i];
    }
#define X(name, metric, help) largest |= listener->name;
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < STATS_OWN_COUNTERS; i++)
        largest |= listener->own[i];
    for (unsigned i = 0; i < DURATIONS; i++)
        for (unsigned j = 0; j < DURATION_BUCKETS; j++)
            largest |= listener->durations[i][j];
    return largest >= IMPOSSIBLE || ended > listener->accepted;
}

/* What stands before the listeners. */
struct process_counts {
    uint64_t turns, longest_turn_us, accept_pauses, log_dropped;
    uint64_t turn_times[DURATION_BUCKETS];
};

static struct process_counts read_process(const struct stats_block *block)
{
    struct process_counts counts = {
        .turns = stats_read(&block->turns),
        .longest_turn_us = stats_read(&block->longest_turn_us),
        .accept_pauses = stats_read(&block->accept_pauses),
        .log_dropped = stats_read(&block->log_dropped),
    };
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        counts.turn_times[i] = stats_read(&block->turn_times[i]);
    return counts;
}

static bool is_impossible(const struct process_counts *counts)
{
    uint64_t largest = counts->turns | counts->longest_turn_us | counts->accept_pauses | counts->log_dropped;

    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        largest |= counts->turn_times[i];
    return largest >= IMPOSSIBLE;
}

const char *stats_counters_error(const struct stats_area *area, const struct stats_block *block)
{
    const struct process_counts counts = read_process(block);
    struct stats_listener copy;

    if (is_impossible(&counts))
        return "has counted what cannot be";
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++) {
        if (area->names[i][0] == '\0')
            continue;
        read_listener(&copy, &block->listeners[i]);
        if (contradicts_itself(&copy) || copy.lost)
            return "has counted what cannot be";
    }
    return NULL;
}

/* ---- sums ---- */

uint64_t stats_open(const struct stats_listener *listener)
{
    uint64_t ended = stats_read(&listener->lost);

    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        ended += stats_read(&listener->closed[i]);
    uint64_t accepted = stats_read(&listener->accepted);
    return accepted > ended ? accepted - ended : 0;
}

/* Has anything been counted? A service may count what no client has asked for. */
static bool is_used(const struct stats_listener *listener)
{
    static const struct stats_listener nothing;

    return memcmp((const void *)listener, (const void *)&nothing, sizeof(nothing)) != 0; /* counters, without gaps */
}

/* Most counters are zero, and to look costs less than a locked instruction. */
static void add(stats_counter *total, uint64_t count)
{
    if (count > 0)
        atomic_fetch_add(total, count);
}

void stats_add(struct stats_listener *total, const struct stats_listener *listener)
{
    if (!is_used(listener)) /* as most are: reading is cheaper than adding nothing, and touches no page of the total */
        return;
    /* Ends before beginnings: a session that comes and goes meanwhile must not seem to have ended only. */
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        add(&total->closed[i], stats_read(&listener->closed[i]));
#define X(name, metric, help) add(&total->name, stats_read(&listener->name));
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < STATS_OWN_COUNTERS; i++)
        add(&total->own[i], stats_read(&listener->own[i]));
    for (unsigned i = 0; i < DURATIONS; i++)
        for (unsigned j = 0; j < DURATION_BUCKETS; j++)
            add(&total->durations[i][j], stats_read(&listener->durations[i][j]));
}

static void add_process(struct stats_block *total, const struct process_counts *counts)
{
    atomic_fetch_add(&total->turns, counts->turns);
    atomic_fetch_add(&total->accept_pauses, counts->accept_pauses);
    atomic_fetch_add(&total->log_dropped, counts->log_dropped);
    for (unsigned i = 0; i < DURATION_BUCKETS; i++)
        atomic_fetch_add(&total->turn_times[i], counts->turn_times[i]);
    if (counts->longest_turn_us > stats_read(&total->longest_turn_us))
        atomic_store(&total->longest_turn_us, counts->longest_turn_us);
}

void stats_add_totals(struct stats_block *total, const struct stats_totals *totals, unsigned listeners)
{
    const struct process_counts counts = read_process(&totals->total);

    add_process(total, &counts);
    for (unsigned i = 0; i < listeners; i++)
        stats_add(&total->listeners[i], &totals->total.listeners[i]);
}

static void add_block(struct stats_block *total, const struct stats_block *block, unsigned listeners, bool is_gone)
{
    const struct process_counts counts = read_process(block);
    struct stats_listener copy;

    if (!is_impossible(&counts))
        add_process(total, &counts);
    for (unsigned i = 0; i < listeners; i++) {
        if (!is_used(&block->listeners[i]))
            continue;
        read_listener(&copy, &block->listeners[i]);
        if (contradicts_itself(&copy))
            continue;
        if (is_gone)
            copy.lost += stats_open(&copy);
        stats_add(&total->listeners[i], &copy);
    }
}

void stats_add_block(struct stats_block *total, const struct stats_block *block, unsigned number, pid_t owner,
                     unsigned listeners)
{
    if (!stats_error(block, number, owner))
        add_block(total, block, listeners, false);
}

void stats_add_dead(struct stats_block *total, const struct stats_block *block, unsigned number, pid_t owner)
{
    if (!stats_error(block, number, owner))
        add_block(total, block, STATS_LISTENERS_MAX, true);
}

static void add_durations(uint64_t *total, const stats_counter *counts, unsigned count)
{
    uint64_t copy[DURATIONS * DURATION_BUCKETS], largest = 0;

    for (unsigned i = 0; i < count; i++)
        largest |= copy[i] = stats_read(&counts[i]);
    for (unsigned i = 0; i < count && largest < IMPOSSIBLE; i++)
        total[i] += copy[i];
}

void stats_add_durations(struct minute_counts *total, const struct stats_block *block)
{
    add_durations(total->turn_times, block->turn_times, DURATION_BUCKETS);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        if (total->names[i][0])
            add_durations(total->listeners[i][0], block->listeners[i].durations[0], DURATIONS * DURATION_BUCKETS);
}
