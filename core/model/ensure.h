/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensure.h — assertions on ourselves, always on.
 *
 * Shape    ENSURE(condition); one condition each, so that the report names it.
 * Units    none.
 * Errors   a false condition is a bug of ours: it is named on stderr and ends the process; never
 *          used on outside input.
 * Owner    nobody.
 * Context  pure.
 */
#ifndef DROVER_ENSURE_H
#define DROVER_ENSURE_H

_Noreturn void ensure_failed(const char *condition, const char *file, int line);

#define ENSURE(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ensure_failed(#condition, __FILE__, __LINE__);                                         \
    } while (0)

#endif
