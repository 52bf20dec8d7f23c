/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below the new root, all of which the guest may have laid out: every lookup is the kernel's,
 * confined to the root; nothing is opened but O_PATH, which neither blocks nor wakes a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"
#include "sys.h"

#define LINKS_MAX 40    /* as the kernel's MAXSYMLINKS */
#define TRIES_MAX 10000 /* each fails only if a mount or a rename came between */

struct walk {
    char path[PATH_MAX];
    unsigned links; /* dangling ones that were replaced by what they say */
};

int path_open(int root, const char *path)
{
    int fd = -EAGAIN;
    /* A confined ".." is refused while anything anywhere is being mounted or renamed. */
    for (unsigned n = 0; fd == -EAGAIN && n < TRIES_MAX; n++)
        fd = sys_openat2(root, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    return fd;
}

static int make_one(int parent, const char *name, enum path_make kind)
{
    int rc =
        kind == PATH_FILE ? mknodat(parent, name, S_IFREG | 0644, 0) : mkdirat(parent, name, 0755);
    return rc < 0 ? -errno : 0;
}

/* The component [begin, end) is a symlink to something missing: put its text in its place. */
static int replace_link(struct walk *walk, int parent, size_t begin, size_t end)
{
    char name[NAME_MAX + 1];
    char target[PATH_MAX];
    char rest[PATH_MAX];

    if (end - begin > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, walk->path + begin, end - begin);
    name[end - begin] = '\0';
    ssize_t length = readlinkat(parent, name, target, sizeof(target));
    if (length < 0)
        return errno == EINVAL ? -EEXIST : -errno;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;

    size_t keep = target[0] == '/' ? 0 : begin;
    size_t rest_bytes = strlen(walk->path + end) + 1;
    if (keep + (size_t)length + rest_bytes > sizeof(walk->path))
        return -ENAMETOOLONG;
    memcpy(rest, walk->path + end, rest_bytes);
    memcpy(walk->path + keep, target, (size_t)length);
    memcpy(walk->path + keep + length, rest, rest_bytes);
    return 0;
}

/* What the path's part before `end` leads to. */
static int open_prefix(int root, struct walk *walk, size_t end)
{
    char saved = walk->path[end];
    walk->path[end] = '\0';
    int fd = path_open(root, walk->path);
    walk->path[end] = saved;
    return fd;
}

static int make_prefix(struct walk *walk, int parent, size_t begin, size_t end, enum path_make kind)
{
    char saved = walk->path[end];
    walk->path[end] = '\0';
    int rc = make_one(parent, walk->path + begin, kind);
    walk->path[end] = saved;
    return rc;
}

/* Make what is missing, up to the end of the path or to a dangling link, which is replaced. Returns
 * the end's descriptor or, to begin again, -EAGAIN. */
static int make_missing(int root, struct walk *walk, enum path_make kind)
{
    AUTO_FD parent = path_open(root, "/");
    size_t end = 0;

    while (parent >= 0) {
        size_t begin = end + strspn(walk->path + end, "/");
        if (walk->path[begin] == '\0')
            return take_fd(&parent);
        end = begin + strcspn(walk->path + begin, "/");
        bool is_last = walk->path[end + strspn(walk->path + end, "/")] == '\0';

        int child = open_prefix(root, walk, end);
        if (child == -ENOENT) {
            int rc = make_prefix(walk, parent, begin, end, is_last ? kind : PATH_DIRECTORY);
            if (rc == -EEXIST) {
                rc = replace_link(walk, parent, begin, end);
                return rc < 0 ? rc : -EAGAIN;
            }
            child = rc < 0 ? rc : open_prefix(root, walk, end);
        }
        fd_closep(&parent);
        parent = child;
    }
    return parent;
}

int path_make(int root, const char *path, enum path_make kind)
{
    struct walk walk = {.links = 0};
    int fd = path_open(root, path);
    if (fd != -ENOENT)
        return fd;
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(walk.path))
        return length == 0 ? -EINVAL : -ENAMETOOLONG;

    memcpy(walk.path, path, length + 1);
    do
        fd = make_missing(root, &walk, kind);
    while (fd == -EAGAIN);
    return fd;
}

int path_make_parent(int root, const char *path, char name[NAME_MAX + 1])
{
    char parent[PATH_MAX];
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (end - begin > NAME_MAX || begin >= sizeof(parent))
        return -ENAMETOOLONG;

    memcpy(name, path + begin, end - begin);
    name[end - begin] = '\0';
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    memcpy(parent, path, begin);
    parent[begin] = '\0';
    return path_make(root, begin == 0 ? "/" : parent, PATH_DIRECTORY);
}
