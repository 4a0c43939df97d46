/*
 * The signals that master and workers read from a signalfd, and those that must not end them. All others keep their
 * default action: a crash is a crash.
 */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

#include <signal.h>

/* The value that ccserverctl sends along with a worker's SIGTERM, so that it is known who has asked for it. */
enum { SIGNALS_OPERATOR = 0x6f70 };

/*
 * A log, a file or a standard output that cannot be written is an error of that write. Its signal is ignored, from the
 * first line of main() on and in all children, rather than blocked: a blocked one would wait in a signalfd, be logged,
 * and the line about it would cause the next one.
 */
static inline void signals_ignore_write_errors(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/*
 * Block those that are handled in this process (children inherit that) and store them in `mask`, for signalfd(). Who
 * started us may have had some ignored, which exec() keeps: an ignored SIGCHLD is never read, and its children are
 * reaped by nobody.
 */
static inline void signals_block(sigset_t *mask)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};

    sigemptyset(mask);
    for (unsigned i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        sigaddset(mask, handled[i]);
        signal(handled[i], SIG_DFL);
    }
    signal(SIGALRM, SIG_DFL);
    signals_ignore_write_errors();
    sigprocmask(SIG_SETMASK, mask, NULL);
}

#endif
