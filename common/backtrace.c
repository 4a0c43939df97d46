#include "common/backtrace.h"
#include "common/log.h"
#include <signal.h>
#include <stddef.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>

enum { FRAMES_MAX = 48 };

static void write_backtrace(int number)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);

    log_abort_line("aborted; the last calls were, the latest first (addr2line -f -e BINARY tells the lines):");
    backtrace_symbols_fd(frames, count, log_descriptor());
    raise(number); /* the default action is in force again, once this has returned */
}

void backtrace_on_abort(void)
{
    struct sigaction action = {.sa_handler = write_backtrace, .sa_flags = (int)SA_RESETHAND};
    void *frame;

    backtrace(&frame, 1); /* loads what it needs now: in the handler it must not allocate */
    sigaction(SIGABRT, &action, NULL);
}
#else
void backtrace_on_abort(void)
{
}
#endif
