/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests say to the keeper, and how they look at it from outside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "rig.h"
#include "sys.h"

/* proc and sysfs: a user namespace gets them only if the keeper's own are fully visible. */
static void add_mounts(struct plan *plan, struct kp_header *header, const struct guest *guest)
{
    struct kp_mount *mounts = (struct kp_mount *)(void *)(plan->block + plan->size_bytes);
    header->mounts = plan->size_bytes;
    plan->size_bytes += (uint32_t)(3 * sizeof(*mounts));
    mounts[0] =
        (struct kp_mount){.kind = KP_PROC, .target = plan_string(plan, "proc"), .fd_index = -1};
    mounts[1] =
        (struct kp_mount){.kind = KP_SYSFS, .target = plan_string(plan, "sys"), .fd_index = -1};
    mounts[2] = (struct kp_mount){.kind = KP_CONSOLE,
                                  .target = plan_string(plan, "dev/console"),
                                  .fd_index = -1,
                                  .is_file = 1};
    header->mount_count = (guest->flags & KP_PTY) != 0 ? 3 : 2;
    if ((guest->flags & KP_NEWNET) == 0) {
        mounts[1] = mounts[2]; /* sysfs wants the network namespace to be the guest's */
        header->mount_count--;
    }
}

static int guest_plan(const struct guest *guest)
{
    static struct plan plan;
    const char *init = guest->is_broken ? "/absent" : "/init";
    const char *argv[RIG_GUEST_ARGS_MAX + 1] = {"init"};
    uint32_t argc = 1;
    struct kp_header *header =
        plan_init(&plan, guest->flags | (guest->waits_for_go ? 0 : KP_GO_AT_ONCE));

    while (argc <= RIG_GUEST_ARGS_MAX && guest->args[argc - 1] != NULL) {
        argv[argc] = guest->args[argc - 1];
        argc++;
    }
    header->candidates = plan_strings(&plan, &init, 1);
    header->candidate_count = 1;
    header->argv = plan_strings(&plan, argv, argc);
    header->argv_count = argc;
    if ((guest->flags & KP_USERNS) != 0) {
        header->uid_base = 0x70000000;
        header->uid_count = 65536;
    }
    add_mounts(&plan, header, guest);
    return plan_memfd(&plan);
}

uint64_t rig_launch(struct rig *rig, const struct guest *guest)
{
    char root[96];
    int fds[8];
    size_t count = 0;
    struct kw_launch launch = {.launch = ++rig->launch,
                               .labels = {.generation = RIG_GENERATION},
                               .stage_deadline_ns = guest->deadline_ns};
    (void)snprintf(root, sizeof(root), "%s/root", rig->dir);
    AUTO_FD plan = guest_plan(guest);
    AUTO_FD mount = open_tree(AT_FDCWD, root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    assert_true(mount >= 0);

    launch.roles[count] = KW_FD_PLAN;
    fds[count++] = plan;
    launch.roles[count] = KW_FD_CGROUP;
    fds[count++] = rig->group;
    launch.roles[count] = KW_FD_ROOT;
    if ((guest->flags & KP_USERNS) != 0)
        launch.roles[count] |= KW_FD_IDMAP;
    fds[count++] = mount;
    if (guest->notify > 0) {
        launch.roles[count] = KW_FD_NOTIFY;
        fds[count++] = guest->notify;
    }
    if (guest->ring > 0) {
        launch.roles[count] = KW_FD_RING;
        fds[count++] = guest->ring;
    }
    rig_send(rig, &launch.header, KW_LAUNCH, sizeof(launch), fds, count);
    return launch.launch;
}

void rig_order(struct rig *rig, uint16_t type, uint64_t launch)
{
    struct kw_go go = {.launch = launch};
    rig_send(rig, &go.header, type, sizeof(go), NULL, 0);
}

void rig_ack(struct rig *rig, uint64_t launch, uint64_t generation, uint64_t change)
{
    struct kw_ack ack = {.launch = launch, .generation = generation, .change = change};
    rig_send(rig, &ack.header, KW_ACK, sizeof(ack), NULL, 0);
}

void rig_await(struct rig *rig, uint64_t launch, uint32_t phase, struct packet *packet)
{
    for (;;) {
        rig_receive(rig, packet);
        assert_true(packet->size > 0);
        assert_int_not_equal(packet->header.type, KW_REFUSED);
        if (packet->header.type == KW_RECORD && packet->record.launch == launch &&
            packet->record.phase == phase)
            return;
        if (packet->header.type == KW_RECORD && packet->record.launch == launch &&
            packet->record.phase == KW_PHASE_FAILED)
            fail_msg("failed at step %u: %s (%d)", packet->record.failed_step,
                     strerror(packet->record.failed_errno), packet->record.failed_detail);
        rig_drop(packet);
    }
}

void rig_await_spawn(struct rig *rig, uint64_t spawn, uint32_t phase, struct packet *packet)
{
    for (;;) {
        rig_receive(rig, packet);
        assert_true(packet->size > 0);
        assert_int_not_equal(packet->header.type, KW_REFUSED);
        if (packet->header.type == KW_SPAWN_RECORD && packet->spawn.spawn == spawn &&
            packet->spawn.phase == phase)
            return;
        if (packet->header.type == KW_SPAWN_RECORD && packet->spawn.spawn == spawn &&
            packet->spawn.phase == KW_PHASE_FAILED)
            fail_msg("failed at step %u: %s", packet->spawn.failed_step,
                     strerror(packet->spawn.exec_errno));
        rig_drop(packet);
    }
}

void rig_await_refused(struct rig *rig, uint32_t type, uint32_t reason)
{
    struct packet packet;
    do {
        rig_receive(rig, &packet);
        assert_true(packet.size > 0);
        rig_drop(&packet);
    } while (packet.header.type != KW_REFUSED);
    assert_int_equal(packet.refused.type, type);
    assert_int_equal(packet.refused.reason, reason);
}

int rig_count_fds(const struct rig *rig)
{
    char path[64];
    int count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", rig->pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count - 2;
}

/* Zombies count: they are what must not be there. */
int rig_count_children(const struct rig *rig)
{
    static char text[1 << 18];
    char path[64];
    int count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", rig->pid, rig->pid);
    assert_true(sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) >= 0);
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ' ';
    return count;
}

void rig_await_children(const struct rig *rig, int at_most)
{
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    while (rig_count_children(rig) > at_most) {
        assert_true(clock_monotonic_ns() < end_ns);
        (void)poll(NULL, 0, 1); /* another process's children make no event for us */
    }
}

long rig_resident_kib(const struct rig *rig)
{
    char path[64];
    char text[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", rig->pid);
    assert_true(sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) > 0);
    const char *line = strstr(text, "\nPss:");
    assert_non_null(line);
    return strtol(line + 5, NULL, 10);
}

bool rig_await_keeper_end(struct rig *rig, int timeout_ms)
{
    struct pollfd look = {.fd = rig->pidfd, .events = POLLIN};
    return poll(&look, 1, timeout_ms) == 1;
}

bool rig_has_cgroups(const struct rig *rig)
{
    for (int i = 0; i < rig->hierarchy_count; i++)
        if (faccessat(rig->hierarchies[i], rig->cgroup, F_OK, 0) == 0)
            return true;
    return false;
}
