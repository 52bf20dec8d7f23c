/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "rootfs_mounts.h"
#include "units.h"

#define UNFINISHED ".import-"
#define READ_BYTES (256 * 1024)
#define EXTRACT_FLAGS                                                                              \
    (ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_ACL |   \
     ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |   \
     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

struct import {
    struct archive *tar;
    struct archive *disk;
    struct fault *fault;
    uint64_t members;
};

static int fail(struct import *import, int error, const char *name, const char *why)
{
    enum status status = STATUS_FAILED;
    if (error == ENOSPC || error == EDQUOT)
        status = STATUS_NO_CAPACITY;
    else if (error == EINVAL)
        status = STATUS_INVALID;
    fault_set(import->fault, status, error, "%s: %s", name, why);
    return -error;
}

/* libarchive's own errnos (ARCHIVE_ERRNO_MISC is -1) must not escape. */
static int archive_error(struct archive *archive, int otherwise)
{
    int error = archive_errno(archive);
    return error > 0 && error < 4096 && error != EILSEQ ? error : otherwise;
}

static const char *archive_words(struct archive *archive)
{
    const char *words = archive_error_string(archive);
    return words == NULL ? "no reason given" : words;
}

static int fail_tar(struct import *import, const char *name)
{
    int error = archive_errno(import->tar);
    /* What read(2) answered stays; whatever libarchive thought of the octets is "not a tar". */
    bool is_read = error == EIO || error == EPIPE || error == ECONNRESET || error == ENOMEM;
    return fail(import, is_read ? error : EINVAL, name, archive_words(import->tar));
}

/* A path is refused for what it is, whatever the disk would have made of it. */
static bool is_inside(const char *path)
{
    if (path == NULL || path[0] == '\0' || path[0] == '/')
        return false;
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.')
            return false;
        path += length;
        path += strspn(path, "/");
    }
    return true;
}

static int copy_data(struct import *import, const char *name)
{
    const void *data;
    size_t size_bytes;
    la_int64_t offset;
    int rc;

    while ((rc = archive_read_data_block(import->tar, &data, &size_bytes, &offset)) == ARCHIVE_OK)
        if (archive_write_data_block(import->disk, data, size_bytes, offset) < ARCHIVE_OK)
            return fail(import, archive_error(import->disk, EIO), name,
                        archive_words(import->disk));
    return rc == ARCHIVE_EOF ? 0 : fail_tar(import, name);
}

static int extract_member(struct import *import, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    const char *link = archive_entry_hardlink(entry);

    if (!is_inside(name) || (link != NULL && !is_inside(link)))
        return fail(import, EINVAL, name == NULL ? "a member" : name,
                    "its path leads out of the template");
    if (archive_entry_filetype(entry) == AE_IFSOCK)
        return 0;
    import->members++;
    /* A warning here is an owner, time or attribute that could not be kept: a failure, too. */
    if (archive_write_header(import->disk, entry) != ARCHIVE_OK)
        return fail(import, archive_error(import->disk, EINVAL), name, archive_words(import->disk));
    if (archive_entry_size(entry) > 0) {
        int rc = copy_data(import, name);
        if (rc < 0)
            return rc;
    }
    if (archive_write_finish_entry(import->disk) != ARCHIVE_OK)
        return fail(import, archive_error(import->disk, EIO), name, archive_words(import->disk));
    return 0;
}

static int extract_all(struct import *import)
{
    struct archive_entry *entry;
    int rc;

    /* ARCHIVE_WARN: a name that is no UTF-8, kept as the octets it is. */
    while ((rc = archive_read_next_header(import->tar, &entry)) == ARCHIVE_OK ||
           rc == ARCHIVE_WARN) {
        rc = extract_member(import, entry);
        if (rc < 0)
            return rc;
    }
    if (rc != ARCHIVE_EOF)
        return fail_tar(import, "the archive");
    if (import->members == 0)
        return fail(import, EINVAL, "the archive", "it holds nothing");
    /* Directories get their modes and times now, when nothing is written into them any more. */
    if (archive_write_close(import->disk) != ARCHIVE_OK)
        return fail(import, archive_error(import->disk, EIO), "the template's directories",
                    archive_words(import->disk));
    return 0;
}

/* Compressions that are built into libarchive; for others it would start a program, and the agent
 * never forks. ARCHIVE_WARN says that this one would, too. */
static int open_tar(struct import *import, int tar_fd)
{
    static int (*const filters[])(struct archive *) = {
        archive_read_support_filter_gzip, archive_read_support_filter_bzip2,
        archive_read_support_filter_xz, archive_read_support_filter_zstd};

    import->tar = archive_read_new();
    import->disk = archive_write_disk_new();
    if (import->tar == NULL || import->disk == NULL)
        return fail(import, ENOMEM, "the archive", "out of memory");
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (filters[i](import->tar) == ARCHIVE_FATAL)
            return fail_tar(import, "the archive");
    if (archive_read_support_format_tar(import->tar) != ARCHIVE_OK ||
        archive_read_open_fd(import->tar, tar_fd, READ_BYTES) != ARCHIVE_OK)
        return fail_tar(import, "the archive");
    /* No lookup of names is set: owners go by number. */
    if (archive_write_disk_set_options(import->disk, EXTRACT_FLAGS) != ARCHIVE_OK)
        return fail(import, EINVAL, "the archive", archive_words(import->disk));
    return 0;
}

/* libarchive writes below the working directory: this thread's own, put back at the end. */
static int extract_into(int tree, int tar_fd, struct fault *fault)
{
    struct import import = {.fault = fault};

    if (unshare(CLONE_FS) < 0)
        return fail(&import, errno, "a working directory", strerrordesc_np(errno));
    AUTO_FD before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (before < 0 || fchdir(tree) < 0)
        return fail(&import, errno, "a working directory", strerrordesc_np(errno));

    mode_t mask = umask(0);
    /* pax names are UTF-8, and libarchive converts them to the thread's locale. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t locale = utf8 == (locale_t)0 ? (locale_t)0 : uselocale(utf8);
    int rc = open_tar(&import, tar_fd);
    if (rc == 0)
        rc = extract_all(&import);
    (void)archive_read_free(import.tar);
    (void)archive_write_free(import.disk); /* after a failure: the tree is removed */
    if (utf8 != (locale_t)0) {
        (void)uselocale(locale);
        freelocale(utf8);
    }
    (void)umask(mask);
    if (fchdir(before) < 0 && rc == 0)
        rc = fail(&import, errno, "a working directory", strerrordesc_np(errno));
    return rc;
}

/* Everything is on the disk before the name is. */
static int publish(int templates_dir, int tree, const char *unfinished, const char *name,
                   struct fault *fault)
{
    struct import import = {.fault = fault};

    if (syncfs(tree) < 0)
        return fail(&import, errno, name, strerrordesc_np(errno));
    if (renameat2(templates_dir, unfinished, templates_dir, name, RENAME_NOREPLACE) < 0) {
        int error = errno;
        (void)fail(&import, error, name, strerrordesc_np(error));
        if (error == EEXIST)
            fault_set(fault, STATUS_EXISTS, EEXIST, "template %s exists", name);
        return -error;
    }
    return fsync(templates_dir) < 0 ? fail(&import, errno, name, strerrordesc_np(errno)) : 0;
}

int template_import(int templates_dir, const char *name, int tar_fd, const atomic_bool *is_cut,
                    struct fault *fault)
{
    char unfinished[sizeof(UNFINISHED) + NAME_LENGTH_MAX + 1 + 16];
    struct import import = {.fault = fault};
    uint64_t number;

    if (!name_check(name))
        return fail(&import, EINVAL, name, "not a template's name");
    if (faccessat(templates_dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        fault_set(fault, STATUS_EXISTS, EEXIST, "template %s exists", name);
        return -EEXIST;
    }
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return fail(&import, EIO, name, "no random number");
    (void)snprintf(unfinished, sizeof(unfinished), UNFINISHED "%s-%016llx", name,
                   (unsigned long long)number);
    if (mkdirat(templates_dir, unfinished, 0755) < 0)
        return fail(&import, errno, name, strerrordesc_np(errno));

    AUTO_FD tree =
        openat(templates_dir, unfinished, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = tree < 0 ? fail(&import, errno, name, strerrordesc_np(errno)) : 0;
    if (rc == 0 && fchmod(tree, 0755) < 0)
        rc = fail(&import, errno, name, strerrordesc_np(errno));
    boundary(import_begun);
    if (rc == 0)
        rc = extract_into(tree, tar_fd, fault);
    if (rc == 0 && is_cut != NULL && atomic_load(is_cut))
        rc = fail(&import, ECANCELED, name, "the rest of it did not come");
    boundary(import_unpacked);
    if (rc == 0)
        rc = publish(templates_dir, tree, unfinished, name, fault);
    boundary(import_published);
    if (rc < 0)
        (void)tree_remove(templates_dir, unfinished); /* what is left, the next sweep takes */
    return rc;
}

int template_sweep(int templates_dir)
{
    AUTO_FD fd = openat(templates_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        return -errno;
    (void)take_fd(&fd);

    int rc = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, UNFINISHED, strlen(UNFINISHED)) != 0)
            continue;
        int removed = tree_remove(templates_dir, entry->d_name);
        if (removed < 0)
            rc = removed;
    }
    (void)closedir(dir);
    return rc;
}
