/* SPDX-License-Identifier: Apache-2.0 */
#include "selector.h"

#include <string.h>

/* Only the last star is ever tried again, so the work is bounded by the product of the lengths. */
static bool match_span(const char *pattern, size_t length, const char *text)
{
    const char *end = pattern + length;
    const char *star = NULL;
    const char *retry = NULL;

    while (*text != '\0') {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (pattern < end && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool glob_match(const char *pattern, const char *text)
{
    return match_span(pattern, strlen(pattern), text);
}

static bool match_label(const char *selector, size_t key_length, const struct selectable *what)
{
    const char *value = selector + key_length + 1;

    for (size_t i = 0; i < what->label_count; i++)
        if (strlen(what->labels[i].key) == key_length &&
            memcmp(what->labels[i].key, selector, key_length) == 0 &&
            glob_match(value, what->labels[i].value))
            return true;
    return false;
}

bool selector_match(const char *selector, const struct selectable *what)
{
    /* Neither character can be in a name, so the first `=` decides; a value may hold an `@`. */
    const char *equals = strchr(selector, '=');
    if (equals != NULL)
        return match_label(selector, (size_t)(equals - selector), what);

    const char *at = strchr(selector, '@');
    if (at != NULL) {
        size_t length = (size_t)(at - selector);
        return what->node != NULL && glob_match(at + 1, what->node) &&
               (length == 0 || match_span(selector, length, what->name));
    }
    return glob_match(selector, what->name) ||
           (what->uuid_text != NULL && strcmp(selector, what->uuid_text) == 0);
}
