/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. A message is decoded by a walk over its octets (codec_check.c), protobuf-c into the
 * arena, and one pass that fills message.h's structs, whose texts stay where protobuf-c put them.
 * What is encoded takes the same walk, so that nothing leaves which a peer would refuse for ever.
 */
#include "codec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec_pb.h"
#include "ensure.h"

#define PREFIX_BYTES 4
#define SCRATCH_BYTES 8192 /* of most messages' structs; more comes from the heap */
#define BODY_FIRST 10      /* numbers of the envelope's bodies, known and to come */
#define BODY_LAST 99

struct source {
    struct arena *arena;
    int result; /* why the last one failed */
};

/* One octet more than is asked for, which is 0: bytes are texts so, too. */
static void *on_alloc(void *context, size_t size_bytes)
{
    struct source *source = context;
    void *taken = size_bytes < SIZE_MAX ? arena_take(source->arena, size_bytes + 1) : NULL;

    if (taken == NULL)
        source->result = arena_has_room(source->arena, size_bytes + 1) ? -ENOMEM : -EMSGSIZE;
    return taken;
}

static void on_free(void *context, void *taken)
{
    (void)context, (void)taken; /* the arena's reset frees all */
}

/* Checked and unpacked; NULL with the reason in ret_result. */
static const void *unpack(const ProtobufCMessageDescriptor *type, struct octets octets,
                          struct arena *arena, uint32_t *ret_unknown, int *ret_result)
{
    struct source source = {.arena = arena, .result = -EBADMSG};
    ProtobufCAllocator allocator = {.alloc = on_alloc, .free = on_free, .allocator_data = &source};

    *ret_result = octets.size_bytes > MESSAGE_BYTES_MAX
                      ? -EMSGSIZE
                      : codec_check(type, octets.data, octets.size_bytes, ret_unknown);
    if (*ret_result < 0)
        return NULL;
    const void *unpacked =
        protobuf_c_message_unpack(type, &allocator, octets.size_bytes, octets.data);
    if (unpacked == NULL)
        *ret_result = source.result;
    return unpacked;
}

static int result_of(const struct in *in)
{
    if (in->result < 0)
        return in->result;
    return in->is_unsupported ? -EOPNOTSUPP : 0;
}

int codec_decode(const uint8_t *data, size_t size_bytes, struct arena *arena,
                 struct message *ret_message)
{
    const struct octets octets = {.data = data, .size_bytes = size_bytes};
    struct in in = {.arena = arena};
    uint32_t unknown = 0;
    int result;

    const Drover__Envelope *envelope =
        unpack(&drover__envelope__descriptor, octets, arena, &unknown, &result);
    if (envelope == NULL)
        return result;
    *ret_message = (struct message){.session = envelope->session,
                                    .number = envelope->number,
                                    .received = envelope->received,
                                    .committed = envelope->committed};
    if (envelope->body_case == DROVER__ENVELOPE__BODY__NOT_SET)
        return unknown >= BODY_FIRST && unknown <= BODY_LAST ? -EOPNOTSUPP : -EBADMSG;
    in_envelope(&in, envelope, ret_message);
    return result_of(&in);
}

/* The room for the prefix is there already; it and the message are claimed together. */
static int pack(const ProtobufCMessage *message, size_t prefix_bytes, struct buffer *buffer)
{
    size_t size_bytes = protobuf_c_message_get_packed_size(message);
    uint32_t unknown;

    if (size_bytes > MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    /* Never 0: what has no octets has a place all the same. */
    int result = buffer_reserve(buffer, prefix_bytes + size_bytes + 1);
    if (result < 0)
        return result;
    uint8_t *prefix = buffer->data + buffer->size_bytes;
    uint8_t *data = prefix + prefix_bytes;
    size_t packed_bytes = protobuf_c_message_pack(message, data);
    ENSURE(packed_bytes == size_bytes);
    result = codec_check(message->descriptor, data, size_bytes, &unknown);
    if (result < 0)
        return result;

    for (size_t i = 0; i < prefix_bytes; i++)
        prefix[i] = (uint8_t)(size_bytes >> (8 * i));
    buffer->size_bytes += prefix_bytes + size_bytes;
    return 0;
}

static int encode(const struct message *message, size_t prefix_bytes, struct buffer *buffer)
{
    _Alignas(16) uint8_t scratch[SCRATCH_BYTES];
    struct out out = {0};
    Drover__Envelope envelope;

    arena_lend(&out.arena, scratch, sizeof(scratch));
    out_envelope(&out, message, &envelope);
    int result = out.result;
    if (result == 0)
        result = pack(&envelope.base, prefix_bytes, buffer);
    arena_close(&out.arena);
    return result;
}

int codec_encode(const struct message *message, struct buffer *buffer)
{
    return encode(message, 0, buffer);
}

int codec_encode_framed(const struct message *message, struct buffer *buffer)
{
    return encode(message, PREFIX_BYTES, buffer);
}

int64_t codec_frame_find(const struct buffer *buffer)
{
    size_t size_bytes = 0;

    if (buffer->size_bytes < PREFIX_BYTES)
        return 0;
    for (size_t i = 0; i < PREFIX_BYTES; i++)
        size_bytes |= (size_t)buffer->data[i] << (8 * i);
    if (size_bytes == 0 || size_bytes > MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    return buffer->size_bytes - PREFIX_BYTES >= size_bytes ? (int64_t)size_bytes : 0;
}

int codec_encode_config(const struct config *config, struct buffer *buffer)
{
    _Alignas(16) uint8_t scratch[SCRATCH_BYTES];
    struct out out = {0};

    arena_lend(&out.arena, scratch, sizeof(scratch));
    const Drover__Config *packed = out_config(&out, config);
    int result = out.result;
    if (result == 0)
        result = pack(&packed->base, 0, buffer);
    arena_close(&out.arena);
    return result;
}

int codec_decode_config(const uint8_t *data, size_t size_bytes, struct arena *arena,
                        struct config *ret_config)
{
    const struct octets octets = {.data = data, .size_bytes = size_bytes};
    struct in in = {.arena = arena};
    uint32_t unknown;
    int result;

    const Drover__Config *config =
        unpack(&drover__config__descriptor, octets, arena, &unknown, &result);
    if (config == NULL)
        return result;
    in_config(&in, config, ret_config);
    return result_of(&in);
}

/* Numbers, enumerators and the lengths before texts are within what is added. */
size_t codec_view_bytes(const struct container_view *view)
{
    size_t size_bytes = 160 + strlen(view->name) + strlen(view->node);

    for (size_t i = 0; i < view->label_count; i++)
        size_bytes += 16 + strlen(view->labels[i].key) + strlen(view->labels[i].value);
    return size_bytes;
}
