/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scene.h — a PATH of this test's own, real processes in its groups, and what is left of both
 * removed.
 *
 * Shape    scene_set_up() and scene_tear_down() are cmocka fixtures; a body runs in a process that
 *          is in its group when scene_spawn() returns.
 * Units    milliseconds where a name says so.
 * Errors   a failure of the scene itself fails the test.
 * Owner    the test.
 * Context  root; one test at a time in a process.
 */
#ifndef TEST_CGROUP_SCENE_H
#define TEST_CGROUP_SCENE_H

#include "cgroup.h"

#define WAIT_MS 10000 /* for what the kernel does at once: a test that waits longer has failed */

struct scene {
    struct cgroups cgroups;
    struct fault fault;
    pid_t children[64];
    size_t child_count;
};

int scene_set_up(void **state);
int scene_tear_down(void **state);

/* No limit of any kind. */
extern const struct cgroup_limits scene_unlimited;
/* PATH of this process; with SCENE_DETACHED behind it a second one. */
void scene_path(char path[80]);
#define SCENE_DETACHED "-detached"
#define SCENE_LEDGER "2f1c7f0e-1111-4222-8333-444455556666"

struct cgroup scene_make(struct scene *scene, const char *leaf, const struct cgroup_limits *limits);
struct cgroup scene_make_owned(struct scene *scene, const char *leaf, uid_t owner);

/* A process in the container's guest/ and in its v1 groups; NULL body: it waits for its end. */
pid_t scene_spawn(struct scene *scene, const struct cgroup *cgroup, int v2_group,
                  void (*body)(void));
void scene_reap(struct scene *scene, pid_t pid);
bool scene_is_alive(pid_t pid);

/* Wait for a level of cgroup.events by its own notification. */
void scene_wait_populated(const struct cgroup *cgroup, bool is_populated);
void scene_wait_frozen(const struct cgroup *cgroup, bool is_frozen);

/* One file of one leaf in the hierarchy that has it; the text without its newline. false: no
 * file. */
bool scene_read(const struct scene *scene, const char *leaf, const char *file, char text[256]);
bool scene_has_leaf(const struct scene *scene, const char *leaf); /* in any hierarchy */
int scene_count_fds(void);

#endif
