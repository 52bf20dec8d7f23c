/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways out by the hierarchy name=systemd: whoever sets its release_agent has the host's root run a
 * program. A guest whose systemd needs it has a group there; others mount it themselves.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostile.h"

#define AT "/run/named"
#define OWN "/sys/fs/cgroup/systemd"
#define OPTIONS "none,name=systemd"
#define PROGRAM "/bin/sh"

static int mounted(const char *options, const char *file, const char *text)
{
    char path[64];

    (void)mkdir(AT, 0700);
    if (mount("none", AT, "cgroup", 0, options) < 0)
        return errno;
    (void)snprintf(path, sizeof(path), AT "/%s", file);
    int result = write_to(path, text);
    (void)umount2(AT, MNT_DETACH);
    return result;
}

static int try_agent(void)
{
    return write_to(OWN "/release_agent", PROGRAM);
}

static int try_agent_mounted(void)
{
    return mounted(OPTIONS, "release_agent", PROGRAM);
}

/* As an option of a mount of one's own, and of the one that was given. */
static int try_agent_option(void)
{
    return mounted(OPTIONS ",release_agent=" PROGRAM, "cgroup.procs", "0");
}

static int try_agent_remount(void)
{
    return answer(mount(NULL, OWN, NULL, MS_REMOUNT, OPTIONS ",release_agent=" PROGRAM));
}

/* A hierarchy of one's own has a root of one's own. */
static int try_agent_new(void)
{
    return mounted("none,name=hostile", "release_agent", PROGRAM);
}

/* From the root of a cgroup namespace further down. */
static int agent_below(void)
{
    if (unshare(CLONE_NEWCGROUP | CLONE_NEWNS) < 0)
        return errno;
    return try_agent_mounted();
}

static int try_agent_below(void)
{
    return apart(agent_below);
}

/* In a user namespace of one's own, whose root is mapped to nobody that the host knows. */
static int agent_inside(void)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return errno;
    int result = write_to("/proc/self/uid_map", "0 0 1");
    return result != 0 ? result : agent_below();
}

static int try_agent_inside(void)
{
    return apart(agent_inside);
}

static int try_notify(void)
{
    return write_to(OWN "/notify_on_release", "1");
}

static int try_notify_mounted(void)
{
    return mounted(OPTIONS, "notify_on_release", "1");
}

static int try_clone_children(void)
{
    return write_to(OWN "/cgroup.clone_children", "1");
}

/* Above what it was given. */
static int try_above(void)
{
    struct stat own;
    struct stat above;

    if (stat(OWN, &own) < 0 || stat(OWN "/..", &above) < 0)
        return errno;
    if (own.st_dev != above.st_dev)
        return EXDEV; /* its mount's root: what is above is another file system */
    return write_to(OWN "/../cgroup.procs", "0");
}

int named(void)
{
    static const struct {
        const char *name;
        int (*attempt)(void);
    } attempts[] = {
        {"agent", try_agent},
        {"agent_mounted", try_agent_mounted},
        {"agent_option", try_agent_option},
        {"agent_remount", try_agent_remount},
        {"agent_new", try_agent_new},
        {"agent_below", try_agent_below},
        {"agent_inside", try_agent_inside},
        {"notify", try_notify},
        {"notify_mounted", try_notify_mounted},
        {"clone_children", try_clone_children},
        {"above", try_above},
    };

    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        int error = attempts[i].attempt();
        (void)printf("%s %s\n", attempts[i].name, error == 0 ? "done" : strerrorname_np(error));
        (void)fflush(stdout);
    }
    return 0;
}
