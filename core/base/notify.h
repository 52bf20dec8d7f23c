/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h — telling the service manager how we are, by its NOTIFY_SOCKET.
 *
 * Shape    a call for each word.
 * Units    *_ns nanoseconds.
 * Errors   none: without a service manager nobody listens.
 * Owner    nobody.
 * Context  any thread. Source: sd_notify(3), sd_watchdog_enabled(3); the protocol is
 *          a datagram.
 */
#ifndef DROVER_NOTIFY_H
#define DROVER_NOTIFY_H

#include <stdint.h>

void notify_ready(void);
void notify_stopping(void);
/* How often we must say that we live: half of WATCHDOG_USEC; 0: nobody asks, or asks another. */
uint64_t notify_watchdog_ns(void);
void notify_alive(void);

#endif
