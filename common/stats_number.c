#include "common/stats_number.h"
#include "common/stats_count.h"
#include <errno.h>
#include <string.h>

#include <bsd/string.h>

enum stats_slot_state { SLOT_FREE, SLOT_CHANGES, SLOT_KNOWN };

int stats_find(const struct stats_area *area, const char *pool, unsigned id)
{
    for (int i = 0; i < STATS_NUMBERS_MAX; i++) {
        const struct stats_slot *slot = &area->slots[i];
        uint32_t state = atomic_load(&slot->state);
        if (state == SLOT_FREE)
            return -1; /* they are given out in this order */
        if (state == SLOT_KNOWN && slot->id == id && strcmp(slot->pool, pool) == 0)
            return i;
    }
    return -1;
}

static bool has_workers(const struct stats_area *area, unsigned number)
{
    for (uint32_t i = 0; i < area->blocks_used; i++)
        if (area->entries[i].taken == number + 1)
            return true;
    return false;
}

/* The totals of the slot that had this number go where nobody asks which slot it was. */
static void renumber(struct stats_area *area, unsigned number)
{
    struct stats_totals *totals = &area->totals[number], *to = &area->renumbered;

    for (unsigned i = 0; i < RESPAWNS; i++)
        atomic_fetch_add(&to->respawns[i], stats_read(&totals->respawns[i]));
    stats_add_totals(&to->total, totals, STATS_LISTENERS_MAX);
    stats_add(&to->forgotten, &totals->forgotten);
    memset(totals, 0, sizeof(*totals));
}

/* Two masters may do this at the same time: each claims an entry of its own, and the first one found counts. */
static int claim_number(struct stats_area *area, uint32_t state)
{
    for (int i = 0; i < STATS_NUMBERS_MAX; i++) {
        uint32_t expected = state;
        if (state == SLOT_KNOWN && has_workers(area, (unsigned)i))
            continue;
        if (atomic_compare_exchange_strong(&area->slots[i].state, &expected, SLOT_CHANGES))
            return i;
    }
    return -1;
}

int stats_number(struct stats_area *area, const char *pool, unsigned id)
{
    int number = stats_find(area, pool, id);

    if (number >= 0)
        return number;
    number = claim_number(area, SLOT_FREE);
    if (number < 0) {
        number = claim_number(area, SLOT_KNOWN);
        if (number < 0) {
            errno = ENOMEM;
            return -1;
        }
        renumber(area, (unsigned)number);
    }
    struct stats_slot *slot = &area->slots[number];
    slot->id = id;
    strlcpy(slot->pool, pool, sizeof(slot->pool));
    atomic_store(&slot->state, SLOT_KNOWN);
    return number;
}
