/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system with two files whose readers wait in the kernel, where no signal reaches them:
 * their request is taken and not answered. (One that was not taken yet can be killed.)
 *
 *   test.support.fuse_hang DIR    mounts itself on DIR, with DIR/file and DIR/other; says
 *                                 `mounted`, and `held` for each read that it took. SIGTERM ends
 *                                 it, and the waits
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_ID 2
#define OTHER_ID 3 /* a page of its own: who waits for another's can be killed */
#define FILE_BYTES 4096

static volatile sig_atomic_t is_ending;

static void on_term(int number)
{
    (void)number;
    is_ending = 1;
}

static void answer(int fuse, const struct fuse_in_header *in, int error, const void *data,
                   size_t size_bytes)
{
    struct fuse_out_header out = {
        .len = (uint32_t)(sizeof(out) + size_bytes), .error = -error, .unique = in->unique};
    struct iovec parts[] = {{&out, sizeof(out)}, {(void *)(uintptr_t)data, size_bytes}};

    (void)!writev(fuse, parts, size_bytes == 0 ? 1 : 2); /* who asked may be gone */
}

static struct fuse_attr attributes(uint64_t id)
{
    return (struct fuse_attr){.ino = id,
                              .size = id >= FILE_ID ? FILE_BYTES : 0,
                              .mode = id >= FILE_ID ? S_IFREG | 0444 : S_IFDIR | 0555,
                              .nlink = 1};
}

static void look_up(int fuse, const struct fuse_in_header *in, const char *name)
{
    uint64_t id = strcmp(name, "other") == 0 ? OTHER_ID : FILE_ID;
    const struct fuse_entry_out entry = {
        .nodeid = id, .entry_valid = 60, .attr_valid = 60, .attr = attributes(id)};

    if (id == OTHER_ID || strcmp(name, "file") == 0)
        answer(fuse, in, 0, &entry, sizeof(entry));
    else
        answer(fuse, in, ENOENT, NULL, 0);
}

static void serve(int fuse, const struct fuse_in_header *in)
{
    const struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
                                       .minor = 31,
                                       .max_readahead = FILE_BYTES,
                                       .max_write = FILE_BYTES,
                                       .max_background = 16};
    const struct fuse_attr_out found = {.attr_valid = 60, .attr = attributes(in->nodeid)};
    const struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};

    switch (in->opcode) {
    case FUSE_INIT:
        answer(fuse, in, 0, &init, sizeof(init));
        return;
    case FUSE_LOOKUP:
        look_up(fuse, in, (const char *)(in + 1));
        return;
    case FUSE_GETATTR:
        answer(fuse, in, 0, &found, sizeof(found));
        return;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        answer(fuse, in, 0, &opened, sizeof(opened));
        return;
    case FUSE_READ:
        (void)!write(STDOUT_FILENO, "held\n", 5);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: /* that is the point */
        return;
    default:
        answer(fuse, in, ENOSYS, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    static char request[FUSE_MIN_READ_BUFFER + FILE_BYTES];
    const struct sigaction act = {.sa_handler = on_term}; /* no SA_RESTART: read(2) ends */
    char options[128];
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (argc != 2 || fuse < 0) {
        (void)fprintf(stderr, "fuse_hang DIR: %s\n", fuse < 0 ? strerror(errno) : "usage");
        return 77;
    }
    (void)snprintf(options, sizeof(options),
                   "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
    if (sigaction(SIGTERM, &act, NULL) < 0 ||
        mount("drover-hang", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
        (void)fprintf(stderr, "fuse_hang %s: %s\n", argv[1], strerror(errno));
        return 77;
    }
    (void)!write(STDOUT_FILENO, "mounted\n", 8);
    while (!is_ending) {
        ssize_t bytes = read(fuse, request, sizeof(request));

        if (bytes < 0 && errno != EINTR && errno != ENOENT)
            break;
        if (bytes >= (ssize_t)sizeof(struct fuse_in_header))
            serve(fuse, (const void *)request);
    }
    (void)umount2(argv[1], MNT_DETACH);
    return 0;
}
