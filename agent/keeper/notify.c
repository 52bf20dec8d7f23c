/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says by sd_notify(3). The last word of each kind stays in the entry until the agent
 * took it, so none is lost while no agent lives; whoever reaches the socket is believed.
 *
 * Design notes. A descriptor that comes along is closed by whoever throws it away, and closing can
 * wait for ever: a pipe's end takes a lock that its sender may hold (stage_relay.c). So none may
 * come: the kernel refuses to send them (SO_PASSRIGHTS, Linux 6.16). Before that they are taken,
 * and closed by a process of their own (closer.c); one guest is worth one such process, as who sent
 * one is not heard any more.
 * LIMIT: a keeper that has all the descriptors it may have cannot take them, and closes them
 * itself.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "clock.h"
#include "keeper.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif
#define RIGHTS_MAX 253 /* SCM_MAX_FD */

#define DATAGRAMS_PER_TURN 16
#define DATAGRAMS_AT_END 65536 /* net.unix.max_dgram_qlen is far less */

static bool starts_with(const char *line, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    return length >= word_length && memcmp(line, word, word_length) == 0;
}

/* Bytes of the guest end on an operator's terminal. */
static bool keep_status(struct kw_record *record, const char *text, size_t length)
{
    char status[KW_NOTIFY_STATUS_BYTES] = {0};
    for (size_t i = 0; i < length && i < sizeof(status) - 1; i++)
        status[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    if (memcmp(status, record->notify_status, sizeof(status)) == 0)
        return false;
    memcpy(record->notify_status, status, sizeof(status));
    return true;
}

enum news { NEWS_NONE, NEWS_STATUS, NEWS_LEVEL };

static enum news take_line(struct kw_record *record, const char *line, size_t length)
{
    if (length == strlen("READY=1") && starts_with(line, length, "READY=1")) {
        if (record->is_ready)
            return NEWS_NONE;
        record->is_ready = 1;
        record->ready_ns = clock_monotonic_ns();
        return NEWS_LEVEL;
    }
    if (length == strlen("STOPPING=1") && starts_with(line, length, "STOPPING=1")) {
        if (record->is_stopping)
            return NEWS_NONE;
        record->is_stopping = 1;
        return NEWS_LEVEL;
    }
    if (starts_with(line, length, "STATUS=") &&
        keep_status(record, line + strlen("STATUS="), length - strlen("STATUS=")))
        return NEWS_STATUS;
    return NEWS_NONE;
}

static enum news take_lines(struct kw_record *record, const char *text, size_t size_bytes,
                            enum news news)
{
    const char *end = text + size_bytes;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (stop == NULL)
            stop = end;
        enum news one = take_line(record, text, (size_t)(stop - text));
        news = one > news ? one : news;
        text = stop + 1;
    }
    return news;
}

/* A level is told at once, with the status of that moment. A status alone waits, with those of all
 * other guests, for one time: a guest that says a new one all the time costs four records a second,
 * not one a turn. */
static void tell(struct keeper *k, struct entry *entry, enum news news)
{
    if (news == NEWS_LEVEL)
        table_mark(&k->table, entry);
    if (news != NEWS_STATUS)
        return;
    entry->is_status_held = true;
    if (k->status_ns != 0)
        return;
    k->status_ns = clock_monotonic_ns() + KEEPER_STATUS_NS;
    k->is_timer_stale = true;
}

void notify_deadlines(struct keeper *k, uint64_t now_ns)
{
    if (k->status_ns == 0 || k->status_ns > now_ns)
        return;
    k->status_ns = 0;
    for (uint32_t slot = 0; slot < k->table.high; slot++) {
        struct entry *entry = &k->table.entries[slot];
        if (k->table.numbers[slot] == 0 || !entry->is_status_held)
            continue;
        entry->is_status_held = false;
        if (!entry_is_final(entry)) /* its end has told the last one */
            table_mark(&k->table, entry);
    }
}

void notify_refuse_rights(int notify)
{
    const int is_passed = 0;

    /* ENOPROTOOPT: an older kernel */
    (void)setsockopt(notify, SOL_SOCKET, SO_PASSRIGHTS, &is_passed, sizeof(is_passed));
}

/* Returns as recv(2); *ret_count of descriptors that are ours now. */
static ssize_t take_datagram(int notify, char *datagram, size_t size_bytes, int *fds,
                             size_t *ret_count)
{
    static union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * RIGHTS_MAX)];
    } control;
    struct iovec part = {.iov_base = datagram, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(notify, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

    *ret_count = 0;
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return n;
    *ret_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), *ret_count * sizeof(int));
    return n;
}

/* False: there is no more, or its sender is not to be heard. */
static bool take_next(struct keeper *k, struct entry *entry, bool is_all, enum news *news)
{
    static char datagram[4096];
    int fds[RIGHTS_MAX];
    size_t count;
    ssize_t size = take_datagram(entry->notify, datagram, sizeof(datagram), fds, &count);

    if (size < 0)
        return false;
    if (count > 0)
        closer_give(k, fds, count);
    if (count > 0 && !is_all) {
        (void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, entry->notify, NULL); /* is there */
        return false;
    }
    *news = take_lines(&entry->record, datagram, (size_t)size, *news);
    return true;
}

void notify_drain(struct keeper *k, struct entry *entry, bool is_all)
{
    enum news news = NEWS_NONE;

    if (is_all) /* what it holds now is all it will hold: nothing is left for close(2) */
        (void)shutdown(entry->notify, SHUT_RD);
    for (int n = is_all ? DATAGRAMS_AT_END : DATAGRAMS_PER_TURN; n > 0; n--)
        if (!take_next(k, entry, is_all, &news))
            break;
    tell(k, entry, news);
}
