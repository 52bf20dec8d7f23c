/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness DIR — write down what guests say of themselves, whatever their agent says of them.
 *
 * Binds DIR/sock, which is to be bound into each guest as /bench (trivial_init.c), and prints
 * `NAME ready` and `NAME down` as they come. Goes on until it is ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "measure.h"
#include "notify.h"

int main(int argc, char **argv)
{
    struct report report;
    int rc;

    int sock = argc == 2 ? reports_open(argv[1]) : -EINVAL;
    if (sock < 0) {
        (void)fprintf(stderr, "witness: %s\n", strerror(-sock));
        return 1;
    }
    notify_ready();
    while ((rc = reports_next(sock, 60000, &report)) >= 0) {
        if (rc == 1)
            (void)printf("%s %s\n", report.host, report.is_ready ? "ready" : "down");
        (void)fflush(stdout);
    }
    (void)fprintf(stderr, "witness: %s\n", strerror(-rc));
    return 1;
}
