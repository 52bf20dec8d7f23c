/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake and how: see seeds.c.
 */
#include "keeper_plans.h"
#include "keeper_script.h"
#include "seeds.h"

void seeds_keeper_plan(void)
{
    static _Alignas(8) uint8_t plan[8000];
    static struct seed seed;

    for (unsigned i = 0; i < KEEPER_PLANS; i++) {
        seed.size_bytes = 0;
        seed_octet(&seed, 1);
        seed_add(&seed, plan, keeper_plan_make(i, plan, sizeof(plan)));
        seed_write(seed.data, seed.size_bytes);
    }
}

/* A boot, told step by step, with what a guest says meanwhile; and its end. */
static void add_octets(struct seed *seed, const uint8_t *octets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        seed_octet(seed, octets[i]);
}
#define ADD(seed, ...)                                                                             \
    add_octets(seed, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

void seeds_keeper(void)
{
    static struct seed seed;

    ADD(&seed, KEEPER_HELLO);
    ADD(&seed, KEEPER_LAUNCH, 1, KEEPER_NOTIFY | KEEPER_RING | KEEPER_MOUNT, 0, 0);
    ADD(&seed, KEEPER_REPORT, 0, 2, 0, 0, 0); /* TRY 0 */
    ADD(&seed, KEEPER_REPORT, 0, 3, 0, 2, 0); /* ERRNO ENOENT */
    ADD(&seed, KEEPER_REPORT, 0, 2, 0, 0, 1); /* TRY 1 */
    ADD(&seed, KEEPER_EXECUTED, 0);
    seed_octet(&seed, KEEPER_CONSOLE);
    seed_octet(&seed, 0);
    seed_part(&seed, KEEPER_SAID_BYTES_MAX, "login: \r\n", 9);
    seed_octet(&seed, KEEPER_SAYS);
    seed_octet(&seed, 1);
    seed_part(&seed, KEEPER_SAID_BYTES_MAX, "READY=1\nSTATUS=up\n", 18);
    ADD(&seed, KEEPER_ENDS, 0, 2, 0);
    ADD(&seed, KEEPER_ACK, 1, 1, 9);
    seed_write(seed.data, seed.size_bytes);

    seed.size_bytes = 0;
    ADD(&seed, KEEPER_HELLO);
    ADD(&seed, KEEPER_LAUNCH, 1, 0, 0, 1, 8, 0, 0);
    ADD(&seed, KEEPER_REPORT, 0, 1, 0, 0, 0); /* READY: two-phase */
    ADD(&seed, KEEPER_GO, 1);
    ADD(&seed, KEEPER_REPORT, 0, 4, 7, 13, 3); /* FAILED */
    ADD(&seed, KEEPER_ENDS, 0, 0, 1);
    ADD(&seed, KEEPER_LAUNCH, 2, KEEPER_LAYERS, 0, 0);
    ADD(&seed, KEEPER_ABORT, 2);
    ADD(&seed, KEEPER_HANG_UP, KEEPER_CONNECT, KEEPER_HELLO, KEEPER_TIME, 200);
    ADD(&seed, KEEPER_ADOPT, 9, 0, KEEPER_ADOPT, 10, 1, KEEPER_REEXEC);
    seed_write(seed.data, seed.size_bytes);

    seed.size_bytes = 0;
    ADD(&seed, KEEPER_HELLO, KEEPER_SPAWN, 5, 0x7f, 1, 0);
    ADD(&seed, KEEPER_REPORT, 0, 5, 0, 0, 0); /* PTY */
    ADD(&seed, KEEPER_REPORT, 0, 2, 0, 0, 0, KEEPER_EXECUTED, 0, KEEPER_ENDS, 0, 0, 7);
    ADD(&seed, KEEPER_ACK_SPAWN, 5, 0, 3);
    seed_write(seed.data, seed.size_bytes);

    /* An adopted guest's console that is hung up and given up, and another one. */
    seed.size_bytes = 0;
    ADD(&seed, KEEPER_HELLO, KEEPER_ADOPT, 9, 0, KEEPER_REBIND, 3, 9, 1, 0, 0);
    ADD(&seed, KEEPER_REBIND, 3, 1, 32); /* refused; from now on no slave is opened */
    ADD(&seed, KEEPER_CONSOLE, 0, 0);    /* the guest hangs up */
    ADD(&seed, KEEPER_REBIND, 3, 1, 0);  /* refused; slaves are opened again */
    ADD(&seed, KEEPER_REBIND, 4, 9, 1, 0, 0);
    seed_write(seed.data, seed.size_bytes);
}
