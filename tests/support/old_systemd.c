/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An init that does with cgroups what PID 1 of systemd 219 does before it starts anything: it looks
 * for /sys/fs/cgroup and name=systemd below it, finds its own group, makes system.slice, enters it,
 * keeps services in groups of their own, and gives up where it cannot. Then it says READY, and ends
 * by SIGRTMIN+3 (halt) and SIGRTMIN+5 (reboot). No such systemd can be had for Debian 12.
 *
 * Source: what 219's mount_setup(), mount_cgroup_controllers() and manager_setup_cgroup() do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define NAMED ROOT "/systemd"
#define SLICE NAMED "/system.slice"
#define SERVICE SLICE "/one.service"

/* The words by which the agent tells the version. */
static const char banner[] = "systemd 219 running in %ssystem mode. (+PAM -SECCOMP)\n";

static _Noreturn void give_up(const char *what)
{
    (void)printf("Failed to allocate manager object: %s: %s\n", what, strerrordesc_np(errno));
    (void)fflush(stdout);
    exit(1);
}

static void must(bool is_so, const char *what)
{
    if (!is_so)
        give_up(what);
}

static bool is_mount_point(const char *path)
{
    char above[64];
    struct stat here;
    struct stat there;

    (void)snprintf(above, sizeof(above), "%s/..", path);
    return stat(path, &here) == 0 && stat(above, &there) == 0 && here.st_dev != there.st_dev;
}

static bool has_magic(const char *path, long magic)
{
    struct statfs kind;
    return statfs(path, &kind) == 0 && (long)kind.f_type == magic;
}

/* Is our group in name=systemd that one? */
static bool is_in(const char *group)
{
    char line[512];
    char wanted[128];
    bool is_found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");

    (void)snprintf(wanted, sizeof(wanted), ":name=systemd:%s\n", group);
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        is_found |= strstr(line, wanted) != NULL;
    if (file != NULL)
        (void)fclose(file);
    return is_found;
}

static bool attach(const char *group, pid_t pid)
{
    char path[128];
    char text[16];

    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    int length = snprintf(text, sizeof(text), "%d", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, (size_t)length) == length;
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return is_done;
}

/* Each controller on a directory of its own; what is refused is passed over. */
static void mount_controllers(void)
{
    char line[256];
    char name[64];
    char where[128];
    FILE *file = fopen("/proc/cgroups", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#' || sscanf(line, "%63s", name) != 1)
            continue;
        (void)snprintf(where, sizeof(where), ROOT "/%s", name);
        must(mkdir(where, 0755) == 0, where);
        (void)mount("cgroup", where, "cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV, name);
    }
    if (file != NULL)
        (void)fclose(file);
    must(mount("tmpfs", ROOT, "tmpfs", MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV,
               "mode=755") == 0,
         "read-only " ROOT);
}

/* Starts as root in its group and becomes somebody else there; the group is there while it is. */
static void try_service(void)
{
    int status;

    must(mkdir(SERVICE, 0755) == 0, SERVICE);
    pid_t pid = fork();
    if (pid == 0) {
        must(attach(SERVICE, getpid()) && is_in("/system.slice/one.service"), "a service's group");
        must(setuid(1000) == 0, "setuid");
        (void)pause();
        _exit(0);
    }
    must(pid > 0, "fork");
    char comm[16] = "";
    /* It has entered once its group lists it. */
    for (int fd; comm[0] == '\0' && waitpid(pid, NULL, WNOHANG) == 0; (void)close(fd)) {
        fd = open(SERVICE "/cgroup.procs", O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && read(fd, comm, sizeof(comm) - 1) >= 0, "cgroup.procs");
    }
    must(rmdir(SERVICE) < 0 && errno == EBUSY, "a group in use");
    must(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status),
         "a service's end");
    must(rmdir(SERVICE) == 0, "an empty group");
}

static void notify(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(path != NULL && strlen(path) < sizeof(address.sun_path), "NOTIFY_SOCKET");
    memcpy(address.sun_path, path, strlen(path) + 1);
    must(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address)) > 0,
         "READY");
    (void)close(fd);
}

int main(void)
{
    sigset_t heard;
    int number;

    (void)sigemptyset(&heard);
    (void)sigaddset(&heard, SIGRTMIN + 3);
    (void)sigaddset(&heard, SIGRTMIN + 5);
    (void)sigaddset(&heard, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &heard, NULL);
    (void)printf(banner, "");
    must(is_mount_point(ROOT) && has_magic(ROOT, TMPFS_MAGIC), ROOT);
    must(is_mount_point(NAMED) && has_magic(NAMED, CGROUP_SUPER_MAGIC), NAMED);
    must(is_in("/"), "our own group");
    mount_controllers();
    if (access(NAMED "/release_agent", F_OK) < 0)
        (void)printf("Failed to install release agent, ignoring: %s\n", strerrordesc_np(errno));
    must((mkdir(SLICE, 0755) == 0 || errno == EEXIST) && attach(SLICE, getpid()), SLICE);
    must(is_in("/system.slice"), "system.slice");
    try_service();
    notify("READY=1\nSTATUS=Startup finished.");
    (void)printf("Startup finished.\n");
    (void)fflush(stdout);
    while ((number = sigwaitinfo(&heard, NULL)) == SIGCHLD || number < 0)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    return reboot(number == SIGRTMIN + 5 ? RB_AUTOBOOT : (int)RB_HALT_SYSTEM) < 0;
}
