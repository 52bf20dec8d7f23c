/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trivial_init.h — how the smallest guest is told to end, from within or from the host.
 *
 * Shape    one queued signal whose value is word * 256 + number.
 * Units    number 0..255: the code of EXIT, the signal of FAULT.
 * Errors   none; a value that is no word makes it exit with the number.
 * Owner    nobody.
 * Context  trivial_init.c is the other end. Source: sigqueue(3), pidfd_send_signal(2).
 */
#ifndef DROVER_TRIVIAL_INIT_H
#define DROVER_TRIVIAL_INIT_H

#include <signal.h>

#define TRIVIAL_SIGNAL (SIGRTMIN + 1)

enum trivial_word {
    TRIVIAL_NONE,
    TRIVIAL_EXIT,
    TRIVIAL_CRASH,
    TRIVIAL_HALT,
    TRIVIAL_REBOOT,
    TRIVIAL_POWER_OFF,
    TRIVIAL_RETURN,
    TRIVIAL_FAULT,
    TRIVIAL_OOM,
    TRIVIAL_STAY
};

#endif
