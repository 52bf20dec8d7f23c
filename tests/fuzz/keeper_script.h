/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_script.h — what an input of the target `keeper` says, step by step.
 *
 * Shape    an octet names a step, those behind it its arguments, as keeper.c reads them.
 * Units    octets.
 * Errors   none: every input is a script.
 * Owner    nobody.
 * Context  keeper.c and the seeds.
 */
#ifndef DROVER_FUZZ_KEEPER_SCRIPT_H
#define DROVER_FUZZ_KEEPER_SCRIPT_H

enum keeper_step {
    KEEPER_HELLO,
    KEEPER_LAUNCH, /* number, KEEPER_*, plan */
    KEEPER_GO,     /* number */
    KEEPER_ABORT,
    KEEPER_SPAWN, /* number, roles, plan */
    KEEPER_ACK,   /* number, generation, change */
    KEEPER_ACK_SPAWN,
    KEEPER_ADOPT, /* number, whether it is dead */
    KEEPER_REEXEC,
    KEEPER_RAW,      /* descriptors, octets of a record */
    KEEPER_REPORT,   /* child, kind, step, error, detail */
    KEEPER_EXECUTED, /* child: its report socket ends */
    KEEPER_ENDS,     /* child, wait status */
    KEEPER_CONSOLE,  /* slot, what the guest writes */
    KEEPER_SAYS,     /* slot, datagram of its notify socket */
    KEEPER_HANG_UP,
    KEEPER_CONNECT,
    KEEPER_TIME,   /* seconds */
    KEEPER_DEAF,   /* the agent reads no more, or again */
    KEEPER_REBIND, /* spawn, number, what comes along */
    KEEPER_STEPS
};

#define KEEPER_NOTIFY 1u
#define KEEPER_RING 2u
#define KEEPER_LAYERS 4u
#define KEEPER_MOUNT 8u
#define KEEPER_TASKS 16u
#define KEEPER_IDMAP 32u
#define KEEPER_PLAN_BYTES_MAX 4096
#define KEEPER_SAID_BYTES_MAX 255
#define KEEPER_MOUNT_INDEX 3 /* of the descriptor with the role MOUNT */

#endif
