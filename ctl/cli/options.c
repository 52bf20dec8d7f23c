/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

static_assert(OPTION_COUNT <= 64, "a set of options is one uint64_t");

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION_ROW(upper, name, letter, value, words)                                              \
    [OPTION_##upper] = {name, letter, value, words},
    OPTION_LIST(OPTION_ROW)
#undef OPTION_ROW
};

struct reader {
    struct options *options;
    char **argv;
    int argc;
    int at;
    struct fault *fault;
};

static int find_long(const char *name, size_t length)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strncmp(option_rows[i].name, name, length) == 0 && option_rows[i].name[length] == '\0')
            return i;
    return -ENOENT;
}

/* `set --restart` takes no value, unlike `create --restart always`. */
static int find_of_verb(const struct reader *reader, int option)
{
    const struct options *options = reader->options;

    if (option != OPTION_RESTART || options->argument_count == 0 ||
        strcmp(options->arguments[0], "set") != 0)
        return option;
    return OPTION_RESTART_NOW;
}

static int find_short(char letter)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_rows[i].letter == letter)
            return i;
    return -ENOENT;
}

/* attached: the value within the same word, or NULL. */
static int take_option(struct reader *reader, int option, const char *attached)
{
    const struct option_row *row = &option_rows[option];
    const char *value = attached;

    if (row->value == NULL && attached != NULL) {
        fault_set(reader->fault, STATUS_INVALID, 0, "--%s takes no value", row->name);
        return -EINVAL;
    }
    if (row->value != NULL && attached == NULL) {
        if (reader->at >= reader->argc) {
            fault_set(reader->fault, STATUS_INVALID, 0, "--%s needs a value: %s", row->name,
                      row->value);
            return -EINVAL;
        }
        value = reader->argv[reader->at++];
    }
    reader->options->given[reader->options->given_count++] =
        (struct option_given){(enum option)option, value};
    return 0;
}

static int take_long(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '=');
    int option = find_long(word, equals == NULL ? strlen(word) : (size_t)(equals - word));

    if (option < 0) {
        fault_set(reader->fault, STATUS_INVALID, 0, "--%s: no such option", word);
        return -EINVAL;
    }
    return take_option(reader, find_of_verb(reader, option), equals == NULL ? NULL : equals + 1);
}

/* -t, -fjson, -tf json: letters in a row; the first that takes a value takes the rest. */
static int take_letters(struct reader *reader, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        const char text[2] = {*letters, '\0'};
        int option = find_short(*letters);

        if (option < 0) {
            fault_set(reader->fault, STATUS_INVALID, 0, "-%s: no such option", text);
            return -EINVAL;
        }
        if (option_rows[option].value != NULL)
            return take_option(reader, option, letters[1] == '\0' ? NULL : letters + 1);
        int result = take_option(reader, option, NULL);
        if (result < 0)
            return result;
    }
    return 0;
}

int options_parse(struct options *options, int argc, char **argv, struct fault *fault)
{
    struct reader reader = {options, argv, argc, 1, fault};
    size_t letters = 1;

    for (int i = 1; i < argc; i++)
        letters += strlen(argv[i]) + 1; /* each can be an option of its own, as in -tt */
    options->given = calloc(letters, sizeof(*options->given));
    options->arguments = calloc((size_t)argc + 1, sizeof(*options->arguments));
    if (options->given == NULL || options->arguments == NULL) {
        fault_set(fault, STATUS_FAILED, ENOMEM, "no memory for the command line");
        return -ENOMEM;
    }

    bool is_over = false;
    int wrong = 0;
    struct fault later;
    options->command_at = SIZE_MAX;
    while (reader.at < argc) {
        const char *word = argv[reader.at++];
        int result = 0;

        if (is_over || word[0] != '-' || word[1] == '\0') {
            options->arguments[options->argument_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            is_over = true;
            options->command_at = options->argument_count;
        } else {
            result =
                word[1] == '-' ? take_long(&reader, word + 2) : take_letters(&reader, word + 1);
        }
        if (result < 0 && wrong == 0) {
            wrong = result;
            reader.fault = &later;
        }
    }
    if (!is_over)
        options->command_at = options->argument_count;
    return wrong;
}

void options_close(struct options *options)
{
    free(options->given);
    free(options->arguments);
    *options = (struct options){0};
}

int options_check(const struct options *options, uint64_t taken, const char *verb,
                  struct fault *fault)
{
    for (size_t i = 0; i < options->given_count; i++) {
        enum option option = options->given[i].option;

        if ((taken & UINT64_C(1) << option) != 0)
            continue;
        fault_set(fault, STATUS_INVALID, 0, "%s takes no --%s", verb, option_rows[option].name);
        return -EINVAL;
    }
    return 0;
}

bool options_has(const struct options *options, enum option option)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (options->given[i].option == option)
            return true;
    return false;
}

const char *options_find(const struct options *options, enum option option)
{
    for (size_t i = options->given_count; i-- > 0;)
        if (options->given[i].option == option)
            return options->given[i].value;
    return NULL;
}

const char *options_next(const struct options *options, enum option option, size_t *index)
{
    while (*index < options->given_count) {
        const struct option_given *given = &options->given[(*index)++];

        if (given->option == option)
            return given->value;
    }
    return NULL;
}

int options_get_duration(const struct options *options, enum option option, uint64_t *ret_ns,
                         struct fault *fault)
{
    const char *text = options_find(options, option);

    if (text == NULL || duration_parse(text, ret_ns))
        return 0;
    fault_set(fault, STATUS_INVALID, 0, "--%s %s: not a duration", option_rows[option].name, text);
    fault_hint(fault, "a number and its unit: 250ms, 30s, 5m, 1h");
    return -EINVAL;
}

bool number_read(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            return false;

    *ret_number = number;
    return true;
}

int options_get_number(const struct options *options, enum option option, uint64_t *ret_number,
                       struct fault *fault)
{
    const char *text = options_find(options, option);

    if (text == NULL || number_read(text, ret_number))
        return 0;
    fault_set(fault, STATUS_INVALID, 0, "--%s %s: not a number", option_rows[option].name, text);
    return -EINVAL;
}

int options_get_word(const struct options *options, enum option option, const char *const *words,
                     int otherwise, struct fault *fault)
{
    const char *text = options_find(options, option);

    if (text == NULL)
        return otherwise;
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    fault_set(fault, STATUS_INVALID, 0, "--%s %s: one of %s is needed", option_rows[option].name,
              text, option_rows[option].value);
    return -EINVAL;
}
