/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

/* Octets of the character at `at` that may be shown as it is; 0: this octet must not. C1 controls
 * (0xc2 0x80..0x9f) count as controls: terminals obey them as they do ESC. */
static size_t shown_length(const unsigned char *at, size_t left)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

    if (length == 1)
        return at[0] >= 0x20 && at[0] != 0x7f;
    if (at[0] < 0xc2 || at[0] > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xc2 && at[1] < 0xa0) || (at[0] == 0xe0 && at[1] < 0xa0) ||
        (at[0] == 0xf0 && at[1] < 0x90))
        return 0;
    return length;
}

bool text_is_shown(const char *text, size_t size_bytes)
{
    const unsigned char *from = (const unsigned char *)text;

    for (size_t i = 0; i < size_bytes;) {
        size_t length = shown_length(from + i, size_bytes - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

char *text_sanitise(const char *text, size_t size_bytes, bool is_multiline)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = (const unsigned char *)text;
    char *safe = malloc(4 * size_bytes + 1);
    char *to = safe;

    if (safe == NULL)
        return NULL;
    for (size_t i = 0; i < size_bytes;) {
        bool is_layout = from[i] == '\n' || from[i] == '\r' || from[i] == '\t';
        size_t length = is_multiline && is_layout ? 1 : shown_length(from + i, size_bytes - i);

        if (length == 0) {
            *to++ = '\\';
            *to++ = 'x';
            *to++ = digits[from[i] >> 4];
            *to++ = digits[from[i] & 15];
            i++;
            continue;
        }
        memcpy(to, from + i, length);
        to += length;
        i += length;
    }
    *to = '\0';
    return safe;
}

/* 2026-01-02T03:04:05.678901234Z → 2026-01-02T03:04:05.678Z */
static void shorten_time(char *text)
{
    if (strlen(text) == 30 && text[10] == 'T' && text[19] == '.' && text[29] == 'Z')
        memcpy(text + 23, "Z", 2);
}

static char *text_of_list(const json_t *value)
{
    char *text = NULL;
    size_t size_bytes = 0;
    const char *separator = "";
    FILE *out = open_memstream(&text, &size_bytes);

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < json_array_size(value); i++, separator = ",") {
        AUTO_FREE char *item = text_of_value(json_array_get(value, i));
        (void)fprintf(out, "%s%s", separator, item == NULL ? "" : item);
    }
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        AUTO_FREE char *safe = text_sanitise(key, strlen(key), false);
        AUTO_FREE char *item = text_of_value(member);
        (void)fprintf(out, "%s%s=%s", separator, safe == NULL ? "" : safe,
                      item == NULL ? "" : item);
        separator = ",";
    }
    (void)fclose(out);
    if (text != NULL && text[0] == '\0') {
        free(text);
        return strdup("-");
    }
    return text;
}

char *text_of_value(const json_t *value)
{
    if (value == NULL || json_is_null(value))
        return strdup("-");
    if (json_is_boolean(value))
        return strdup(json_is_true(value) ? "yes" : "no");
    if (json_is_object(value) || json_is_array(value))
        return text_of_list(value);
    if (!json_is_string(value))
        return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
    char *text = text_sanitise(json_string_value(value), json_string_length(value), false);
    if (text != NULL)
        shorten_time(text);
    return text;
}

const char *text_of_duration(uint64_t duration_ns, char text[32])
{
    uint64_t ms = duration_ns / NS_PER_MS;

    if (ms < 1)
        (void)snprintf(text, 32, "%u us", (unsigned)(duration_ns / 1000));
    else if (ms < 1000)
        (void)snprintf(text, 32, "%u ms", (unsigned)ms);
    else if (ms < 120000)
        (void)snprintf(text, 32, "%.1f s", (double)ms / 1000);
    else
        (void)snprintf(text, 32, "%u min", (unsigned)(ms / 60000));
    return text;
}
