#include "common/stats.h"
#include "common/memory_file.h"
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bsd/string.h>

/* ---- the area ---- */

int stats_create(void)
{
    int fd = memory_file_create("ccserver-stats", sizeof(struct stats_area));
    struct stats_area *area = MAP_FAILED;

    if (fd >= 0) /* a write() would meet the limit for the size of files */
        area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (area != MAP_FAILED) {
        area->layout = STATS_LAYOUT;
        munmap(area, sizeof(*area));
        return fd;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

struct stats_area *stats_attach(int fd)
{
    uint64_t layout = 0;

    if (pread(fd, &layout, sizeof(layout), offsetof(struct stats_area, layout)) < 0)
        return NULL;
    if (layout != STATS_LAYOUT) {
        errno = EPROTO;
        return NULL;
    }
    void *memory = mmap(NULL, sizeof(struct stats_area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct stats_area *stats_without_file(void)
{
    struct stats_area *area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (area == MAP_FAILED)
        return NULL;
    area->layout = STATS_LAYOUT;
    return area;
}

/* The counts of a listener whose index is given to another name are kept, since the workers' sums contain them. */
static void forget_listener(struct stats_area *area, unsigned index)
{
    for (unsigned i = 0; i < area->numbers_used; i++) {
        struct stats_listener *counted = &area->books[i].total.listeners[index];
        stats_add(&area->books[i].forgotten, counted);
        memset(counted, 0, sizeof(*counted));
    }
}

int stats_index(struct stats_area *area, const char *name, const bool *keep)
{
    int index = -1;

    for (int i = STATS_LISTENERS_MAX - 1; i >= 0; i--) {
        if (strcmp(area->names[i], name) == 0)
            return i;
        bool free = area->names[i][0] == '\0';
        if (free || (!keep[i] && (index < 0 || area->names[index][0])))
            index = i;
    }
    if (index >= 0 && area->names[index][0])
        forget_listener(area, (unsigned)index);
    if (index >= 0)
        strlcpy(area->names[index], name, STATS_NAME_SIZE);
    return index;
}

/* The other master may have gone further meanwhile. */
static void raise_to(_Atomic uint32_t *used, uint32_t count)
{
    uint32_t now = atomic_load(used);

    while (now < count && !atomic_compare_exchange_weak(used, &now, count))
        ;
}

struct stats_block *stats_take(struct stats_area *area, unsigned number, pid_t owner)
{
    for (uint32_t i = 0; i < STATS_PROCESSES_MAX; i++) {
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong(&area->blocks[i].taken, &none, number + 1))
            continue;
        area->blocks[i].owner = owner;
        area->blocks[i].pid = 0;
        raise_to(&area->blocks_used, i + 1);
        raise_to(&area->numbers_used, number + 1);
        return &area->blocks[i];
    }
    errno = ENOMEM;
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

void stats_add(struct stats_listener *total, const struct stats_listener *listener)
{
    /* Ends before beginnings: a session that comes and goes meanwhile must not seem to have ended only. */
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        atomic_fetch_add(&total->closed[i], stats_read(&listener->closed[i]));
#define X(name, help) atomic_fetch_add(&total->name, stats_read(&listener->name));
    STATS_COUNTERS(X)
#undef X
}

static void add_block(struct stats_block *total, const struct stats_block *block)
{
    uint64_t longest = stats_read(&block->longest_turn_us);

    atomic_fetch_add(&total->turns, stats_read(&block->turns));
    atomic_fetch_add(&total->accept_pauses, stats_read(&block->accept_pauses));
    if (longest > stats_read(&total->longest_turn_us))
        atomic_store(&total->longest_turn_us, longest);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        if (stats_read(&block->listeners[i].accepted) || stats_read(&block->listeners[i].refused))
            stats_add(&total->listeners[i], &block->listeners[i]);
}

void stats_fold(struct stats_area *area, struct stats_block *block)
{
    unsigned number = block->taken - 1;

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_count(&block->listeners[i].lost, stats_open(&block->listeners[i]));
    add_block(&area->books[number].total, block);
    memset(&block->pid, 0, sizeof(*block) - offsetof(struct stats_block, pid));
    atomic_store(&block->taken, 0);
}

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static bool is_orphaned(const struct stats_block *block, pid_t self)
{
    return block->taken && block->owner != self && is_gone(block->owner);
}

void stats_sweep(struct stats_area *area, pid_t self)
{
    for (uint32_t i = 0; i < area->blocks_used; i++)
        if (is_orphaned(&area->blocks[i], self) && area->blocks[i].pid > 0 && is_gone(area->blocks[i].pid))
            stats_fold(area, &area->blocks[i]);
}

const struct stats_block *stats_orphan(const struct stats_area *area, pid_t self, uint32_t *at)
{
    while (*at < area->blocks_used) {
        const struct stats_block *block = &area->blocks[(*at)++];
        if (is_orphaned(block, self))
            return block;
    }
    return NULL;
}

void stats_sum(const struct stats_area *area, unsigned number, struct stats_block *total)
{
    memset(total, 0, sizeof(*total));
    add_block(total, &area->books[number].total);
    for (uint32_t i = 0; i < area->blocks_used; i++)
        if (area->blocks[i].taken == number + 1)
            add_block(total, &area->blocks[i]);
}
