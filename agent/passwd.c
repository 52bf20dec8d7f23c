/* SPDX-License-Identifier: Apache-2.0 */
#include "passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

#define FILE_BYTES_MAX (1024 * 1024)
#define FIELDS_MAX 7

/* A whole file of the guest, ended with NUL; the caller frees. Never blocks on what it may be. */
static int read_guest_file(int root, const char *path, char **ret_text)
{
    struct stat stat;
    AUTO_FD fd = sys_openat2(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                             RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return -EINVAL;

    AUTO_FREE char *text = malloc(FILE_BYTES_MAX + 1);
    if (text == NULL)
        return -ENOMEM;
    int length = sys_read_text(fd, text, FILE_BYTES_MAX + 1);
    if (length < 0)
        return length;
    *ret_text = take_ptr(&text);
    return 0;
}

static bool number_parse(const char *text, uint32_t *ret_number)
{
    uint64_t number = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
        if (number >= UINT32_MAX) /* -1 is "no id" to the kernel */
            return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* Cut the next line off *text and into fields. Returns their number, 0 at the end. */
static size_t line_take(char **text, char *fields[FIELDS_MAX])
{
    size_t count = 0;
    char *line;
    do
        line = strsep(text, "\n");
    while (line != NULL && (*line == '\0' || *line == '#'));
    while (line != NULL && count < FIELDS_MAX)
        fields[count++] = strsep(&line, ":");
    return count;
}

/* A user's line, by name, or by uid where `name` is NULL. */
static bool find_line(char *text, const char *name, struct passwd *passwd)
{
    char *fields[FIELDS_MAX];
    size_t count;
    while ((count = line_take(&text, fields)) > 0) {
        uint32_t uid;
        uint32_t gid;
        if (count < 6 || !number_parse(fields[2], &uid) || !number_parse(fields[3], &gid))
            continue;
        if (name != NULL ? strcmp(fields[0], name) != 0 : uid != passwd->uid)
            continue;
        passwd->uid = uid;
        passwd->gid = gid;
        (void)snprintf(passwd->name, sizeof(passwd->name), "%s", fields[0]);
        (void)snprintf(passwd->home, sizeof(passwd->home), "%s", fields[5]);
        return true;
    }
    return false;
}

static bool is_member(char *members, const char *name)
{
    char *member;
    while ((member = strsep(&members, ",")) != NULL)
        if (strcmp(member, name) == 0)
            return true;
    return false;
}

static void add_groups(char *text, struct passwd *passwd)
{
    char *fields[FIELDS_MAX];
    size_t count;
    while ((count = line_take(&text, fields)) > 0) {
        uint32_t gid;
        if (count < 4 || !number_parse(fields[2], &gid) || !is_member(fields[3], passwd->name))
            continue;
        if (passwd->group_count < PLAN_GROUPS_MAX)
            passwd->groups[passwd->group_count++] = gid;
    }
}

/* UID[:GID] that the guest's files need not know. */
static bool ids_parse(const char *user, struct passwd *passwd, bool *ret_has_gid)
{
    char text[32];
    if (snprintf(text, sizeof(text), "%s", user) >= (int)sizeof(text))
        return false;
    char *gid = strchr(text, ':');
    if (gid != NULL)
        *gid++ = '\0';
    *ret_has_gid = gid != NULL;
    return number_parse(text, &passwd->uid) && (gid == NULL || number_parse(gid, &passwd->gid));
}

int passwd_find(int root, const char *user, struct passwd *ret_passwd)
{
    struct passwd passwd = {.home = "/"};
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *groups = NULL;
    bool has_gid = false;
    bool is_number = user[0] == '\0' || ids_parse(user, &passwd, &has_gid);
    uint32_t gid = passwd.gid;

    if (!is_number && strchr(user, ':') != NULL)
        return -EINVAL;
    int rc = read_guest_file(root, "/etc/passwd", &text);
    if (rc < 0 && !is_number)
        return rc;
    bool is_found = rc == 0 && find_line(text, is_number ? NULL : user, &passwd);
    if (!is_found && !is_number)
        return -ENOENT;

    /* An id without a line: alone in a group of its own number, never in root's. */
    if (has_gid)
        passwd.gid = gid;
    else if (!is_found)
        passwd.gid = passwd.uid;
    if (passwd.name[0] == '\0')
        (void)snprintf(passwd.name, sizeof(passwd.name), passwd.uid == 0 ? "root" : "%u",
                       passwd.uid);
    if (!is_found && passwd.uid == 0)
        (void)snprintf(passwd.home, sizeof(passwd.home), "/root");
    if (is_found && !has_gid && read_guest_file(root, "/etc/group", &groups) == 0)
        add_groups(groups, &passwd);
    *ret_passwd = passwd;
    return 0;
}
