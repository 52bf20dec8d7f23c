/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop_look.h — what can be seen of a guest's PID 1 from outside: which signals it can hear, and
 * whether it is on its way down.
 *
 * Shape    one look at /proc a call; nothing of the guest's own files is read.
 * Units    none.
 * Errors   what cannot be read is not so: a process that is gone hears nothing.
 * Owner    nothing is kept.
 * Context  any thread; does not block. Source: signal(7), pid_namespaces(7), sysvinit's init.c,
 *          busybox's init.c, runit(8).
 */
#ifndef DROVER_STOP_LOOK_H
#define DROVER_STOP_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "command.h"

/*
 * Signals that PID 1 can hear, as a bit mask (bit n-1 = signal n). Caught ones have a handler;
 * blocked ones are kept for signalfd(2) (systemd) or sigtimedwait(2). All of them, where it waits
 * in sigtimedwait: which ones it waits for is not told.
 */
uint64_t look_heard_signals(pid_t pid);

/* Does PID 1 take a command (`init 0`) already? runit forgets those of its first stage. */
bool look_takes_commands(enum family family, pid_t pid);

/* Does what PID 1 shows say that it goes down? systemd shows nothing: it tells (STOPPING=1). Nor
 * does runit, for the 5 s in which it waits for its services; its commands are all the same one. */
bool look_is_going_down(enum family family, pid_t pid);

/* Has a signal ended it, though it may be long in dying? PID 1 waits for all others in its
 * namespace (zap_pid_ns_processes(), kernel/pid_namespace.c). LIMIT: its first thread is looked at;
 * where that one ended by itself, the others die unseen. */
bool look_is_dying(pid_t pid);

#endif
