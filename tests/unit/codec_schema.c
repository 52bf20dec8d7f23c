/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a recursive type (the parser has no depth limit), a field that nobody writes, a word of
 * an enum that the model does not have. The descriptors that protoc-c made are walked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "drover.pb-c.h"
#include "samples.h"

#define DEPTH_MAX 8 /* codec_check.c's */
#define FIELDS_MAX 32
#define TYPES_MAX 64

struct path {
    const ProtobufCMessageDescriptor *types[DEPTH_MAX];
    size_t depth;
};

/* All paths from a type: one that meets itself again never ends, and so is found by its depth. */
static void walk_types(const ProtobufCMessageDescriptor *type, struct path path)
{
    for (size_t i = 0; i < path.depth; i++)
        assert_ptr_not_equal(path.types[i], type);
    assert_true(path.depth < DEPTH_MAX);
    assert_true(type->n_fields <= FIELDS_MAX);
    path.types[path.depth++] = type;
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            walk_types(type->fields[i].descriptor, path);
}

static void test_schema__from_the_envelope__no_type_is_recursive(void **state)
{
    (void)state;
    walk_types(&drover__envelope__descriptor, (struct path){.depth = 0});
}

/* Which fields of a type were seen set, over all samples. */
struct seen {
    const ProtobufCMessageDescriptor *type;
    bool is_set[FIELDS_MAX];
};
static struct seen seen[TYPES_MAX];
static size_t seen_count;

static struct seen *find_seen(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < seen_count; i++)
        if (seen[i].type == type)
            return &seen[i];
    assert_true(seen_count < TYPES_MAX);
    seen[seen_count].type = type;
    return &seen[seen_count++];
}

static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    static const uint8_t zero[sizeof(ProtobufCBinaryData)];
    const uint8_t *member = (const uint8_t *)message + field->offset;
    const uint8_t *quantifier = (const uint8_t *)message + field->quantifier_offset;
    const char *text;
    size_t count;
    uint32_t chosen;

    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&count, quantifier, sizeof(count));
        return count != 0;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        memcpy(&chosen, quantifier, sizeof(chosen));
        return chosen == field->id;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        memcpy(&text, member, sizeof(text));
        return text[0] != '\0';
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_BYTES)
        return memcmp(member, zero, sizeof(text)) != 0;
    return memcmp(member, zero, sizeof(uint32_t)) != 0; /* samples' numbers show there */
}

static void note_message(const ProtobufCMessage *message)
{
    struct seen *type = find_seen(message->descriptor);

    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const void *member = (const uint8_t *)message + field->offset;
        if (!is_set(message, field))
            continue;
        type->is_set[i] = true;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        size_t count = 1;
        ProtobufCMessage *const *one = member;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            memcpy(&count, (const uint8_t *)message + field->quantifier_offset, sizeof(count));
            memcpy(&one, member, sizeof(one));
        }
        for (size_t at = 0; at < count; at++)
            note_message(one[at]);
    }
}

static void test_schema__over_all_samples__every_field_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buffer buffer = {0};
        assert_int_equal(codec_encode(&samples[i], &buffer), 0);
        Drover__Envelope *envelope = drover__envelope__unpack(NULL, buffer.size_bytes, buffer.data);
        assert_non_null(envelope);
        note_message(&envelope->base);
        drover__envelope__free_unpacked(envelope, NULL);
        buffer_close(&buffer);
    }

    for (size_t i = 0; i < seen_count; i++)
        for (unsigned at = 0; at < seen[i].type->n_fields; at++)
            if (!seen[i].is_set[at])
                fail_msg("%s.%s is never written", seen[i].type->short_name,
                         seen[i].type->fields[at].name);
    assert_true(seen_count >= MESSAGE_COUNT);
}

static void test_schema__enums__have_no_word_beyond_the_models(void **state)
{
    static const struct {
        const ProtobufCEnumDescriptor *type;
        unsigned count;
    } rows[] = {
        {&drover__state__descriptor, CT_STATE_COUNT},
        {&drover__cause__descriptor, CAUSE_COUNT},
        {&drover__event_type__descriptor, EVENT_TYPE_COUNT},
        {&drover__verb__descriptor, VERB_COUNT},
        {&drover__ready__descriptor, READY_COUNT},
        {&drover__family__descriptor, FAMILY_COUNT},
        {&drover__restart__descriptor, RESTART_COUNT},
        {&drover__node_lost__descriptor, NODE_LOST_COUNT},
        {&drover__wait_for__descriptor, WAIT_FOR_COUNT},
        {&drover__phase__descriptor, PHASE_COUNT},
        {&drover__query_kind__descriptor, QUERY_COUNT},
        {&drover__since__descriptor, SINCE_COUNT},
        {&drover__stream_kind__descriptor, STREAM_COUNT},
        {&drover__lane__descriptor, LANE_COUNT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rows[i].type->n_values, rows[i].count);
        assert_non_null(strstr(rows[i].type->values[0].name, "UNSPECIFIED"));
        for (unsigned at = 0; at < rows[i].count; at++)
            assert_int_equal(rows[i].type->values[at].value, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__from_the_envelope__no_type_is_recursive),
        cmocka_unit_test(test_schema__over_all_samples__every_field_is_written),
        cmocka_unit_test(test_schema__enums__have_no_word_beyond_the_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
