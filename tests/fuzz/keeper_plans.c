/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans as the agent makes them, packed by its own plan.c; one with a filter by hand, as no version
 * of the agent sends one yet.
 */
#include "keeper_plans.h"

#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#include "keeper_script.h"
#include "plan.h"

static size_t read_plan(const struct plan *plan, uint8_t *block, size_t room)
{
    int fd = plan_seal(plan);
    ssize_t size_bytes = fd < 0 ? -1 : pread(fd, block, room, 0);

    if (fd >= 0)
        (void)close(fd);
    return size_bytes < 0 ? 0 : (size_t)size_bytes;
}

/* As for a launch of two candidates, with one mount of each kind. */
static size_t launch_plan(uint8_t *block, size_t room)
{
    static struct plan plan;

    plan_init(&plan);
    plan.header.flags = KP_GO_AT_ONCE | KP_NEWNET | KP_PTY;
    plan.header.hostname = plan_add_text(&plan, "web");
    plan_add_item(&plan, &plan.candidates, "/sbin/init");
    plan_add_item(&plan, &plan.candidates, "/bin/init");
    plan_add_item(&plan, &plan.argv, "init");
    plan_add_env(&plan, "container", "drover");
    plan_add_rlimit(&plan, 7, 1024, 4096);
    for (uint32_t kind = KP_TMPFS; kind <= KP_CGROUP1; kind++)
        plan_add_mount(&plan,
                       (struct kp_mount){.kind = kind,
                                         .fd_index = -1,
                                         .flags = kind == KP_MKDIR ? 0755 : 0,
                                         .is_optional = kind == KP_MQUEUE},
                       "run", "mode=755");
    plan_add_mount(&plan, (struct kp_mount){.kind = KP_ATTACH, .fd_index = KEEPER_MOUNT_INDEX},
                   "dev/null", NULL);
    size_t size_bytes = read_plan(&plan, block, room);
    plan_close(&plan);
    return size_bytes;
}

static size_t spawn_plan(uint8_t *block, size_t room)
{
    static struct plan plan;

    plan_init(&plan);
    plan.header.flags = KP_JOIN_MNT | KP_JOIN_USER | KP_TTY;
    plan.header.cwd = plan_add_text(&plan, "/root");
    plan_add_item(&plan, &plan.argv, "sh");
    plan_add_group(&plan, 4);
    size_t size_bytes = read_plan(&plan, block, room);
    plan_close(&plan);
    return size_bytes;
}

static size_t filter_plan(uint8_t *block, size_t room)
{
    struct {
        struct kp_header header;
        struct sock_filter filter[2];
        struct kp_mount mount;
        uint32_t argv[2];
        char text[16];
    } plan = {.header = {.magic = KP_MAGIC,
                         .version = KP_VERSION,
                         .size_bytes = sizeof(plan),
                         .seccomp_count = 2,
                         .mount_count = 1,
                         .argv_count = 1,
                         .oom_score_adj = -100,
                         .rows = 25},
              .mount = {.kind = KP_MKDIR, .fd_index = -1, .flags = 0700},
              .text = "a\0b"};

    plan.header.seccomp = (uint32_t)((char *)&plan.filter - (char *)&plan);
    plan.header.mounts = (uint32_t)((char *)&plan.mount - (char *)&plan);
    plan.header.argv = (uint32_t)((char *)&plan.argv - (char *)&plan);
    plan.argv[0] = (uint32_t)((char *)&plan.text - (char *)&plan);
    plan.mount.target = plan.argv[0] + 2;
    memcpy(block, &plan, sizeof(plan) < room ? sizeof(plan) : room);
    return sizeof(plan);
}

size_t keeper_plan_make(unsigned which, uint8_t *block, size_t room)
{
    if (which % KEEPER_PLANS == 0)
        return launch_plan(block, room);
    return which % KEEPER_PLANS == 1 ? spawn_plan(block, room) : filter_plan(block, room);
}
