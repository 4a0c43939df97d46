#include "common/stats.h"
#include "common/memory_file.h"
#include "common/stats_count.h"
#include "common/stats_file.h"
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

/* The blocks as this process has mapped them, by the index of their entries. It is the process's own: a child has them
 * no longer, and what one master writes here is nothing to the other. */
static struct view {
    struct stats_block *block; /* NULL: not mapped */
    uint64_t serial;           /* of whose block it is */
    int fd;                    /* its file; -1 unless we are the owner */
} views[STATS_PROCESSES_MAX];

/* ---- the area ---- */

/* Entries that may be in use. Who looks from outside does not know who has written the number. */
static uint32_t blocks_of(const struct stats_area *area)
{
    uint32_t used = area->blocks_used;

    return used < STATS_PROCESSES_MAX ? used : STATS_PROCESSES_MAX;
}

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

static struct stats_area *attach(int fd, int access)
{
    struct stat status;
    uint64_t layout = 0;

    if (pread(fd, &layout, sizeof(layout), offsetof(struct stats_area, layout)) < 0)
        return NULL;
    if (layout != STATS_LAYOUT || fstat(fd, &status) < 0 || status.st_size < (off_t)sizeof(struct stats_area)) {
        errno = EPROTO;
        return NULL;
    }
    void *memory = mmap(NULL, sizeof(struct stats_area), access, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct stats_area *stats_attach(int fd)
{
    return attach(fd, PROT_READ | PROT_WRITE);
}

struct stats_area *stats_view(int fd)
{
    return attach(fd, PROT_READ);
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

static void drop_view(struct view *view)
{
    if (view->block && view->fd >= 0)
        close(view->fd);
    stats_file_unmap(view->block);
    *view = (struct view){.block = NULL};
}

void stats_detach(struct stats_area *area)
{
    for (uint32_t i = 0; i < blocks_of(area); i++)
        drop_view(&views[i]);
    munmap(area, sizeof(*area));
}

/* The counts of a listener whose index is given to another name are kept, since the workers' sums contain them. */
static void forget_listener_of(struct stats_totals *totals, unsigned index)
{
    struct stats_listener *counted = &totals->total.listeners[index];

    stats_add(&totals->forgotten, counted);
    memset(counted, 0, sizeof(*counted));
}

static void forget_listener(struct stats_area *area, unsigned index)
{
    for (unsigned i = 0; i < area->numbers_used; i++)
        forget_listener_of(&area->totals[i], index);
    forget_listener_of(&area->renumbered, index);
}

int stats_index(struct stats_area *area, const char *name, uint32_t kind, const bool *keep)
{
    int index = -1;

    for (int i = STATS_LISTENERS_MAX - 1; i >= 0; i--) {
        if (strcmp(area->names[i], name) == 0 && area->kinds[i] == kind)
            return i;
        bool free = area->names[i][0] == '\0';
        if (free || (!keep[i] && (index < 0 || area->names[index][0])))
            index = i;
    }
    if (index >= 0 && area->names[index][0])
        forget_listener(area, (unsigned)index);
    if (index >= 0) {
        strlcpy(area->names[index], name, STATS_NAME_SIZE);
        area->kinds[index] = kind;
    }
    return index;
}

/* ---- workers ---- */

/* The other master may have gone further meanwhile. */
static void raise_to(_Atomic uint32_t *used, uint32_t count)
{
    uint32_t now = atomic_load(used);

    while (now < count && !atomic_compare_exchange_weak(used, &now, count))
        ;
}

static int map_own(struct view *view, unsigned number, pid_t owner)
{
    view->fd = stats_file_create(number, owner);
    if (view->fd >= 0)
        view->block = stats_file_map(view->fd, true);
    else if (errno == EFBIG)
        view->block = stats_without_block_file(number, owner);
    if (view->block)
        return 0;
    int error = errno;
    if (view->fd >= 0)
        close(view->fd);
    errno = error;
    return -1;
}

/* The index of a free entry, which is ours now; -1 with ENOMEM. */
static int claim_entry(struct stats_area *area, unsigned number)
{
    for (uint32_t i = 0; i < STATS_PROCESSES_MAX; i++) {
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong(&area->entries[i].taken, &none, number + 1))
            continue;
        raise_to(&area->blocks_used, i + 1);
        raise_to(&area->numbers_used, number + 1);
        return (int)i;
    }
    errno = ENOMEM;
    return -1;
}

static void release_entry(struct stats_entry *entry)
{
    atomic_store(&entry->serial, 0);
    atomic_store(&entry->taken, 0);
}

struct stats_block *stats_take(struct stats_area *area, unsigned number, pid_t owner)
{
    int index = claim_entry(area, number);

    if (index < 0)
        return NULL;
    struct stats_entry *entry = &area->entries[index];
    struct view *view = &views[index];
    drop_view(view); /* of a worker that the other master has entered here before */
    if (map_own(view, number, owner) < 0) {
        release_entry(entry);
        return NULL;
    }
    entry->owner = owner;
    entry->pid = 0;
    entry->fd = view->fd;
    view->serial = atomic_fetch_add(&area->serials_used, 1) + 1;
    atomic_store(&entry->serial, view->serial);
    return view->block;
}

/* The index of the entry that `block` belongs to. */
static uint32_t index_of(const struct stats_area *area, const struct stats_block *block)
{
    uint32_t index = 0;

    while (index + 1 < blocks_of(area) && views[index].block != block)
        index++;
    return index;
}

void stats_set_pid(struct stats_area *area, const struct stats_block *block, pid_t pid)
{
    area->entries[index_of(area, block)].pid = pid;
}

struct stats_block *stats_enter(struct stats_area *area, const struct stats_block *block)
{
    uint32_t used = blocks_of(area), own = index_of(area, block);

    area->entries[own].pid = getpid(); /* should the master die before it has done so */
    munmap(area, sizeof(*area));
    for (uint32_t i = 0; i < used; i++) /* those without a file have been inherited; of the others nothing is here */
        if (i != own && views[i].fd < 0)
            stats_file_unmap(views[i].block);
    struct stats_block *mapped = views[own].fd < 0 ? views[own].block : stats_file_map(views[own].fd, true);
    for (uint32_t i = 0; i < used; i++) /* the mappings have stayed behind */
        if (views[i].block && views[i].fd >= 0)
            close(views[i].fd);
    memset(views, 0, sizeof(views));
    return mapped;
}

uint64_t stats_serial(const struct stats_area *area, const struct stats_block *block)
{
    return views[index_of(area, block)].serial;
}

const struct stats_block *stats_block_of(const struct stats_area *area, uint64_t serial)
{
    for (uint32_t i = 0; serial && i < blocks_of(area); i++)
        if (views[i].block && views[i].serial == serial)
            return views[i].block;
    return NULL;
}

/* ---- sums ---- */

static void fold(struct stats_area *area, uint32_t index)
{
    struct stats_entry *entry = &area->entries[index];
    struct view *view = &views[index];

    if (view->block && view->serial == entry->serial)
        stats_add_dead(&area->totals[entry->taken - 1].total, view->block, entry->taken - 1, entry->owner);
    drop_view(view);
    release_entry(entry);
}

void stats_fold(struct stats_area *area, struct stats_block *block)
{
    fold(area, index_of(area, block));
}

void stats_sum(const struct stats_area *area, unsigned number, unsigned listeners, struct stats_block *total)
{
    memset(total, 0, offsetof(struct stats_block, listeners) + listeners * sizeof(total->listeners[0]));
    stats_add_totals(total, &area->totals[number], listeners);
    for (uint32_t i = 0; i < blocks_of(area); i++)
        if (area->entries[i].taken == number + 1 && views[i].block && views[i].serial == area->entries[i].serial)
            stats_add_block(total, views[i].block, number, area->entries[i].owner, listeners);
}

void stats_sum_durations(const struct stats_area *area, unsigned number, struct minute_counts *total)
{
    stats_add_durations(total, &area->totals[number].total);
    for (uint32_t i = 0; i < blocks_of(area); i++)
        if (area->entries[i].taken == number + 1 && views[i].block && views[i].serial == area->entries[i].serial &&
            !stats_error(views[i].block, number, area->entries[i].owner))
            stats_add_durations(total, views[i].block);
}

/* ---- workers of the other master ---- */

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static void map_other(struct view *view, const struct stats_entry *entry, uint64_t serial)
{
    int fd = stats_file_open(entry->owner, entry->fd);

    if (fd < 0)
        return;
    *view = (struct view){.block = stats_file_map(fd, false), .serial = serial, .fd = -1};
    close(fd);
    /* It may have been another one by the time it was opened. */
    if (view->block && (entry->serial != serial || stats_error(view->block, entry->taken - 1, entry->owner)))
        drop_view(view);
}

void stats_watch(struct stats_area *area, pid_t self)
{
    for (uint32_t i = 0; i < blocks_of(area); i++) {
        struct stats_entry *entry = &area->entries[i];
        uint64_t serial = entry->serial;
        if (views[i].block && views[i].serial != serial)
            drop_view(&views[i]);
        if (serial && !views[i].block && entry->owner != self)
            map_other(&views[i], entry, serial);
    }
}

static bool is_orphaned(const struct stats_entry *entry, pid_t self)
{
    return entry->serial && entry->owner != self && is_gone(entry->owner);
}

void stats_sweep(struct stats_area *area, pid_t self)
{
    stats_watch(area, self);
    for (uint32_t i = 0; i < blocks_of(area); i++)
        if (is_orphaned(&area->entries[i], self) && area->entries[i].pid > 0 && is_gone(area->entries[i].pid))
            fold(area, i);
}

const struct stats_entry *stats_other(const struct stats_area *area, pid_t self, uint32_t *at)
{
    while (*at < blocks_of(area)) {
        const struct stats_entry *entry = &area->entries[(*at)++];
        if (entry->serial && entry->owner != self)
            return entry;
    }
    return NULL;
}

const struct stats_entry *stats_orphan(const struct stats_area *area, pid_t self, uint32_t *at)
{
    while (*at < blocks_of(area)) {
        const struct stats_entry *entry = &area->entries[(*at)++];
        if (is_orphaned(entry, self))
            return entry;
    }
    return NULL;
}
