/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec_pb.h — between the files of the codec: protobuf's structs, which no other file sees.
 *
 * Shape    in_*() make message.h's structs from Drover__*, out_*() the other way. codec_check()
 *          looks at octets before (and, of our own, after) protobuf-c handles them.
 * Units    octets.
 * Errors   struct in and struct out keep the first one and go on: -EBADMSG, -EMSGSIZE, -ENOMEM, and
 *          -EINVAL for what may not be sent.
 * Owner    results lie in the arena; texts and octets point to what the other side holds.
 * Context  any thread, one arena a thread. Only proto/codec*.c includes this.
 */
#ifndef DROVER_CODEC_PB_H
#define DROVER_CODEC_PB_H

#include "arena.h"
#include "drover.pb-c.h"

/* Repeated fields without a bound of their own; node_limits.h's CT_MAX is the longest list. */
#define LIST_MAX 16384

/*
 * Are these octets a message of this type: known fields of the right wire type, each singular one
 * (and each oneof) once, strings UTF-8 without NUL, lists within their bounds?
 *   ret_unknown  out  number of the last field of the outermost message that is not known, or 0
 * Returns 0 or -EBADMSG.
 */
int codec_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size_bytes,
                uint32_t *ret_unknown);

/* Octets of UTF-8 (RFC 3629) at the front of size_bytes ≥ 1: 1 to 4, or 0 for none. */
size_t utf8_step(const uint8_t *data, size_t size_bytes);

struct in {
    struct arena *arena;
    int result;          /* the first error; 0 */
    bool is_unsupported; /* an order uses a word that this build does not know */
};

void in_fail(struct in *in, int result);
void in_require(struct in *in, bool is_so); /* or -EBADMSG */
/* An enum of what is asked; 0 where it is not known. */
unsigned in_order(struct in *in, int value, unsigned count);
/* One that must be said. */
unsigned in_needed_order(struct in *in, int value, unsigned count);
/* Zeroed; NULL: none are there, or there is no room for them. */
void *in_list(struct in *in, size_t count, size_t size_bytes);
/* Anything but NUL: what a program is given. */
const char *in_bytes(struct in *in, ProtobufCBinaryData from);

/* Lists: ret_count is set only when it is not 0. Single ones: `from` may be NULL. */
const struct pair *in_pairs(struct in *in, Drover__Pair *const *from, size_t count,
                            size_t *ret_count);
const struct container_view *in_containers(struct in *in, Drover__ContainerState *const *from,
                                           size_t count, size_t *ret_count);
const struct event_view *in_events(struct in *in, Drover__Event *const *from, size_t count,
                                   size_t *ret_count);
void in_config(struct in *in, const Drover__Config *from, struct config *ret);
const struct config *in_config_new(struct in *in, const Drover__Config *from);
void in_container(struct in *in, const Drover__ContainerState *from, struct container_view *ret);
void in_fault(const Drover__Fault *from, struct fault_view *ret);

/* codec_in_body.c */
void in_envelope(struct in *in, const Drover__Envelope *from, struct message *ret);

struct out {
    struct arena arena;
    int result; /* the first error; 0 */
};

void out_fail(struct out *out, int result);
/* One that must be said, or -EINVAL. */
int out_needed(struct out *out, unsigned value, unsigned count);
/* Zeroed; NULL: none are there, or there is no room for them. */
void *out_list(struct out *out, size_t count, size_t size_bytes);
/* Pointers to the elements of an array, as protobuf-c wants its lists; NULL for NULL. */
void *out_pointers(struct out *out, void *elements, size_t count, size_t size_bytes);
ProtobufCBinaryData out_bytes(const char *text);

/* Lists: ret_count is set only when it is not 0. Single ones: NULL for nothing to say. */
Drover__Pair **out_pairs(struct out *out, const struct pair *from, size_t count, size_t *ret_count);
Drover__ContainerState **out_containers(struct out *out, const struct container_view *from,
                                        size_t count, size_t *ret_count);
Drover__Event **out_events(struct out *out, const struct event_view *from, size_t count,
                           size_t *ret_count);
Drover__Config *out_config(struct out *out, const struct config *from);
Drover__ContainerState *out_container(struct out *out, const struct container_view *from);
Drover__Fault *out_fault(struct out *out, const struct fault_view *from);

/* codec_out_body.c */
void out_envelope(struct out *out, const struct message *from, Drover__Envelope *ret);

#endif
