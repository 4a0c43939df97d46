/*
 * Where a process was when it crashed, or when it was told to abort: by its own fatal error, or by the watchdog that
 * lost its patience.
 */
#ifndef COMMON_BACKTRACE_H
#define COMMON_BACKTRACE_H

/*
 * From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write time, role, pid, build id and call stack to the log;
 * then the process ends by the same signal. Children inherit that. The handler runs on a stack of its own, so that an
 * overflow is reported, too, and never waits for the log. Under AddressSanitizer only SIGABRT: the other reports are
 * its own.
 */
void backtrace_on_crash(void);

#endif
