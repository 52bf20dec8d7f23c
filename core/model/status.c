/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <string.h>

#include "ensure.h"

static const struct {
    const char *name;
    int exit_code;
} status_rows[STATUS_COUNT] = {
#define STATUS_ROW(upper, lower, code) [STATUS_##upper] = {#lower, code},
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *status_name(enum status status)
{
    ENSURE((unsigned)status < STATUS_COUNT);
    return status_rows[status].name;
}

int status_exit_code(enum status status)
{
    ENSURE((unsigned)status < STATUS_COUNT);
    return status_rows[status].exit_code;
}

enum status status_find(const char *name)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        if (strcmp(status_rows[i].name, name) == 0)
            return (enum status)i;
    return STATUS_UNSET;
}
