/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: the cap that bounds what a peer's octets can cost, and memory that moves under those
 * who point into it. Takings of many sizes, counted by the cap and written to their ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"

static void test_arena__takings__are_zeroed_aligned_and_apart(void **state)
{
    struct arena arena = {0};
    uint8_t *taken[200];
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            taken[i] = arena_take(&arena, i * 37);
            assert_non_null(taken[i]);
            assert_int_equal((uintptr_t)taken[i] % 16, 0);
            for (size_t at = 0; at < i * 37; at++)
                assert_int_equal(taken[i][at], 0);
            memset(taken[i], (int)i + 1, i * 37);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t at = 0; at < i * 37; at++)
                assert_int_equal(taken[i][at], i + 1);
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    arena_close(&arena);
}

static void test_arena__cap__holds_to_the_octet(void **state)
{
    struct arena arena = {.cap_bytes = 1000};
    (void)state;
    assert_null(arena_take(&arena, 1001));
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_null(arena_take(&arena, SIZE_MAX - 7));
    for (unsigned i = 0; i < 62; i++)
        assert_non_null(arena_take(&arena, 0)); /* not even nothing is free */
    assert_null(arena_take(&arena, 0));
    assert_int_equal(arena.used_bytes, 992);
    arena_reset(&arena);
    assert_non_null(arena_take(&arena, 992));
    assert_null(arena_take(&arena, 1));
    arena_close(&arena);

    arena = (struct arena){0};
    assert_non_null(arena_take(&arena, ARENA_BYTES_MAX));
    assert_null(arena_take(&arena, 1));
    arena_close(&arena);
}

static void test_arena__texts__are_copies(void **state)
{
    struct arena arena = {0};
    char text[] = "text";
    (void)state;

    const char *copy = arena_text(&arena, text);
    text[0] = 'T';

    assert_string_equal(copy, "text");
    assert_string_equal(arena_text(&arena, ""), "");
    assert_string_equal(arena_text(&arena, NULL), "");
    arena_close(&arena);
    arena.cap_bytes = 16;
    assert_null(arena_text(&arena, "sixteen octets.."));
    arena_close(&arena);
}

static void test_arena__a_steady_stream__takes_from_the_same_memory(void **state)
{
    struct arena arena = {0};
    (void)state;
    assert_non_null(arena_take(&arena, 1000));
    assert_non_null(arena_take(&arena, 20000));
    for (unsigned i = 0; i < 100; i++) {
        arena_reset(&arena);
        assert_non_null(arena_take(&arena, 1000));
        assert_non_null(arena_take(&arena, 20000));
    }
    const struct arena_block *blocks = arena.blocks;
    arena_reset(&arena);
    assert_non_null(arena_take(&arena, 1000));
    assert_ptr_equal(arena.blocks, blocks); /* nothing new was made */
    arena_close(&arena);
}

static void test_buffer__append_and_consume__keep_order(void **state)
{
    struct buffer buffer = {0};
    uint8_t sent = 0;
    uint8_t heard = 0;
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < round % 50; i++, sent++)
            assert_int_equal(buffer_append(&buffer, &sent, 1), 0);
        size_t gone = buffer.size_bytes / 2;
        for (size_t i = 0; i < gone; i++)
            assert_int_equal(buffer.data[i], heard++);
        buffer_consume(&buffer, gone);
    }
    assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
    assert_int_equal(buffer_append(&buffer, "", SIZE_MAX / 2), -ENOMEM);
    buffer_close(&buffer);
    assert_int_equal(buffer.room_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__takings__are_zeroed_aligned_and_apart),
        cmocka_unit_test(test_arena__cap__holds_to_the_octet),
        cmocka_unit_test(test_arena__texts__are_copies),
        cmocka_unit_test(test_arena__a_steady_stream__takes_from_the_same_memory),
        cmocka_unit_test(test_buffer__append_and_consume__keep_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
