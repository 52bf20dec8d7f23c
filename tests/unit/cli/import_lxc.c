/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a container that comes over from LXC with other limits or mounts than it had, or
 * without a word on what it lost. Files as lxc-create wrote them, of old and new, are mapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_lxc.h"

static struct import import;
static struct fault fault;

/* Files that are there. */
static const struct {
    const char *path;
    const char *text;
} files[] = {
    {"/usr/share/lxc/config/debian.common.conf",
     "lxc.include = /usr/share/lxc/config/common.conf\nlxc.cap.drop = sys_module mac_admin\n"},
    {"/usr/share/lxc/config/common.conf",
     "# Default configuration shared by all containers\nlxc.tty = 4\nlxc.pts = 1024\n"
     "lxc.cgroup.devices.deny = a\nlxc.mount.auto = cgroup:mixed proc:mixed sys:mixed\n"},
    {"/conf.d/1.conf", "lxc.environment = A=1\n"},
    {"/conf.d/2.conf", "lxc.environment = B=2\n"},
    {"/loop", "lxc.include = /loop\n"},
    {"/fstab", "# a comment\n\n/srv/with\\040space mnt none bind 0 0\nproc proc proc defaults\n"},
};

static int read_file(void *context, const char *path, struct arena *texts, struct octets *ret)
{
    (void)context;
    (void)texts;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcmp(files[i].path, path) == 0) {
            *ret = (struct octets){(const uint8_t *)files[i].text, strlen(files[i].text)};
            return 0;
        }
    return -ENOENT;
}

static int list_directory(void *context, const char *path, struct arena *texts,
                          const char *const **ret_names, size_t *ret_count)
{
    static const char *const names[] = {"1.conf", "2.conf"};

    (void)context;
    (void)texts;
    if (strcmp(path, "/conf.d") != 0)
        return -ENOTDIR;
    *ret_names = names;
    *ret_count = 2;
    return 0;
}

static const struct import_disk disk = {.read = read_file, .list = list_directory};

static int map_at(const char *path, const char *text)
{
    const struct import_source source = {.path = path,
                                         .text = {(const uint8_t *)text, strlen(text)}};

    import_close(&import);
    fault = (struct fault){0};
    return import_lxc(&import, &source, &disk, &fault);
}

static int map(const char *text)
{
    static char whole[131072];

    (void)snprintf(whole, sizeof(whole), "lxc.rootfs.path = /var/lib/lxc/web/rootfs\n%s", text);
    return map_at("/var/lib/lxc/web/config", whole);
}

static const char *given(enum option option, size_t index)
{
    for (size_t i = 0; i < import.given_count; i++)
        if (import.given[i].option == option && index-- == 0)
            return import.given[i].value;
    return NULL;
}

static const struct import_note *note_of(const char *parameter)
{
    for (size_t i = 0; i < import.note_count; i++)
        if (strcmp(import.notes[i].parameter, parameter) == 0)
            return &import.notes[i];
    return NULL;
}

static void assert_not_mapped(const char *parameter)
{
    const struct import_note *note = note_of(parameter);

    assert_non_null(note);
    assert_null(note->option);
    assert_non_null(note->why);
}

/* As lxc-create -t debian of LXC 1.0 wrote it. */
static void test_lxc__a_file_of_old_names__is_mapped_or_told(void **state)
{
    (void)state;
    assert_int_equal(map_at("/var/lib/lxc/web/config",
                            "# Template used to create this container: debian\n"
                            "lxc.network.type = veth\n"
                            "lxc.network.link = br0\n"
                            "lxc.rootfs = /var/lib/lxc/web/rootfs\n"
                            "lxc.include = /usr/share/lxc/config/debian.common.conf\n"
                            "lxc.mount = /fstab\n"
                            "lxc.utsname = web.example.org\n"
                            "lxc.arch = amd64\n"
                            "lxc.autodev = 1\n"
                            "lxc.kmsg = 0\n"
                            "lxc.start.auto = 1\n"
                            "lxc.cgroup.memory.limit_in_bytes = 512M\n"
                            "lxc.cgroup.memory.memsw.limit_in_bytes = 1G\n"
                            "lxc.cgroup.cpu.shares = 512\n"),
                     0);
    assert_string_equal(import.name, "web");
    assert_string_equal(given(OPTION_ROOT, 0), "/var/lib/lxc/web/rootfs");
    assert_string_equal(given(OPTION_MEMORY, 0), "512M");
    assert_string_equal(given(OPTION_SWAP, 0), "512M");
    assert_string_equal(given(OPTION_CPU_WEIGHT, 0), "50");
    assert_string_equal(given(OPTION_LABEL, 0), "hostname=web.example.org");
    assert_string_equal(given(OPTION_BIND, 0), "/srv/with space:/mnt");
    assert_string_equal(note_of("lxc.mount")->option, "its lines");
    assert_not_mapped("lxc.network.type");
    assert_not_mapped("lxc.pts"); /* of a file that a file includes */
    assert_string_equal(note_of("lxc.pts")->file, "/usr/share/lxc/config/common.conf");
    assert_not_mapped("lxc.cap.drop");
    assert_string_equal(given(OPTION_AUTOSTART, 0), "yes");
}

static void test_lxc__a_file_of_new_names__is_mapped_or_told(void **state)
{
    (void)state;
    assert_int_equal(map("lxc.uts.name = web\n"
                         "lxc.net.0.type = veth\n"
                         "lxc.idmap = u 0 100000 65536\n"
                         "lxc.idmap = g 0 100000 65536\n"
                         "lxc.apparmor.profile = generated\n"
                         "lxc.cgroup2.memory.max = 268435456\n"
                         "lxc.cgroup2.memory.swap.max = 0\n"
                         "lxc.cgroup2.cpu.max = 150000 100000\n"
                         "lxc.cgroup2.cpu.weight = 20000\n"
                         "lxc.cgroup2.pids.max = 100\n"
                         "lxc.init.cmd = /sbin/init --log\n"
                         "lxc.group = onboot\nlxc.group = web\n"
                         "lxc.environment = TERM=vt220\nlxc.environment = LANG\n"
                         "lxc.hook.pre-start = /srv/up\nlxc.hook.pre-start = /srv/up2\n"
                         "lxc.hook.post-stop = /srv/down\nlxc.hook.mount = /srv/x\n"
                         "lxc.prlimit.nofile = 1024\n"),
                     0);
    assert_string_equal(note_of("lxc.uts.name")->option, "NAME web");
    assert_non_null(strstr(note_of("lxc.rootfs.path")->why, "shifted"));
    assert_string_equal(given(OPTION_MEMORY, 0), "256M");
    assert_string_equal(given(OPTION_SWAP, 0), "0");
    assert_string_equal(given(OPTION_CPUS, 0), "1.500");
    assert_string_equal(given(OPTION_CPU_WEIGHT, 0), "10000");
    assert_string_equal(given(OPTION_PIDS, 0), "100");
    assert_string_equal(given(OPTION_INIT, 0), "/sbin/init");
    assert_string_equal(given(OPTION_LABEL, 0), "group=onboot");
    assert_null(given(OPTION_LABEL, 1));
    assert_string_equal(given(OPTION_ENV, 0), "TERM=vt220");
    assert_null(given(OPTION_ENV, 1));
    assert_string_equal(given(OPTION_HOOK, 0), "premount=/srv/up");
    assert_string_equal(given(OPTION_HOOK, 1), "postumount=/srv/down");
    assert_null(given(OPTION_HOOK, 2));
    assert_not_mapped("lxc.hook.mount");
    assert_not_mapped("lxc.prlimit.nofile");
}

static void test_lxc__syntax__is_lxc_s(void **state)
{
    static const struct {
        const char *line;
        const char *value; /* of the variable X; NULL: none */
    } rows[] = {
        {"lxc.environment=X=1", "X=1"},
        {"\tlxc.environment \t=  X=1 2  \r", "X=1 2"},
        {"lxc.environment = \"X=quoted \"", "X=quoted "},
        {"lxc.environment = X=a # no comment", "X=a # no comment"},
        {"# lxc.environment = X=1", NULL},
        {"lxc.environment = X=1\nlxc.environment =\n", NULL},
        {"lxc.environment = X=1\nlxc.environment =\nlxc.environment = X=2", "X=2"},
        {"lxc.environment\n=\n = x\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(map(rows[i].line), 0);
        if (rows[i].value == NULL)
            assert_null(given(OPTION_ENV, 0));
        else
            assert_string_equal(given(OPTION_ENV, 0), rows[i].value);
    }
    assert_int_equal(map("lxc.cgroup.memory.limit_in_bytes = 1G\nlxc.cgroup =\n"), 0);
    assert_null(given(OPTION_MEMORY, 0));
    assert_int_equal(map("lxc.init.cmd = /a\nlxc.init.cmd = /b\n"), 0);
    assert_string_equal(given(OPTION_INIT, 0), "/b");
    assert_null(given(OPTION_INIT, 1));
}

static void test_lxc__mounts__are_binds_and_tmpfs(void **state)
{
    (void)state;
    assert_int_equal(
        map("lxc.mount.entry = /srv/a srv/a none bind,ro,create=dir 0 0\n"
            "lxc.mount.entry = /srv/b /var/lib/lxc/web/rootfs/srv/b none rbind,optional 0 0\n"
            "lxc.mount.entry = tmpfs tmp tmpfs size=64m,nosuid 0 0\n"
            "lxc.mount.entry = tmpfs run tmpfs size=10% 0 0\n"
            "lxc.mount.entry = proc proc proc nodev 0 0\n"
            "lxc.mount.entry = /dev/sdb1 data ext4 defaults 0 0\n"
            "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0\n"
            "lxc.mount.entry = srv srv none bind 0 0\n"
            "lxc.mount.entry = nonsense\n"),
        0);
    assert_string_equal(given(OPTION_BIND, 0), "/srv/a:/srv/a:ro");
    assert_string_equal(given(OPTION_BIND, 1), "/srv/b:/srv/b");
    assert_null(given(OPTION_BIND, 2));
    assert_string_equal(given(OPTION_TMPFS, 0), "/tmp:64M");
    assert_string_equal(given(OPTION_TMPFS, 1), "/run");
    assert_null(given(OPTION_TMPFS, 2));
    assert_int_equal(import.note_count, 10); /* the root and nine entries */
    assert_true(import_is_given(&import, OPTION_FUSE));
}

static void test_lxc__includes__are_followed_and_bounded(void **state)
{
    (void)state;
    assert_int_equal(map("lxc.include = /conf.d\n"), 0);
    assert_string_equal(given(OPTION_ENV, 0), "A=1");
    assert_string_equal(given(OPTION_ENV, 1), "B=2");
    assert_int_equal(map("lxc.include = /nowhere\n"), 0);
    assert_not_mapped("lxc.include");
    assert_int_equal(map("lxc.include = /loop\n"), -EINVAL);
    assert_non_null(strstr(fault.text, "too deep"));
}

static void test_lxc__root_and_name__are_told_from_what_is_there(void **state)
{
    static const struct {
        const char *path;
        const char *text;
        const char *name; /* NULL: refused */
    } rows[] = {
        {"/var/lib/lxc/Web_1/config", "lxc.rootfs.path = dir:/r\n", "web-1"},
        {"web.conf", "lxc.rootfs.path = btrfs:/r\n", "web"},
        {"config", "lxc.rootfs.path = /r\nlxc.uts.name = up\n", "up"},
        {"./config", "lxc.rootfs.path = /r\nlxc.uts.name = up\n", "up"},
        {"config", "lxc.rootfs.path = /r\n", NULL},
        {"web.conf", "lxc.rootfs.path = overlay:/a:/b\n", NULL},
        {"web.conf", "lxc.rootfs.path = /dev/vg/web\n", NULL},
        {"web.conf", "lxc.rootfs.path = zfs:pool/web\n", NULL},
        {"web.conf", "lxc.arch = amd64\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int result = map_at(rows[i].path, rows[i].text);

        assert_int_equal(result == 0, rows[i].name != NULL);
        if (rows[i].name == NULL)
            assert_true(fault.text[0] != '\0');
        else
            assert_string_equal(import.name, rows[i].name);
    }
}

static void test_lxc__hostile_octets__are_refused_or_told(void **state)
{
    static char many[LXC_ENTRIES_MAX * 32];
    size_t length = 0;

    (void)state;
    assert_int_equal(map("lxc.environment = A=\xff\nlxc.uts.name = \x1b[2J\nlxc.x = 1\n"), 0);
    assert_int_equal(import.given_count, 1); /* the root */
    assert_not_mapped("lxc.environment");
    assert_not_mapped("lxc.uts.name");
    assert_not_mapped("lxc.x");
    for (unsigned i = 0; i <= LXC_ENTRIES_MAX; i++)
        length += (size_t)snprintf(many + length, sizeof(many) - length, "lxc.cap.drop = %u\n", i);
    assert_int_equal(map(many), -EINVAL);
    assert_non_null(strstr(fault.text, "1024"));
}

static void test_lxc__every_rule__maps_or_says_why_not(void **state)
{
    static const char *const names[] = {"lxc.rootfs",  "lxc.utsname",       "lxc.tty",
                                        "lxc.pts",     "lxc.devttydir",     "lxc.console",
                                        "lxc.mount",   "lxc.id_map",        "lxc.limit.nofile",
                                        "lxc.seccomp", "lxc.aa_profile",    "lxc.se_context",
                                        "lxc.kmsg",    "lxc.haltsignal",    "lxc.stopsignal",
                                        "lxc.network", "lxc.network.flags", "lxc.loglevel",
                                        "lxc.logfile", "lxc.init_cmd",      "lxc.hook.post-stop"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct lxc_rule *rule = lxc_rule_find(names[i]);

        assert_non_null(rule);
        assert_true((rule->map == NULL) == (rule->why != NULL));
    }
    assert_null(lxc_rule_find("lxc.nonsense"));
    assert_null(lxc_rule_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lxc__a_file_of_old_names__is_mapped_or_told),
        cmocka_unit_test(test_lxc__a_file_of_new_names__is_mapped_or_told),
        cmocka_unit_test(test_lxc__syntax__is_lxc_s),
        cmocka_unit_test(test_lxc__mounts__are_binds_and_tmpfs),
        cmocka_unit_test(test_lxc__includes__are_followed_and_bounded),
        cmocka_unit_test(test_lxc__root_and_name__are_told_from_what_is_there),
        cmocka_unit_test(test_lxc__hostile_octets__are_refused_or_told),
        cmocka_unit_test(test_lxc__every_rule__maps_or_says_why_not),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    import_close(&import);
    return failed;
}
