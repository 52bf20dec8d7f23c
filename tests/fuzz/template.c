/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: a tar that somebody streams in is unpacked by root. Whatever its members are called and
 * link to, nothing outside of the template's own tree may be made, changed or linked in, and one
 * that is refused leaves nothing. Headers are made from the input with a right sum, or are octets
 * as they come; and meanwhile the disk may be full or broken, and the name taken.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz.h"
#include "rootfs_mounts.h"
#include "template.h"

#define BLOCK 512
#define MEMBERS_MAX 12
#define TAR_BYTES_MAX (64 * 1024)

/* The upper bits of the first octet: what else is the matter. */
enum matter {
    NOTHING_ELSE,
    BAD_NAME,
    TAKEN_NAME,   /* there is one of that name */
    TAKEN_LATER,  /* there is one when it is done */
    CUT_OFF,      /* whoever sends it goes away */
    SHORT,        /* the tar ends early */
    NO_TAR,       /* a descriptor that cannot be read */
    NO_PLACE,     /* the templates' directory is none */
    NO_ROOM,      /* files may not grow */
    FAILED_SYNC,  /* the tree cannot be made durable */
    FAILED_SYNC_2 /* nor can its name */
};

static enum matter matter;
static int top = -1;
static int templates = -1;
static uint8_t tar[TAR_BYTES_MAX];
static size_t tar_bytes;
static unsigned links; /* members that name another */

int __wrap_syncfs(int fd);
int __wrap_fsync(int fd);

/* Nothing of it has to last. */
int __wrap_syncfs(int fd)
{
    (void)fd;
    if (matter == TAKEN_LATER)
        PROMISE(mkdirat(templates, "t", 0700) == 0);
    errno = EIO;
    return matter == FAILED_SYNC ? -1 : 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    errno = EIO;
    return matter == FAILED_SYNC_2 ? -1 : 0;
}

static void open_trees(void)
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/import-XXXXXX", work == NULL ? "/tmp" : work);
    PROMISE(mkdtemp(path) != NULL);
    top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PROMISE(mkdirat(top, "templates", 0700) == 0);
    templates = openat(top, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(top, "outside", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    PROMISE(fd >= 0 && write(fd, "as it was", 9) == 9);
    (void)close(fd);
}

static unsigned entries_of(int dir)
{
    unsigned count = 0;
    DIR *list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    PROMISE(list != NULL);
    while (readdir(list) != NULL)
        count++;
    (void)closedir(list);
    return count - 2; /* . and .. */
}

static void check_outside(void)
{
    struct stat status;
    char text[16] = {0};
    int fd = openat(top, "outside", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    PROMISE(fd >= 0 && fstat(fd, &status) == 0);
    PROMISE(read(fd, text, sizeof(text)) == 9 && memcmp(text, "as it was", 9) == 0);
    PROMISE(status.st_nlink == 1 && (status.st_mode & 07777) == 0600 && status.st_uid == geteuid());
    PROMISE(entries_of(top) == 2);
    (void)close(fd);
}

static void add_octets(const void *octets, size_t size_bytes)
{
    if (size_bytes > sizeof(tar) - tar_bytes)
        size_bytes = sizeof(tar) - tar_bytes;
    memcpy(tar + tar_bytes, octets, size_bytes);
    tar_bytes += size_bytes;
}

static const char *take_name(struct script *script, char text[100])
{
    static const char *const names[] = {"a",
                                        "d",
                                        "d/a",
                                        "./a",
                                        "d/../../outside",
                                        "../outside",
                                        "../../outside",
                                        "/tmp/outside",
                                        "l/a",
                                        "l",
                                        "l/outside",
                                        "d/d/d",
                                        ".",
                                        "d/",
                                        "../templates/x",
                                        "a/b"};
    uint8_t which = script_octet(script);

    if (which < 128)
        return names[which % COUNT_OF(names)];
    (void)script_fill(script, text, 99);
    text[99] = '\0';
    return text;
}

/* ustar, tar(5). */
static void add_member(struct script *script)
{
    static const char types[] = "0123456xgLK7";
    char block[BLOCK] = {0};
    char text[100] = {0};
    char data[BLOCK] = {0};
    unsigned sum = 8 * ' ';
    char type = types[script_octet(script) % (sizeof(types) - 1)];

    (void)snprintf(block, 100, "%s", take_name(script, text));
    uint8_t how = script_octet(script);
    size_t size_bytes = type == '0' || type >= 'K' ? how % 64u : 0;
    (void)snprintf(block + 100, 8, "%07o", (how & 64) != 0 ? 0755u : 04711u);
    (void)snprintf(block + 108, 8, "%07o", how % 8u);
    (void)snprintf(block + 116, 8, "%07o", how % 4u);
    (void)snprintf(block + 124, 12, "%011o", (unsigned)size_bytes);
    (void)snprintf(block + 136, 12, "%011o", 1000000u);
    block[156] = type;
    if (type == '1' || type == '2') {
        links++;
        (void)snprintf(block + 157, 100, "%s", take_name(script, text));
    }
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    (void)snprintf(block + 329, 8, "%07o", 1u); /* of a device: /dev/null */
    (void)snprintf(block + 337, 8, "%07o", 3u);
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0 : (uint8_t)block[i];
    (void)snprintf(block + 148, 8, "%06o", sum);
    add_octets(block, BLOCK);
    if (size_bytes > 0) {
        const uint8_t *part;
        size_t count = script_part(script, size_bytes, &part);
        if (count > 0)
            memcpy(data, part, count);
        add_octets(data, BLOCK);
    }
}

static void make_tar(struct script *script)
{
    static const uint8_t end[2 * BLOCK];

    uint8_t how = script_octet(script);

    tar_bytes = links = 0;
    matter = (enum matter)(how / 8);
    if (how % 8 == 7) { /* octets as they are */
        add_octets(script->at, script->left);
        return;
    }
    for (unsigned i = 0; i < MEMBERS_MAX && script->left > 0; i++)
        add_member(script);
    add_octets(end, sizeof(end));
}

static int open_tar(struct script *script)
{
    int fd = matter == NO_TAR ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                              : memfd_create("tar", MFD_CLOEXEC);

    if (matter == SHORT && tar_bytes > 0)
        tar_bytes = (script->left > 0 ? script->at[script->left - 1] : 3u) * 7u % tar_bytes;
    PROMISE(fd >= 0 && write(fd, tar, tar_bytes) == (ssize_t)tar_bytes);
    PROMISE(matter == NO_TAR || lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* No file may have more octets, as on a disk that is full but for its directories. */
static void limit_files(rlim_t size_bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    PROMISE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size_bytes < limit.rlim_max ? size_bytes : limit.rlim_max;
    PROMISE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static int import(int fd, struct fault *fault)
{
    const atomic_bool is_cut = matter == CUT_OFF;
    int place = matter == NO_PLACE ? openat(top, "outside", O_RDONLY | O_CLOEXEC)
                                   : fcntl(templates, F_DUPFD_CLOEXEC, 0);

    if (matter == TAKEN_NAME)
        PROMISE(mkdirat(templates, "t", 0700) == 0);
    if (matter == NO_ROOM)
        limit_files(4);
    int result = template_import(place, matter == BAD_NAME ? "../t" : "t", fd, &is_cut, fault);
    limit_files(RLIM_INFINITY);
    if (matter == NO_PLACE)
        PROMISE(template_sweep(place) < 0);
    (void)close(place);
    return result;
}

/* What was refused is named, and leaves nothing. */
static void check_refused(const struct fault *fault)
{
    bool is_there = matter == TAKEN_NAME || entries_of(templates) == 1;

    PROMISE(fault->status != STATUS_UNSET && fault->text[0] != '\0');
    if (is_there) { /* another's; or ours, where only its name may not last */
        PROMISE(matter == TAKEN_NAME || matter == TAKEN_LATER || matter == FAILED_SYNC_2);
        PROMISE(matter == FAILED_SYNC_2 || fault->status == STATUS_EXISTS);
        PROMISE(tree_remove(templates, "t") == 0);
    }
    PROMISE(entries_of(templates) == 0);
    PROMISE(mkdirat(templates, ".import-of-an-earlier-run", 0700) == 0);
    PROMISE(template_sweep(templates) == 0 && entries_of(templates) == 0);
}

/* The first one of the file `a` that was unpacked; -1: there is none. */
static int first_octet(void)
{
    uint8_t octet;
    int fd = openat(templates, "t/a", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is_read = fd >= 0 && read(fd, &octet, 1) == 1;

    if (fd >= 0)
        (void)close(fd);
    return is_read ? octet : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct fault fault = {0};

    if (top < 0)
        open_trees();
    make_tar(&script);
    int fd = open_tar(&script);
    int result = import(fd, &fault);
    (void)close(fd);
    check_outside();
    if (result < 0) {
        check_refused(&fault);
        return 0;
    }
    PROMISE(matter != BAD_NAME && matter != TAKEN_NAME && matter != CUT_OFF && matter != NO_PLACE);
    PROMISE(entries_of(templates) == 1);
    CANARY(links > 0 && first_octet() > 0 && first_octet() != 'h');
    PROMISE(tree_remove(templates, "t") == 0);
    PROMISE(entries_of(templates) == 0);
    return 0;
}
