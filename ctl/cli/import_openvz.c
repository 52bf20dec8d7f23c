/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. The syntax is a shell's to look at and was read by vzctl without one: a line is
 * NAME=VALUE; a backslash takes the meaning from what follows, inside quotes too; a # that begins a
 * word outside quotes ends the line; a value is all that is left, or what stands in quotes. Nothing
 * is executed or expanded but $VEID and ${VEID}.
 */
#include "import_openvz.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"

const char *openvz_find(const struct openvz *openvz, const char *name)
{
    for (size_t i = 0; i < openvz->count; i++)
        if (strcmp(openvz->values[i].parameter.name, name) == 0)
            return openvz->values[i].parameter.value;
    return NULL;
}

/* ---- syntax ---- */

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\v' || letter == '\f';
}

/* The value that begins at `at`, until `end`, into `to`, which has as much room. */
static size_t read_value(const char *at, const char *end, char *to)
{
    char quote = at < end && (*at == '"' || *at == '\'') ? *at++ : '\0';
    bool is_word_start = false;
    size_t length = 0;
    size_t kept = 0; /* up to the last that is no blank, or was escaped */

    for (; at < end; at++) {
        bool is_escaped = *at == '\\' && at + 1 < end;

        if (is_escaped)
            at++;
        else if (*at == '\\' || (quote != '\0' && *at == quote))
            break;
        else if (quote == '\0' && *at == '#' && is_word_start)
            break;
        is_word_start = quote == '\0' && !is_escaped && is_blank(*at);
        to[length++] = *at;
        if (quote != '\0' || is_escaped || !is_blank(*at))
            kept = length;
    }
    return kept;
}

/* $VEID and ${VEID}, as vzctl put the container's id in. */
static char *substitute(struct import *import, const char *text, const char *veid)
{
    static const char *const names[] = {"${VEID}", "$VEID"};
    size_t room = strlen(text) + 1;
    size_t veid_length = strlen(veid);

    for (const char *at = text; (at = strchr(at, '$')) != NULL; at++)
        room += veid_length;
    char *result = import_room(import, room);
    char *to = result;
    while (*text != '\0') {
        size_t skipped = 0;
        for (size_t i = 0; skipped == 0 && i < COUNT_OF(names); i++)
            if (strncmp(text, names[i], strlen(names[i])) == 0)
                skipped = strlen(names[i]);
        if (skipped == 0) {
            *to++ = *text++;
            continue;
        }
        memcpy(to, veid, veid_length);
        to += veid_length;
        text += skipped;
    }
    *to = '\0';
    return result;
}

static int add_value(struct openvz *openvz, const struct openvz_value *value, struct fault *fault)
{
    for (size_t i = 0; i < openvz->count; i++)
        if (strcmp(openvz->values[i].parameter.name, value->parameter.name) == 0) {
            openvz->values[i] = *value; /* the last one counts */
            return 0;
        }
    if (openvz->count == OPENVZ_VALUES_MAX) {
        fault_set(fault, STATUS_INVALID, 0, "more than %u parameters", (uint64_t)OPENVZ_VALUES_MAX);
        return -EINVAL;
    }
    openvz->values[openvz->count++] = *value;
    return 0;
}

static int read_line(struct openvz *openvz, const char *at, const char *end, const char *file,
                     struct fault *fault)
{
    struct import *import = openvz->import;

    while (at < end && is_blank(*at))
        at++;
    const char *sign = at < end && *at != '#' ? memchr(at, '=', (size_t)(end - at)) : NULL;
    if (sign == NULL || sign == at)
        return 0;
    char *value = import_room(import, (size_t)(end - sign));
    value[read_value(sign + 1, end, value)] = '\0';
    const struct openvz_value read = {
        .parameter = {.file = file,
                      .name = import_copy(import, at, (size_t)(sign - at)),
                      .value = substitute(import, value, openvz->ctid)},
        .is_global = file == openvz->source->global_path};
    return add_value(openvz, &read, fault);
}

static int read_text(struct openvz *openvz, struct octets text, const char *file,
                     struct fault *fault)
{
    const char *at = text.size_bytes == 0 ? "" : (const char *)text.data;
    const char *end = at + text.size_bytes;
    int result = 0;

    if (text.size_bytes > IMPORT_FILE_BYTES_MAX || (memchr(at, '\0', text.size_bytes) != NULL)) {
        fault_set(fault, STATUS_INVALID, 0, "%s: not a configuration", file);
        return -EINVAL;
    }
    while (result == 0 && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline == NULL ? end : newline;

        result = read_line(openvz, at, line_end, file, fault);
        at = line_end + 1;
    }
    return result;
}

/* ---- who it is and what it is made from ---- */

/* /etc/vz/conf/101.conf → 101; VE_PRIVATE/ve.conf says nothing. */
static const char *ctid_of(struct import *import, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    size_t length = strlen(base);

    if (length > 5 && strcmp(base + length - 5, ".conf") == 0)
        length -= 5;
    return length == 2 && strncmp(base, "ve", 2) == 0 ? "" : import_copy(import, base, length);
}

/* The container's id is needed before values are read, as it stands in them. */
static void find_ctid(struct openvz *openvz)
{
    static const char *const names[] = {"VEID", "UUID"};
    struct fault ignored;

    openvz->ctid = ctid_of(openvz->import, openvz->source->path);
    if (openvz->ctid[0] != '\0')
        return;
    (void)read_text(openvz, openvz->source->text, openvz->source->path, &ignored);
    for (size_t i = 0; openvz->ctid[0] == '\0' && i < COUNT_OF(names); i++)
        if (openvz_find(openvz, names[i]) != NULL)
            openvz->ctid = openvz_find(openvz, names[i]);
    openvz->count = 0;
}

static int find_name(struct openvz *openvz, struct fault *fault)
{
    struct import *import = openvz->import;
    const char *name = openvz_find(openvz, "NAME");

    if (name != NULL && import_name(name, import->name))
        return 0;
    if (import_name(openvz->ctid, import->name))
        return 0;
    fault_set(fault, STATUS_INVALID, 0, "neither its name nor NAME names a container");
    return -EINVAL;
}

static bool is_image(const struct openvz *openvz, const char *private_area)
{
    const char *layout = openvz_find(openvz, "VE_LAYOUT");
    const char *image = import_format(openvz->import, "%s/root.hdd", private_area);

    if (layout != NULL && (strncmp(layout, "ploop", 5) == 0 || strcmp(layout, "5") == 0))
        return true;
    return openvz->disk->is_there(openvz->disk->context, image);
}

/* In layout 4 the root is VE_PRIVATE/fs, in the one before it VE_PRIVATE itself. */
static const char *root_of(const struct openvz *openvz, const char *private_area)
{
    const struct import_disk *disk = openvz->disk;
    const char *inner = import_format(openvz->import, "%s/fs", private_area);
    const char *etc = import_format(openvz->import, "%s/etc", private_area);

    if (disk->is_directory(disk->context, inner) && !disk->is_directory(disk->context, etc))
        return inner;
    return private_area;
}

static int find_root(struct openvz *openvz, struct fault *fault)
{
    const char *private_area = openvz_find(openvz, "VE_PRIVATE");

    if (openvz->source->template_name != NULL) {
        openvz->root_why = "made from the template that was given instead";
        return 0;
    }
    if (private_area == NULL || private_area[0] != '/' || !import_is_text(private_area)) {
        fault_set(fault, STATUS_INVALID, 0,
                  private_area == NULL ? "VE_PRIVATE is not set" : "VE_PRIVATE: a path from /");
        fault_hint(fault, "--template T makes it from a template");
        return -EINVAL;
    }
    if (is_image(openvz, private_area)) {
        fault_set(fault, STATUS_UNSUPPORTED, 0, "%s is a ploop image, not a directory",
                  private_area);
        fault_hint(fault, "copy what is in it: template import T DIR; then --template T");
        return -ENOTSUP;
    }
    openvz->root = root_of(openvz, private_area);
    return 0;
}

/* ---- mapping ---- */

/* Of each container alone: a node's file may name one, and means itself. */
static bool is_own(const char *name)
{
    return strcmp(name, "VEID") == 0 || strcmp(name, "UUID") == 0 || strcmp(name, "NAME") == 0;
}

static void map_value(struct openvz *openvz, const struct openvz_value *value)
{
    const struct openvz_rule *rule = openvz_rule_find(value->parameter.name);

    /* The node's file is about the node: what has no meaning for a container is not its matter. */
    if (value->is_global && (rule == NULL || rule->map == NULL || is_own(value->parameter.name)))
        return;
    if (rule == NULL)
        import_skip(openvz->import, &value->parameter, "OpenVZ knows no such parameter");
    else if (rule->map == NULL)
        import_skip(openvz->import, &value->parameter, rule->why);
    else if (!import_is_text(value->parameter.value))
        import_skip(openvz->import, &value->parameter, "not text: controls, or not UTF-8");
    else
        rule->map(openvz, &value->parameter);
}

static void map_ctid(struct openvz *openvz)
{
    const struct import_parameter parameter = {
        .file = openvz->source->path, .name = "CTID", .value = openvz->ctid};

    if (openvz->ctid[0] != '\0' && import_is_text(openvz->ctid))
        import_map(openvz->import, &parameter, OPTION_LABEL,
                   import_format(openvz->import, "openvz.ctid=%s", openvz->ctid), NULL);
}

/* Action scripts stand beside the file: 101.mount beside 101.conf. */
static void map_scripts(struct openvz *openvz)
{
    static const char *const points[] = {"premount", "mount",  "start",
                                         "stop",     "umount", "postumount"};
    const char *path = openvz->source->path;
    size_t length = strlen(path);

    if (path[0] != '/' || length < 5 || length > HOOK_PATH_BYTES_MAX - 16 ||
        strcmp(path + length - 5, ".conf") != 0 || !import_is_text(path))
        return;
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        const char *point = points[i];
        const char *script =
            import_format(openvz->import, "%.*s.%s", (int)(length - 5), path, point);
        const struct import_parameter parameter = {.file = path, .name = point, .value = script};

        if (openvz->disk->is_there(openvz->disk->context, script))
            import_map(openvz->import, &parameter, OPTION_HOOK,
                       import_format(openvz->import, "%s=%s", point, script),
                       "DROVER_NAME, DROVER_ROOT are in its environment, not VEID");
    }
}

int import_openvz(struct import *import, const struct import_source *source,
                  const struct import_disk *disk, struct fault *fault)
{
    AUTO_FREE struct openvz *openvz = calloc(1, sizeof(*openvz));

    if (openvz == NULL) {
        fault_set(fault, STATUS_FAILED, ENOMEM, "no memory for the parameters");
        return -ENOMEM;
    }
    *import = (struct import){.texts = {.cap_bytes = IMPORT_ARENA_BYTES}};
    *openvz = (struct openvz){.import = import, .source = source, .disk = disk};
    find_ctid(openvz);
    int result = read_text(openvz, source->global, source->global_path, fault);
    if (result == 0)
        result = read_text(openvz, source->text, source->path, fault);
    if (result == 0)
        result = find_name(openvz, fault);
    if (result == 0)
        result = find_root(openvz, fault);
    if (result < 0)
        return result;

    if (source->template_name != NULL)
        import->given[import->given_count++] =
            (struct option_given){OPTION_TEMPLATE, source->template_name};
    map_ctid(openvz);
    for (size_t i = 0; i < openvz->count; i++)
        map_value(openvz, &openvz->values[i]);
    map_scripts(openvz);
    return 0;
}
