/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_lib.h"

#include <errno.h>
#include <libcgroup.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

/* What ECG* numbers mean to us; the rest is EIO. */
static int to_errno(int result)
{
    static const struct {
        int ecg;
        int error;
    } known[] = {
        {ECGROUPNOTCOMPILED, ENODEV},
        {ECGROUPNOTMOUNTED, ENODEV},
        {ECGROUPSUBSYSNOTMOUNTED, ENODEV},
        {ECGROUPNOTEXIST, ENOENT},
        {ECGROUPVALUENOTEXIST, ENOENT},
        {ECGROUPNOTOWNER, EPERM},
        {ECGROUPNOTALLOWED, EPERM},
        {ECGINVAL, EINVAL},
        {ECGFAIL, EIO},
        {ECGROUPNOTINITIALIZED, ENODEV},
    };

    if (result == 0)
        return 0;
    if (result == ECGOTHER)
        return cgroup_get_last_errno() != 0 ? -cgroup_get_last_errno() : -EIO;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].ecg == result)
            return -known[i].error;
    return -EIO;
}

int cgroup_lib_find_controllers(int (*found)(const char *controller, const char *mount_point,
                                             void *context),
                                void *context)
{
    struct cgroup_mount_point mount; /* two texts of FILENAME_MAX */
    void *cursor = NULL;
    int wanted = 0;

    cgroup_set_logger(NULL, 0, NULL); /* it would write to stdout */
    int result = to_errno(cgroup_init());
    if (result == -ENODEV)
        return 0;
    if (result < 0)
        return result;

    int step = cgroup_get_controller_begin(&cursor, &mount);
    while (step == 0 && wanted == 0) {
        wanted = found(mount.name, mount.path, context);
        step = cgroup_get_controller_next(&cursor, &mount);
    }
    (void)cgroup_get_controller_end(&cursor);
    if (wanted < 0)
        return wanted;
    return step == 0 || step == ECGEOF ? 0 : to_errno(step);
}

static int write_all(const char *group, const char *controller,
                     const struct cgroup_setting *settings, size_t count)
{
    AUTO_FREE char *mount_point = NULL;
    if (cgroup_get_subsys_mount_point(controller, &mount_point) != 0)
        return -ENODEV;

    struct cgroup *lib = cgroup_new_cgroup(group);
    if (lib == NULL)
        return -ENOMEM;
    struct cgroup_controller *part = cgroup_add_controller(lib, controller);
    int result = part == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = to_errno(cgroup_add_value_string(part, settings[i].file, settings[i].value));
    if (result == 0)
        result = to_errno(cgroup_modify_cgroup(lib));
    cgroup_free(&lib);
    return result;
}

/* Its tables and its last error are the process's own: one at a time. */
int cgroup_lib_write(const char *group, const char *controller,
                     const struct cgroup_setting *settings, size_t count)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    (void)pthread_mutex_lock(&lock);
    int result = write_all(group, controller, settings, count);
    (void)pthread_mutex_unlock(&lock);
    return result;
}
