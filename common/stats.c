#include "common/stats.h"
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

struct stats_block *stats_map(unsigned count)
{
    void *memory = mmap(NULL, count * sizeof(struct stats_block), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

uint64_t stats_open(const struct stats_listener *listener)
{
    uint64_t ended = stats_read(&listener->lost);

    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        ended += stats_read(&listener->closed[i]);
    uint64_t accepted = stats_read(&listener->accepted);
    return accepted > ended ? accepted - ended : 0;
}

void stats_add(struct stats_listener *total, const struct stats_listener *listener)
{
#define X(name, help) stats_count(&total->name, stats_read(&listener->name));
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        stats_count(&total->closed[i], stats_read(&listener->closed[i]));
}

void stats_fold(struct stats_block *total, struct stats_block *block)
{
    stats_count(&total->turns, stats_read(&block->turns));
    stats_count(&total->accept_pauses, stats_read(&block->accept_pauses));
    if (stats_read(&block->longest_turn_us) > stats_read(&total->longest_turn_us))
        atomic_store(&total->longest_turn_us, stats_read(&block->longest_turn_us));
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++) {
        stats_count(&block->listeners[i].lost, stats_open(&block->listeners[i]));
        stats_add(&total->listeners[i], &block->listeners[i]);
    }
    memset(block, 0, sizeof(*block));
}
