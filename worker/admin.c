#include "worker/admin.h"
#include "common/clock.h"
#include "common/stats_view.h"
#include <errno.h>
#include <unistd.h>

/* Pages that nobody touches cost nothing. */
static struct report_sums sums;
static struct master_state state;
static struct report_process processes[STATE_WORKERS_MAX];
static struct report report = {.state = &state, .sums = &sums, .processes = processes};
static struct stats_area *area;

const struct report *admin_report(void)
{
    if (area && sums.at_ms + ADMIN_FRESH_MS > clock_now_ms())
        return &report;
    if (!area && !(area = stats_view_of(getppid())))
        return NULL;
    report.area = area;
    stats_watch(area, getpid());
    if (!state_try_read(&area->state, &state)) {
        errno = EBUSY;
        return NULL;
    }
    report_sums_take(area, &sums);
    report_processes_take(&state, processes);
    return &report;
}
