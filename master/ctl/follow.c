#include "master/ctl/follow.h"
#include "common/clock.h"
#include "common/event.h"
#include "master/ctl/ask.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_EACH_MS = 50, LOG_EACH_MS = 250, ASKS_FOR_ONE = 4 };

/* ---- log -f ---- */

/* How far the ring has been read; what is below it is about the answer that comes. There is one answer at a time. */
static struct {
    uint64_t last, end; /* ids of the last event that was printed, and of the last one that there is */
    unsigned waits;     /* how often in a row the next one was there, but not finished */
    bool begun;         /* the head of the answer has come */
    unsigned skip;      /* lines of it that nobody wants */
    unsigned count;     /* of the first answer: how many are wanted */
} reading;

/* The first line is about those behind it: id of the last, how many were overwritten, id of the newest, how many. */
static void begin_answer(const char *line)
{
    uint64_t last = reading.last, lost = 0;
    unsigned found = 0;

    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %u", &last, &lost, &reading.end, &found) != 4)
        return;
    if (lost > 0 && reading.last > 0)
        printf("(%" PRIu64 " more that were overwritten before they could be read)\n", lost);
    reading.skip = reading.last == 0 && found > reading.count ? found - reading.count : 0;
    reading.waits = last == reading.last && last < reading.end ? reading.waits + 1 : 0;
    reading.last = last;
    if (reading.waits < ASKS_FOR_ONE)
        return;
    reading.last++; /* whoever was writing it is dead */
    reading.waits = 0;
}

static void log_line(char *line)
{
    if (!reading.begun)
        begin_answer(line);
    else if (reading.skip > 0)
        reading.skip--;
    else
        ask_print(line);
    reading.begun = true;
}

/* Quietly first: a worker that is replaced may end a connection. What fails twice is said. */
static enum ctl_exit ask_next(struct ask *about)
{
    char id[24];
    const char *const words[] = {"follow", id, NULL};
    enum ctl_exit result;

    snprintf(id, sizeof(id), "%" PRIu64, reading.last);
    about->words = words;
    about->is_quiet = true;
    reading.begun = false;
    result = ask(about);
    if (result != CTL_NO_ANSWER)
        return result;
    about->is_quiet = false;
    reading.begun = false;
    return ask(about);
}

/* False: nobody reads what we print any more. */
static bool await_more(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return fflush(stdout) == 0 && poll(&output, 1, LOG_EACH_MS) <= 0;
}

enum ctl_exit follow_log(const char *path, unsigned count, uint64_t timeout_ms)
{
    struct ask about = {.path = path, .timeout_ms = timeout_ms, .line = log_line};
    enum ctl_exit result;

    reading.count = count;
    do
        result = ask_next(&about);
    while (result == CTL_DONE && await_more());
    return result;
}

/* ---- wait ---- */

static bool is_ready;

static void ready_line(char *line)
{
    is_ready = is_ready || strcmp(line, "ccserver_ready 1") == 0;
}

enum ctl_exit follow_wait(const char *path, bool ready, uint64_t timeout_ms)
{
    const char *const words[] = {"stat", "ccserver_ready", NULL};
    struct ask about = {.path = path, .words = words, .line = ready_line, .is_quiet = true};
    uint64_t now_ms = clock_now_ms(), until_ms = now_ms + timeout_ms;

    for (; now_ms < until_ms; now_ms = clock_now_ms()) {
        about.timeout_ms = until_ms - now_ms;
        enum ctl_exit result = ask(&about);
        if (result != CTL_NO_ANSWER && (result != CTL_DONE || !ready || is_ready))
            return result;
        poll(NULL, 0, WAIT_EACH_MS);
    }
    fputs("ccserverctl: no answer in time; it may still come\n", stderr);
    return CTL_NO_ANSWER;
}
