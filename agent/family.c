/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

#define BINARY_BYTES_MAX (4 << 20) /* LIMIT: of a larger one the beginning counts */
#define VERSION_BYTES_MAX 64       /* "systemd 252.39-1~deb12u2" */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_there(const struct layers *layers, const char *path)
{
    struct layers_found found;
    return layers_find(layers, path, &found) == 0;
}

/* A busybox that was hard-linked to its applets has no other name to be known by. */
static bool is_busybox(const struct layers *layers, const struct layers_found *init)
{
    struct layers_found found;
    return layers_find(layers, "/bin/busybox", &found) == 0 &&
           found.stat.st_ino == init->stat.st_ino && found.stat.st_dev == init->stat.st_dev;
}

static enum family family_of(const struct layers *layers, const char *candidate,
                             const struct layers_found *init)
{
    const char *base = base_name(init->path);

    if (strcmp(base, "systemd") == 0)
        return FAMILY_SYSTEMD;
    if (strcmp(base, "openrc-init") == 0)
        return FAMILY_OPENRC;
    if (strcmp(base, "runit-init") == 0 || strcmp(base, "runit") == 0)
        return FAMILY_RUNIT;
    if (strncmp(base, "busybox", 7) == 0 || is_busybox(layers, init)) /* /bin/sh may be it, too */
        return strcmp(base_name(candidate), "init") == 0 ? FAMILY_BUSYBOX : FAMILY_UNKNOWN;
    /* What is left of the known ones is sysvinit, a file of its own name that reads inittab; OpenRC
     * on top of it needs its own word in `container`. */
    if (strcmp(base, "init") == 0 && is_there(layers, "/etc/inittab"))
        return is_there(layers, "/sbin/openrc") ? FAMILY_OPENRC : FAMILY_SYSVINIT;
    return FAMILY_UNKNOWN;
}

/* openrc-init takes its first argument for a runlevel; a shell, tini or an application that was
 * named with --init would not know -z. A file named init is taken to be one. */
static bool takes_arguments(enum family family, const char *resolved)
{
    if (family == FAMILY_UNKNOWN || family == FAMILY_OPENRC)
        return strcmp(base_name(resolved), "init") == 0;
    return true;
}

/* The text `systemd 252.39-1 running in` is in it since it has a version; libraries that carry the
 * number in their names there are only since 231. */
static uint32_t version_in(const char *text, size_t size_bytes)
{
    static const char before[] = "systemd ";
    static const char behind[] = " running in ";
    const char *end = text + size_bytes;

    for (const char *at = text; at < end; at++) {
        at = memmem(at, (size_t)(end - at), behind, sizeof(behind) - 1);
        if (at == NULL)
            return 0;
        const char *begin = at - text > VERSION_BYTES_MAX ? at - VERSION_BYTES_MAX : text;
        const char *word = memmem(begin, (size_t)(at - begin), before, sizeof(before) - 1);
        if (word != NULL)
            return (uint32_t)strtoul(word + sizeof(before) - 1, NULL, 10); /* ends before `at` */
    }
    return 0;
}

static uint32_t systemd_version(const struct layers *layers, const struct layers_found *init)
{
    const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    struct stat stat;
    AUTO_FD fd =
        layers->upper < 0 ? -1 : sys_openat2(layers->upper, init->path + 1, flags, 0, resolve);

    if (fd < 0)
        fd = sys_openat2(layers->lower, init->path + 1, flags, 0, resolve);
    if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
        return 0;
    size_t size_bytes = stat.st_size < BINARY_BYTES_MAX ? (size_t)stat.st_size : BINARY_BYTES_MAX;
    char *text = malloc(size_bytes + 1);
    ssize_t bytes = text == NULL ? -1 : pread(fd, text, size_bytes, 0);
    uint32_t version = bytes <= 0 ? 0 : version_in(text, (size_t)bytes);
    free(text);
    return version;
}

int init_find(const struct layers *layers, char candidates[][64], size_t count, enum family said,
              struct init *ret_init)
{
    struct init init = {.family = said};
    for (size_t i = 0; i < count; i++) {
        struct layers_found found;
        int rc = layers_find(layers, candidates[i], &found);
        if (rc == 0 && !S_ISREG(found.stat.st_mode))
            rc = S_ISDIR(found.stat.st_mode) ? -EISDIR : -ENXIO;
        init.errors[i] = -rc;
        /* A file without any x bit will be passed over by exec: the next one decides. */
        if (rc == 0 && (found.stat.st_mode & 0111) != 0) {
            init.family = said != FAMILY_UNKNOWN ? said : family_of(layers, candidates[i], &found);
            if (init.family == FAMILY_SYSTEMD)
                init.systemd_version = systemd_version(layers, &found);
            init.takes_arguments = takes_arguments(init.family, found.path);
            break;
        }
    }

    *ret_init = init;
    for (size_t i = 0; i < count; i++)
        if (init.errors[i] == 0)
            return 0;
    return -ENOENT;
}
