/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that gets another's files, a host path, or a boot that begins and cannot go on.
 * Real directories and real detached mounts below a scratch directory; plans are checked by the
 * keeper's own kp_check() and what they carry is looked into. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "rootfs.h"
#include "rootfs_mounts.h"
#include "scratch.h"

#define UID_BASE 1879048192u

struct scene {
    char dir[64];   /* scratch */
    char state[96]; /* STATE in it */
    int top;        /* scratch, held */
    int template;   /* STATE/templates/os */
    struct rootfs rootfs;
    struct config config;
    struct launch_request request;
    struct launch launch;
    struct fault fault;
};

static const uint8_t uuid[UUID_BYTES] = {0xde, 0xad, 0xbe, 0xef, 1, 2,  3,  4,
                                         5,    6,    7,    8,    9, 10, 11, 12};
#define UUID_TEXT "deadbeef-0102-0304-0506-0708090a0b0c"

static void put_file(int dir, const char *path, mode_t mode)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void put_dirs(int dir, const char *const *paths)
{
    for (; *paths != NULL; paths++)
        assert_int_equal(mkdirat(dir, *paths, 0755), 0);
}

static int set_up(void **state)
{
    static const char *const dirs[] = {"bin", "etc", "sbin", "usr", "usr/lib", NULL};
    struct scene *scene = calloc(1, sizeof(*scene));

    assert_non_null(scratch_make(scene->dir, sizeof(scene->dir), "drover-rootfs"));
    scene->top = open(scene->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(scene->state, sizeof(scene->state), "%s/state", scene->dir);
    assert_int_equal(rootfs_open(&scene->rootfs, scene->state, &scene->fault), 0);
    assert_int_equal(mkdirat(scene->rootfs.templates, "os", 0755), 0);
    scene->template = openat(scene->rootfs.templates, "os", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put_dirs(scene->template, dirs);
    put_file(scene->template, "sbin/init", 0755);
    assert_int_equal(rootfs_make(&scene->rootfs, uuid, &scene->fault), 0);
    scene->config = (struct config){.template_name = "os", .root = "", .init = ""};
    scene->request = (struct launch_request){.config = &scene->config,
                                             .name = "web",
                                             .uuid = uuid,
                                             .generation = 1,
                                             .uid_base = UID_BASE,
                                             .uid_count = 65536,
                                             .node = "n1"};
    scene->launch.ring = -1;
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    launch_close(&scene->launch);
    close(scene->template);
    rootfs_close(&scene->rootfs);
    close(scene->top);
    assert_int_equal(tree_remove(AT_FDCWD, scene->dir), 0);
    free(scene);
    return 0;
}

static int plan_it(struct scene *scene)
{
    launch_close(&scene->launch);
    scene->fault = (struct fault){0};
    return rootfs_plan(&scene->rootfs, &scene->request, &scene->launch, &scene->fault);
}

/* A template is not there for the asking: its init is exchanged between two plans. */
static void replace_init(struct scene *scene, const char *target)
{
    assert_int_equal(unlinkat(scene->template, "sbin/init", 0), 0);
    if (target != NULL)
        assert_int_equal(symlinkat(target, scene->template, "sbin/init"), 0);
}

static int find_fd(const struct scene *scene, unsigned role)
{
    for (size_t i = 0; i < scene->launch.fd_count; i++)
        if ((scene->launch.roles[i] & ~KW_FD_IDMAP) == role)
            return (int)i;
    return -1;
}

static const struct kp_header *read_plan(const struct scene *scene)
{
    static _Alignas(8) char block[KP_BYTES_MAX];
    ssize_t n = pread(scene->launch.fds[find_fd(scene, KW_FD_PLAN)], block, sizeof(block), 0);
    assert_true(n > 0);
    assert_int_equal(kp_check(block, (size_t)n), 0);
    return (const struct kp_header *)(const void *)block;
}

static const char *item(const struct kp_header *plan, uint32_t table, uint32_t index)
{
    return kp_string(plan, ((const uint32_t *)(const void *)((const char *)plan + table))[index]);
}

static bool has_env(const struct kp_header *plan, const char *text)
{
    for (uint32_t i = 0; i < plan->env_count; i++)
        if (strcmp(item(plan, plan->env, i), text) == 0)
            return true;
    return false;
}

static const struct kp_mount *find_mount(const struct kp_header *plan, const char *target)
{
    const struct kp_mount *mounts =
        (const struct kp_mount *)(const void *)((const char *)plan + plan->mounts);
    for (uint32_t i = 0; i < plan->mount_count; i++)
        if (strcmp(kp_string(plan, mounts[i].target), target) == 0)
            return &mounts[i];
    return NULL;
}

static int mount_fd(const struct scene *scene, const struct kp_header *plan, const char *target)
{
    const struct kp_mount *mount = find_mount(plan, target);
    assert_non_null(mount);
    assert_int_equal(mount->kind, KP_ATTACH);
    return scene->launch.fds[mount->fd_index];
}

static void test_open__state_that_others_can_enter__is_refused(void **state)
{
    struct scene *scene = *state;
    struct rootfs rootfs;
    struct stat stat;

    assert_int_equal(fstatat(scene->top, "state", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);

    assert_int_equal(chmod(scene->state, 0750), 0);
    assert_int_equal(rootfs_open(&rootfs, scene->state, &scene->fault), -EPERM);
    assert_int_equal(scene->fault.status, STATUS_NOT_PERMITTED);
    assert_int_equal(chmod(scene->state, 0700), 0);
    assert_int_equal(chown(scene->state, 1, 0), 0);
    assert_int_equal(rootfs_open(&rootfs, scene->state, &scene->fault), -EPERM);
    assert_int_equal(chown(scene->state, 0, 0), 0);
}

static void test_plan__default_container__carries_layers_and_a_checked_plan(void **state)
{
    struct scene *scene = *state;
    struct stat stat;
    struct kw_ring ring;

    assert_int_equal(plan_it(scene), 0);

    const struct kp_header *plan = read_plan(scene);
    assert_int_equal(plan->flags, KP_USERNS | KP_NEWNET | KP_PTY);
    assert_int_equal(plan->uid_base, UID_BASE);
    assert_string_equal(kp_string(plan, plan->hostname), "web");
    assert_int_equal(plan->candidate_count, 3);
    assert_string_equal(item(plan, plan->candidates, 1), "/etc/init");
    assert_string_equal(scene->launch.candidates[2], "/bin/init");
    assert_int_equal(scene->launch.roles[0], KW_FD_PLAN);
    assert_int_equal(scene->launch.roles[1], KW_FD_LOWER | KW_FD_IDMAP);
    assert_int_equal(scene->launch.roles[2], KW_FD_UPPER | KW_FD_IDMAP);
    assert_int_equal(fstatat(scene->launch.fds[1], "sbin/init", &stat, 0), 0);
    assert_int_equal(fstatat(scene->launch.fds[2], "work", &stat, 0), 0);
    assert_int_equal(find_fd(scene, KW_FD_NOTIFY), -1);
    assert_int_equal(scene->launch.ready, READY_EXEC);

    assert_int_equal(pread(scene->launch.ring, &ring, sizeof(ring), 0), sizeof(ring));
    assert_int_equal(ring.magic, KW_MAGIC);
    assert_int_equal(ring.size_bytes, KW_RING_DEFAULT_BYTES);
    assert_int_equal(fstat(scene->launch.ring, &stat), 0);
    assert_int_equal(stat.st_size, KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES);
}

static void test_plan__environment__is_exactly_the_contract(void **state)
{
    struct scene *scene = *state;
    const struct pair env[] = {{"TERM", "vt220"}, {"A", "b=c"}};

    assert_int_equal(plan_it(scene), 0);
    const struct kp_header *plan = read_plan(scene);
    assert_int_equal(plan->env_count, 4);
    assert_string_equal(item(plan, plan->env, 0), "HOME=/");
    assert_string_equal(item(plan, plan->env, 1), "TERM=linux");
    assert_string_equal(item(plan, plan->env, 2), "container=drover");
    assert_string_equal(item(plan, plan->env, 3), "container_uuid=" UUID_TEXT);

    scene->config.env = env;
    scene->config.env_count = 2;
    scene->config.ready = READY_NOTIFY;
    assert_int_equal(plan_it(scene), 0);
    plan = read_plan(scene);
    assert_int_equal(plan->env_count, 6);
    assert_true(has_env(plan, "TERM=vt220"));
    assert_true(has_env(plan, "A=b=c"));
    assert_true(has_env(plan, "NOTIFY_SOCKET=/run/host/notify/notify"));
}

static void test_plan__dev__has_working_nodes_of_the_guests_root(void **state)
{
    struct scene *scene = *state;
    struct stat stat;
    char text[64] = "";
    char byte = 1;
    mode_t mask = umask(077);

    assert_int_equal(plan_it(scene), 0);
    umask(mask);
    int dev = mount_fd(scene, read_plan(scene), "dev");

    assert_int_equal(fstatat(dev, "null", &stat, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(stat.st_mode, S_IFCHR | 0666);
    assert_int_equal(stat.st_rdev, makedev(1, 3));
    assert_int_equal(stat.st_uid, UID_BASE);
    assert_int_equal(stat.st_gid, UID_BASE);
    assert_int_equal(fstatat(dev, "", &stat, AT_EMPTY_PATH), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0755);
    assert_int_equal(stat.st_uid, UID_BASE);
    assert_true(readlinkat(dev, "ptmx", text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "pts/ptmx");
    AUTO_FD zero = openat(dev, "zero", O_RDONLY);
    assert_int_equal(read(zero, &byte, 1), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(fstatat(dev, "console", &stat, 0), 0);
    assert_true(S_ISREG(stat.st_mode));
}

static void test_plan__notify__is_heard_and_has_no_host_path(void **state)
{
    struct scene *scene = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat stat;
    char text[32] = "";

    scene->config.ready = READY_NOTIFY;
    assert_int_equal(plan_it(scene), 0);
    const struct kp_header *plan = read_plan(scene);
    int host = mount_fd(scene, plan, "run/host");

    assert_true(find_mount(plan, "run/host")->flags == MOUNT_ATTR_RDONLY);
    assert_true(find_mount(plan, "run/host") > find_mount(plan, "run"));
    assert_int_equal(fstatat(host, "notify/notify", &stat, 0), 0);
    assert_int_equal(stat.st_mode, S_IFSOCK | 0666);
    assert_int_equal(stat.st_uid, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/notify/notify", host);
    AUTO_FD guest = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sendto(guest, "READY=1", 7, 0, (void *)&address, sizeof(address)), 7);
    int notify = scene->launch.fds[find_fd(scene, KW_FD_NOTIFY)];
    assert_int_equal(recv(notify, text, sizeof(text), MSG_DONTWAIT), 7);
    assert_string_equal(text, "READY=1");
}

static void test_plan__privileged__has_no_map_and_read_only_sysctls(void **state)
{
    struct scene *scene = *state;
    struct stat stat;

    scene->config.is_privileged = true;
    assert_int_equal(plan_it(scene), 0);
    const struct kp_header *plan = read_plan(scene);

    assert_int_equal(plan->flags & KP_USERNS, 0);
    assert_int_equal(scene->launch.roles[1], KW_FD_LOWER);
    assert_int_equal(scene->launch.roles[2], KW_FD_UPPER);
    assert_true(plan->caps_keep == KP_CAPS_ALL);
    assert_int_equal(find_mount(plan, "proc/sysrq-trigger")->kind, KP_READONLY);
    assert_int_equal(find_mount(plan, "proc/sys/kernel")->kind, KP_READONLY);
    assert_null(find_mount(plan, "proc/sys/net"));
    assert_int_equal(fstatat(mount_fd(scene, plan, "dev"), "null", &stat, 0), 0);
    assert_int_equal(stat.st_uid, 0);
}

static void test_plan__binds_and_tmpfs__are_carried_as_asked(void **state)
{
    struct scene *scene = *state;
    char file[128];
    struct bind binds[] = {{scene->dir, "/mnt/d", false, false}, {file, "//f", true, true}};
    const struct tmpfs tmpfs[] = {{"/scratch", 1 << 20}};

    snprintf(file, sizeof(file), "%s/file", scene->dir);
    put_file(scene->top, "file", 0644);
    scene->config.binds = binds;
    scene->config.bind_count = 2;
    scene->config.tmpfs = tmpfs;
    scene->config.tmpfs_count = 1;
    assert_int_equal(plan_it(scene), 0);
    const struct kp_header *plan = read_plan(scene);

    const struct kp_mount *dir = find_mount(plan, "mnt/d");
    assert_true(dir->flags == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    assert_int_equal(dir->is_file, 0);
    assert_int_equal(scene->launch.roles[dir->fd_index], KW_FD_MOUNT | KW_FD_IDMAP);
    const struct kp_mount *one = find_mount(plan, "f");
    assert_true((one->flags & MOUNT_ATTR_RDONLY) != 0);
    assert_int_equal(one->is_file, 1);
    assert_int_equal(scene->launch.roles[one->fd_index], KW_FD_MOUNT);
    const struct kp_mount *scratch = find_mount(plan, "scratch");
    assert_int_equal(scratch->kind, KP_TMPFS);
    assert_string_equal(kp_string(plan, scratch->options), "mode=1777,size=1048576");

    unlinkat(scene->top, "file", 0);
    assert_int_equal(plan_it(scene), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_BIND_SOURCE_MISSING);
    assert_non_null(strstr(scene->fault.text, file));
}

static void test_plan__bind_of_proc__is_refused_by_name(void **state)
{
    struct scene *scene = *state;
    const struct bind binds[] = {{"/proc", "/mnt", false, false}};

    scene->config.binds = binds;
    scene->config.bind_count = 1;
    assert_true(plan_it(scene) < 0);
    assert_int_equal(scene->fault.status, STATUS_IDMAP_UNSUPPORTED);
    assert_non_null(strstr(scene->fault.text, "/proc"));
}

static void test_plan__init_variants__name_their_family(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *target;
        const char *file; /* made in the template */
        enum family family;
        uint32_t argv_count;
    } rows[] = {
        {"/usr/lib/systemd/systemd", "usr/lib/systemd/systemd", FAMILY_SYSTEMD, 3},
        {"../usr/lib/systemd/systemd", NULL, FAMILY_SYSTEMD, 3},
        {"../../../usr/./lib//systemd/systemd", NULL, FAMILY_SYSTEMD, 3},
        {"/bin/busybox", "bin/busybox", FAMILY_BUSYBOX, 3},
        {"openrc-init", "sbin/openrc-init", FAMILY_OPENRC, 1},
        {"runit-init", "sbin/runit-init", FAMILY_RUNIT, 3},
        {"/bin/dash", "bin/dash", FAMILY_UNKNOWN, 1},
        {"/usr/init", "usr/init", FAMILY_UNKNOWN, 3},
        {"/usr/init", "etc/inittab", FAMILY_SYSVINIT, 3},
        {"/usr/init", "sbin/openrc", FAMILY_OPENRC, 3},
    };

    assert_int_equal(mkdirat(scene->template, "usr/lib/systemd", 0755), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].file != NULL)
            put_file(scene->template, rows[i].file, 0755);
        replace_init(scene, rows[i].target);
        assert_int_equal(plan_it(scene), 0);
        const struct kp_header *plan = read_plan(scene);

        assert_int_equal(scene->launch.family, rows[i].family);
        assert_int_equal(plan->argv_count, rows[i].argv_count);
        assert_int_equal(scene->launch.ready,
                         rows[i].family == FAMILY_SYSTEMD ? READY_NOTIFY : READY_EXEC);
        assert_int_equal(find_fd(scene, KW_FD_NOTIFY) >= 0, rows[i].family == FAMILY_SYSTEMD);
        if (rows[i].argv_count == 3) {
            assert_string_equal(item(plan, plan->argv, 1), "-z");
            assert_string_equal(item(plan, plan->argv, 2), "      ");
        }
        if (rows[i].family == FAMILY_OPENRC)
            assert_true(has_env(plan, "container=lxc"));
    }
}

static void test_plan__shell_named_as_init__gets_no_arguments(void **state)
{
    struct scene *scene = *state;

    put_file(scene->template, "bin/busybox", 0755);
    assert_int_equal(symlinkat("busybox", scene->template, "bin/sh"), 0);
    scene->config.init = "/bin/sh";
    assert_int_equal(plan_it(scene), 0);
    assert_int_equal(scene->launch.family, FAMILY_UNKNOWN);
    assert_int_equal(scene->launch.candidate_count, 1);
    assert_int_equal(read_plan(scene)->argv_count, 1);
}

static void test_plan__no_init_anywhere__is_a_bad_template_with_each_reason(void **state)
{
    struct scene *scene = *state;

    replace_init(scene, NULL);
    assert_int_equal(mkfifoat(scene->template, "sbin/init", 0755), 0);
    assert_int_equal(mkdirat(scene->template, "etc/init", 0755), 0);
    assert_int_equal(symlinkat("/nowhere", scene->template, "bin/init"), 0);

    assert_int_equal(plan_it(scene), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_BAD_TEMPLATE);
    assert_string_equal(scene->fault.text, "no init in os: /sbin/init not a file, "
                                           "/etc/init EISDIR, /bin/init ENOENT");
    assert_int_equal(scene->launch.fd_count, 0);

    unlinkat(scene->template, "bin/init", 0);
    assert_int_equal(symlinkat("init", scene->template, "bin/init"), 0);
    assert_int_equal(plan_it(scene), -ENOENT);
    assert_non_null(strstr(scene->fault.text, "/bin/init ELOOP"));
}

static void test_plan__init_that_is_not_executable__is_left_to_exec(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(fchmodat(scene->template, "sbin/init", 0644, 0), 0);
    assert_int_equal(plan_it(scene), 0);
    assert_int_equal(scene->launch.family, FAMILY_UNKNOWN);
}

static void test_plan__upper__hides_and_replaces_the_template(void **state)
{
    struct scene *scene = *state;
    char path[64];

    snprintf(path, sizeof(path), "%s/upper", UUID_TEXT);
    AUTO_FD upper = openat(scene->rootfs.containers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(upper, "sbin", 0755), 0);
    put_file(scene->template, "sbin/openrc-init", 0755);

    assert_int_equal(symlinkat("openrc-init", upper, "sbin/init"), 0); /* merged directory */
    assert_int_equal(plan_it(scene), 0);
    assert_int_equal(scene->launch.family, FAMILY_OPENRC);

    unlinkat(upper, "sbin/init", 0); /* a whiteout: the guest removed its init */
    assert_int_equal(mknodat(upper, "sbin/init", S_IFCHR, makedev(0, 0)), 0);
    assert_int_equal(plan_it(scene), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_BAD_TEMPLATE);

    unlinkat(upper, "sbin/init", 0); /* an opaque directory: nothing of the template's is in it */
    AUTO_FD sbin = openat(upper, "sbin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fsetxattr(sbin, "user.overlay.opaque", "y", 1, 0), 0);
    assert_int_equal(plan_it(scene), -ENOENT);
}

static void test_plan__links_out_of_the_tree__are_refused_or_stay_inside(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(symlinkat("/", scene->rootfs.templates, "out"), 0);
    scene->config.template_name = "out";
    assert_int_equal(plan_it(scene), -EXDEV);
    assert_int_equal(scene->fault.status, STATUS_INVALID);
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EXDEV);

    scene->config.template_name = "../containers";
    assert_int_equal(plan_it(scene), -EINVAL);
    scene->config.template_name = "none";
    assert_int_equal(plan_it(scene), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_NOT_FOUND);

    scene->config.template_name = "os"; /* the host has this file, the template has not */
    replace_init(scene, "/../../../../../../proc/self/exe");
    assert_int_equal(plan_it(scene), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_BAD_TEMPLATE);
}

static void test_plan__plain_root__is_one_mount(void **state)
{
    struct scene *scene = *state;
    char root[128];
    char link[128];

    snprintf(root, sizeof(root), "%s/templates/os", scene->state);
    snprintf(link, sizeof(link), "%s/link", scene->dir);
    assert_int_equal(symlink(root, link), 0);
    scene->config.template_name = "";
    scene->config.root = root;
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), 0);
    assert_int_equal(plan_it(scene), 0);
    assert_int_equal(scene->launch.roles[1], KW_FD_ROOT | KW_FD_IDMAP);
    assert_int_equal(find_fd(scene, KW_FD_UPPER), -1);

    scene->config.root = link;
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -ELOOP);
    assert_int_equal(plan_it(scene), -ELOOP);
    scene->config.root = "/";
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EINVAL);
    scene->config.root = "/sys/kernel"; /* sysfs cannot be idmapped */
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EOPNOTSUPP);
    assert_int_equal(scene->fault.status, STATUS_IDMAP_UNSUPPORTED);
    scene->config.is_privileged = true;
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), 0);
}

static void test_check__bad_words__are_refused(void **state)
{
    struct scene *scene = *state;
    static const char *const targets[] = {"", "relative", "/", "//", "/.", "/.."};

    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), 0);
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        const struct bind bind = {"/var", targets[i], false, false};
        scene->config.binds = &bind;
        scene->config.bind_count = 1;
        assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EINVAL);
        assert_int_equal(scene->fault.status, STATUS_INVALID);
    }
    scene->config.bind_count = 0;
    const struct pair env[] = {{"A=B", "c"}};
    scene->config.env = env;
    scene->config.env_count = 1;
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EINVAL);
    scene->config.env_count = 0;
    scene->config.init = "init";
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EINVAL);
    scene->config.init = "";
    scene->config.root = "/var";
    assert_int_equal(rootfs_check(&scene->rootfs, &scene->config, &scene->fault), -EINVAL);
}

static void test_plan__made_and_closed_many_times__leaks_nothing(void **state)
{
    struct scene *scene = *state;
    enum { ROUNDS = 300 };
    int before = dup(0);
    close(before);
    uint64_t start_ns = clock_monotonic_ns();
    uint64_t closing_ns = 0;

    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(
            rootfs_plan(&scene->rootfs, &scene->request, &scene->launch, &scene->fault), 0);
        uint64_t made_ns = clock_monotonic_ns();
        launch_close(&scene->launch);
        closing_ns += clock_monotonic_ns() - made_ns;
    }
    uint64_t total_ns = clock_monotonic_ns() - start_ns;
    int after = dup(0);
    close(after);

    assert_int_equal(after, before);
    print_message("rootfs_plan: %llu us each, launch_close: %llu us\n",
                  (unsigned long long)((total_ns - closing_ns) / ROUNDS / 1000),
                  (unsigned long long)(closing_ns / ROUNDS / 1000));
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_open__state_that_others_can_enter__is_refused),
        SCENE_TEST(test_plan__default_container__carries_layers_and_a_checked_plan),
        SCENE_TEST(test_plan__environment__is_exactly_the_contract),
        SCENE_TEST(test_plan__dev__has_working_nodes_of_the_guests_root),
        SCENE_TEST(test_plan__notify__is_heard_and_has_no_host_path),
        SCENE_TEST(test_plan__privileged__has_no_map_and_read_only_sysctls),
        SCENE_TEST(test_plan__binds_and_tmpfs__are_carried_as_asked),
        SCENE_TEST(test_plan__bind_of_proc__is_refused_by_name),
        SCENE_TEST(test_plan__init_variants__name_their_family),
        SCENE_TEST(test_plan__shell_named_as_init__gets_no_arguments),
        SCENE_TEST(test_plan__no_init_anywhere__is_a_bad_template_with_each_reason),
        SCENE_TEST(test_plan__init_that_is_not_executable__is_left_to_exec),
        SCENE_TEST(test_plan__upper__hides_and_replaces_the_template),
        SCENE_TEST(test_plan__links_out_of_the_tree__are_refused_or_stay_inside),
        SCENE_TEST(test_plan__plain_root__is_one_mount),
        SCENE_TEST(test_check__bad_words__are_refused),
        SCENE_TEST(test_plan__made_and_closed_many_times__leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
