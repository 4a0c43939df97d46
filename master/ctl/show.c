#include "master/ctl/show.h"
#include "common/report_show.h"
#include "common/text.h"
#include <stdlib.h>
#include <string.h>

/* What is there now. Pages that nobody touches cost nothing. */
static struct report take(struct server *server)
{
    static struct report_sums sums;
    static struct report_process processes[STATE_WORKERS_MAX];
    static struct report_queues queues;

    report_queues_take(&server->area->queues, &server->state, &queues);
    report_sums_take(server->area, &sums);
    report_processes_take(&server->state, processes);
    return (struct report){
        .area = server->area, .state = &server->state, .sums = &sums, .processes = processes, .queues = &queues};
}

enum ctl_exit show(struct server *server, const char *word, const char *pattern)
{
    const struct report report = take(server);
    char *text = NULL, *rest;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return CTL_REFUSED;
    enum report_shown shown = report_show(out, &report, word, pattern);
    fclose(out);
    for (char *line = text; (rest = strchr(line, '\n')); line = rest + 1) {
        *rest = '\0';
        text_make_safe(line);
        puts(line);
    }
    free(text);
    if (shown == REPORT_NOTHING)
        fputs("ccserverctl: no figure matches\n", stderr);
    return shown == REPORT_SHOWN ? CTL_DONE : CTL_REFUSED;
}
