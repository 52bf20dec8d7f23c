/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: configurations of OpenVZ and LXC come from whoever had the container; one must neither
 * crash who reads it nor make another container than its report says. The input is such a file and
 * one that it includes; what comes of it must be options that `create` takes, and a note on each.
 */
#include <errno.h>

#include "config_read.h"
#include "fuzz.h"
#include "import.h"
#include "units.h"

/* What the disk shows. */
struct disk {
    struct octets other; /* of any file that is asked for */
    bool is_there, is_directory, is_list;
};

static bool is_there(void *context, const char *path)
{
    PROMISE(path[0] != '\0');
    return ((const struct disk *)context)->is_there;
}

static bool is_directory(void *context, const char *path)
{
    return ((const struct disk *)context)->is_directory && strstr(path, "/etc") == NULL;
}

static int read_file(void *context, const char *path, struct arena *texts, struct octets *ret)
{
    const struct disk *disk = context;

    (void)texts;
    PROMISE(path[0] != '\0');
    if (disk->other.size_bytes == 0)
        return -ENOENT;
    *ret = disk->other;
    return 0;
}

static int list_directory(void *context, const char *path, struct arena *texts,
                          const char *const **ret_names, size_t *ret_count)
{
    static const char *const names[] = {"1.conf", "2.conf"};

    (void)texts;
    PROMISE(path[0] == '/');
    if (!((const struct disk *)context)->is_list || strcmp(path, "/d") != 0)
        return -ENOTDIR;
    *ret_names = names;
    *ret_count = 2;
    return 0;
}

static void check_notes(const struct import *import)
{
    PROMISE(import->note_count <= IMPORT_NOTES_MAX);
    for (size_t i = 0; i < import->note_count; i++) {
        const struct import_note *note = &import->notes[i];

        PROMISE(note->parameter != NULL && note->value != NULL && note->file != NULL);
        PROMISE(note->option != NULL || (note->why != NULL && note->why[0] != '\0'));
    }
}

static void check_given(const struct import *import)
{
    PROMISE(import->given_count <= IMPORT_GIVEN_MAX);
    for (size_t i = 0; i < import->given_count; i++) {
        const struct option_given *given = &import->given[i];

        PROMISE(given->option < OPTION_COUNT);
        PROMISE(given->value == NULL || import_is_text(given->value));
        CANARY(given->option == OPTION_MEMORY && import->given[0].option == OPTION_TEMPLATE);
    }
}

/* All that is mapped is what the command line would take, but for how many of them. */
static void check_config(const struct import *import)
{
    static struct config_read config;
    struct option_given given[IMPORT_GIVEN_MAX];
    struct options options = {.given = given, .given_count = import->given_count};
    struct fault fault = {0};
    size_t counts[OPTION_COUNT] = {0};
    bool is_too_much = false;

    memcpy(given, import->given, sizeof(given));
    for (size_t i = 0; i < import->given_count; i++)
        is_too_much = is_too_much || ++counts[given[i].option] > CONFIG_LIST_MAX;
    int result = config_read(&config, &options, &fault);
    PROMISE(result == 0 || is_too_much);
    PROMISE(result == 0 || fault.text[0] != '\0');
    config_read_close(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct import import;
    struct script script = {data, size_bytes};
    struct disk shown = {0};
    char path[65];
    struct fault fault = {0};

    uint8_t kind = script_octet(&script);
    memset(path, 0, sizeof(path));
    (void)script_fill(&script, path, sizeof(path) - 1);
    shown.other.size_bytes = script_part(&script, 4096, &shown.other.data);
    shown.is_list = (kind & 2) != 0;
    shown.is_directory = (kind & 2) != 0;
    shown.is_there = (kind & 4) != 0;
    const struct import_disk disk = {is_there, is_directory, read_file, list_directory, &shown};
    const struct import_source source = {.path = path,
                                         .text = {script.at, script.left},
                                         .global = shown.other,
                                         .global_path = "vz.conf",
                                         .template_name = (kind & 8) != 0 ? "t" : NULL};
    int result = (kind & 1) != 0 ? import_lxc(&import, &source, &disk, &fault)
                                 : import_openvz(&import, &source, &disk, &fault);
    if (result == 0) {
        PROMISE(name_check(import.name));
        check_notes(&import);
        check_given(&import);
        check_config(&import);
    } else {
        PROMISE(fault.status != STATUS_UNSET && fault.text[0] != '\0');
    }
    import_close(&import);
    return 0;
}
