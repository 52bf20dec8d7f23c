/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. protobuf-c checks neither UTF-8 nor NUL (a string with one inside is silently cut),
 * merges what comes twice, and allocates as it reads; so octets are walked by the schema first. The
 * walk keeps its own stack: its depth is the schema's, which has no recursive type.
 */
#include <errno.h>
#include <string.h>

#include "codec_pb.h"
#include "ensure.h"

#define DEPTH_MAX 8
#define FIELDS_MAX 32 /* of one message type */
#define TAG_OCTETS_MAX 5
#define VARINT_OCTETS_MAX 10

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

struct frame {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *end;
    uint32_t counts[FIELDS_MAX];
};

struct walk {
    const uint8_t *at;
    size_t depth;
    struct frame frames[DEPTH_MAX];
    uint32_t unknown; /* of the outermost frame */
};

struct field {
    uint32_t number;
    enum wire wire;
    const uint8_t *data; /* of WIRE_LENGTH */
    size_t size_bytes;
};

static bool is_tail(uint8_t octet)
{
    return (octet & 0xC0) == 0x80;
}

size_t utf8_step(const uint8_t *data, size_t size_bytes)
{
    uint8_t head = data[0];

    if (head < 0x80)
        return 1;
    if (head < 0xC2 || head > 0xF4 || size_bytes < 2 || !is_tail(data[1]))
        return 0;
    if (head < 0xE0)
        return 2;
    if (size_bytes < 3 || !is_tail(data[2]))
        return 0;
    if (head < 0xF0) {
        bool is_overlong = head == 0xE0 && data[1] < 0xA0;
        bool is_surrogate = head == 0xED && data[1] >= 0xA0;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    bool is_overlong = head == 0xF0 && data[1] < 0x90;
    bool is_beyond = head == 0xF4 && data[1] >= 0x90; /* U+10FFFF */
    if (size_bytes < 4 || !is_tail(data[3]) || is_overlong || is_beyond)
        return 0;
    return 4;
}

static bool is_text(const uint8_t *data, size_t size_bytes)
{
    while (size_bytes > 0) {
        size_t step = data[0] == '\0' ? 0 : utf8_step(data, size_bytes);
        if (step == 0)
            return false;
        data += step;
        size_bytes -= step;
    }
    return true;
}

static bool read_varint(const uint8_t **at, const uint8_t *end, unsigned octets_max,
                        uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < octets_max && *at + i < end; i++) {
        uint8_t octet = (*at)[i];
        value |= (uint64_t)(octet & 0x7F) << (7 * i);
        if (octet < 0x80) {
            *at += i + 1;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool skip(const uint8_t **at, const uint8_t *end, size_t size_bytes)
{
    if ((size_t)(end - *at) < size_bytes)
        return false;
    *at += size_bytes;
    return true;
}

/* One field: its tag, and past its value. */
static bool read_field(const uint8_t **at, const uint8_t *end, struct field *ret_field)
{
    uint64_t tag;
    uint64_t value;

    if (!read_varint(at, end, TAG_OCTETS_MAX, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    ret_field->number = (uint32_t)(tag >> 3);
    ret_field->wire = (enum wire)(tag & 7);
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(at, end, VARINT_OCTETS_MAX, &value);
    case WIRE_64:
        return skip(at, end, 8);
    case WIRE_32:
        return skip(at, end, 4);
    case WIRE_LENGTH:
        if (!read_varint(at, end, TAG_OCTETS_MAX, &value) || value > MESSAGE_BYTES_MAX)
            return false;
        ret_field->data = *at;
        ret_field->size_bytes = (size_t)value;
        return skip(at, end, (size_t)value);
    default: /* groups, and what never was */
        return false;
    }
}

static enum wire wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return WIRE_VARINT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LENGTH;
    }
    return WIRE_VARINT;
}

static uint32_t count_max(const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return 1;
    if (field->descriptor == &drover__pair__descriptor ||
        field->descriptor == &drover__bind__descriptor ||
        field->descriptor == &drover__tmpfs__descriptor)
        return CONFIG_LIST_MAX;
    if (field->descriptor == &drover__setting__descriptor ||
        field->descriptor == &drover__setting_receipt__descriptor)
        return 4 * CONFIG_LIST_MAX; /* entries of lists are named one by one */
    if (field->descriptor == &drover__event__descriptor)
        return EVENT_BATCH_MAX;
    return LIST_MAX;
}

/* Another member of the same oneof was there before. */
static bool is_second_of_oneof(const struct frame *frame, const ProtobufCFieldDescriptor *field)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return false;
    for (unsigned i = 0; i < frame->type->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &frame->type->fields[i];
        if (other != field && frame->counts[i] != 0 &&
            (other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            other->quantifier_offset == field->quantifier_offset)
            return true;
    }
    return false;
}

static void enter(struct walk *walk, const ProtobufCMessageDescriptor *type, const uint8_t *end)
{
    ENSURE(walk->depth < DEPTH_MAX); /* the schema's, not the peer's */
    ENSURE(type->n_fields <= FIELDS_MAX);
    struct frame *frame = &walk->frames[walk->depth++];
    frame->type = type;
    frame->end = end;
    memset(frame->counts, 0, type->n_fields * sizeof(frame->counts[0]));
}

static int walk_field(struct walk *walk, const struct field *found)
{
    struct frame *frame = &walk->frames[walk->depth - 1];
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(frame->type, found->number);

    if (field == NULL) {
        if (walk->depth == 1)
            walk->unknown = found->number;
        return 0;
    }
    if (found->wire != wire_of(field->type))
        return -EBADMSG;
    if (++frame->counts[field - frame->type->fields] > count_max(field))
        return -EBADMSG;
    if (is_second_of_oneof(frame, field))
        return -EBADMSG;
    if (field->type == PROTOBUF_C_TYPE_STRING && !is_text(found->data, found->size_bytes))
        return -EBADMSG;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        walk->at = found->data;
        enter(walk, field->descriptor, found->data + found->size_bytes);
    }
    return 0;
}

int codec_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size_bytes,
                uint32_t *ret_unknown)
{
    struct walk walk;
    struct field found = {0}; /* gcc does not see that read_field() fills it */

    walk.at = data;
    walk.depth = 0;
    walk.unknown = 0;
    if (size_bytes > 0)
        enter(&walk, type, data + size_bytes);
    while (walk.depth > 0) {
        const uint8_t *end = walk.frames[walk.depth - 1].end;
        if (walk.at == end) {
            walk.depth--;
            continue;
        }
        if (!read_field(&walk.at, end, &found))
            return -EBADMSG;
        int result = walk_field(&walk, &found);
        if (result < 0)
            return result;
    }
    *ret_unknown = walk.unknown;
    return 0;
}
