/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: two spellings of one identity, or octets read beyond a short text. Each text is put at
 * the very end of its array, where a sanitizer sees a step too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "uuid.h"

#define TEXT "00112233-4455-6677-8899-aabbccddeeff"

static const uint8_t octets[UUID_BYTES] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                           0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static void test_uuid__there_and_back__is_the_same(void **state)
{
    uint8_t back[UUID_BYTES] = {0};
    char text[UUID_TEXT_BYTES];
    (void)state;

    assert_ptr_equal(uuid_format(octets, text), text);

    assert_string_equal(text, TEXT);
    assert_true(uuid_parse(text, back));
    assert_memory_equal(back, octets, UUID_BYTES);
}

static void test_uuid__cut_anywhere__is_refused_untouched(void **state)
{
    (void)state;
    for (size_t length = 0; length < UUID_TEXT_BYTES - 1; length++) {
        uint8_t back[UUID_BYTES] = {7};
        char *text = malloc(length + 1);
        assert_non_null(text);
        memcpy(text, TEXT, length);
        text[length] = '\0';

        assert_false(uuid_parse(text, back));

        assert_int_equal(back[0], 7);
        free(text);
    }
}

static void test_uuid__one_octet_wrong__is_refused(void **state)
{
    static const char wrong[] = {'-', 'g', 'A', '/', ':', '`', ' ', '\xff'};
    (void)state;
    for (size_t at = 0; at < UUID_TEXT_BYTES - 1; at++) {
        for (size_t i = 0; i < sizeof(wrong); i++) {
            uint8_t back[UUID_BYTES];
            char text[] = TEXT;
            if (text[at] == wrong[i])
                continue;
            text[at] = wrong[i];
            assert_false(uuid_parse(text, back));
        }
    }
}

static void test_uuid__other_spellings__are_refused(void **state)
{
    uint8_t back[UUID_BYTES];
    (void)state;
    assert_false(uuid_parse(TEXT "0", back));
    assert_false(uuid_parse(TEXT "-", back));
    assert_false(uuid_parse("{" TEXT "}", back));
    assert_false(uuid_parse("00112233445566778899aabbccddeeff", back));
    assert_false(uuid_parse("0011-22334455-6677-8899-aabbccddeeff", back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid__there_and_back__is_the_same),
        cmocka_unit_test(test_uuid__cut_anywhere__is_refused_untouched),
        cmocka_unit_test(test_uuid__one_octet_wrong__is_refused),
        cmocka_unit_test(test_uuid__other_spellings__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
