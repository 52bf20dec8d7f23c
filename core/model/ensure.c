/* SPDX-License-Identifier: Apache-2.0 */
#include "ensure.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text)); /* it is our last word, heard or not */
}

static void say_number(int number)
{
    char digits[12];
    char *at = digits + sizeof(digits) - 1;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    say(at);
}

_Noreturn void ensure_failed(const char *condition, const char *file, int line)
{
    say("drover: this should always hold: ");
    say(condition);
    say(" (");
    say(file);
    say(":");
    say_number(line);
    say(")\n");
    abort();
}
