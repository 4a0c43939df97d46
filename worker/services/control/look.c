#include "worker/services/control/look.h"
#include "common/report_show.h"
#include "worker/session.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <bsd/stdlib.h>

enum { EVENTS = 50 };

enum verdict look_at(struct session *session, const struct command *command, char *const *words)
{
    const struct report *report = admin_report();
    struct lines lines;

    if (!report)
        return conversation_end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return conversation_out_of_memory(session);
    enum report_shown shown = report_show(lines.out, report, command->name, words[1]);
    if (!lines_send(session, &lines))
        return conversation_out_of_memory(session);
    if (shown == REPORT_UNKNOWN)
        return conversation_end(session, ANSWER_MISUSED,
                                "json: pools, workers, listeners, queues or health can follow");
    return conversation_end(session, shown == REPORT_SHOWN ? ANSWER_DONE : ANSWER_REFUSED,
                            shown == REPORT_NOTHING ? "no figure matches" : "");
}

enum verdict look_at_log(struct session *session, const struct command *command, char *const *words)
{
    static struct event events[EVENTS_MAX];
    const struct report *report = admin_state();
    const char *wrong = NULL;
    unsigned count = words[1] ? (unsigned)strtonum(words[1], 1, EVENTS_MAX, &wrong) : EVENTS;
    struct lines lines;

    (void)command;
    if (wrong)
        return conversation_end(session, ANSWER_MISUSED, "log: not a number that makes sense");
    if (!report)
        return conversation_end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return conversation_out_of_memory(session);
    unsigned found = event_read(&report->area->service.events, events);
    for (unsigned i = found > count ? found - count : 0; i < found; i++)
        report_show_event(lines.out, &events[i]);
    return lines_send(session, &lines) ? conversation_end(session, ANSWER_DONE, "")
                                       : conversation_out_of_memory(session);
}

/* For whoever asks again and again: the lines behind an id, below one that says which these are. */
enum verdict look_at_next_of_log(struct session *session, const struct command *command, char *const *words)
{
    static struct event events[EVENTS_MAX];
    const struct report *report = admin_state();
    const char *wrong = NULL;
    uint64_t last = (uint64_t)strtonum(words[1], 0, INT64_MAX, &wrong), lost;
    struct lines lines;

    (void)command;
    if (wrong)
        return conversation_end(session, ANSWER_MISUSED, "follow: not a number that makes sense");
    if (!report)
        return conversation_end(session, ANSWER_REFUSED, strerror(errno));
    if (!lines_open(&lines))
        return conversation_out_of_memory(session);
    const struct event_ring *ring = &report->area->service.events;
    uint64_t newest = atomic_load(&ring->count);
    if (last > newest) /* another server by now */
        last = 0;
    unsigned found = event_read_next(ring, &last, &lost, events);
    fprintf(lines.out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %u\n", last, lost, newest, found);
    for (unsigned i = 0; i < found; i++)
        report_show_event(lines.out, &events[i]);
    return lines_send(session, &lines) ? conversation_end(session, ANSWER_DONE, "")
                                       : conversation_out_of_memory(session);
}

enum verdict look_at_config(struct session *session, const struct command *command, char *const *words)
{
    const struct state *state = session_state(session);
    const char *text = admin_configuration(session_section(session));

    (void)command;
    (void)words;
    if (!text)
        return conversation_out_of_memory(session);
    answer_lines(state->reply, text, strlen(text));
    return conversation_end(session, ANSWER_DONE, "");
}
