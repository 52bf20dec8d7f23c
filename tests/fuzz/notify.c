/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: anybody in a guest may write to its notify socket; what is kept of it is shown on an
 * operator's terminal and decides when a boot is over. Datagrams of the input go through a real
 * socket; READY, STOPPING and the last STATUS must be what a plain reading of them says.
 */
#include <sys/socket.h>
#include <unistd.h>

#include <fcntl.h>

#include "fuzz.h"
#include "keeper.h"

static struct keeper k;
static size_t given;

struct expected {
    bool is_ready;
    bool is_stopping;
    char status[KW_NOTIFY_STATUS_BYTES];
};

static void expect_line(struct expected *expected, const char *line, size_t length)
{
    static const char status[] = "STATUS=";
    const size_t word = sizeof(status) - 1;

    if (length == 7 && memcmp(line, "READY=1", 7) == 0)
        expected->is_ready = true;
    if (length == 10 && memcmp(line, "STOPPING=1", 10) == 0)
        expected->is_stopping = true;
    if (length < word || memcmp(line, status, word) != 0)
        return;
    memset(expected->status, 0, sizeof(expected->status));
    for (size_t i = word; i < length && i - word < sizeof(expected->status) - 1; i++) {
        unsigned char octet = (unsigned char)line[i];
        expected->status[i - word] = octet < 0x20 || octet == 0x7f ? '?' : line[i];
    }
}

static void expect(struct expected *expected, const char *text, size_t size_bytes)
{
    size_t begin = 0;

    for (size_t i = 0; i <= size_bytes; i++)
        if (i == size_bytes || text[i] == '\n') {
            expect_line(expected, text + begin, i - begin);
            begin = i + 1;
        }
}

void closer_give(struct keeper *keeper, const int *fds, size_t count)
{
    (void)keeper;
    for (size_t i = 0; i < count; i++) {
        PROMISE(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
        (void)close(fds[i]);
    }
    given += count;
}

/* With `count` descriptors beside it. */
static bool send_rights(int to, const uint8_t *part, size_t size_bytes, size_t count)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * 8)];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)part, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    int fds[8];

    for (size_t i = 0; i < count; i++)
        fds[i] = to;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
    return sendmsg(to, &message, MSG_DONTWAIT) == (ssize_t)size_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct expected expected = {0};
    size_t sent = 0;
    int pair[2];

    PROMISE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    k.epoll = -1;
    given = 0;
    k.table.numbers[0] = 0;
    k.status_ns = 0;
    k.table.count = k.table.high = 0;
    struct entry *entry = table_add(&k.table, 1);
    entry->notify = pair[0];
    uint64_t change = entry->record.change;
    while (script.left > 0) {
        const uint8_t *part;
        size_t count = script_part(&script, 1024, &part);

        size_t rights = count > 0 && part[0] >= 0xf8 ? part[0] - 0xf7u : 0;

        if (rights > 0 && send_rights(pair[1], part, count, rights)) {
            sent += rights;
            notify_drain(&k, entry, false);
            break; /* its sender is not to be heard any more */
        }
        if (rights == 0 && send(pair[1], part, count, MSG_DONTWAIT) == (ssize_t)count)
            expect(&expected, (const char *)part, count);
        notify_drain(&k, entry, false);
    }
    notify_drain(&k, entry, true);
    PROMISE(given == sent);
    notify_deadlines(&k, UINT64_MAX); /* a status alone is told a little later */
    const struct kw_record *record = &entry->record;
    PROMISE((record->is_ready != 0) == expected.is_ready);
    PROMISE((record->is_stopping != 0) == expected.is_stopping);
    PROMISE(memcmp(record->notify_status, expected.status, sizeof(expected.status)) == 0);
    bool is_said = expected.is_ready || expected.is_stopping || expected.status[0] != '\0';
    PROMISE(!is_said || record->change > change);
    (void)close(pair[0]);
    (void)close(pair[1]);
    CANARY(expected.is_ready && expected.status[0] == '?' && expected.status[1] != '\0');
    return 0;
}
