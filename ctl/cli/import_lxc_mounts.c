/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lxc.mount.entry and the file that lxc.mount.fstab names: SOURCE TARGET TYPE OPTIONS, TARGET below
 * the container's root.
 */
#include <string.h>

#include "import_lxc.h"
#include "units.h"

#define BLANKS " \t\r\v\f"
#define FIELDS 4

/* fstab(5): a blank in a path is \040. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++, to++) {
        *to = *text;
        if (text[0] != '\\' || strspn(text + 1, "01234567") < 3)
            continue;
        unsigned octet = (unsigned)(text[1] - '0') * 64 + (unsigned)(text[2] - '0') * 8 +
                         (unsigned)(text[3] - '0');
        if (octet == 0 || octet > 127)
            continue; /* it stays as it is: no path of ours has it */
        *to = (char)octet;
        text += 3;
    }
    *to = '\0';
}

/* The value of NAME or NAME=VALUE in a list with commas; NULL: it is not there. */
static const char *find_word(struct import *import, const char *options, const char *name)
{
    char *words = import_copy(import, options, strlen(options));
    size_t length = strlen(name);

    for (char *word; (word = import_word(&words, ",")) != NULL;)
        if (strncmp(word, name, length) == 0 && (word[length] == '\0' || word[length] == '='))
            return word + length + (word[length] == '=');
    return NULL;
}

/* As the guest sees it, from / on. */
static const char *target_of(const struct lxc *lxc, const char *target)
{
    size_t length = lxc->root == NULL ? 0 : strlen(lxc->root);

    if (target[0] != '/')
        return import_format(lxc->import, "/%s", target);
    if (length > 0 && strncmp(target, lxc->root, length) == 0 && target[length] == '/')
        return target + length;
    return target;
}

static void map_tmpfs(struct lxc *lxc, const struct import_parameter *entry, const char *target,
                      const char *options)
{
    const char *size = find_word(lxc->import, options, "size");
    uint64_t bytes = 0;
    char *text = size == NULL ? NULL : import_copy(lxc->import, size, strlen(size));

    for (char *at = text; at != NULL && *at != '\0'; at++) /* mount(8) takes k, m and g */
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    bool is_size = text != NULL && size_parse(text, &bytes) && bytes != 0 && bytes != LIMIT_NONE;
    import_map(lxc->import, entry, OPTION_TMPFS,
               is_size ? import_format(lxc->import, "%s:%s", target, text) : target,
               text != NULL && !is_size ? "of the kernel's default size: this one cannot be read"
                                        : NULL);
}

static void map_bind(struct lxc *lxc, const struct import_parameter *entry, const char *source,
                     const char *target, const char *options)
{
    bool is_read_only = find_word(lxc->import, options, "ro") != NULL;
    const char *why = NULL;

    if (strncmp(source, "/dev/", 5) == 0 && import_device(lxc->import, entry, source + 5))
        return; /* a bind would show a node that cannot be opened */
    if (source[0] != '/' || strchr(source, ':') != NULL || strchr(target, ':') != NULL) {
        import_skip(lxc->import, entry, "not a bind of a path from /, or with : in it");
        return;
    }
    if (find_word(lxc->import, options, "optional") != NULL)
        why = "no longer optional: without its source it does not start";
    import_map(lxc->import, entry, OPTION_BIND,
               import_format(lxc->import, "%s:%s%s", source, target, is_read_only ? ":ro" : ""),
               why);
}

static bool is_made_by_us(const char *type)
{
    static const char *const types[] = {"proc",   "sysfs",  "cgroup",   "cgroup2",
                                        "devpts", "mqueue", "devtmpfs", NULL};

    for (size_t i = 0; types[i] != NULL; i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

void lxc_map_mount(struct lxc *lxc, const struct import_parameter *entry)
{
    char *text = import_copy(lxc->import, entry->value, strlen(entry->value));
    char *fields[FIELDS];

    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = import_word(&text, BLANKS);
        if (fields[i] == NULL && i < 2) {
            import_skip(lxc->import, entry, "not SOURCE TARGET TYPE OPTIONS");
            return;
        }
        if (fields[i] == NULL)
            fields[i] = import_copy(lxc->import, "", 0);
        unescape(fields[i]);
    }
    const char *target = target_of(lxc, fields[1]);
    bool is_bind = find_word(lxc->import, fields[3], "bind") != NULL ||
                   find_word(lxc->import, fields[3], "rbind") != NULL;

    if (target[1] == '\0' || !import_is_text(target) || !import_is_text(fields[0]))
        import_skip(lxc->import, entry, "not a path below the root");
    else if (is_bind)
        map_bind(lxc, entry, fields[0], target, fields[3]);
    else if (strcmp(fields[2], "tmpfs") == 0 && strchr(target, ':') == NULL)
        map_tmpfs(lxc, entry, target, fields[3]);
    else if (is_made_by_us(fields[2]))
        import_skip(lxc->import, entry, "mounted in every container, where it is to be");
    else
        import_skip(lxc->import, entry, "binds and tmpfs alone are mounted for a container");
}

void lxc_map_fstab(struct lxc *lxc, const struct import_parameter *entry)
{
    struct octets text = {0};
    int result = lxc->disk->read(lxc->disk->context, entry->value, &lxc->import->texts, &text);
    const char *at = text.size_bytes == 0 ? "" : (const char *)text.data;
    const char *end = at + text.size_bytes;

    lxc->read_bytes += text.size_bytes;
    if (result < 0 || lxc->read_bytes > IMPORT_FILE_BYTES_MAX) {
        import_skip(lxc->import, entry,
                    result < 0 ? import_format(lxc->import, "cannot be read: %s", strerror(-result))
                               : "too much is included");
        return;
    }
    import_note(lxc->import, entry, "its lines", NULL);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline == NULL ? end : newline;
        const struct import_parameter line = {
            .file = entry->value,
            .name = entry->name,
            .value = import_copy(lxc->import, at, (size_t)(line_end - at))};

        const char *first = line.value + strspn(line.value, BLANKS);
        if (*first != '\0' && *first != '#' && import_is_text(first))
            lxc_map_mount(lxc, &line);
        at = line_end + 1;
    }
}
