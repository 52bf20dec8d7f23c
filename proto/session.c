/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"

struct session_record {
    struct session_record *next;
    uint64_t number;
    uint64_t due_ns;
    uint64_t wait_ns; /* until it is due again after the next re-send */
    size_t size_bytes;
    uint8_t data[];
};

bool session_is_numbered(enum message_kind kind)
{
    switch (kind) {
    case MESSAGE_UNSET:
    case MESSAGE_HELLO:
    case MESSAGE_HELLO_ANSWER:
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_RESET:
    case MESSAGE_COUNT:
        return false;
    case MESSAGE_COMMAND:
    case MESSAGE_RECEIPT:
    case MESSAGE_EVENTS:
    case MESSAGE_EVENT_ACK:
    case MESSAGE_QUERY:
    case MESSAGE_ANSWER:
    case MESSAGE_STREAM_OPEN:
    case MESSAGE_STREAM_FRAME:
    case MESSAGE_STREAM_CREDIT:
    case MESSAGE_STREAM_END:
        return true;
    }
    return false;
}

/* ± 25 %, so that a thousand nodes that met one controller at once do not ping in step. */
static uint64_t next_ping_ns(const struct session *session, uint64_t now_ns)
{
    struct prng lot = {.state = session->id ^ now_ns};
    return now_ns + SESSION_PING_NS * 3 / 4 + prng_below(&lot, SESSION_PING_NS / 2);
}

void session_init(struct session *session, uint64_t id, uint64_t now_ns)
{
    *session = (struct session){.id = id, .heard_ns = now_ns, .due_ns = UINT64_MAX};
    session->ping_ns = id == 0 ? UINT64_MAX : next_ping_ns(session, now_ns);
}

/* Number, and all before it, have arrived. */
static void free_up_to(struct session *session, uint64_t number)
{
    while (session->first != NULL && session->first->number <= number) {
        struct session_record *gone = session->first;

        if (session->next_due == gone)
            session->next_due = gone->next;
        session->first = gone->next;
        session->kept_bytes -= gone->size_bytes;
        session->kept_count--;
        free(gone);
    }
    if (session->first == NULL) {
        session->last = NULL;
        session->due_ns = UINT64_MAX;
    }
}

void session_close(struct session *session)
{
    free_up_to(session, UINT64_MAX);
    session_init(session, 0, 0);
}

bool session_has_room(const struct session *session, size_t size_bytes)
{
    return session->id != 0 && session->kept_count < SESSION_RECORDS_MAX &&
           size_bytes <= SESSION_WINDOW_BYTES - session->kept_bytes;
}

static int keep(struct session *session, uint64_t number, const uint8_t *data, size_t size_bytes,
                uint64_t now_ns)
{
    if (!session_has_room(session, size_bytes))
        return -ENOBUFS;
    struct session_record *record = malloc(sizeof(*record) + size_bytes);
    if (record == NULL)
        return -ENOMEM;

    *record = (struct session_record){.number = number,
                                      .due_ns = now_ns + SESSION_RESEND_NS,
                                      .wait_ns = 2 * SESSION_RESEND_NS,
                                      .size_bytes = size_bytes};
    memcpy(record->data, data, size_bytes);
    if (session->last == NULL)
        session->first = record;
    else
        session->last->next = record;
    session->last = record;
    session->kept_bytes += size_bytes;
    session->kept_count++;
    if (record->due_ns < session->due_ns)
        session->due_ns = record->due_ns;
    return 0;
}

static void stamp(const struct session *session, struct message *message, uint64_t number)
{
    message->session = session->id;
    message->number = number;
    message->received = session->received;
    message->committed = session->committed;
}

int session_post(struct session *session, struct message *message, uint64_t now_ns,
                 struct buffer *out)
{
    size_t before_bytes = out->size_bytes;
    uint64_t number = session_is_numbered(message->kind) ? session->sent + 1 : 0;

    stamp(session, message, number);
    int result = codec_encode(message, out);
    if (result == 0 && number != 0)
        result =
            keep(session, number, out->data + before_bytes, out->size_bytes - before_bytes, now_ns);
    if (result < 0) {
        out->size_bytes = before_bytes;
        return result;
    }
    if (number != 0)
        session->sent = number;
    if (message->kind == MESSAGE_PING)
        session->ping_ns = next_ping_ns(session, now_ns);
    session->is_ack_owed = false;
    return 0;
}

enum session_verdict session_accept(struct session *session, const struct message *message,
                                    uint64_t now_ns)
{
    if (session->id == 0 || message->session != session->id)
        return SESSION_FOREIGN;
    if (message->received > session->sent)
        return SESSION_FOREIGN; /* it has what was never sent: it speaks of another life */

    session->heard_ns = now_ns;
    free_up_to(session, message->received);
    if (message->number == 0)
        return SESSION_TAKE;
    if (message->number > session->received + 1)
        return SESSION_GAP;
    session->is_ack_owed = true;
    if (message->number <= session->received)
        return SESSION_DUPLICATE;
    session->received = message->number;
    return SESSION_TAKE;
}

/* By way of the codec, which alone knows where the acknowledgements stand in the octets. What would
 * be too large in memory goes as it was: older acknowledgements are true as well. */
static int encode_again(const struct session *session, const struct session_record *record,
                        struct buffer *out)
{
    struct arena arena = {0};
    struct message message;

    int result = codec_decode(record->data, record->size_bytes, &arena, &message);
    if (result == 0) {
        stamp(session, &message, record->number);
        result = codec_encode(&message, out);
    }
    if (result < 0)
        result = buffer_append(out, record->data, record->size_bytes);
    arena_close(&arena);
    return result;
}

static uint64_t earliest_due_ns(const struct session *session)
{
    uint64_t due_ns = UINT64_MAX;

    for (const struct session_record *at = session->first; at != NULL; at = at->next)
        if (at->due_ns < due_ns)
            due_ns = at->due_ns;
    return due_ns;
}

bool session_due(struct session *session, uint64_t now_ns, struct buffer *out)
{
    if (now_ns < session->due_ns)
        return false;
    struct session_record *at = session->next_due != NULL ? session->next_due : session->first;
    while (at != NULL && at->due_ns > now_ns)
        at = at->next;
    if (at == NULL || encode_again(session, at, out) < 0) { /* out of memory: when called again */
        session->next_due = NULL;
        session->due_ns = earliest_due_ns(session);
        return false;
    }
    at->due_ns = now_ns + at->wait_ns;
    at->wait_ns = at->wait_ns * 2 < SESSION_RESEND_MAX_NS ? at->wait_ns * 2 : SESSION_RESEND_MAX_NS;
    session->next_due = at->next;
    session->is_ack_owed = false;
    return true;
}

uint64_t session_next_ns(const struct session *session)
{
    return session->due_ns < session->ping_ns ? session->due_ns : session->ping_ns;
}

bool session_is_dead(const struct session *session, uint64_t now_ns)
{
    return session->id != 0 && now_ns >= session->heard_ns + SESSION_DEAD_NS;
}
