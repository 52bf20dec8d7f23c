/* SPDX-License-Identifier: Apache-2.0 */
#include "uuid.h"

#include <string.h>

static bool has_dash_before(unsigned octet)
{
    return octet == 4 || octet == 6 || octet == 8 || octet == 10;
}

const char *uuid_format(const uint8_t uuid[UUID_BYTES], char text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;

    for (unsigned i = 0; i < UUID_BYTES; i++) {
        if (has_dash_before(i))
            *to++ = '-';
        *to++ = digits[uuid[i] >> 4];
        *to++ = digits[uuid[i] & 15];
    }
    *to = '\0';
    return text;
}

/* -1: not a digit. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool uuid_parse(const char *text, uint8_t ret_uuid[UUID_BYTES])
{
    uint8_t uuid[UUID_BYTES];

    for (unsigned i = 0; i < UUID_BYTES; i++) {
        if (has_dash_before(i) && *text++ != '-')
            return false;
        int high = digit_of(text[0]);
        int low = high < 0 ? -1 : digit_of(text[1]); /* never beyond the NUL */
        if (low < 0)
            return false;
        uuid[i] = (uint8_t)(high * 16 + low);
        text += 2;
    }
    if (*text != '\0')
        return false;
    memcpy(ret_uuid, uuid, UUID_BYTES);
    return true;
}
