#include "worker/admin.h"
#include "common/clock.h"
#include "common/stats_view.h"
#include "worker/core/session.h"
#include "worker/upstream.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_TRIES = 50 };

/* Pages that nobody touches cost nothing. */
static struct report_sums sums;
static struct master_state states[2]; /* the one that has been read last, and the one that is read next */
static unsigned current;
static bool is_read;
static struct report_process processes[STATE_WORKERS_MAX];
static struct report_queues queues;
static struct report report = {.sums = &sums, .processes = processes, .queues = &queues};
static struct stats_area *area;

/* The first time there is nothing older to be shown: then the master, which may have lost its CPU, is waited for. */
static bool read_state(void)
{
    bool taken = state_try_read(&area->state, &states[!current]);

    for (unsigned i = 0; i < FIRST_TRIES && !is_read && !taken; i++) {
        usleep(1000);
        taken = state_try_read(&area->state, &states[!current]);
    }
    return taken;
}

/* Map the area once, and take the state. NULL with errno. */
static const struct report *take_state(void)
{
    if (!area && !(area = stats_view_of(getppid())))
        return NULL;
    report.area = area;
    if (read_state()) {
        current = !current;
        is_read = true;
    } else if (!is_read) {
        errno = EBUSY;
        return NULL;
    }
    report.state = &states[current]; /* while the master writes it, as it was a moment ago */
    return &report;
}

const struct report *admin_state(void)
{
    const struct report *taken = take_state();

    sums.at_ms = 0; /* they are of an older state */
    return taken;
}

const struct report *admin_report(void)
{
    if (area && sums.at_ms + ADMIN_FRESH_MS > clock_now_ms())
        return &report;
    if (!take_state())
        return NULL;
    stats_watch(area, getpid());
    report_queues_take(&area->queues, report.state, &queues);
    report_sums_take(area, &sums);
    report_processes_take(report.state, processes);
    return &report;
}

bool admin_may_change(const struct session *session, gid_t group)
{
    int fd = session->client.handler.fd;
    struct ucred client;
    gid_t groups[256];
    socklen_t size = sizeof(client);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &client, &size) < 0)
        return false;
    if (client.uid == 0 || client.uid == geteuid())
        return true;
    if (group == (gid_t)-1)
        return false;
    size = sizeof(groups);
    unsigned count = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0 ? 0 : size / sizeof(groups[0]);
    for (unsigned i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return client.gid == group;
}

bool admin_is_gone(const struct session *session)
{
    struct pollfd client = {.fd = session->client.handler.fd};

    return poll(&client, 1, 0) == 1 && client.revents & (POLLHUP | POLLERR);
}

const char *admin_configuration(const struct section *section)
{
    return section->core->env->conf_text;
}

struct conn *admin_connect(struct session *session, int fd, const struct upstream *upstream)
{
    return upstream_adopt(session, fd, upstream);
}
