/* SPDX-License-Identifier: Apache-2.0 */
#include "inits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "sys.h"

#define ROOM_FIRST 64
#define STAGE_END_NS (200 * NS_PER_MS)

struct init {
    char leaf[CGROUP_LEAF_BYTES];
    pid_t pid;
};

/* Is pid the PID 1 of a namespace one below ours? A guest's own namespaces are further down. */
static bool is_init(pid_t pid)
{
    char path[32];
    char text[8192];
    int last = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return false;
    const char *line = strstr(text, "\nNSpid:");
    return line != NULL && sscanf(line, "\nNSpid:\t%*d\t%d", &last) == 1 && last == 1;
}

static void add(struct inits *inits, const char *leaf, pid_t pid)
{
    if (inits->count == inits->room) {
        inits->room = inits->room == 0 ? ROOM_FIRST : inits->room * 2;
        inits->found = realloc(inits->found, inits->room * sizeof(*inits->found));
        ENSURE(inits->found != NULL);
    }
    struct init *init = &inits->found[inits->count++];
    memcpy(init->leaf, leaf, CGROUP_LEAF_BYTES);
    init->pid = pid;
}

static int compare(const void *one, const void *other)
{
    return strcmp(((const struct init *)one)->leaf, ((const struct init *)other)->leaf);
}

int inits_read(struct inits *inits, const struct cgroups *cgroups)
{
    if (inits->is_read)
        return 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return -errno;

    errno = 0;
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        char leaf[CGROUP_LEAF_BYTES];
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 1 && cgroup_find_leaf(cgroups, pid, leaf) && is_init(pid))
            add(inits, leaf, pid);
        errno = 0;
    }
    int result = -errno; /* of readdir(3) alone */
    (void)closedir(proc);
    if (inits->count > 0)
        qsort(inits->found, inits->count, sizeof(*inits->found), compare);
    inits->is_read = result == 0;
    return result;
}

void inits_close(struct inits *inits)
{
    free(inits->found);
    *inits = (struct inits){0};
}

pid_t inits_find(const struct inits *inits, const char *leaf)
{
    struct init key = {.pid = 0};

    if (inits->count == 0)
        return 0;
    (void)snprintf(key.leaf, sizeof(key.leaf), "%s", leaf);
    const struct init *init =
        bsearch(&key, inits->found, inits->count, sizeof(*inits->found), compare);
    return init == NULL ? 0 : init->pid;
}

bool inits_has_executed(pid_t pid)
{
    return sys_has_executed(pid) > 0; /* one that ended has not */
}

/* Its keeper kills it or is dead, which it ends with: this is only not to show it as a guest. */
bool inits_end_stage(struct cgroups *cgroups, const char *leaf, pid_t pid)
{
    uint64_t end_ns = clock_monotonic_ns() + STAGE_END_NS;
    struct cgroup cgroup = CGROUP_EMPTY;
    struct fault ignored = {0};
    bool is_populated = true;
    bool is_frozen;

    if (pid == 0 || inits_has_executed(pid) || cgroup_adopt(cgroups, leaf, &cgroup, &ignored) < 0)
        return false;
    (void)cgroup_kill(&cgroup);
    for (uint64_t now_ns = clock_monotonic_ns(); now_ns < end_ns; now_ns = clock_monotonic_ns()) {
        struct pollfd look = {.fd = cgroup.events, .events = POLLPRI};

        if (cgroup_read_events(&cgroup, &is_populated, &is_frozen) < 0 || !is_populated)
            break;
        (void)poll(&look, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
    }
    cgroup_close(&cgroup);
    return !is_populated && cgroup_remove(cgroups, leaf, &ignored) == 0;
}

bool inits_read_uuid(pid_t pid, uint8_t ret_uuid[UUID_BYTES])
{
    static const char key[] = "container_uuid=";
    char path[32];
    char text[8192]; /* ours come first */
    int length;

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    length = sys_read_text_at(AT_FDCWD, path, text, sizeof(text));
    for (const char *at = text; length > 0 && at < text + length; at += strlen(at) + 1)
        if (strncmp(at, key, sizeof(key) - 1) == 0)
            return uuid_parse(at + sizeof(key) - 1, ret_uuid);
    return false;
}
