/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: who a command runs as, and which file becomes PID 1, is read from trees that a guest
 * may have written: links in circles, FIFOs, directories where files are meant, passwd files of any
 * octets. Such a tree is made on disk from the input. Nothing outside of it may be found, and no
 * user may come out as somebody else than a plain reading of passwd has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "family.h"
#include "fuzz.h"
#include "passwd.h"
#include "subid.h"

#define OUTSIDE "outside"

static int upper = -1;
static int lower = -1;
static ino_t outside;
static dev_t device;
static char subids[300];

static const char *const names[] = {
    "sbin/init",       "etc/init",    "bin/init",    "bin/busybox",
    "etc/inittab",     "sbin/openrc", "lib/systemd", "sbin/openrc-init",
    "sbin/runit-init", "etc",         "sbin",        "bin/sh"};
static const char *const directories[] = {"sbin", "etc", "bin", "lib"};

static void make_directories(int root)
{
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        (void)mkdirat(root, directories[i], 0755);
}

static void open_trees(void)
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[256];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s/guest-XXXXXX", work == NULL ? "/tmp" : work);
    PROMISE(mkdtemp(path) != NULL);
    int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = openat(top, OUTSIDE, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    PROMISE(mkdirat(top, "upper", 0755) == 0 && mkdirat(top, "lower", 0755) == 0);
    PROMISE(fstat(file, &status) == 0);
    outside = status.st_ino;
    device = status.st_dev;
    upper = openat(top, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lower = openat(top, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(subids, sizeof(subids), "%s/subuid", path);
    (void)close(file);
    (void)close(top);
}

static void clear(int root)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (unlinkat(root, names[i], 0) < 0 && errno == EISDIR)
            (void)unlinkat(root, names[i], AT_REMOVEDIR);
    (void)unlinkat(root, "etc/passwd", 0);
    (void)unlinkat(root, "etc/group", 0);
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        if (unlinkat(root, directories[i], AT_REMOVEDIR) < 0)
            (void)unlinkat(root, directories[i], 0);
    make_directories(root);
}

/* A file, directory, FIFO, whiteout or link to anywhere. */
static void make_one(struct script *script)
{
    static const char *const targets[] = {"/sbin/init",
                                          "../bin/busybox",
                                          "/lib/systemd",
                                          "init",
                                          "../../outside",
                                          "/../outside",
                                          "/bin/sh",
                                          "/etc",
                                          "/proc/self/root/etc/passwd",
                                          "/sbin/runit-init"};
    uint8_t what = script_octet(script);
    const char *name = names[script_octet(script) % COUNT_OF(names)];
    int root = (what & 8) != 0 ? upper : lower;
    mode_t mode = (what & 16) != 0 ? 0755 : 0644;
    int fd = -1;

    switch (what % 8) {
    case 0:
        (void)mkdirat(root, name, 0755);
        return;
    case 1:
        (void)mknodat(root, name, S_IFIFO | mode, 0);
        return;
    case 2: /* overlayfs: deleted in the upper */
        (void)mknodat(root, name, S_IFCHR, 0);
        return;
    case 3:
    case 4:
    case 5:
        if (unlinkat(root, name, 0) < 0 && errno == EISDIR)
            (void)unlinkat(root, name, AT_REMOVEDIR);
        (void)symlinkat(targets[script_octet(script) % COUNT_OF(targets)], root, name);
        return;
    default:
        fd = openat(root, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
        if (fd >= 0)
            (void)close(fd);
        return;
    }
}

static void check_init(void)
{
    char candidates[3][64] = {"/sbin/init", "/etc/init", "/bin/init"};
    const struct layers layers = {.upper = upper, .lower = lower};
    struct layers_found found;
    struct init init;

    int result = init_find(&layers, candidates, COUNT_OF(candidates), FAMILY_UNKNOWN, &init);
    PROMISE(result == 0 || result == -ENOENT);
    for (size_t i = 0; i < COUNT_OF(candidates); i++) {
        if (layers_find(&layers, candidates[i], &found) < 0)
            continue;
        PROMISE(found.path[0] == '/');
        PROMISE(found.stat.st_ino != outside || found.stat.st_dev != device);
    }
    CANARY(result == 0 && init.errors[0] == EISDIR);
}

static void write_file(int root, const char *name, const uint8_t *part, size_t size_bytes)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    PROMISE(write(fd, part, size_bytes) == (ssize_t)size_bytes);
    (void)close(fd);
}

/* Does a line of the file begin with the user's name? */
static bool is_named(const uint8_t *text, size_t size_bytes, const char *user)
{
    size_t length = strlen(user);

    for (size_t i = 0; i < size_bytes; i++)
        if ((i == 0 || text[i - 1] == '\n') && size_bytes - i > length &&
            memcmp(text + i, user, length) == 0 && text[i + length] == ':')
            return true;
    return false;
}

static void check_passwd(struct script *script)
{
    static struct passwd passwd;
    char user[40] = {0};
    const uint8_t *text;
    const uint8_t *group;
    const uint8_t *part;

    size_t user_bytes = script_part(script, sizeof(user) - 1, &part);
    if (user_bytes > 0)
        memcpy(user, part, user_bytes);
    size_t text_bytes = script_part(script, 2048, &text);
    size_t group_bytes = script_part(script, 2048, &group);
    write_file(lower, "etc/passwd", text, text_bytes);
    write_file(lower, "etc/group", group, group_bytes);
    int result = passwd_find(lower, user, &passwd);
    if (result < 0)
        return;
    PROMISE(passwd.uid != UINT32_MAX && passwd.gid != UINT32_MAX);
    PROMISE(passwd.group_count <= PLAN_GROUPS_MAX);
    PROMISE(memchr(passwd.name, '\0', sizeof(passwd.name)) != NULL);
    PROMISE(memchr(passwd.home, '\0', sizeof(passwd.home)) != NULL);
    bool is_number = user[0] == '\0' || (user[0] >= '0' && user[0] <= '9');
    PROMISE(is_number || is_named(text, text_bytes, user));
}

static void check_subids(struct script *script)
{
    const uint8_t *part;
    struct fault fault = {0};
    size_t size_bytes = script_part(script, 512, &part);

    write_file(AT_FDCWD, subids, part, size_bytes);
    uint32_t base = script_short(script) * 65536u;
    int result = subid_check_file(subids, base, 65536, &fault);
    PROMISE(result == 0 || (result == -EEXIST && fault.status == STATUS_INVALID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};

    if (upper < 0)
        open_trees();
    uint8_t what = script_octet(&script);
    if (what % 4 == 3) {
        check_subids(&script);
        return 0;
    }
    make_directories(upper);
    make_directories(lower);
    if (what % 4 == 2) {
        check_passwd(&script);
    } else {
        for (unsigned i = 0; i < 24 && script.left > 0; i++)
            make_one(&script);
        check_init();
    }
    clear(upper);
    clear(lower);
    return 0;
}
