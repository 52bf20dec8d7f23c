/* SPDX-License-Identifier: Apache-2.0 */
#include "subid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

static bool is_overlap(const char *line, uint32_t base, uint32_t count, char owner[64])
{
    uint64_t start;
    uint64_t length;

    /* What cannot be read as an entry owns nothing: useradd(8) and newuidmap(1) skip it too. */
    if (sscanf(line, "%63[^:\n]:%" SCNu64 ":%" SCNu64, owner, &start, &length) != 3)
        return false;
    if (strcmp(owner, "root") == 0 || strcmp(owner, "drover") == 0)
        return false;
    return start < (uint64_t)base + count && length > 0 && (start >= base || length > base - start);
}

int subid_check_file(const char *path, uint32_t base, uint32_t count, struct fault *fault)
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES];
    char owner[64];
    bool has_overlap = false;

    if (file == NULL)
        return 0;
    while (!has_overlap && fgets(line, sizeof(line), file) != NULL)
        has_overlap = is_overlap(line, base, count, owner);
    (void)fclose(file); /* read only: nothing is lost */
    if (!has_overlap)
        return 0;
    line[strcspn(line, "\n")] = '\0';
    fault_set(fault, STATUS_INVALID, EEXIST, "ids %u to %u are %s's already (%s: %s)",
              (uint64_t)base, (uint64_t)base + count - 1, owner, path, line);
    fault_hint(fault, "give drover-agent another --uid-base or a smaller --uid-count");
    return -EEXIST;
}

int subid_check(uint32_t base, uint32_t count, struct fault *fault)
{
    int result = subid_check_file("/etc/subuid", base, count, fault);

    return result < 0 ? result : subid_check_file("/etc/subgid", base, count, fault);
}
