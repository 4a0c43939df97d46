/*
 * Where the log goes: standard error, a file, a FIFO, a terminal, a socket or syslog. Writing never waits and never
 * leaves half a line behind:
 *
 *   pipe, FIFO      opened once more, so that O_NONBLOCK is ours alone; a line below PIPE_BUF is written whole or not
 *   terminal        opened once more; the rest of a line that went in part is written before anything else
 *   socket          MSG_DONTWAIT; the rest comes first, too
 *   regular file    what the disk or a limit cut off is taken back
 *   syslog          datagrams, see log_syslog.h
 *
 * What cannot be opened once more (another owner's pipe, no /proc) is asked for room before each write. A disk that
 * hangs is beyond all this: a write to it waits in the kernel, whatever the flags are.
 */
#ifndef COMMON_LOG_SINK_H
#define COMMON_LOG_SINK_H

#include "common/log_line.h"
#include <stdbool.h>
#include <stddef.h>

/*
 * Direct the log to "stderr", "syslog" or a path. Returns 0, or -1 with errno and the log where it was. Does not wait
 * for the reader of a FIFO. A socket cannot be opened by its path: EOPNOTSUPP, unless it is our standard output or
 * error.
 */
int log_sink_open(const char *target);

/* Open the path again, after a rotation. -1 with errno: the old one stays in use. */
int log_sink_reopen(void);

/* How a line must begin there. Asked before each write, since it also has a first look at standard error. */
enum log_style log_sink_style(void);

/* Write whole lines, at most two; for syslog one. True when they are written, or the rest of them certainly will be. */
bool log_sink_write(const char *lines, size_t size);

/* The same from a signal handler: takes no lock, so that half a line is possible. */
bool log_sink_write_in_handler(const char *line, size_t size);

/* The same for standard error, wherever the log goes. */
enum log_style log_sink_stderr_style(void);
void log_sink_write_stderr(const char *line, size_t size);

#endif
