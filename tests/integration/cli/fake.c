/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <utmp.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

/* ---- the server's side ---- */

void talk_fail(const char *why)
{
    (void)fprintf(stderr, "server: %s\n", why);
    _exit(1);
}

/* False: the other side hung up. */
static bool fill(struct talk *talk)
{
    uint8_t chunk[65536];
    ssize_t n = read(talk->fd, chunk, sizeof(chunk));

    if (n < 0 && errno != ECONNRESET)
        talk_fail("read");
    if (n <= 0)
        return false;
    if (buffer_append(&talk->in, chunk, (size_t)n) < 0)
        talk_fail("memory");
    return true;
}

const struct message *talk_hear(struct talk *talk, enum message_kind kind)
{
    for (;;) {
        int64_t size_bytes = codec_frame_find(&talk->in);

        if (size_bytes < 0)
            talk_fail("what came is no message");
        if (size_bytes == 0) {
            if (!fill(talk))
                talk_fail("the program hung up before it said what was expected");
            continue;
        }
        arena_reset(&talk->arena);
        if (codec_decode(talk->in.data + 4, (size_t)size_bytes, &talk->arena, &talk->message) < 0)
            talk_fail("what came cannot be read");
        buffer_consume(&talk->in, 4 + (size_t)size_bytes);
        if (talk->message.kind == kind)
            return &talk->message;
    }
}

bool talk_is_over(struct talk *talk)
{
    while (fill(talk))
        buffer_consume(&talk->in, talk->in.size_bytes);
    return true;
}

bool talk_is_silent(struct talk *talk)
{
    while (fill(talk))
        continue;
    return talk->in.size_bytes == 0;
}

void talk_octets(struct talk *talk, const void *data, size_t size_bytes)
{
    const uint8_t *at = data;

    while (size_bytes > 0) {
        ssize_t n = send(talk->fd, at, size_bytes, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* it hung up: what it makes of that is looked at elsewhere */
        at += n;
        size_bytes -= (size_t)n;
    }
}

void talk_say(struct talk *talk, const struct message *message)
{
    struct buffer buffer = {0};

    if (codec_encode_framed(message, &buffer) < 0)
        talk_fail("encode");
    talk_octets(talk, buffer.data, buffer.size_bytes);
    buffer_close(&buffer);
}

pid_t talk_peer(const struct talk *talk)
{
    struct ucred peer;
    socklen_t size_bytes = sizeof(peer);

    if (getsockopt(talk->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) < 0)
        talk_fail("SO_PEERCRED");
    return peer.pid;
}

/* ---- the test's side ---- */

int fake_open(void **state)
{
    static struct fake fake;

    (void)strcpy(fake.dir, "/tmp/drover-cli-XXXXXX");
    assert_non_null(mkdtemp(fake.dir));
    fake.input = "/dev/null";
    (void)snprintf(fake.path, sizeof(fake.path), "%s/sock", fake.dir);
    *state = &fake;
    return 0;
}

int fake_close(void **state)
{
    struct fake *fake = *state;

    (void)unlink(fake->path);
    return rmdir(fake->dir);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)unlink(path);
    (void)strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static pid_t start_server(const struct fake *fake, fake_server_fn server)
{
    int listening = listen_at(fake->path);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) {
        (void)close(listening);
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(FAKE_SECONDS);
    struct talk talk = {.fd = accept(listening, NULL, NULL)};
    if (talk.fd < 0)
        talk_fail("accept");
    server(&talk);
    _exit(0);
}

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int wait_for(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return code_of(status);
}

static void become_program(const struct fake *fake, const char *const *arguments)
{
    char *argv[32] = {(char *)(uintptr_t)CLI_PROGRAM, (char *)(uintptr_t) "--agent",
                      (char *)(uintptr_t)fake->path};

    for (int i = 0; i < 28 && arguments[i] != NULL; i++)
        argv[3 + i] = (char *)(uintptr_t)arguments[i];
    (void)alarm(FAKE_SECONDS);
    (void)execv(CLI_PROGRAM, argv);
    _exit(99);
}

static size_t read_file(int fd, char *text, size_t room)
{
    ssize_t n = pread(fd, text, room - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    (void)close(fd);
    return (size_t)n;
}

static int scratch(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

void fake_run(const struct fake *fake, fake_server_fn server, const char *const *arguments,
              struct outcome *ret_outcome)
{
    int out = scratch();
    int err = scratch();
    pid_t serving = server == NULL ? -1 : start_server(fake, server);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int in = open(fake->input, O_RDONLY);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
            _exit(98);
        become_program(fake, arguments);
    }
    ret_outcome->code = wait_for(pid);
    ret_outcome->server = serving < 0 ? 0 : wait_for(serving);
    ret_outcome->out_bytes = read_file(out, ret_outcome->out, sizeof(ret_outcome->out));
    (void)read_file(err, ret_outcome->err, sizeof(ret_outcome->err));
}

/* Until it showed `words`; NULL: until the last one that had it open is gone (EIO). */
static void read_terminal(int master, const char *words, struct outcome *outcome)
{
    while (words == NULL || strstr(outcome->out, words) == NULL) {
        ssize_t n = read(master, outcome->out + outcome->out_bytes,
                         sizeof(outcome->out) - 1 - outcome->out_bytes);
        if (n <= 0)
            return;
        outcome->out_bytes += (size_t)n;
        outcome->out[outcome->out_bytes] = '\0';
    }
}

void fake_run_tty(const struct fake *fake, fake_server_fn server, const char *const *arguments,
                  const char *typed, struct outcome *ret_outcome)
{
    struct winsize size = {.ws_row = 33, .ws_col = 77};
    struct termios before;
    struct termios after;
    pid_t serving = start_server(fake, server);
    int master = -1;
    int slave = -1;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(slave, &before), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(master);
        if (login_tty(slave) < 0)
            _exit(98);
        become_program(fake, arguments);
    }
    ret_outcome->out_bytes = 0;
    ret_outcome->out[0] = '\0';
    read_terminal(master, FAKE_WELCOME, ret_outcome);
    assert_int_equal(write(master, typed, strlen(typed)), strlen(typed));
    ret_outcome->server = wait_for(serving);
    ret_outcome->code = wait_for(pid);
    assert_int_equal(tcgetattr(slave, &after), 0);
    ret_outcome->is_restored = before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag &&
                               before.c_cflag == after.c_cflag && before.c_lflag == after.c_lflag &&
                               memcmp(before.c_cc, after.c_cc, sizeof(before.c_cc)) == 0;
    (void)close(slave);
    read_terminal(master, NULL, ret_outcome);
    (void)close(master);
}
