/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: names, sizes, durations, ids, addresses and selectors come from operators, labels and
 * configurations; a limit that is read as another, or a selector that answers to the wrong
 * container, does harm quietly. What is accepted is said again in words, or judged by a second,
 * plainer reading.
 */
#include <inttypes.h>

#include "fuzz.h"
#include "link.h"
#include "selector.h"
#include "units.h"
#include "uuid.h"

#define TEXT_BYTES 96

/* By its definition, for each end of the pattern and each of the text. */
static bool plain_glob(const char *pattern, const char *text)
{
    static bool is_match[TEXT_BYTES + 1][TEXT_BYTES + 1];
    size_t pattern_length = strlen(pattern);
    size_t text_length = strlen(text);

    for (size_t p = pattern_length + 1; p-- > 0;)
        for (size_t t = text_length + 1; t-- > 0;) {
            if (p == pattern_length)
                is_match[p][t] = t == text_length;
            else if (pattern[p] == '*')
                is_match[p][t] = is_match[p + 1][t] || (t < text_length && is_match[p][t + 1]);
            else
                is_match[p][t] = t < text_length && (pattern[p] == '?' || pattern[p] == text[t]) &&
                                 is_match[p + 1][t + 1];
        }
    return is_match[0][0];
}

static bool plain_name(const char *text)
{
    size_t length = strlen(text);
    bool is_name =
        length >= 1 && length <= NAME_LENGTH_MAX && text[0] != '-' && text[length - 1] != '-';

    for (size_t i = 0; i < length; i++)
        is_name = is_name && ((text[i] >= 'a' && text[i] <= 'z') ||
                              (text[i] >= '0' && text[i] <= '9') || text[i] == '-');
    return is_name;
}

/* Digits, then one of the suffixes with its factor. */
static bool plain_number(const char *text, const char *const *suffixes, const uint64_t *factors,
                         uint64_t *ret_number)
{
    unsigned __int128 number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (unsigned)(*at - '0');
        if (number > UINT64_MAX)
            return false;
    }
    for (size_t i = 0; at > text && suffixes[i] != NULL; i++)
        if (strcmp(at, suffixes[i]) == 0 && number * factors[i] <= UINT64_MAX) {
            *ret_number = (uint64_t)(number * factors[i]);
            return true;
        }
    return false;
}

static void check_size(const char *text)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "T", NULL};
    static const uint64_t factors[] = {1, UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30,
                                       UINT64_C(1) << 40};
    uint64_t size_bytes = 1;
    uint64_t wanted = 0;
    bool is_size = size_parse(text, &size_bytes);

    if (is_size && strcmp(text, "max") != 0)
        PROMISE(plain_number(text, suffixes, factors, &wanted) && wanted == size_bytes);
    if (!is_size)
        PROMISE(!plain_number(text, suffixes, factors, &wanted) || wanted == SIZE_BYTES_MAX);
    CANARY(is_size && size_bytes > UINT32_MAX && size_bytes < SIZE_BYTES_MAX && text[4] != '\0');
}

static void check_duration(const char *text)
{
    static const char *const suffixes[] = {"ms", "s", "m", "h", NULL};
    static const uint64_t factors[] = {UINT64_C(1000000), UINT64_C(1000000000),
                                       UINT64_C(60000000000), UINT64_C(3600000000000)};
    uint64_t duration_ns = 1;
    uint64_t wanted = 0;
    bool is_duration = duration_parse(text, &duration_ns);

    if (is_duration && duration_ns != 0)
        PROMISE(plain_number(text, suffixes, factors, &wanted) && wanted == duration_ns);
    if (!is_duration)
        PROMISE(!plain_number(text, suffixes, factors, &wanted));
}

static void check_uuid(const char *text)
{
    uint8_t uuid[UUID_BYTES];
    uint8_t again[UUID_BYTES];
    char formatted[UUID_TEXT_BYTES];

    if (!uuid_parse(text, uuid))
        return;
    PROMISE(uuid_parse(uuid_format(uuid, formatted), again));
    PROMISE(memcmp(uuid, again, UUID_BYTES) == 0);
}

static void check_selector(const char *selector, const char *name, const char *node)
{
    const struct pair labels[] = {{"tier", name}, {node, "x"}};
    const struct selectable what = {.name = name,
                                    .node = node[0] == '\0' ? NULL : node,
                                    .uuid_text = "00010203-0405-0607-0809-0a0b0c0d0e0f",
                                    .labels = labels,
                                    .label_count = 2};
    bool is_match = selector_match(selector, &what);

    if (strpbrk(selector, "@=") == NULL && strcmp(selector, what.uuid_text) != 0)
        PROMISE(is_match == plain_glob(selector, name));
}

static void take_text(struct script *script, char text[TEXT_BYTES], size_t most)
{
    const uint8_t *part;
    size_t count = script_part(script, most, &part);

    memset(text, 0, TEXT_BYTES);
    if (count > 0)
        memcpy(text, part, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    char first[TEXT_BYTES];
    char second[TEXT_BYTES];
    char third[TEXT_BYTES];
    char bulk[TEXT_BYTES];

    take_text(&script, first, TEXT_BYTES - 1);
    PROMISE(name_check(first) == plain_name(first));
    check_size(first);
    check_duration(first);
    check_uuid(first);
    if (link_url_check(first))
        (void)link_url_bulk(first, bulk, sizeof(bulk));
    else
        PROMISE(link_url_bulk(first, bulk, sizeof(bulk)) < 0);
    first[16] = '\0';
    take_text(&script, second, 16);
    take_text(&script, third, 16);
    PROMISE(glob_match(first, second) == plain_glob(first, second));
    check_selector(first, second, third);
    return 0;
}
