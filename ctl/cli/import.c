/* SPDX-License-Identifier: Apache-2.0 */
#include "import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ensure.h"
#include "text.h"

char *import_room(struct import *import, size_t size_bytes)
{
    char *room = arena_take(&import->texts, size_bytes);

    ENSURE(room != NULL); /* what files of 1 MiB lead to stays below the arena's cap */
    return room;
}

char *import_copy(struct import *import, const char *text, size_t length)
{
    char *copy = import_room(import, length + 1);

    memcpy(copy, text, length);
    return copy;
}

const char *import_format(struct import *import, const char *format, ...)
{
    va_list list;
    va_list again;

    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    ENSURE(length >= 0);
    char *text = import_room(import, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void import_note(struct import *import, const struct import_parameter *parameter,
                 const char *option, const char *why)
{
    if (import->note_count == IMPORT_NOTES_MAX) {
        import->notes_lost++;
        return;
    }
    import->notes[import->note_count++] = (struct import_note){
        .file = parameter->file,
        .parameter = parameter->spelling == NULL ? parameter->name : parameter->spelling,
        .value = parameter->value,
        .option = option,
        .why = why};
}

void import_skip(struct import *import, const struct import_parameter *parameter, const char *why)
{
    import_note(import, parameter, NULL, why);
}

void import_map(struct import *import, const struct import_parameter *parameter, enum option option,
                const char *value, const char *why)
{
    const struct option_row *row = &option_rows[option];

    if (import->given_count == IMPORT_GIVEN_MAX) {
        import_skip(import, parameter, "too many options for one container");
        return;
    }
    import->given[import->given_count++] = (struct option_given){option, value};
    import_note(import, parameter,
                value == NULL ? import_format(import, "--%s", row->name)
                              : import_format(import, "--%s %s", row->name, value),
                why);
}

bool import_is_given(const struct import *import, enum option option)
{
    for (size_t i = 0; i < import->given_count; i++)
        if (import->given[i].option == option)
            return true;
    return false;
}

bool import_device(struct import *import, const struct import_parameter *parameter,
                   const char *device)
{
    bool is_tun = strcmp(device, "net/tun") == 0;
    enum option option = is_tun ? OPTION_TUN : OPTION_FUSE;

    if (!is_tun && strcmp(device, "fuse") != 0)
        return false;
    if (import_is_given(import, option))
        import_skip(import, parameter, "given already");
    else
        import_map(import, parameter, option, NULL, NULL);
    return true;
}

bool import_name(const char *text, char ret_name[NAME_BYTES])
{
    size_t length = 0;

    for (; *text != '\0' && length < NAME_LENGTH_MAX; text++) {
        char letter = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');

        if (!is_letter && length > 0 && ret_name[length - 1] == '-')
            continue;
        if (is_letter || length > 0)
            ret_name[length++] = is_letter ? letter : '-';
    }
    while (length > 0 && ret_name[length - 1] == '-')
        length--;
    ret_name[length] = '\0';
    return length > 0;
}

bool import_is_text(const char *text)
{
    for (;; text++) {
        size_t length = strcspn(text, "\t"); /* a blank like others in lists */

        if (!text_is_shown(text, length))
            return false;
        text += length;
        if (*text == '\0')
            return true;
    }
}

char *import_word(char **text, const char *separators)
{
    char *word = *text + strspn(*text, separators);
    size_t length = strcspn(word, separators);

    if (length == 0)
        return NULL;
    *text = word + length + (word[length] != '\0');
    word[length] = '\0';
    return word;
}

void import_close(struct import *import)
{
    arena_close(&import->texts);
}
