/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a child of the host's root that reads beyond a plan. One good block; each field is then
 * made wrong alone, and every octet is changed in turn while a memory checker looks on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/filter.h>

#include "keeper_plan.h"
#include "keeper_wire.h"

struct block {
    struct kp_header header;
    struct kp_mount mounts[2];
    struct kp_rlimit rlimits[1];
    struct sock_filter filter[2];
    uint32_t candidates[1];
    uint32_t argv[2];
    uint32_t env[1];
    uint32_t groups[2];
    uint32_t zero[2];
    char text[32];
};
static_assert(offsetof(struct block, filter) % 8 == 0, "as seccomp wants it");

#define AT(member) ((uint32_t)offsetof(struct block, member))
#define TEXT (AT(text))

static struct block make_block(void)
{
    struct block block = {
        .header = {.magic = KP_MAGIC,
                   .version = KP_VERSION,
                   .size_bytes = sizeof(struct block),
                   .flags = KP_USERNS | KP_NEWNET,
                   .uid_base = 1000000,
                   .uid_count = 65536,
                   .caps_keep = KP_CAPS_ALL,
                   .groups = AT(groups),
                   .group_count = 2,
                   .mounts = AT(mounts),
                   .mount_count = 2,
                   .rlimits = AT(rlimits),
                   .rlimit_count = 1,
                   .candidates = AT(candidates),
                   .candidate_count = 1,
                   .argv = AT(argv),
                   .argv_count = 2,
                   .env = AT(env),
                   .env_count = 1,
                   .hostname = TEXT,
                   .cwd = TEXT,
                   .seccomp = AT(filter),
                   .seccomp_count = 2,
                   .oom_score_adj = -1000},
        .mounts = {{.kind = KP_ATTACH, .target = TEXT, .fd_index = KW_FDS_MAX - 1, .is_file = 1},
                   {.kind = KP_SYMLINK, .target = TEXT, .options = TEXT + 5, .fd_index = -1}},
        .rlimits = {{.resource = 7, .soft = 1, .hard = 2}},
        .candidates = {TEXT},
        .argv = {TEXT, TEXT + 4}, /* the second is empty */
        .env = {TEXT + 5},
        .text = "init\0A=b",
    };
    return block;
}

static int check(const struct block *block)
{
    return kp_check(block, sizeof(*block));
}

static void test_check__whole_block__is_accepted(void **state)
{
    (void)state;
    struct block block = make_block();
    assert_int_equal(check(&block), 0);
}

static void test_check__header_alone__is_accepted(void **state)
{
    (void)state;
    struct kp_header header = {
        .magic = KP_MAGIC, .version = KP_VERSION, .size_bytes = sizeof(header)};
    assert_int_equal(kp_check(&header, sizeof(header)), 0);
}

static void test_check__one_wrong_field__is_refused(void **state)
{
    (void)state;
    const uint32_t end = sizeof(struct block);
#define WRONG(field, value)                                                                        \
    do {                                                                                           \
        struct block block = make_block();                                                         \
        block.field = (value);                                                                     \
        if (check(&block) != -EBADMSG)                                                             \
            fail_msg("accepted: %s = %s", #field, #value);                                         \
    } while (0)
    WRONG(header.magic, 0);
    WRONG(header.version, 2);
    WRONG(header.zero, 1);
    WRONG(header.zero2, 1);
    WRONG(header.size_bytes, end - 1);
    WRONG(header.size_bytes, end + 1);
    WRONG(header.flags, 1u << 31);
    WRONG(header.oom_score_adj, -1001);
    WRONG(header.oom_score_adj, 1001);
    WRONG(header.rows, 65536);
    WRONG(header.columns, 65536);
    WRONG(header.hostname, 1); /* inside the header */
    WRONG(header.hostname, end);
    WRONG(header.cwd, UINT32_MAX);
    WRONG(header.mounts, 0);
    WRONG(header.mounts, AT(mounts) + 4); /* not aligned */
    WRONG(header.mounts, end);
    WRONG(header.mounts, UINT32_MAX - 7);
    WRONG(header.mount_count, KP_MOUNTS_MAX + 1);
    WRONG(header.mount_count, UINT32_MAX);
    WRONG(header.rlimits, AT(rlimits) + 4);
    WRONG(header.rlimit_count, KP_RLIMITS_MAX + 1);
    WRONG(header.candidates, AT(candidates) + 1);
    WRONG(header.candidate_count, KW_CANDIDATES_MAX + 1);
    WRONG(header.argv, end - 4);
    WRONG(header.argv_count, KP_ARGS_MAX + 1);
    WRONG(header.env, UINT32_MAX - 3);
    WRONG(header.env_count, UINT32_MAX);
    WRONG(header.groups, AT(groups) + 2);
    WRONG(header.group_count, UINT32_MAX);
    WRONG(header.seccomp, AT(filter) + 4);
    WRONG(header.seccomp, 0);
    WRONG(header.seccomp_count, 0);
    WRONG(header.seccomp_count, BPF_MAXINSNS + 1);
    WRONG(header.seccomp_count, 4096);
    WRONG(mounts[0].kind, 0);
    WRONG(mounts[0].kind, KP_CGROUP1 + 1);
    WRONG(mounts[0].target, 0);
    WRONG(mounts[0].target, end);
    WRONG(mounts[0].options, end);
    WRONG(mounts[0].fd_index, -2);
    WRONG(mounts[0].fd_index, -1); /* ATTACH needs one */
    WRONG(mounts[0].fd_index, KW_FDS_MAX);
    WRONG(mounts[0].is_file, 2);
    WRONG(mounts[0].is_optional, 2);
    WRONG(mounts[1].options, 0); /* SYMLINK needs a text */
    WRONG(rlimits[0].resource, 16);
    WRONG(rlimits[0].zero, 1);
    WRONG(candidates[0], 0);
    WRONG(candidates[0], end);
    WRONG(argv[1], 4);
    WRONG(env[0], UINT32_MAX);
#undef WRONG
}

static void test_check__text_without_end__is_refused(void **state)
{
    (void)state;
    struct block block = make_block();
    memset(block.text, 'x', sizeof(block.text));
    assert_int_equal(check(&block), -EBADMSG);
    block.text[sizeof(block.text) - 1] = '\0';
    block.mounts[1].options = TEXT;
    assert_int_equal(check(&block), 0);
}

static void test_check__size__is_bounded(void **state)
{
    (void)state;
    struct block block = make_block();
    assert_int_equal(kp_check(&block, 0), -EBADMSG);
    assert_int_equal(kp_check(&block, sizeof(struct kp_header) - 1), -EBADMSG);

    size_t size = KP_BYTES_MAX + 8;
    struct kp_header *large = calloc(1, size);
    assert_non_null(large);
    *large =
        (struct kp_header){.magic = KP_MAGIC, .version = KP_VERSION, .size_bytes = (uint32_t)size};
    assert_int_equal(kp_check(large, size), -EBADMSG);
    large->size_bytes = KP_BYTES_MAX;
    assert_int_equal(kp_check(large, KP_BYTES_MAX), 0);
    free(large);
}

static void test_check__unaligned_block__is_refused(void **state)
{
    (void)state;
    struct block block = make_block();
    char *bytes = malloc(sizeof(block) + 8);
    assert_non_null(bytes);
    memcpy(bytes + 4, &block, sizeof(block));
    assert_int_equal(kp_check(bytes + 4, sizeof(block)), -EBADMSG);
    free(bytes);
}

/* Whatever was accepted is then read as the stage does: all of it lies in the block. */
static size_t read_all(const struct kp_header *plan)
{
    const char *start = (const char *)plan;
    const struct kp_mount *mounts = (const void *)(start + plan->mounts);
    const uint32_t *argv = (const void *)(start + plan->argv);
    const uint32_t *groups = (const void *)(start + plan->groups);
    size_t sum = plan->hostname == 0 ? 0 : strlen(kp_string(plan, plan->hostname));
    for (uint32_t i = 0; i < plan->mount_count; i++) {
        sum += strlen(kp_string(plan, mounts[i].target));
        if (mounts[i].options != 0)
            sum += strlen(kp_string(plan, mounts[i].options));
    }
    for (uint32_t i = 0; i < plan->argv_count; i++)
        sum += strlen(kp_string(plan, argv[i]));
    for (uint32_t i = 0; i < plan->group_count; i++)
        sum += groups[i];
    return sum;
}

static void test_check__any_octet_changed__never_leads_out(void **state)
{
    (void)state;
    static const unsigned char values[] = {0, 1, 3, 7, 0x7f, 0x80, 0xf8, 0xff};
    const struct block good = make_block();
    size_t sum = 0;

    /* On the heap and exactly as large: one octet too far is a report of the memory checker. */
    struct kp_header *plan = malloc(sizeof(good));
    assert_non_null(plan);
    for (size_t i = 0; i < sizeof(good); i++)
        for (size_t v = 0; v < sizeof(values); v++) {
            memcpy(plan, &good, sizeof(good));
            ((unsigned char *)plan)[i] = values[v];
            if (kp_check(plan, sizeof(good)) == 0)
                sum += read_all(plan);
        }
    free(plan);
    assert_true(sum > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check__whole_block__is_accepted),
        cmocka_unit_test(test_check__header_alone__is_accepted),
        cmocka_unit_test(test_check__one_wrong_field__is_refused),
        cmocka_unit_test(test_check__text_without_end__is_refused),
        cmocka_unit_test(test_check__size__is_bounded),
        cmocka_unit_test(test_check__unaligned_block__is_refused),
        cmocka_unit_test(test_check__any_octet_changed__never_leads_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
