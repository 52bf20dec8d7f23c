/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "passwd.h"
#include "plan.h"
#include "rootfs.h"

static bool has_env(const struct stream_open *open, const char *key)
{
    for (size_t i = 0; i < open->env_count; i++)
        if (strcmp(open->env[i].key, key) == 0)
            return true;
    return false;
}

static void add_env(struct plan *plan, const struct stream_open *open, const struct passwd *passwd)
{
    const struct pair defaults[] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"HOME", passwd->home},
        {"USER", passwd->name},
        {"TERM", "linux"},
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!has_env(open, defaults[i].key))
            plan_add_env(plan, defaults[i].key, defaults[i].value);
    for (size_t i = 0; i < open->env_count; i++)
        plan_add_env(plan, open->env[i].key, open->env[i].value);
}

static int find_user(const struct stream_open *open, int root, struct passwd *ret_passwd,
                     struct fault *fault)
{
    int rc = passwd_find(root, open->user, ret_passwd);
    if (rc == -ENOENT)
        fault_set(fault, STATUS_NOT_FOUND, ENOENT, "no user \"%s\" in the container", open->user);
    else if (rc < 0)
        fault_set(fault, STATUS_FAILED, -rc, "cannot look user \"%s\" up in /etc/passwd: %s",
                  open->user, strerrordesc_np(-rc));
    return rc;
}

static void fill(struct plan *plan, const struct stream_open *open, uint32_t flags,
                 const struct passwd *passwd)
{
    struct kp_header *header = &plan->header;

    header->flags = KP_JOIN_PID | KP_JOIN_MNT | KP_JOIN_NET | KP_JOIN_UTS | KP_JOIN_IPC |
                    KP_JOIN_CGROUP | KP_FIND_IN_PATH | flags;
    if (open->is_tty)
        header->flags |= KP_TTY;
    header->rows = open->rows < UINT16_MAX ? open->rows : UINT16_MAX; /* all a pty can say */
    header->columns = open->columns < UINT16_MAX ? open->columns : UINT16_MAX;
    header->uid = passwd->uid;
    header->gid = passwd->gid;
    for (size_t i = 0; i < passwd->group_count; i++)
        plan_add_group(plan, passwd->groups[i]);
    for (size_t i = 0; i < open->argv_count; i++)
        plan_add_item(plan, &plan->argv, open->argv[i]);
    add_env(plan, open, passwd);
    if (open->cwd[0] != '\0')
        header->cwd = plan_add_text(plan, open->cwd);
    plan_add_limits(plan, (flags & KP_JOIN_USER) == 0);
}

static int seal(struct plan *plan, int *ret_memfd, struct fault *fault)
{
    int fd = plan_seal(plan);
    plan_close(plan);
    if (fd < 0) {
        fault_set(fault, fd == -E2BIG ? STATUS_INVALID : STATUS_FAILED, -fd,
                  "cannot pack the command: %s", strerrordesc_np(-fd));
        return fd;
    }
    *ret_memfd = fd;
    return 0;
}

int probe_plan(const struct stream_open *open, uint32_t probe, bool has_userns, int *ret_memfd,
               struct fault *fault)
{
    struct plan plan;

    plan_init(&plan);
    plan.header.flags = KP_JOIN_MNT | KP_JOIN_NET | probe;
    if (has_userns)
        plan.header.flags |= KP_JOIN_USER;
    plan_add_item(&plan, &plan.argv, open->argv[0]);
    return seal(&plan, ret_memfd, fault);
}

int exec_plan(const struct stream_open *open, int root, uint32_t flags,
              const struct sysfilter *sysfilter, int *ret_memfd, struct fault *fault)
{
    struct passwd passwd;
    struct plan plan;

    if (open->argv_count == 0 || open->argv[0][0] == '\0') {
        fault_set(fault, STATUS_INVALID, EINVAL, "exec needs a command");
        return -EINVAL;
    }
    int rc = find_user(open, root, &passwd, fault);
    if (rc < 0)
        return rc;

    plan_init(&plan);
    fill(&plan, open, flags, &passwd);
    plan.sysfilter = sysfilter;
    return seal(&plan, ret_memfd, fault);
}
