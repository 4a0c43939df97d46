/*
 * The signals that master and workers read from a signalfd. All others keep their default action: a crash is a crash.
 */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

#include <signal.h>

/*
 * Block them in this process (children inherit that) and store them in `mask`, for signalfd(). Who started us may have
 * had some ignored, which exec() keeps: an ignored SIGCHLD is never read, and its children are reaped by nobody.
 */
static inline void signals_block(sigset_t *mask)
{
    static const int handled[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,  SIGUSR1,
                                  SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE};

    sigemptyset(mask);
    for (unsigned i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        sigaddset(mask, handled[i]);
        signal(handled[i], SIG_DFL);
    }
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

#endif
