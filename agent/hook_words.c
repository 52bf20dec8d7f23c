/* SPDX-License-Identifier: Apache-2.0 */
#include "hook_words.h"

#include <string.h>

static void keep_line(const char *line, size_t size_bytes, char said[HOOK_SAID_BYTES])
{
    size_t length = size_bytes < HOOK_SAID_BYTES ? size_bytes : HOOK_SAID_BYTES - 1;

    for (size_t i = 0; i < length; i++)
        said[i] = line[i] >= ' ' && line[i] < 0x7f ? line[i] : '?';
    said[length] = '\0';
}

void hook_words_take(FILE *log, const char *container, enum hook_point point, const char *text,
                     size_t size_bytes, char said[HOOK_SAID_BYTES])
{
    for (size_t at = 0; at < size_bytes; at++) {
        const char *newline = memchr(text + at, '\n', size_bytes - at);
        size_t end = newline == NULL ? size_bytes : (size_t)(newline - text);

        if (end > at) {
            keep_line(text + at, end - at, said);
            (void)fprintf(log, "drover-agent: %s: hook %s: %s\n", container, hook_point_name(point),
                          said);
        }
        at = end;
    }
}
