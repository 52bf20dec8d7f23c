/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks_run.h — the helper that runs host scripts one by one for the agent, and what they say.
 *
 * Shape    a SOCK_SEQPACKET on standard input. Each order is one packet: HOOKS_RUN with the path of
 *          a script, HOOKS_TAKE for what is mounted at DROVER_ROOT. Answers: HOOKS_SAID with a part
 *          of a script's output, any number of them; then HOOKS_ENDED. TAKE is answered by
 *          HOOKS_TAKEN, with a detached mount if there is one.
 * Units    octets.
 * Errors   in HOOKS_ENDED and HOOKS_TAKEN: an errno.
 * Owner    a SPAWN in a group of its own, in a mount namespace of its own; it ends with its socket.
 * Context  data; hooks_run() is the helper. Source: mount_namespaces(7), open_tree(2).
 */
#ifndef DROVER_HOOKS_RUN_H
#define DROVER_HOOKS_RUN_H

#include <stdint.h>

#define HOOKS_TEXT_BYTES 4096 /* of a path or a part of output, with its NUL */

enum hooks_word { HOOKS_RUN = 1, HOOKS_TAKE, HOOKS_SAID, HOOKS_ENDED, HOOKS_TAKEN };

struct hooks_packet {
    uint32_t word;       /* enum hooks_word */
    int32_t error;       /* ENDED: errno of its exec, 0: it ran. TAKEN: why there is no mount */
    int32_t wait_status; /* ENDED without an error: as waitpid(2) gives it */
    uint32_t size_bytes; /* of text */
    char text[HOOKS_TEXT_BYTES];
};
#define HOOKS_HEAD_BYTES 16 /* a packet is cut behind its text */

/* Never returns but with an exit code. */
int hooks_run(void);

#endif
