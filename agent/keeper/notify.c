/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says by sd_notify(3). The last word of each kind stays in the entry until the agent
 * took it, so none is lost while no agent lives; whoever reaches the socket is believed.
 */
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "keeper.h"

#define DATAGRAMS_PER_TURN 16
#define DATAGRAMS_AT_END 256

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

void notify_drain(struct keeper *k, struct entry *entry, bool is_all)
{
    static char datagram[4096];
    enum news news = NEWS_NONE;

    for (int n = 0; n < (is_all ? DATAGRAMS_AT_END : DATAGRAMS_PER_TURN); n++) {
        /* Without room for control data the kernel drops descriptors that come along. */
        ssize_t size = recv(entry->notify, datagram, sizeof(datagram), MSG_DONTWAIT);
        if (size < 0)
            break;
        const char *line = datagram;
        const char *end = datagram + size;
        while (line < end) {
            const char *stop = memchr(line, '\n', (size_t)(end - line));
            if (stop == NULL)
                stop = end;
            enum news one = take_line(&entry->record, line, (size_t)(stop - line));
            news = one > news ? one : news;
            line = stop + 1;
        }
    }
    tell(k, entry, news);
}
