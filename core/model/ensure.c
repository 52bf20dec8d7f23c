/* SPDX-License-Identifier: Apache-2.0 */
#include "ensure.h"

#include <stdlib.h>

_Noreturn void ensure_failed(const char *condition, const char *file, int line)
{
    /* volatile: a core dump shows what failed although the model may not print. */
    const char *volatile failed_condition = condition;
    const char *volatile failed_file = file;
    volatile int failed_line = line;
    (void)failed_condition, (void)failed_file, (void)failed_line;
    abort();
}
