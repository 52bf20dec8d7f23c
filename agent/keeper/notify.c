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

static bool take_line(struct kw_record *record, const char *line, size_t length)
{
    if (length == strlen("READY=1") && starts_with(line, length, "READY=1")) {
        if (record->is_ready)
            return false;
        record->is_ready = 1;
        record->ready_ns = clock_monotonic_ns();
        return true;
    }
    if (length == strlen("STOPPING=1") && starts_with(line, length, "STOPPING=1")) {
        if (record->is_stopping)
            return false;
        record->is_stopping = 1;
        return true;
    }
    if (starts_with(line, length, "STATUS="))
        return keep_status(record, line + strlen("STATUS="), length - strlen("STATUS="));
    return false;
}

void notify_drain(struct keeper *k, struct entry *entry, bool is_all)
{
    static char datagram[4096];
    bool is_changed = false;

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
            is_changed |= take_line(&entry->record, line, (size_t)(stop - line));
            line = stop + 1;
        }
    }
    if (is_changed)
        table_mark(&k->table, entry);
}
