/*
 * Where a process was when it was told to abort: by its own fatal error, or by the watchdog that lost its patience.
 */
#ifndef COMMON_BACKTRACE_H
#define COMMON_BACKTRACE_H

/*
 * From now on SIGABRT writes the call stack to the log before it ends the process, where the C library can give one.
 * This is the one handler there is, since a loop that hangs reads no signalfd; it only writes.
 */
void backtrace_on_abort(void);

#endif
