/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h — telling the service manager how we are, by its NOTIFY_SOCKET.
 *
 * Shape    two calls.
 * Units    none.
 * Errors   none: without a service manager nobody listens.
 * Owner    nobody.
 * Context  any thread. Source: sd_notify(3); the protocol is a datagram.
 */
#ifndef DROVER_NOTIFY_H
#define DROVER_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);

#endif
