/*
 * What the service manager is told: one datagram to the socket that the environment names (sd_notify(3), the protocol
 * is stable and documented). Without that socket nothing happens.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* There is a service manager that listens, and so follows MAINPID=. */
bool notify_has_manager(void);

/* Lines such as "READY=1\nSTATUS=4 workers", printf style. Errors are ignored: the manager may be gone. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Half the time in which the manager wants a WATCHDOG=1 from this process, in milliseconds; 0: it wants none. */
uint64_t notify_watchdog_ms(void);

#endif
