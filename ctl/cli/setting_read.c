/* SPDX-License-Identifier: Apache-2.0 */
#include "setting_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "units.h"

#define CPUUNITS "cpuunits" /* OpenVZ's word for cpu-weight */

static int refuse(struct fault *fault, const char *word, const char *why)
{
    fault_set(fault, STATUS_INVALID, 0, "%s: %s", word, why);
    return -EINVAL;
}

static void add_value(struct setting_read *read, enum setting_key key, const char *value)
{
    read->options.given[read->options.given_count++] =
        (struct option_given){setting_option(key), value};
}

/* Why it was settled when the container was made; NULL: it is no key at all. */
static const char *fixed_words(const char *name)
{
    if (strcmp(name, "template") == 0 || strcmp(name, "root") == 0)
        return "what a container is made from is fixed";
    if (strcmp(name, "privileged") == 0 || strcmp(name, "nested") == 0)
        return "it decides a container's ids, and is fixed when that is made";
    return NULL;
}

static int refuse_key(struct fault *fault, const char *name)
{
    const char *fixed = fixed_words(name);
    int result = refuse(fault, name, fixed != NULL ? fixed : "no such key");

    fault_hint(fault, fixed != NULL ? "destroy it, and create it again with what it is to have"
                                    : "`drover help set` lists them");
    return result;
}

static int take_units(struct setting_read *read, const char *value, struct fault *fault)
{
    char text[16];
    uint64_t units = 0;
    uint32_t weight = 0;

    if (!number_read(value, &units) || !cpuunits_weight(units, &weight))
        return refuse(fault, CPUUNITS, "8 to 500000");
    (void)snprintf(text, sizeof(text), "%" PRIu32, weight);
    read->settings[read->count++] = (struct setting){.key = SETTING_CPU_WEIGHT, .removed = ""};
    const char *kept = arena_text(&read->texts, text);
    ENSURE(kept != NULL);
    add_value(read, SETTING_CPU_WEIGHT, kept);
    return 0;
}

/* Unlimited, or as it was by default: what an empty value means of what is no list. */
static const char *empty_of(enum setting_key key)
{
    switch ((int)key) {
    case SETTING_MEMORY:
    case SETTING_SWAP:
        return "max";
    case SETTING_INIT:
        return "";
    case SETTING_ORDER:
        return "0";
    }
    return NULL; /* the option's own default */
}

static int take_word(struct setting_read *read, const char *word, struct fault *fault)
{
    char name[32];
    const char *equals = strchr(word, '=');
    size_t length = equals == NULL ? 0 : (size_t)(equals - word);

    if (length == 0 || length >= sizeof(name))
        return refuse(fault, word, "KEY=VALUE is needed");
    memcpy(name, word, length);
    name[length] = '\0';
    bool is_removal = name[length - 1] == '-';
    if (is_removal)
        name[length - 1] = '\0';
    if (strcmp(name, CPUUNITS) == 0 && !is_removal)
        return take_units(read, equals + 1, fault);
    enum setting_key key = setting_find(name);
    if (key == SETTING_UNSET)
        return refuse_key(fault, name);
    if (is_removal && (!setting_is_list(key) || equals[1] == '\0'))
        return refuse(fault, word, "only a named entry of a list can be taken out");

    struct setting *setting = &read->settings[read->count++];
    *setting = (struct setting){.key = key, .removed = is_removal ? equals + 1 : ""};
    if (is_removal)
        return 0;
    setting->is_cleared = equals[1] == '\0' && setting_is_list(key);
    const char *value = equals[1] == '\0' ? empty_of(key) : equals + 1;
    if (value != NULL)
        add_value(read, key, value);
    return 0;
}

/* The words of options begin with two dashes; those of `set` do not. */
static void undash(struct fault *fault)
{
    if (strncmp(fault->text, "--", 2) == 0)
        memmove(fault->text, fault->text + 2, strlen(fault->text + 2) + 1);
}

int setting_read(struct setting_read *read, const char *const *words, size_t count,
                 struct fault *fault)
{
    *read = (struct setting_read){.settings = calloc(count + 1, sizeof(*read->settings)),
                                  .options.given = calloc(count + 1, sizeof(*read->options.given))};
    ENSURE(read->settings != NULL);
    ENSURE(read->options.given != NULL);
    for (size_t i = 0; i < count; i++)
        if (take_word(read, words[i], fault) < 0)
            return -EINVAL;
    int result = config_read_settings(&read->values, &read->options, fault);
    if (result < 0)
        undash(fault);
    return result;
}

void setting_read_close(struct setting_read *read)
{
    config_read_close(&read->values);
    arena_close(&read->texts);
    free(read->settings);
    options_close(&read->options);
}

enum option setting_option(enum setting_key key)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        if (strcmp(option_rows[i].name, setting_name(key)) == 0)
            return (enum option)i;
    ENSURE(false); /* each key is an option of create: unit.cli.setting */
    return OPTION_COUNT;
}
