/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h — both ends' numbering of records: nothing lost, nothing twice, bounded in flight.
 *
 * Shape    struct session is one end of one channel. session_post() numbers and keeps an encoded
 *          record until the other end has received it; session_due() says what to (re)send now;
 *          session_accept() judges a record that came in; what comes before its turn is held.
 * Units    *_ns CLOCK_MONOTONIC; octets.
 * Errors   -ENOBUFS when the window is spent: the caller keeps its own queue and asks
 *          session_has_room() again after acknowledgements.
 * Owner    the caller; kept and held records are the session's.
 * Context  pure but for the heap of kept records; one thread.
 */
#ifndef DROVER_SESSION_H
#define DROVER_SESSION_H

#include "codec.h"

#define SESSION_WINDOW_BYTES (2 * 1024 * 1024) /* unacknowledged octets on a channel, at most */
#define SESSION_RECORDS_MAX 4096
/* The first re-send comes after what an answer takes (RFC 6298), within FIRST_MIN and FIRST_MAX;
 * while that is not known after FIRST. It doubles: up to HEARD, or what an answer takes, while the
 * peer was heard lately, else to MAX. */
#define SESSION_RESEND_FIRST_NS UINT64_C(500000000)
#define SESSION_RESEND_FIRST_MIN_NS UINT64_C(200000000)
#define SESSION_RESEND_FIRST_MAX_NS UINT64_C(3000000000)
#define SESSION_RESEND_HEARD_NS UINT64_C(500000000)
#define SESSION_RESEND_MAX_NS UINT64_C(2000000000)
#define SESSION_HEARD_NS UINT64_C(5000000000) /* heard so long ago is lately: a ping was answered */
#define SESSION_PING_NS UINT64_C(4000000000)  /* ± 25 % */
#define SESSION_PING_AGAIN_NS UINT64_C(250000000) /* after one that was not answered */
#define SESSION_DEAD_NS UINT64_C(10000000000)     /* nothing heard: dead (2 missed pings) */

struct session_record; /* one kept record: number, message octets, times */

struct session {
    uint64_t id;                  /* 0: not established */
    uint64_t sent;                /* last number given out */
    uint64_t received;            /* highest number heard without a gap */
    uint64_t committed;           /* the caller's to set, after its commit */
    struct session_record *first; /* kept, in order of number */
    struct session_record *last;
    struct session_record *next_due; /* where session_due() goes on; NULL: at the first */
    uint64_t due_ns;                 /* no kept record is due before; UINT64_MAX: none is kept */
    size_t kept_bytes;
    size_t kept_count;
    uint64_t heard_ns;     /* last valid record of the peer */
    uint64_t ping_ns;      /* when the next ping is due; posting one sets it anew */
    uint64_t ping_sent_ns; /* 0: none was */
    bool is_ack_owed;      /* something was received that no record has acknowledged yet */
    uint64_t rtt_ns; /* from a record's sending to its acknowledgement, smoothed; 0: unknown */
    uint64_t rtt_var_ns;
    struct session_record *held_first; /* beyond a hole, in order of number */
    struct session_record *held_last;
    size_t held_bytes;
    size_t held_count;
};

void session_init(struct session *session, uint64_t id, uint64_t now_ns);
/* Frees what is kept; the session is not established then. */
void session_close(struct session *session);

/* Never while the session is not established. */
bool session_has_room(const struct session *session, size_t size_bytes);

/* Number the message, stamp session/received/committed, keep it, and encode it for sending now.
 * PING, PONG, RESET, HELLO, HELLO_ANSWER are stamped with number 0 and not kept. */
int session_post(struct session *session, struct message *message, uint64_t now_ns,
                 struct buffer *out);

/* Content: PING, PONG, RESET, HELLO, HELLO_ANSWER are none. */
bool session_is_numbered(enum message_kind kind);

/*
 * Sessions that this end has begun. A HELLO's answer that says one of them again is late, and may
 * have been overtaken by another's: its numbers stand for other records at the other end, which
 * would take new ones for repeats, and acknowledge them.
 */
#define SESSION_BEGUN_KEPT 8 /* more answers than that do not overtake each other */

struct session_begun {
    uint64_t ids[SESSION_BEGUN_KEPT]; /* a ring */
    uint32_t next;
};

/* True: it is noted as begun, and is to be begun now. */
bool session_may_begin(struct session_begun *begun, uint64_t id);

enum session_verdict {
    SESSION_TAKE,      /* new and in order: act on it */
    SESSION_DUPLICATE, /* acknowledged again, not acted on */
    SESSION_GAP,       /* beyond a hole: session_hold() it, or the other end sends it again */
    SESSION_FOREIGN    /* not of this session: answer RESET, once a second at most */
};
/* Judges, and frees what the message's `received` acknowledges. Records with number 0 of this
 * session are SESSION_TAKE. */
enum session_verdict session_accept(struct session *session, const struct message *message,
                                    uint64_t now_ns);

/* Keep a record that came with the verdict GAP until its turn. No room, or no memory: it is sent
 * again. */
void session_hold(struct session *session, uint64_t number, const uint8_t *data, size_t size_bytes);
/* After a TAKE: the next one, if it was held. Appended to `out`; it still goes through
 * session_accept(). Call until false. */
bool session_next_held(struct session *session, struct buffer *out);

/*
 * The next record that is due to be sent again, with its acknowledgement fields brought up to date;
 * false: none is due now. Call until false.
 */
bool session_due(struct session *session, uint64_t now_ns, struct buffer *out);
/* When to call session_due() or send a ping next. */
uint64_t session_next_ns(const struct session *session);
bool session_is_dead(const struct session *session, uint64_t now_ns);

#endif
