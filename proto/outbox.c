/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include <errno.h>

#define FRAME_PREFIX_BYTES 4
/* What the envelope adds to a numbered message; generous, as it only decides when to wait. */
#define ENVELOPE_BYTES 128

bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->kept_count == 0;
}

static int keep(struct outbox *outbox, const struct message *message)
{
    if (outbox->kept.size_bytes - outbox->kept_from >= OUTBOX_BYTES_MAX)
        return -ENOBUFS;
    int result = codec_encode_framed(message, &outbox->kept);
    if (result == 0)
        outbox->kept_count++;
    return result;
}

int outbox_post(struct outbox *outbox, struct session *session, struct message *message,
                uint64_t now_ns, struct buffer *wire)
{
    if (outbox_is_empty(outbox) || !session_is_numbered(message->kind)) {
        int result = session_post(session, message, now_ns, wire);
        if (result != -ENOBUFS)
            return result == 0 ? 1 : result;
    }
    return keep(outbox, message);
}

/* What went is cut off when it is half of all, so that a long queue is not moved for each. */
static void drop_first(struct outbox *outbox, size_t size_bytes)
{
    outbox->kept_from += size_bytes;
    outbox->kept_count--;
    if (outbox_is_empty(outbox) && outbox->kept.room_bytes > MESSAGE_BYTES_MAX) {
        outbox_close(outbox); /* a peer that was away for long need not cost its queue for ever */
        return;
    }
    if (outbox->kept_from * 2 < outbox->kept.size_bytes)
        return;
    buffer_consume(&outbox->kept, outbox->kept_from);
    outbox->kept_from = 0;
}

bool outbox_next(struct outbox *outbox, struct session *session, uint64_t now_ns,
                 struct arena *arena, struct buffer *wire)
{
    while (!outbox_is_empty(outbox)) {
        const struct buffer rest = {.data = outbox->kept.data + outbox->kept_from,
                                    .size_bytes = outbox->kept.size_bytes - outbox->kept_from};
        size_t size_bytes = (size_t)codec_frame_find(&rest);
        struct message message;

        if (!session_has_room(session, size_bytes + ENVELOPE_BYTES))
            return false;
        arena_reset(arena);
        /* Out of memory: it is lost to its asker, who asks again. */
        int result = codec_decode(rest.data + FRAME_PREFIX_BYTES, size_bytes, arena, &message);
        if (result == 0)
            result = session_post(session, &message, now_ns, wire);
        if (result == -ENOBUFS)
            return false;
        drop_first(outbox, FRAME_PREFIX_BYTES + size_bytes);
        if (result == 0)
            return true;
    }
    return false;
}

void outbox_close(struct outbox *outbox)
{
    buffer_close(&outbox->kept);
    *outbox = (struct outbox){0};
}
