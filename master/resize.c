#include "master/resize.h"
#include "common/log.h"
#include "common/notify.h"

/* Whether anybody is left when the last worker has been retired. */
static bool others_live(const struct generation *current)
{
    for (unsigned i = 0; i + 1 < current->count; i++)
        if (current->slots[i]->supervised.state != SUPERVISOR_DOWN)
            return true;
    return false;
}

/* A worker that cannot be started is given up: its queues stay, and are served by the others. */
static int grow(struct fleet *fleet, char *error, size_t error_size)
{
    struct generation *current = fleet->current;

    if (endpoints_claim(&fleet->endpoints, &current->conf, current->wanted + 1, error, error_size) < 0)
        return -1;
    return fleet_add(fleet, RESPAWN_resize, error, error_size);
}

static void shrink(struct fleet *fleet)
{
    fleet->current->wanted--;
    fleet_retire_last(fleet);
}

void resize_by(struct fleet *fleet, int change, bool is_busy)
{
    const struct generation *current = fleet->current;
    unsigned count = current->wanted;
    char error[512];

    if ((change < 0 && count == 1) || (change > 0 && count == CONF_WORKERS_MAX)) {
        log_warn("resize refused: %u workers is the limit", count);
        return;
    }
    if (is_busy || current->count != current->wanted) {
        log_warn("resize refused: a start, a reload, an upgrade or a stop is under way");
        return;
    }
    if (change < 0 && !others_live(current)) {
        log_warn("resize refused: all other workers stay down");
        return;
    }
    if (change < 0) {
        shrink(fleet);
    } else if (grow(fleet, error, sizeof(error)) < 0) {
        log_error("resize refused: %s", error);
        return;
    }
    log_notice("resize: %u workers", current->count);
    notify("STATUS=%u workers, generation %u", current->count, current->number);
}

void resize_to_configured(struct fleet *fleet)
{
    struct generation *current = fleet->current;
    char error[512];

    if (current->wanted >= current->conf.workers)
        return;
    if (endpoints_claim(&fleet->endpoints, &current->conf, current->conf.workers, error, sizeof(error)) < 0) {
        log_error("no more than %u workers: %s", current->wanted, error);
        return;
    }
    log_notice("resize: %u workers", current->conf.workers);
    current->wanted = current->conf.workers;
}
