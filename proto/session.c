/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"

struct session_record {
    struct session_record *next;
    uint64_t number;
    uint64_t sent_ns; /* for the last time */
    uint64_t due_ns;
    unsigned resent; /* how often, since what stands before it was acknowledged */
    bool is_resent;  /* at all */
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
    case MESSAGE_CONTAINERS:
        return true;
    }
    return false;
}

/* ± 25 %, so that a thousand nodes that met one controller at once do not ping in step. One that
 * was not answered is soon followed by more: on a bad line it is not the peer that is dead. */
static uint64_t next_ping_ns(const struct session *session, uint64_t now_ns)
{
    struct prng lot = {.state = session->id ^ now_ns};

    if (session->ping_sent_ns != 0 && session->heard_ns <= session->ping_sent_ns)
        return now_ns + SESSION_PING_AGAIN_NS;
    return now_ns + SESSION_PING_NS * 3 / 4 + prng_below(&lot, SESSION_PING_NS / 2);
}

void session_init(struct session *session, uint64_t id, uint64_t now_ns)
{
    *session = (struct session){.id = id, .heard_ns = now_ns, .due_ns = UINT64_MAX};
    session->ping_ns = id == 0 ? UINT64_MAX : next_ping_ns(session, now_ns);
}

/* RFC 6298, with the peer's delay of its acknowledgement as part of the round trip. */
static void note_rtt(struct session *session, uint64_t sent_ns, uint64_t now_ns)
{
    uint64_t rtt_ns = now_ns > sent_ns ? now_ns - sent_ns : 1;
    uint64_t off_ns =
        rtt_ns > session->rtt_ns ? rtt_ns - session->rtt_ns : session->rtt_ns - rtt_ns;

    if (session->rtt_ns == 0) {
        session->rtt_ns = rtt_ns;
        session->rtt_var_ns = rtt_ns / 2;
        return;
    }
    session->rtt_var_ns = (3 * session->rtt_var_ns + off_ns) / 4;
    session->rtt_ns = (7 * session->rtt_ns + rtt_ns) / 8;
}

static uint64_t first_wait_ns(const struct session *session)
{
    uint64_t wait_ns = session->rtt_ns + 4 * session->rtt_var_ns;

    if (session->rtt_ns == 0)
        return SESSION_RESEND_FIRST_NS;
    if (wait_ns < SESSION_RESEND_FIRST_MIN_NS)
        return SESSION_RESEND_FIRST_MIN_NS;
    return wait_ns < SESSION_RESEND_FIRST_MAX_NS ? wait_ns : SESSION_RESEND_FIRST_MAX_NS;
}

static uint64_t next_wait_ns(const struct session *session, unsigned resent, uint64_t now_ns)
{
    uint64_t first_ns = first_wait_ns(session);
    uint64_t wait_ns = first_ns << (resent < 6 ? resent : 6);
    uint64_t max_ns = SESSION_RESEND_MAX_NS;

    if (now_ns < session->heard_ns + SESSION_HEARD_NS)
        max_ns = first_ns > SESSION_RESEND_HEARD_NS ? first_ns : SESSION_RESEND_HEARD_NS;
    return wait_ns < max_ns ? wait_ns : max_ns;
}

static void unlink_first(struct session *session)
{
    struct session_record *gone = session->first;

    if (session->next_due == gone)
        session->next_due = gone->next;
    session->first = gone->next;
    session->kept_bytes -= gone->size_bytes;
    session->kept_count--;
    free(gone);
    if (session->first != NULL)
        return;
    session->last = NULL;
    session->due_ns = UINT64_MAX;
}

/* Number, and all before it, have arrived. */
static void free_up_to(struct session *session, uint64_t number)
{
    while (session->first != NULL && session->first->number <= number)
        unlink_first(session);
}

/*
 * The same, told by the peer. What now is first stands behind a hole that was filled: sent before
 * what filled it, it came before it, and was lost itself or it would be acknowledged too. It is due
 * at once; else it is waited for no longer than for a first answer.
 */
static void take_acknowledgement(struct session *session, uint64_t number, uint64_t now_ns)
{
    uint64_t filled_ns = 0;

    if (session->first == NULL || session->first->number > number)
        return;
    while (session->first != NULL && session->first->number <= number) {
        const struct session_record *at = session->first;

        if (at->is_resent && at->sent_ns > filled_ns)
            filled_ns = at->sent_ns;
        /* One that waited for a hole before it to be filled tells nothing of the round trip. */
        if (at->number == number && filled_ns == 0)
            note_rtt(session, at->sent_ns, now_ns);
        unlink_first(session);
    }
    struct session_record *next = session->first;
    if (next == NULL)
        return;
    next->resent = 0;
    uint64_t due_ns = next->sent_ns < filled_ns ? now_ns : next->sent_ns + first_wait_ns(session);
    if (due_ns < next->due_ns)
        next->due_ns = due_ns;
    if (next->due_ns < session->due_ns)
        session->due_ns = next->due_ns;
    if (next->due_ns <= now_ns)
        session->next_due = NULL; /* before those that are in their turn */
}

static void drop_held(struct session *session)
{
    struct session_record *gone = session->held_first;

    session->held_first = gone->next;
    if (session->held_first == NULL)
        session->held_last = NULL;
    session->held_bytes -= gone->size_bytes;
    session->held_count--;
    free(gone);
}

void session_close(struct session *session)
{
    free_up_to(session, UINT64_MAX);
    while (session->held_first != NULL)
        drop_held(session);
    session_init(session, 0, 0);
}

bool session_may_begin(struct session_begun *begun, uint64_t id)
{
    for (uint32_t i = 0; i < SESSION_BEGUN_KEPT; i++)
        if (begun->ids[i] == id)
            return false; /* 0 too, as long as there is room: it is none */
    if (id == 0)
        return false;
    begun->ids[begun->next++ % SESSION_BEGUN_KEPT] = id;
    return true;
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
                                      .sent_ns = now_ns,
                                      .due_ns = now_ns + first_wait_ns(session),
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
    if (message->kind == MESSAGE_PING) {
        session->ping_ns = next_ping_ns(session, now_ns);
        session->ping_sent_ns = now_ns;
    }
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
    take_acknowledgement(session, message->received, now_ns);
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

void session_hold(struct session *session, uint64_t number, const uint8_t *data, size_t size_bytes)
{
    struct session_record **at = &session->held_first;

    if (number <= session->received + 1 || session->held_count == SESSION_RECORDS_MAX ||
        size_bytes > SESSION_WINDOW_BYTES - session->held_bytes)
        return;
    if (session->held_last != NULL && session->held_last->number < number)
        at = &session->held_last->next;
    while (*at != NULL && (*at)->number < number)
        at = &(*at)->next;
    if (*at != NULL && (*at)->number == number)
        return;
    struct session_record *record = malloc(sizeof(*record) + size_bytes);
    if (record == NULL)
        return;
    *record = (struct session_record){.next = *at, .number = number, .size_bytes = size_bytes};
    memcpy(record->data, data, size_bytes);
    *at = record;
    if (record->next == NULL)
        session->held_last = record;
    session->held_bytes += size_bytes;
    session->held_count++;
}

bool session_next_held(struct session *session, struct buffer *out)
{
    while (session->held_first != NULL && session->held_first->number <= session->received)
        drop_held(session); /* it was sent again and came in its turn */
    const struct session_record *first = session->held_first;
    if (first == NULL || first->number != session->received + 1 ||
        buffer_append(out, first->data, first->size_bytes) < 0)
        return false;
    drop_held(session);
    return true;
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
    at->due_ns = now_ns + next_wait_ns(session, ++at->resent, now_ns);
    at->sent_ns = now_ns;
    at->is_resent = true;
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
