/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "keeper_start.h"
#include "sys.h"

#define ANSWER_MS 5000       /* a keeper that says nothing for so long serves another agent */
#define RECORDS_PER_WAKE 256 /* then the loop's other business has its turn */

struct keeper_packet {
    struct keeper_packet *next;
    size_t size_bytes;
    size_t fd_count;
    int fds[KW_FDS_MAX];
    uint8_t octets[]; /* the record */
};

/* Where in a record the roles of its descriptors stand; NULL: it carries none. */
static const uint8_t *roles_of(const struct kw_header *header, size_t *ret_count)
{
    if (header->type == KW_RECORD) {
        *ret_count = sizeof(((struct kw_record *)0)->roles);
        return ((const struct kw_record *)(const void *)header)->roles;
    }
    if (header->type == KW_SPAWN_RECORD) {
        *ret_count = sizeof(((struct kw_spawn_record *)0)->roles);
        return ((const struct kw_spawn_record *)(const void *)header)->roles;
    }
    *ret_count = 0;
    return NULL;
}

static size_t size_of_type(uint16_t type)
{
    switch (type) {
    case KW_WELCOME:
        return sizeof(struct kw_welcome);
    case KW_RECORD:
        return sizeof(struct kw_record);
    case KW_SPAWN_RECORD:
        return sizeof(struct kw_spawn_record);
    case KW_REFUSED:
        return sizeof(struct kw_refused);
    case KW_SYNCED:
    case KW_REEXECED:
        return sizeof(struct kw_header);
    }
    return 0;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* What concerns the connection itself. */
static void note(struct keeper_client *client, const struct kw_header *header)
{
    if (header->type == KW_SYNCED)
        client->is_synced = true;
    if (header->type == KW_REEXECED)
        client->reexec = KEEPER_REEXEC_DONE;
    if (header->type != KW_REFUSED)
        return;
    const struct kw_refused *refused = (const void *)header;
    if (refused->type == KW_REEXEC) {
        client->reexec = KEEPER_REEXEC_REFUSED;
        client->reexec_error = refused->error;
    }
}

/* 1: a record was dealt with; 0: none is there now; -errno: the connection is over. */
static int receive(struct keeper_client *client)
{
    _Alignas(8) uint8_t octets[sizeof(struct kw_record) + 64];
    int fds[KW_FDS_MAX];
    size_t fd_count = 0;
    ssize_t size =
        sys_receive_fds(client->socket, octets, sizeof(octets), fds, KW_FDS_MAX, &fd_count);

    if (size == -EAGAIN)
        return 0;
    if (size <= 0)
        return size == 0 ? -ECONNRESET : (int)size;

    const struct kw_header *header = (const void *)octets;
    size_t roles_count = 0;
    if ((size_t)size < sizeof(*header) || header->magic != KW_MAGIC ||
        header->version != KW_VERSION || header->size_bytes != (size_t)size ||
        size_of_type(header->type) != (size_t)size) {
        close_all(fds, fd_count);
        return -EPROTO; /* not the keeper we know: as good as gone */
    }
    const uint8_t *roles = roles_of(header, &roles_count);
    for (size_t i = fd_count; i < KW_FDS_MAX; i++)
        fds[i] = -1;
    note(client, header);
    client->on_record(client, header, fds, roles_count >= fd_count ? roles : NULL);
    close_all(fds, fd_count);
    return 1;
}

/* on_lost() follows when the poll handle is free again. */
static void lose(struct keeper_client *client)
{
    client->is_lost = true;
    keeper_client_close(client);
}

/* The connection is gone, which its EOF tells as well. All else (full, no memory, too many
 * descriptors on their way) passes: the record waits, and is tried when the socket is writable. */
static bool is_over(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN || error == -EBADF;
}

static void flush_packets(struct keeper_client *client)
{
    while (client->first != NULL) {
        struct keeper_packet *packet = client->first;
        ssize_t result = sys_send_fds(client->socket, packet->octets, packet->size_bytes,
                                      packet->fds, packet->fd_count);

        if (result < 0 && !is_over((int)result))
            return;
        client->first = packet->next; /* sent, or for nobody any more */
        close_all(packet->fds, packet->fd_count);
        free(packet);
    }
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct keeper_client *client = container_of(handle, struct keeper_client, poll);
    int result = 1;

    (void)events; /* both directions are tried; EOF shows as readable */
    for (int i = 0; result == 1 && i < RECORDS_PER_WAKE; i++)
        result = receive(client);
    if (result >= 0 && status >= 0) {
        flush_packets(client);
        (void)uv_poll_start(&client->poll,
                            client->first != NULL ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                            on_readable);
        return;
    }
    lose(client);
}

/* What it said before is read first. Its connection need not show its end: a child that was cloned
 * into a frozen group holds it, and executes nothing that would close it. */
static void on_dead(uv_poll_t *handle, int status, int events)
{
    struct keeper_client *client = container_of(handle, struct keeper_client, life);
    int result = 1;

    (void)status;
    (void)events;
    while (result == 1)
        result = receive(client);
    lose(client);
}

/* How many descriptors are open is the world's doing: it is the caller's to say who is left out. */
static int enqueue(struct keeper_client *client, const struct kw_header *header, const int *fds,
                   size_t fd_count)
{
    struct keeper_packet *packet = calloc(1, sizeof(*packet) + header->size_bytes);

    ENSURE(packet != NULL);
    packet->size_bytes = header->size_bytes;
    memcpy(packet->octets, header, header->size_bytes);
    for (; packet->fd_count < fd_count; packet->fd_count++) {
        int fd = fcntl(fds[packet->fd_count], F_DUPFD_CLOEXEC, 3);

        if (fd < 0) {
            fd = -errno;
            close_all(packet->fds, packet->fd_count);
            free(packet);
            return fd;
        }
        packet->fds[packet->fd_count] = fd;
    }
    if (client->first == NULL)
        client->first = packet;
    else
        client->last->next = packet;
    client->last = packet;
    if (client->is_polled)
        (void)uv_poll_start(&client->poll, UV_READABLE | UV_WRITABLE, on_readable);
    return 0;
}

int keeper_client_send(struct keeper_client *client, struct kw_header *header, uint16_t type,
                       size_t size_bytes, const int *fds, size_t fd_count)
{
    ENSURE(fd_count <= KW_FDS_MAX);
    if (client->socket < 0)
        return 0; /* it is being replaced; whoever asked sees his container's end from adoption */
    *header = (struct kw_header){.magic = KW_MAGIC,
                                 .version = KW_VERSION,
                                 .type = type,
                                 .size_bytes = (uint32_t)size_bytes,
                                 .fd_count = (uint32_t)fd_count};
    ssize_t result = client->first == NULL
                         ? sys_send_fds(client->socket, header, size_bytes, fds, fd_count)
                         : -EAGAIN;
    return result < 0 && !is_over((int)result) ? enqueue(client, header, fds, fd_count) : 0;
}

/* A keeper of before it refuses it, tells STAGED of all, and takes GO only then. */
void keeper_client_early_go(struct keeper_client *client, uint64_t but)
{
    struct kw_early_go early_go = {.but = but};

    (void)keeper_client_send(client, &early_go.header, KW_EARLY_GO, sizeof(early_go), NULL, 0);
}

/* Numbers must grow over the agent's restarts too; a clock does. */
uint64_t keeper_client_number_spawn(struct keeper_client *client)
{
    uint64_t now_ns = clock_monotonic_ns();

    client->spawn_last = now_ns > client->spawn_last ? now_ns : client->spawn_last + 1;
    return client->spawn_last;
}

void keeper_client_ack(struct keeper_client *client, uint64_t launch, uint64_t generation,
                       uint64_t change)
{
    struct kw_ack ack = {.launch = launch, .generation = generation, .change = change};

    (void)keeper_client_send(client, &ack.header, KW_ACK, sizeof(ack), NULL, 0); /* no fds */
}

/* ---- opening ---- */

static int connect_to(const char *path, int *ret_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *ret_socket = take_fd(&fd);
    return 0;
}

static int wait_readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int count = poll(&poll_fd, 1, timeout_ms);

    if (count < 0)
        return -errno;
    return count == 0 ? -ETIMEDOUT : 0;
}

/* Somebody is there, and is not to be displaced: it may hold guests. */
static int complain_of_stranger(const struct kw_header *header, ssize_t size, struct fault *fault)
{
    if (size >= (ssize_t)sizeof(*header) && header->magic == KW_MAGIC &&
        header->version != KW_VERSION)
        fault_set(fault, STATUS_UNSUPPORTED, EPROTO,
                  "the running keeper speaks another version of the wire (it says %u, we %u)",
                  (uint64_t)header->version, (uint64_t)KW_VERSION);
    else
        fault_set(fault, STATUS_UNSUPPORTED, EPROTO,
                  "what listens on keeper.sock does not answer as a keeper does");
    fault_hint(fault, "run the agent it came with, or move its containers and end it");
    return -EPROTO;
}

/* -ETIMEDOUT: it serves another agent. */
int keeper_client_greet(struct keeper_client *client, struct fault *fault)
{
    struct kw_hello hello = {.build = DROVER_VERSION};
    struct kw_welcome welcome = {0};
    size_t fd_count = 0;

    client->is_synced = false;
    (void)keeper_client_send(client, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    int result = wait_readable(client->socket, ANSWER_MS);
    if (result < 0)
        return result;
    ssize_t size = sys_receive_fds(client->socket, &welcome, sizeof(welcome), NULL, 0, &fd_count);
    if (size == 0)
        return -ECONNRESET;
    if (size == -EMSGSIZE) /* longer than ours, as a later version's may be */
        size = sizeof(struct kw_header);
    if (size < 0)
        return (int)size;
    if (size != (ssize_t)sizeof(welcome) || welcome.header.magic != KW_MAGIC ||
        welcome.header.version != KW_VERSION || welcome.header.type != KW_WELCOME)
        return complain_of_stranger(&welcome.header, size, fault);
    client->pid = welcome.pid;
    if (client->pidfd < 0)
        client->pidfd = (int)syscall(SYS_pidfd_open, client->pid, 0); /* -1: its EOF must do */
    client->launch_last = welcome.launch_last;
    memcpy(client->build, welcome.build, sizeof(client->build));
    client->build[sizeof(client->build) - 1] = '\0';
    keeper_client_early_go(client, 0);
    return 0;
}

/* No socket, nobody behind it, or its end without a word. Whoever else is there is not replaced. */
static bool is_nobody(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE;
}

int keeper_client_open(struct keeper_client *client, const char *run_dir, const char *binary,
                       const struct cgroups *cgroups, struct fault *fault)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

    client->socket = client->pidfd = -1;
    client->is_started_now = false;
    client->is_lost = false;
    (void)snprintf(path, sizeof(path), "%s/keeper.sock", run_dir);

    /* A dead one's socket may be held as its connection is, and accept what nobody hears. */
    int result = cgroup_is_keeper_gone(cgroups) ? -ENOENT : connect_to(path, &client->socket);
    if (result == 0)
        result = keeper_client_greet(client, fault);
    if (result == -ETIMEDOUT || result == -EAGAIN) /* EAGAIN: so many wait already, unix(7) */
        fault_set(fault, STATUS_BUSY, 0, "the keeper of %s serves another agent", run_dir);
    else if (result < 0 && !is_nobody(result) && fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_FAILED, -result, "cannot speak with the keeper on %s", path);
    if (result == 0 || !is_nobody(result))
        return result;

    keeper_client_close(client);
    result = keeper_start(path, binary, cgroups, fault);
    if (result < 0)
        return result;
    client->is_started_now = true;
    result = connect_to(path, &client->socket);
    if (result == 0)
        result = keeper_client_greet(client, fault);
    if (result < 0 && fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_FAILED, -result, "the keeper does not answer on %s", path);
    return result;
}

int keeper_client_read(struct keeper_client *client, int timeout_ms)
{
    int result = wait_readable(client->socket, timeout_ms);

    if (result == 0)
        result = receive(client);
    return result == -ETIMEDOUT || result > 0 ? 0 : result;
}

int keeper_client_sync(struct keeper_client *client, struct fault *fault)
{
    while (!client->is_synced) {
        int result = wait_readable(client->socket, ANSWER_MS);

        if (result == 0)
            result = receive(client);
        if (result < 0) {
            fault_set(fault, STATUS_FAILED, -result,
                      "the keeper went away while it told its table");
            return result;
        }
    }
    return 0;
}

int keeper_client_watch(struct keeper_client *client, uv_loop_t *loop)
{
    int result = uv_poll_init(loop, &client->poll, client->socket);

    if (result < 0)
        return result;
    client->is_polled = true;
    if (client->pidfd >= 0 && uv_poll_init(loop, &client->life, client->pidfd) == 0) {
        client->is_life_polled = true;
        (void)uv_poll_start(&client->life, UV_READABLE, on_dead);
    }
    return uv_poll_start(&client->poll,
                         client->first != NULL ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                         on_readable);
}

static void on_handle_closed(struct keeper_client *client)
{
    if (--client->closing == 0 && client->is_lost)
        client->on_lost(client);
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_poll_t *)(void *)handle, struct keeper_client, poll));
}

static void on_life_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_poll_t *)(void *)handle, struct keeper_client, life));
}

static void stop_watching(struct keeper_client *client, uv_poll_t *poll, bool *is_polled,
                          uv_close_cb on_closed)
{
    if (!*is_polled)
        return;
    *is_polled = false;
    client->closing++;
    (void)uv_poll_stop(poll);
    uv_close((uv_handle_t *)poll, on_closed);
}

void keeper_client_close(struct keeper_client *client)
{
    while (client->first != NULL) {
        struct keeper_packet *packet = client->first;

        client->first = packet->next;
        close_all(packet->fds, packet->fd_count);
        free(packet);
    }
    stop_watching(client, &client->poll, &client->is_polled, on_poll_closed);
    stop_watching(client, &client->life, &client->is_life_polled, on_life_closed);
    close_all((int[]){client->socket, client->pidfd}, 2);
    client->socket = client->pidfd = -1;
}
