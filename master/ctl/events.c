#include "master/ctl/events.h"
#include "common/report_show.h"
#include "common/text.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOK_EACH_MS = 100, LOOKS_FOR_ONE = 10 };

/* How far the ring has been read. */
struct reading {
    uint64_t started_ms; /* of the server that it belongs to */
    uint64_t last;       /* id of the last event that was printed */
    unsigned waits;      /* how often in a row the next one was there, but not finished */
};

static void print_event(struct event *event)
{
    text_make_safe(event->text);
    report_show_event(stdout, event);
}

static void begin(struct reading *reading, const struct server *server)
{
    *reading = (struct reading){.started_ms = stats_read(&server->area->service.started_ms)};
}

static void print_next(struct reading *reading, const struct event_ring *ring)
{
    struct event events[EVENTS_MAX];
    uint64_t lost;
    unsigned count = event_read_next(ring, &reading->last, &lost, events);

    if (lost > 0)
        printf("(%" PRIu64 " more that were overwritten before they could be read)\n", lost);
    for (unsigned i = 0; i < count; i++)
        print_event(&events[i]);
    if (count > 0 || reading->last >= atomic_load(&ring->count))
        reading->waits = 0;
    else if (++reading->waits == LOOKS_FOR_ONE) /* whoever was writing it is dead */
        reading->last++;
}

/* False: nobody reads what we print any more. */
static bool await_more(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return fflush(stdout) == 0 && poll(&output, 1, LOOK_EACH_MS) <= 0;
}

/* Where the server has ended, another one may be in charge: one that took over, or one started since. */
static enum ctl_exit follow_on(struct reading *reading, struct server *server)
{
    char error[512];
    enum ctl_exit result = CTL_DONE;

    while (result == CTL_DONE && await_more()) {
        bool ended = server_has_ended(server); /* first, so that nothing comes after its last line */
        print_next(reading, &server->area->service.events);
        if (!ended)
            continue;
        result = server_read(server, error, sizeof(error));
        if (result == CTL_DONE && stats_read(&server->area->service.started_ms) != reading->started_ms)
            begin(reading, server);
    }
    fflush(stdout);
    if (result != CTL_DONE)
        fprintf(stderr, "ccserverctl: %s\n", error);
    return result;
}

enum ctl_exit events_show(struct server *server, unsigned count, bool follow)
{
    struct event events[EVENTS_MAX];
    struct reading reading;
    uint64_t lost;

    begin(&reading, server);
    const struct event_ring *ring = &server->area->service.events;
    unsigned found = follow ? event_read_next(ring, &reading.last, &lost, events) : event_read(ring, events);
    for (unsigned i = found > count ? found - count : 0; i < found; i++)
        print_event(&events[i]);
    return follow ? follow_on(&reading, server) : CTL_DONE;
}
