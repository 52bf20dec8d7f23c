/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "scratch.h"
#include "sys.h"

#define PATIENCE_MS 20000

static void copy_file(int root, const char *source, const char *target)
{
    char bytes[65536];
    AUTO_FD from = open(source, O_RDONLY | O_CLOEXEC);
    AUTO_FD to = openat(root, target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
    assert_true(from >= 0 && to >= 0);
    ssize_t size;
    while ((size = read(from, bytes, sizeof(bytes))) > 0)
        assert_int_equal(write(to, bytes, (size_t)size), size);
    assert_int_equal(size, 0);
}

static void make_root(struct guest *guest)
{
    static const char *const directories[] = {"root", "root/bin",   "root/etc", "root/tmp",
                                              "over", "over/upper", "over/work"};
    static const char *const applets[] = {"sh", "cat", "ls", "stat", "readlink", "id", "tty"};
    assert_non_null(scratch_make(guest->dir, sizeof(guest->dir), "stage-test"));
    AUTO_FD dir = open(guest->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        assert_int_equal(mkdirat(dir, directories[i], 0755), 0);
    guest->root = openat(dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(guest->root >= 0);
    copy_file(guest->root, "/bin/busybox", "bin/busybox");
    for (size_t i = 0; i < COUNT_OF(applets); i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "bin/%s", applets[i]);
        assert_int_equal(symlinkat("busybox", guest->root, path), 0);
    }
}

void guest_init(struct guest *guest)
{
    memset(guest, 0, sizeof(*guest));
    guest->header = (struct kp_header){.magic = KP_MAGIC,
                                       .version = KP_VERSION,
                                       .flags = KP_GO_AT_ONCE | KP_NEWNET,
                                       .caps_keep = KP_CAPS_ALL};
    guest->pidfd = guest->master = guest->slave = guest->report = guest->go = guest->pty = -1;
    make_root(guest);
}

static void remove_tree(int dir, const char *name)
{
    char command[128];
    (void)dir;
    /* One file system: should a mount ever leak to here, the host's files stay. */
    (void)snprintf(command, sizeof(command), "rm -rf --one-file-system %s", name);
    (void)system(command);
}

void guest_close(struct guest *guest)
{
    int *const held[] = {&guest->root,   &guest->pidfd, &guest->master, &guest->slave,
                         &guest->report, &guest->go,    &guest->pty};
    for (size_t i = 0; i < COUNT_OF(held); i++)
        fd_closep(held[i]);
    for (size_t i = 0; i < guest->staged_count; i++)
        fd_closep(&guest->staged[i]);
    for (size_t i = 0; i < guest->fd_count; i++)
        fd_closep(&guest->fds[i]);
    remove_tree(AT_FDCWD, guest->dir);
}

/* Positions in `text`, plus one, until guest_pack(). */
uint32_t guest_text(struct guest *guest, const char *text)
{
    size_t size = strlen(text) + 1;
    assert_true(guest->text_bytes + size <= sizeof(guest->text));
    memcpy(guest->text + guest->text_bytes, text, size);
    uint32_t position = guest->text_bytes + 1;
    guest->text_bytes += (uint32_t)size;
    return position;
}

void guest_candidate(struct guest *guest, const char *path)
{
    guest->candidates[guest->header.candidate_count++] = guest_text(guest, path);
}

void guest_arg(struct guest *guest, const char *text)
{
    guest->argv[guest->header.argv_count++] = guest_text(guest, text);
}

static struct kp_mount *add_mount(struct guest *guest, enum kp_kind kind, const char *target)
{
    struct kp_mount *mount = &guest->mounts[guest->header.mount_count++];
    *mount = (struct kp_mount){
        .kind = (uint32_t)kind, .target = guest_text(guest, target), .fd_index = -1};
    return mount;
}

void guest_mount(struct guest *guest, enum kp_kind kind, const char *target, const char *options,
                 uint64_t flags)
{
    struct kp_mount *mount = add_mount(guest, kind, target);
    mount->flags = flags;
    mount->options = options == NULL ? 0 : guest_text(guest, options);
}

int guest_fd(struct guest *guest, int fd_consumed, unsigned role)
{
    assert_true(fd_consumed >= 0);
    guest->fds[guest->fd_count] = fd_consumed;
    guest->roles[guest->fd_count] = (uint8_t)role;
    return (int)guest->fd_count++;
}

static int clone_path(const char *path)
{
    int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    assert_true(tree >= 0);
    return tree;
}

static unsigned mapped(const struct guest *guest)
{
    return guest->has_userns ? KW_FD_IDMAP : 0;
}

void guest_attach(struct guest *guest, const char *source, const char *target, bool is_file)
{
    int index = guest_fd(guest, clone_path(source), KW_FD_MOUNT);
    struct kp_mount *mount = add_mount(guest, KP_ATTACH, target);
    mount->fd_index = index;
    mount->is_file = is_file;
}

static int clone_below(const struct guest *guest, const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/%s", guest->dir, name);
    return clone_path(path);
}

void guest_use_directory(struct guest *guest)
{
    (void)guest_fd(guest, clone_below(guest, "root"), KW_FD_ROOT | mapped(guest));
}

void guest_use_overlay(struct guest *guest)
{
    (void)guest_fd(guest, clone_below(guest, "root"), KW_FD_LOWER | mapped(guest));
    (void)guest_fd(guest, clone_below(guest, "over"), KW_FD_UPPER | mapped(guest));
}

void guest_usual_mounts(struct guest *guest)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    const uint64_t strict = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    guest_mount(guest, KP_PROC, "proc", NULL, strict);
    guest_mount(guest, KP_SYSFS, "sys", NULL, strict | MS_RDONLY);
    guest_mount(guest, KP_TMPFS, "dev", "mode=755", MS_NOSUID);
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        char source[32];
        (void)snprintf(source, sizeof(source), "/dev/%s", nodes[i]);
        guest_attach(guest, source, source, true);
    }
    guest_mount(guest, KP_DEVPTS, "dev/pts", NULL, MS_NOSUID | MS_NOEXEC);
    guest_mount(guest, KP_SYMLINK, "dev/ptmx", "pts/ptmx", 0);
    guest_mount(guest, KP_CONSOLE, "dev/console", NULL, 0);
}

void guest_script(struct guest *guest, const char *script)
{
    guest_candidate(guest, "/bin/sh");
    guest_arg(guest, "init");
    guest_arg(guest, "-c");
    guest_arg(guest, script);
}

static uint32_t place(struct guest *guest, uint32_t *used_bytes, const void *table, size_t size)
{
    uint32_t offset = *used_bytes;
    assert_true(offset + size <= sizeof(guest->block));
    memcpy(guest->block + offset, table, size);
    *used_bytes += (uint32_t)size;
    return offset;
}

static uint32_t place_list(struct guest *guest, uint32_t *used_bytes, const uint32_t *list,
                           uint32_t count, uint32_t text)
{
    uint32_t offset = *used_bytes;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t item = list[i] - 1 + text;
        (void)place(guest, used_bytes, &item, sizeof(item));
    }
    return offset;
}

const struct kp_header *guest_pack(struct guest *guest)
{
    struct kp_header header = guest->header;
    uint32_t used_bytes = 0;
    (void)place(guest, &used_bytes, &header, sizeof(header));
    uint32_t text = place(guest, &used_bytes, guest->text, guest->text_bytes);
    used_bytes = (used_bytes + 7) / 8 * 8;

    header.mounts = used_bytes;
    for (uint32_t i = 0; i < header.mount_count; i++) {
        struct kp_mount mount = guest->mounts[i];
        mount.target = mount.target - 1 + text;
        mount.options = mount.options == 0 ? 0 : mount.options - 1 + text;
        (void)place(guest, &used_bytes, &mount, sizeof(mount));
    }
    if (header.seccomp_count > 0)
        header.seccomp = place(guest, &used_bytes, guest->filter,
                               header.seccomp_count * sizeof(struct sock_filter));
    header.candidates =
        place_list(guest, &used_bytes, guest->candidates, header.candidate_count, text);
    header.argv = place_list(guest, &used_bytes, guest->argv, header.argv_count, text);
    header.env = place_list(guest, &used_bytes, guest->env, header.env_count, text);
    header.groups = place(guest, &used_bytes, guest->groups, header.group_count * sizeof(uint32_t));
    header.hostname = header.hostname == 0 ? 0 : header.hostname - 1 + text;
    header.cwd = header.cwd == 0 ? 0 : header.cwd - 1 + text;
    if (guest->has_userns) {
        header.flags |= KP_USERNS;
        header.uid_base = GUEST_UID_BASE;
        header.uid_count = GUEST_UID_COUNT;
    }
    header.size_bytes = used_bytes;
    memcpy(guest->block, &header, sizeof(header));
    assert_int_equal(kp_check(guest->block, used_bytes), 0);
    return (const struct kp_header *)(const void *)guest->block;
}
