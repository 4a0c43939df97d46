#include "master/report.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/report_durations.h"
#include "common/report_json.h"
#include "common/report_table.h"
#include "master/queue_table.h"
#include "master/state.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* Allocated once and for all: a report must not fail for want of memory. Pages that nobody touches cost nothing. */
static struct report_sums sums, before;
static struct master_state state;
static struct report_queues queues;
static struct report report = {.state = &state, .sums = &sums, .queues = &queues};
static struct stats_service *events_of;

static void take(struct master *master)
{
    report.area = master->fleet.context.stats;
    stats_sweep(master->fleet.context.stats, getpid());
    state_take(master, &state);
    queue_table_measure(master, &queues);
    report_sums_take(report.area, &sums);
}

static void log_line(const char *line)
{
    log_always("%s", line);
}

/* What is logged from now on is also an event. */
static void note_event(enum log_level level, const char *text)
{
    event_add(&events_of->events, (uint32_t)level, text);
}

void report_start(struct master *master)
{
    struct stats_service *service = &master->fleet.context.stats->service;

    if (stats_read(&service->started_ms) == 0)
        stats_count(&service->started_ms, clock_now_ms());
    report_sums_take(master->fleet.context.stats, &before);
    events_of = service;
    log_set_observer(note_event);
}

void report_log(struct master *master)
{
    take(master);
    report_table(&report, &before, log_line);
    report_durations_table(&report, log_line);
    report_sums_copy(&before, &sums);
}

/* Beside the file, which is replaced by it: complete, or not at all. */
static int write_beside(const char *path, char *temporary)
{
    int fd = file_create_beside(path, 0644, temporary);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

    if (!out) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
            unlink(temporary);
        }
        errno = error;
        return -1;
    }
    report_json(out, &report);
    bool failed = fflush(out) != 0 || ferror(out);
    int error = errno;
    failed |= fclose(out) != 0;
    if (failed) {
        unlink(temporary);
        errno = error;
    }
    return failed ? -1 : 0;
}

int report_file(struct master *master, const char *path, char *error, size_t error_size)
{
    char temporary[PATH_MAX];

    take(master);
    if (!file_is_replaceable(path, error, error_size))
        return -1;
    if (write_beside(path, temporary) == 0) {
        if (rename(temporary, path) == 0)
            return 0;
        int rename_error = errno;
        unlink(temporary);
        errno = rename_error;
    }
    snprintf(error, error_size, "%s: %s", path, strerror(errno));
    return -1;
}
