/*
 * The connection to the daemon behind /dev/log. The C library's syslog() waits for a daemon that does not read; this
 * one never does. It connects again when the daemon has been restarted, and when it appears later than we do.
 */
#ifndef COMMON_LOG_SYSLOG_H
#define COMMON_LOG_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>

/* Connect now, so that what can be seen of the file system later does not matter. No daemon is no error. */
void log_syslog_open(void);
void log_syslog_close(void);

/* One message, without a newline; false when it is lost. Safe in a signal handler. */
bool log_syslog_send(const char *message, size_t size);

#endif
