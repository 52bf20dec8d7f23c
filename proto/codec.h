/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec.h — octets to messages and back; the only door to protobuf.
 *
 * Shape    codec_decode() fills a struct message whose texts and lists lie in an arena with a cap;
 *          codec_encode() appends to a buffer of the caller's.
 * Units    octets.
 * Errors   -EBADMSG: not a message, a text with NUL or not UTF-8 where text is asked, a count above
 *          its bound, an order that lacks what it needs; -EMSGSIZE: more than the arena's cap, or
 *          than a record may have; -ENOMEM; -EINVAL: a message that may not be sent.
 *          -EOPNOTSUPP: well-formed, but of a kind, or an order with a word, that this build does
 *          not know. The envelope's fields are set, so that it can be answered `unsupported`; kind
 *          is UNSET if the kind is not known, else the message is filled but for that word.
 * Owner    the caller owns arena and buffer; a message is valid until its arena is reset.
 * Context  any thread, one arena a thread. Source: protobuf-c 1.4.1 (no depth limit: no type is
 *          recursive; 48-fold amplification: hence the cap).
 */
#ifndef DROVER_CODEC_H
#define DROVER_CODEC_H

#include "message.h"
#include "uuid.h"

#define ARENA_BYTES_MAX (8 * 1024 * 1024)

/* Blocks are kept over a reset: a steady stream of messages allocates nothing. {0} is empty. */
struct arena {
    struct arena_block *blocks;
    size_t used_bytes; /* of all blocks since the last reset */
    size_t cap_bytes;  /* 0: ARENA_BYTES_MAX */
};

void arena_reset(struct arena *arena);
void arena_close(struct arena *arena);
/* Zeroed, aligned to 16; NULL above the cap. */
void *arena_take(struct arena *arena, size_t size_bytes);
const char *arena_text(struct arena *arena, const char *text);

/* Grows; {0} is empty. */
struct buffer {
    uint8_t *data;
    size_t size_bytes;
    size_t room_bytes;
};
void buffer_close(struct buffer *buffer);
int buffer_append(struct buffer *buffer, const void *data, size_t size_bytes);
/* Drop octets from the front. */
void buffer_consume(struct buffer *buffer, size_t size_bytes);

/* What is told (not ordered) with a later version's word is kept, with that word as unset or
 * unknown: COMPATIBILITY.md. */
int codec_decode(const uint8_t *data, size_t size_bytes, struct arena *arena,
                 struct message *ret_message);

/* At most so many octets of a message are this container's: lists are cut into messages by it. */
size_t codec_view_bytes(const struct container_view *view);

/* Append one encoded message. Texts that are NULL count as "". Nothing is appended on failure. */
int codec_encode(const struct message *message, struct buffer *buffer);

/* The same with the 4-octet little-endian length before it that local sockets use. */
int codec_encode_framed(const struct message *message, struct buffer *buffer);

/*
 * Look for one whole framed message at the front of a buffer.
 * Returns its length without the prefix (payload begins at data + 4), 0 if more octets are needed,
 * -EMSGSIZE if the prefix claims 0 or more than MESSAGE_BYTES_MAX.
 */
int64_t codec_frame_find(const struct buffer *buffer);

/* A configuration alone, as node.db keeps it. */
int codec_encode_config(const struct config *config, struct buffer *buffer);
int codec_decode_config(const uint8_t *data, size_t size_bytes, struct arena *arena,
                        struct config *ret_config);

#endif
