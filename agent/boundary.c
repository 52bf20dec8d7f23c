/* SPDX-License-Identifier: Apache-2.0 */
#include "boundary.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[BOUNDARY_COUNT] = {
#define BOUNDARY_NAME(name) [BOUNDARY_##name] = #name,
    BOUNDARY_LIST(BOUNDARY_NAME)
#undef BOUNDARY_NAME
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum boundary deadly = BOUNDARY_COUNT; /* none */
static atomic_ulong left;                     /* crossings of it, the deadly one included */

static void read_environment(void)
{
    const char *text = getenv("DROVER_DIE_AT");

    if (text == NULL || text[0] == '\0')
        return;
    size_t length = strcspn(text, ":");
    for (unsigned i = 0; i < BOUNDARY_COUNT; i++)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0)
            deadly = (enum boundary)i;
    if (deadly == BOUNDARY_COUNT) {
        (void)fprintf(stderr, "drover-agent: DROVER_DIE_AT: no boundary is named %s\n", text);
        _exit(2);
    }
    atomic_store(&left, text[length] == ':' ? strtoul(text + length + 1, NULL, 10) : 1);
}

void boundary_cross(enum boundary boundary)
{
    (void)pthread_once(&once, read_environment);
    if (boundary == deadly && atomic_fetch_sub(&left, 1) == 1)
        (void)kill(getpid(), SIGKILL);
}
