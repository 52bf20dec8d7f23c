/* SPDX-License-Identifier: Apache-2.0 */
#include "units.h"

#include <string.h>

/* Digits without sign or space; moves *text behind them. */
static bool number_parse(const char **text, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    if (at == *text)
        return false;

    *text = at;
    *ret_number = number;
    return true;
}

bool size_parse(const char *text, uint64_t *ret_bytes)
{
    static const char letters[] = "KMGT";
    if (strcmp(text, "max") == 0) {
        *ret_bytes = SIZE_BYTES_MAX;
        return true;
    }

    uint64_t number = 0;
    if (!number_parse(&text, &number))
        return false;
    uint64_t factor = 1;
    if (*text != '\0') {
        const char *letter = strchr(letters, *text);
        if (letter == NULL || text[1] != '\0')
            return false;
        factor <<= 10 * (letter - letters + 1);
    }

    uint64_t bytes = 0;
    if (__builtin_mul_overflow(number, factor, &bytes) || bytes == SIZE_BYTES_MAX)
        return false;
    *ret_bytes = bytes;
    return true;
}

bool duration_parse(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *suffix;
        uint64_t ns;
    } units[] = {{"ms", 1000000u}, {"s", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u}};

    uint64_t number = 0;
    if (!number_parse(&text, &number))
        return false;
    if (number == 0 && *text == '\0') {
        *ret_ns = 0;
        return true;
    }

    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text, units[i].suffix) == 0) {
            uint64_t ns = 0;
            if (__builtin_mul_overflow(number, units[i].ns, &ns))
                return false;
            *ret_ns = ns;
            return true;
        }
    return false;
}

bool cpuunits_weight(uint64_t units, uint32_t *ret_weight)
{
    if (units < 8 || units > 500000)
        return false;
    uint64_t weight = (units + 5) / 10;
    *ret_weight = (uint32_t)(weight > 10000 ? 10000 : weight);
    return true;
}

static bool is_name_letter(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
}

bool name_check(const char *text)
{
    size_t length = strnlen(text, NAME_LENGTH_MAX + 1);
    if (length == 0 || length > NAME_LENGTH_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_name_letter(text[i]) && text[i] != '-')
            return false;
    return text[0] != '-' && text[length - 1] != '-';
}
