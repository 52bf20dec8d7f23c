/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ensure.h"

struct words {
    char *text;
    size_t length;
    size_t room;
};

static void put(struct words *words, char c)
{
    if (words->length + 1 < words->room)
        words->text[words->length++] = c;
}

static void put_text(struct words *words, const char *text)
{
    for (; *text != '\0'; text++)
        put(words, *text);
}

static void put_number(struct words *words, uint64_t number)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        put(words, digits[--count]);
}

void fault_set(struct fault *fault, enum status status, int error, const char *format, ...)
{
    struct words words = {.text = fault->text, .room = sizeof(fault->text)};
    va_list args;

    va_start(args, format);
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            put(&words, *format);
            continue;
        }
        format++;
        ENSURE(*format == 's' || *format == 'u' || *format == 'd' || *format == '%');
        if (*format == '%') {
            put(&words, '%');
        } else if (*format == 's') {
            put_text(&words, va_arg(args, const char *));
        } else if (*format == 'u') {
            put_number(&words, va_arg(args, uint64_t));
        } else {
            int64_t number = va_arg(args, int64_t);
            if (number < 0)
                put(&words, '-');
            put_number(&words, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
        }
    }
    va_end(args);

    words.text[words.length] = '\0';
    fault->status = status;
    fault->error = error;
    fault->hint[0] = '\0';
}

void fault_hint(struct fault *fault, const char *hint)
{
    struct words words = {.text = fault->hint, .room = sizeof(fault->hint)};
    put_text(&words, hint);
    words.text[words.length] = '\0';
}
