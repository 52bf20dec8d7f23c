/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. A line is KEY = VALUE; one that begins with # is a comment, a # behind a value is
 * part of it. Blanks around both go, and one pair of quotes around the value. An empty value takes
 * back what the key was given before. lxc.include reads a file, or all *.conf of a directory, where
 * it stands.
 */
#include "import_lxc.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"

const char *lxc_find(const struct lxc *lxc, const char *name)
{
    for (size_t i = lxc->count; i-- > 0;)
        if (strcmp(lxc->entries[i].name, name) == 0)
            return lxc->entries[i].value;
    return NULL;
}

/* ---- syntax ---- */

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\v' || letter == '\f';
}

static void trim(const char **at, const char **end)
{
    while (*at < *end && is_blank(**at))
        (*at)++;
    while (*end > *at && is_blank((*end)[-1]))
        (*end)--;
}

/* lxc.cgroup = (nothing) takes back lxc.cgroup.*, as lxc.net = does lxc.net.0.*. */
static void take_back(struct lxc *lxc, const char *name)
{
    size_t length = strlen(name);
    size_t kept = 0;

    for (size_t i = 0; i < lxc->count; i++) {
        const char *other = lxc->entries[i].name;
        bool is_meant =
            strncmp(other, name, length) == 0 && (other[length] == '\0' || other[length] == '.');
        if (!is_meant)
            lxc->entries[kept++] = lxc->entries[i];
    }
    lxc->count = kept;
}

static int read_files(struct lxc *lxc, const struct import_parameter *entry, unsigned depth);

static int add_entry(struct lxc *lxc, const struct import_parameter *entry, unsigned depth)
{
    if (strcmp(entry->name, "lxc.include") == 0 && entry->value[0] != '\0')
        return read_files(lxc, entry, depth);
    if (entry->value[0] == '\0') {
        take_back(lxc, entry->name);
        return 0;
    }
    if (lxc->count == LXC_ENTRIES_MAX) {
        fault_set(lxc->fault, STATUS_INVALID, 0, "more than %u entries", (uint64_t)LXC_ENTRIES_MAX);
        return -EINVAL;
    }
    lxc->entries[lxc->count++] = *entry;
    return 0;
}

static int read_line(struct lxc *lxc, const char *at, const char *end, const char *file,
                     unsigned depth)
{
    trim(&at, &end);
    const char *sign = at < end && *at != '#' ? memchr(at, '=', (size_t)(end - at)) : NULL;
    if (sign == NULL)
        return 0;
    const char *name_end = sign;
    const char *value = sign + 1;
    trim(&at, &name_end);
    trim(&value, &end);
    if (at == name_end)
        return 0;
    if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
        value++;
        end--;
    }
    const char *name = import_copy(lxc->import, at, (size_t)(name_end - at));
    const struct lxc_rule *rule = lxc_rule_find(name);
    bool is_old = rule != NULL && rule->old != NULL && strcmp(rule->old, name) == 0;
    const struct import_parameter entry = {
        .file = file,
        .name = is_old ? rule->name : name,
        .spelling = name,
        .value = import_copy(lxc->import, value, (size_t)(end - value))};
    return add_entry(lxc, &entry, depth);
}

static int read_text(struct lxc *lxc, struct octets text, const char *file, unsigned depth)
{
    const char *at = text.size_bytes == 0 ? "" : (const char *)text.data;
    const char *end = at + text.size_bytes;
    int result = 0;

    lxc->read_bytes += text.size_bytes;
    if (lxc->read_bytes > IMPORT_FILE_BYTES_MAX || ++lxc->files > IMPORT_FILES_MAX) {
        fault_set(lxc->fault, STATUS_INVALID, 0, "%s: too much is included", file);
        return -EINVAL;
    }
    if (memchr(at, '\0', text.size_bytes) != NULL) {
        fault_set(lxc->fault, STATUS_INVALID, 0, "%s: not a configuration", file);
        return -EINVAL;
    }
    while (result == 0 && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline == NULL ? end : newline;

        result = read_line(lxc, at, line_end, file, depth);
        at = line_end + 1;
    }
    return result;
}

/* ---- includes ---- */

static int read_file(struct lxc *lxc, const struct import_parameter *entry, const char *path,
                     unsigned depth)
{
    struct octets text = {0};
    int result = lxc->disk->read(lxc->disk->context, path, &lxc->import->texts, &text);

    if (result < 0) {
        import_skip(lxc->import, entry,
                    import_format(lxc->import, "cannot be read: %s", strerror(-result)));
        return 0;
    }
    return read_text(lxc, text, path, depth);
}

static int read_files(struct lxc *lxc, const struct import_parameter *entry, unsigned depth)
{
    const struct import_disk *disk = lxc->disk;
    const char *const *names = NULL;
    size_t count = 0;

    if (depth == LXC_DEPTH_MAX) {
        fault_set(lxc->fault, STATUS_INVALID, 0, "%s: includes are too deep", entry->value);
        return -EINVAL;
    }
    if (entry->value[0] != '/') {
        import_skip(lxc->import, entry, "not a path from /");
        return 0;
    }
    int result = disk->list(disk->context, entry->value, &lxc->import->texts, &names, &count);
    if (result < 0)
        return read_file(lxc, entry, entry->value, depth + 1);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = read_file(lxc, entry, import_format(lxc->import, "%s/%s", entry->value, names[i]),
                           depth + 1);
    return result;
}

/* ---- who it is and what it is made from ---- */

/* /var/lib/lxc/web/config → web; web.conf → web; else what it calls itself. */
static int find_name(struct lxc *lxc)
{
    const char *path = lxc->source->path;
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    size_t length = strlen(base);

    if (strcmp(base, "config") == 0 && slash != NULL) {
        const char *end = slash;
        while (slash > path && slash[-1] != '/')
            slash--;
        base = slash;
        length = (size_t)(end - slash);
    } else if (length > 5 && strcmp(base + length - 5, ".conf") == 0) {
        length -= 5;
    }
    const char *uts = lxc_find(lxc, "lxc.uts.name");
    bool is_silent = strcmp(base, "config") == 0 || length == 0 || *base == '.';
    if (!is_silent && import_name(import_copy(lxc->import, base, length), lxc->import->name))
        return 0;
    if (uts != NULL && import_name(uts, lxc->import->name))
        return 0;
    fault_set(lxc->fault, STATUS_INVALID, 0, "neither its path nor lxc.uts.name names a container");
    return -EINVAL;
}

/* dir:/var/lib/lxc/web/rootfs; without a scheme a directory or a device. */
static int find_root(struct lxc *lxc)
{
    const char *root = lxc_find(lxc, "lxc.rootfs.path");
    static const char *const schemes[] = {"dir:", "btrfs:"};

    if (lxc->source->template_name != NULL)
        return 0;
    for (size_t i = 0; root != NULL && i < COUNT_OF(schemes); i++)
        if (strncmp(root, schemes[i], strlen(schemes[i])) == 0) {
            root += strlen(schemes[i]);
            break;
        }
    bool is_path = root != NULL && root[0] == '/' && import_is_text(root);
    if (is_path && strncmp(root, "/dev/", 5) != 0 && strcmp(root, "/") != 0) {
        lxc->root = root;
        return 0;
    }
    fault_set(lxc->fault, root == NULL ? STATUS_INVALID : STATUS_UNSUPPORTED, 0,
              root == NULL ? "lxc.rootfs.path is not set" : "lxc.rootfs.path %s: not a directory",
              root);
    fault_hint(lxc->fault, "--template T makes it from a template");
    return root == NULL ? -EINVAL : -ENOTSUP;
}

/* ---- mapping ---- */

static bool is_overridden(const struct lxc *lxc, size_t index)
{
    for (size_t i = index + 1; i < lxc->count; i++)
        if (strcmp(lxc->entries[i].name, lxc->entries[index].name) == 0)
            return true;
    return false;
}

static void map_entry(struct lxc *lxc, size_t index)
{
    const struct import_parameter *entry = &lxc->entries[index];
    const struct lxc_rule *rule = lxc_rule_find(entry->name);

    if (rule == NULL)
        import_skip(lxc->import, entry, "LXC knows no such key");
    else if (rule->map == NULL)
        import_skip(lxc->import, entry, rule->why);
    else if (!import_is_text(entry->value))
        import_skip(lxc->import, entry, "not text: controls, or not UTF-8");
    else if (!rule->is_list && is_overridden(lxc, index))
        import_skip(lxc->import, entry, "given again further down");
    else
        rule->map(lxc, entry);
}

int import_lxc(struct import *import, const struct import_source *source,
               const struct import_disk *disk, struct fault *fault)
{
    AUTO_FREE struct lxc *lxc = calloc(1, sizeof(*lxc));

    if (lxc == NULL) {
        fault_set(fault, STATUS_FAILED, ENOMEM, "no memory for the entries");
        return -ENOMEM;
    }
    *import = (struct import){.texts = {.cap_bytes = IMPORT_ARENA_BYTES}};
    *lxc = (struct lxc){.import = import, .source = source, .disk = disk, .fault = fault};
    int result = read_text(lxc, source->text, source->path, 0);
    if (result == 0)
        result = find_name(lxc);
    if (result == 0)
        result = find_root(lxc);
    if (result < 0)
        return result;

    if (source->template_name != NULL)
        import->given[import->given_count++] =
            (struct option_given){OPTION_TEMPLATE, source->template_name};
    for (size_t i = 0; i < lxc->count; i++)
        map_entry(lxc, i);
    return 0;
}
