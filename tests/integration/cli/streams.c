/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: output taken for whole when it is not, a command that outlives its client, and a
 * terminal left raw. Servers break streams in each way, and what the program does is looked
 * at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

static struct outcome outcome;
static const uint8_t zeros[1024];

#define RUN(serving, ...)                                                                          \
    do {                                                                                           \
        const char *const arguments[] = {__VA_ARGS__, NULL};                                       \
        fake_run(*state, serving, arguments, &outcome);                                            \
        assert_int_equal(outcome.server, 0);                                                       \
    } while (0)

static void frame(struct talk *talk, uint64_t number, enum lane lane, struct octets data)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME};

    message.stream_frame =
        (struct stream_frame){.stream = 1, .number = number, .lane = lane, .data = data};
    talk_say(talk, &message);
}

static void text(struct talk *talk, uint64_t number, enum lane lane, const char *words)
{
    frame(talk, number, lane, (struct octets){(const uint8_t *)words, strlen(words)});
}

static void end(struct talk *talk, uint64_t bytes, int32_t code, enum status status)
{
    struct message message = {.kind = MESSAGE_STREAM_END};

    message.stream_end = (struct stream_end){.stream = 1, .bytes = bytes, .exit_code = code};
    if (status != STATUS_UNSET)
        message.stream_end.fault =
            (struct fault_view){.status = status, .text = "its words", .node = "n1"};
    talk_say(talk, &message);
}

/* ---- how it ends ---- */

static void exit_seven(struct talk *talk)
{
    const struct stream_open *open = &talk_hear(talk, MESSAGE_STREAM_OPEN)->stream_open;

    if (open->stream != 1 || open->kind != STREAM_EXEC || open->argv_count != 2 ||
        strcmp(open->argv[1], "-la") != 0 || open->is_tty || strcmp(open->user, "bob") != 0)
        talk_fail("another command");
    text(talk, 1, LANE_STDOUT, "out");
    text(talk, 2, LANE_STDERR, "err");
    end(talk, 6, 7, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void end_with_its_container(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    end(talk, 0, 137, STATUS_FAILED);
    (void)talk_is_over(talk);
}

static void test_exec__its_own_code__passes(void **state)
{
    RUN(exit_seven, "exec", "web", "--user", "bob", "--", "ls", "-la");
    assert_int_equal(outcome.code, 7);
    assert_string_equal(outcome.out, "out");
    assert_string_equal(outcome.err, "err");
    RUN(end_with_its_container, "exec", "web", "--", "true");
    assert_int_equal(outcome.code, 137);
    assert_non_null(strstr(outcome.err, "its words"));
}

static void leave_a_hole(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    text(talk, 1, LANE_STDOUT, "one");
    text(talk, 3, LANE_STDOUT, "three");
    (void)talk_is_over(talk);
}

static void end_too_early(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    text(talk, 1, LANE_STDOUT, "one");
    end(talk, 4, 0, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void end_with_a_wild_code(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    end(talk, 0, 256, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void fail_with_code_zero(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    end(talk, 0, 0, STATUS_STREAM_LOST);
    (void)talk_is_over(talk);
}

static void hang_up_after_some(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    text(talk, 1, LANE_STDOUT, "one");
    (void)close(talk->fd);
}

static void test_exec__broken_streams__are_failures_of_ours(void **state)
{
    static const fake_server_fn servers[] = {leave_a_hole, end_too_early, end_with_a_wild_code,
                                             fail_with_code_zero, hang_up_after_some};

    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        RUN(servers[i], "exec", "web", "--", "true");
        assert_int_equal(outcome.code, 125);
    }
    RUN(hang_up_after_some, "exec", "web", "--", "true");
    assert_string_equal(outcome.out, "one"); /* what came is shown all the same */
}

/* ---- input ---- */

static void count_input(struct talk *talk)
{
    struct message credit = {.kind = MESSAGE_STREAM_CREDIT};
    uint64_t bytes = 0;
    uint64_t number = 0;
    uint64_t granted = STREAM_CREDIT_BYTES;

    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    for (;;) {
        const struct stream_frame *got = &talk_hear(talk, MESSAGE_STREAM_FRAME)->stream_frame;

        bytes += got->data.size_bytes;
        if (got->number != ++number || got->lane != LANE_STDIN || bytes > granted)
            talk_fail("a frame out of order, or more than was granted");
        if (got->is_end)
            break;
        if (granted - bytes < STREAM_FRAME_BYTES_MAX) {
            granted = bytes + STREAM_CREDIT_BYTES;
            credit.stream_credit = (struct stream_credit){1, granted};
            talk_say(talk, &credit);
        }
    }
    char words[32];
    (void)snprintf(words, sizeof(words), "%llu", (unsigned long long)bytes);
    text(talk, 1, LANE_STDOUT, words);
    end(talk, strlen(words), 0, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_exec__input__stays_within_credit_and_has_an_end(void **state)
{
    struct fake *fake = *state;
    struct stat status;
    char size[32];

    RUN(count_input, "exec", "web", "--", "cat");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, "0");

    fake->input = "/bin/bash"; /* many times the credit */
    assert_int_equal(stat(fake->input, &status), 0);
    (void)snprintf(size, sizeof(size), "%lld", (long long)status.st_size);
    RUN(count_input, "exec", "web", "--", "cat");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, size);
}

static void interrupt_it(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    if (kill(talk_peer(talk), SIGTERM) < 0)
        talk_fail("kill");
    if (talk_hear(talk, MESSAGE_STREAM_END)->stream_end.stream != 1 || !talk_is_over(talk))
        talk_fail("another stream");
}

static void test_exec__ended_by_a_signal__closes_its_stream(void **state)
{
    RUN(interrupt_it, "exec", "web", "--", "sleep", "1000");
    assert_int_equal(outcome.code, 143);
    RUN(interrupt_it, "logs", "web", "--follow");
    assert_int_equal(outcome.code, 143);
    RUN(interrupt_it, "template", "import", "deb", "/usr/share/doc"); /* more than the credit */
    assert_int_equal(outcome.code, 143);
}

static void say_much(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    for (uint64_t i = 1; i <= 64; i++) {
        frame(talk, i, LANE_STDOUT, (struct octets){zeros, sizeof(zeros)});
        if (i % 16 == 0 && i < 64)
            (void)talk_hear(talk, MESSAGE_STREAM_CREDIT);
    }
    end(talk, 64 * 1024, 0, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_exec__what_was_written_on__is_granted_again(void **state)
{
    RUN(say_much, "exec", "web", "--", "cat");
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.out_bytes, sizeof(outcome.out) - 1); /* all that the test keeps */
}

/* ---- other kinds ---- */

static void refuse_console(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    end(talk, 0, 125, STATUS_WRONG_STATE);
    (void)talk_is_over(talk);
}

static void refuse_import(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    end(talk, 0, 4, STATUS_EXISTS);
    (void)talk_is_over(talk);
}

static void hang_up_on_import(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_FRAME);
    (void)close(talk->fd);
}

static void take_import(struct talk *talk)
{
    struct message credit = {.kind = MESSAGE_STREAM_CREDIT};

    if (talk_hear(talk, MESSAGE_STREAM_OPEN)->stream_open.kind != STREAM_IMPORT)
        talk_fail("another stream");
    for (uint64_t bytes = 0; !talk_hear(talk, MESSAGE_STREAM_FRAME)->stream_frame.is_end;) {
        bytes += talk->message.stream_frame.data.size_bytes;
        credit.stream_credit = (struct stream_credit){1, bytes + STREAM_CREDIT_BYTES};
        talk_say(talk, &credit);
    }
    end(talk, 0, 0, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_streams__other_kinds__have_the_codes_of_their_statuses(void **state)
{
    RUN(refuse_console, "logs", "web");
    assert_int_equal(outcome.code, 4);
    RUN(refuse_console, "console", "web");
    assert_int_equal(outcome.code, 4);
    RUN(refuse_import, "template", "import", "deb", "/usr/share/doc");
    assert_int_equal(outcome.code, 4);
    assert_non_null(strstr(outcome.err, "its words"));
    RUN(hang_up_on_import, "template", "import", "deb", "/usr/share/doc");
    assert_int_equal(outcome.code, 10);
    RUN(take_import, "template", "import", "deb", "/usr/share/doc");
    assert_int_equal(outcome.code, 0);
    assert_non_null(strstr(outcome.out, "template deb imported"));
}

/* ---- terminals ---- */

static void welcome_and_hang_up(struct talk *talk)
{
    const struct stream_open *open = &talk_hear(talk, MESSAGE_STREAM_OPEN)->stream_open;

    if (open->rows != 33 || open->columns != 77)
        talk_fail("another size");
    text(talk, 1, LANE_STDOUT, FAKE_WELCOME);
    (void)close(talk->fd);
}

static void welcome(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_STREAM_OPEN);
    text(talk, 1, LANE_STDOUT, FAKE_WELCOME);
}

/* That the terminal is raw is known by what is typed: a line's editor would hold it back. */
static void hear_then_kill(struct talk *talk, int number)
{
    welcome(talk);
    (void)talk_hear(talk, MESSAGE_STREAM_FRAME);
    if (kill(talk_peer(talk), number) < 0 || !talk_is_over(talk))
        talk_fail("kill");
}

static void hear_then_term(struct talk *talk)
{
    hear_then_kill(talk, SIGTERM);
}

static void hear_then_quit(struct talk *talk)
{
    hear_then_kill(talk, SIGQUIT);
}

static void hear_then_crash(struct talk *talk)
{
    hear_then_kill(talk, SIGABRT);
}

static void hear_then_spoil(struct talk *talk)
{
    welcome(talk);
    (void)talk_hear(talk, MESSAGE_STREAM_FRAME);
    talk_octets(talk, "\xff\xff\xff\xff", 4);
    (void)talk_is_over(talk);
}

static void hear_leaving(struct talk *talk)
{
    welcome(talk);
    if (talk_hear(talk, MESSAGE_STREAM_END)->stream_end.stream != 1)
        talk_fail("another stream");
    (void)talk_is_over(talk);
}

static void hear_interrupt_octet(struct talk *talk)
{
    welcome(talk);
    const struct stream_frame *got = &talk_hear(talk, MESSAGE_STREAM_FRAME)->stream_frame;
    if (got->data.size_bytes < 1 || got->data.data[0] != 3)
        talk_fail("Ctrl-C is not the guest's");
    end(talk, strlen(FAKE_WELCOME), 130, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_terminal__however_it_ends__is_as_it_was(void **state)
{
    static const struct {
        fake_server_fn server;
        const char *const arguments[6];
        const char *typed;
        int code;
    } rows[] = {
        {welcome_and_hang_up, {"console", "web", NULL}, "", 10},
        {welcome_and_hang_up, {"exec", "-t", "web", "--", "sh"}, "", 125},
        {hear_then_term, {"console", "web", NULL}, "x", 143},
        {hear_then_quit, {"console", "web", NULL}, "x", 131},
        {hear_then_crash, {"console", "web", NULL}, "x", 134},
        {hear_then_spoil, {"console", "web", NULL}, "x", 10},
        {hear_leaving, {"console", "web", NULL}, "~.", 0},
        {hear_interrupt_octet, {"shell", "web", NULL}, "\003", 130},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *arguments[7] = {0};

        memcpy(arguments, rows[i].arguments, sizeof(rows[i].arguments));
        fake_run_tty(*state, rows[i].server, arguments, rows[i].typed, &outcome);
        if (outcome.code != rows[i].code || outcome.server != 0 || !outcome.is_restored)
            fail_msg("row %zu: code %d, server %d, restored %d, shown: %s", i, outcome.code,
                     outcome.server, outcome.is_restored, outcome.out);
    }
}

int main(void)
{
#define FAKED(test) cmocka_unit_test_setup_teardown(test, fake_open, fake_close)
    const struct CMUnitTest tests[] = {
        FAKED(test_exec__its_own_code__passes),
        FAKED(test_exec__broken_streams__are_failures_of_ours),
        FAKED(test_exec__input__stays_within_credit_and_has_an_end),
        FAKED(test_exec__ended_by_a_signal__closes_its_stream),
        FAKED(test_exec__what_was_written_on__is_granted_again),
        FAKED(test_streams__other_kinds__have_the_codes_of_their_statuses),
        FAKED(test_terminal__however_it_ends__is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
