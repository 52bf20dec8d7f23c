/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command whose result is told wrong: done when it is not known, lost when it was
 * done. Servers answer some, all or none of the commands, twice and in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

static struct outcome outcome;

#define RUN(serving, ...)                                                                          \
    do {                                                                                           \
        const char *const arguments[] = {__VA_ARGS__, NULL};                                       \
        fake_run(*state, serving, arguments, &outcome);                                            \
        assert_int_equal(outcome.server, 0);                                                       \
    } while (0)

static void tell(struct talk *talk, const char *request, enum phase phase, enum status status)
{
    struct message message = {.kind = MESSAGE_RECEIPT};

    message.receipt = (struct receipt){.request_id = request, .phase = phase};
    if (status != STATUS_UNSET)
        message.receipt.fault =
            (struct fault_view){.status = status, .text = "words", .node = "n1"};
    if (status == STATUS_UNSET) {
        message.receipt.has_container = true;
        message.receipt.container = (struct container_view){.name = "web",
                                                            .uuid = {1},
                                                            .node = "n1",
                                                            .state = CT_RUNNING,
                                                            .generation = 2,
                                                            .pid = 77};
    }
    talk_say(talk, &message);
}

static void accept_and_hang_up(struct talk *talk)
{
    char request[REQUEST_ID_BYTES];

    (void)snprintf(request, sizeof(request), "%s",
                   talk_hear(talk, MESSAGE_COMMAND)->command.request_id);
    tell(talk, request, PHASE_ACCEPTED, STATUS_UNSET);
    (void)close(talk->fd);
}

static void hear_and_hang_up(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_COMMAND);
    (void)close(talk->fd);
}

static void test_command__lost_on_its_way__is_unknown(void **state)
{
    RUN(accept_and_hang_up, "start", "web", "-f", "json");
    assert_int_equal(outcome.code, 10);
    assert_non_null(strstr(outcome.out, "\"receipt\":\"unknown\""));
    assert_non_null(strstr(outcome.err, "\"status\":\"unreachable\""));
    RUN(hear_and_hang_up, "create", "web", "--root", "/r", "-f", "json");
    assert_int_equal(outcome.code, 10);
    assert_non_null(strstr(outcome.out, "\"receipt\":\"unknown\""));
}

static void test_command__nobody_there__is_not_sent(void **state)
{
    RUN(NULL, "stop", "web", "-f", "json");
    assert_int_equal(outcome.code, 10);
    assert_non_null(strstr(outcome.out, "\"receipt\":\"not_sent\""));
    RUN(NULL, "create", "web", "--root", "/r", "-f", "jsonl");
    assert_int_equal(outcome.code, 10);
    assert_non_null(strstr(outcome.out, "\"receipt\":\"not_sent\""));
}

static void answer_in_any_order(struct talk *talk)
{
    char requests[3][REQUEST_ID_BYTES];

    for (size_t i = 0; i < 3; i++)
        (void)snprintf(requests[i], REQUEST_ID_BYTES, "%s",
                       talk_hear(talk, MESSAGE_COMMAND)->command.request_id);
    tell(talk, "nobody's", PHASE_DONE, STATUS_UNSET);
    tell(talk, requests[2], PHASE_DONE, STATUS_UNSET);
    tell(talk, requests[2], PHASE_FAILED, STATUS_FAILED); /* a final receipt is final */
    tell(talk, requests[0], PHASE_ACCEPTED, STATUS_UNSET);
    tell(talk, requests[1], PHASE_FAILED, STATUS_NOT_FOUND);
    tell(talk, requests[0], PHASE_UNCHANGED, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_command__many_in_any_order__are_told_in_that_of_the_line(void **state)
{
    RUN(answer_in_any_order, "start", "a", "b", "c", "-f", "csv", "-o", "name,receipt,pid",
        "--no-header");
    assert_int_equal(outcome.code, 6);
    assert_string_equal(outcome.out, "a,unchanged,77\nb,failed,\nc,done,77\n");
}

static void fail_all(struct talk *talk)
{
    for (size_t i = 0; i < 3; i++) {
        char request[REQUEST_ID_BYTES];
        (void)snprintf(request, sizeof(request), "%s",
                       talk_hear(talk, MESSAGE_COMMAND)->command.request_id);
        tell(talk, request, PHASE_FAILED, STATUS_BUSY);
    }
    (void)talk_is_over(talk);
}

static void test_command__all_end_alike__have_that_code(void **state)
{
    RUN(fail_all, "start", "a", "b", "c");
    assert_int_equal(outcome.code, 8);
    assert_non_null(strstr(outcome.err, "0 done, 3 not"));
}

static void check_what_was_sent(struct talk *talk)
{
    const struct command *command = &talk_hear(talk, MESSAGE_COMMAND)->command;

    if (strcmp(command->container, "web") != 0 || strcmp(command->node, "n1") != 0)
        talk_fail("another container");
    if (strcmp(command->request_id, "mine") != 0 || command->verb != VERB_STOP)
        talk_fail("another request");
    if (command->grace_ns != UINT64_C(5000000000) || command->time_left_ns != 0)
        talk_fail("another grace");
    tell(talk, "mine", PHASE_DONE, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_command__what_was_typed__is_what_is_sent(void **state)
{
    RUN(check_what_was_sent, "stop", "web@n1", "--timeout", "5s", "--request-id", "mine");
    assert_int_equal(outcome.code, 0);
}

static void accept_only(struct talk *talk)
{
    char request[REQUEST_ID_BYTES];

    (void)snprintf(request, sizeof(request), "%s",
                   talk_hear(talk, MESSAGE_COMMAND)->command.request_id);
    tell(talk, request, PHASE_ACCEPTED, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_command__accepted__is_enough_for_detach_alone(void **state)
{
    RUN(accept_only, "start", "web", "--detach");
    assert_int_equal(outcome.code, 0);
    RUN(accept_only, "start", "web", "--timeout", "100ms", "-f", "json");
    assert_int_equal(outcome.code, 5);
    assert_non_null(strstr(outcome.out, "\"receipt\":\"accepted\""));
}

static void interrupt_it(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_COMMAND);
    if (kill(talk_peer(talk), SIGINT) < 0 || !talk_is_over(talk))
        talk_fail("kill");
}

static void test_command__interrupted__says_that_it_goes_on(void **state)
{
    RUN(interrupt_it, "start", "web");
    assert_int_equal(outcome.code, 130);
    assert_non_null(strstr(outcome.err, "go on without us"));
}

static void list_three(struct talk *talk)
{
    const struct container_view views[] = {
        {.name = "web-1", .uuid = {1}, .node = "n1", .state = CT_STOPPED},
        {.name = "web-2", .uuid = {2}, .node = "n1", .state = CT_STOPPED},
        {.name = "db", .uuid = {3}, .node = "n1", .state = CT_STOPPED}};
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = talk_hear(talk, MESSAGE_QUERY)->query.request_id,
                                     .is_last = true,
                                     .containers = views,
                                     .container_count = 3}; /* more than was asked for */
    talk_say(talk, &message);
    for (size_t i = 0; i < 2; i++) {
        const struct command *command = &talk_hear(talk, MESSAGE_COMMAND)->command;
        char request[REQUEST_ID_BYTES];

        if (strncmp(command->container, "web-", 4) != 0)
            talk_fail("a container that was not meant");
        (void)snprintf(request, sizeof(request), "%s", command->request_id);
        tell(talk, request, PHASE_DONE, STATUS_UNSET);
    }
    (void)talk_is_over(talk);
}

static void list_none(struct talk *talk)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = talk_hear(talk, MESSAGE_QUERY)->query.request_id,
                                     .is_last = true};
    talk_say(talk, &message);
    (void)talk_is_over(talk);
}

static void test_command__selectors__reach_what_they_match_and_no_more(void **state)
{
    RUN(list_three, "kill", "web-*");
    assert_int_equal(outcome.code, 0);
    RUN(list_none, "kill", "web-*");
    assert_int_equal(outcome.code, 3);
    assert_non_null(strstr(outcome.err, "no container matches"));
    RUN(list_none, "kill", "--all", "-f", "json");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, "[]\n");
}

/* ---- a node that goes down ---- */

#define BUSY_ROUNDS 32 /* a time between questions would add up to more than FAKE_SECONDS */

static void hear_query(struct talk *talk, enum query_kind kind, char request[REQUEST_ID_BYTES])
{
    const struct query *query = &talk_hear(talk, MESSAGE_QUERY)->query;

    if (query->kind != kind)
        talk_fail("another question");
    (void)snprintf(request, REQUEST_ID_BYTES, "%s", query->request_id);
}

/* Until it listens to what happens; `events` is under which id. */
static void begin_shutdown(struct talk *talk, char events[REQUEST_ID_BYTES])
{
    const struct container_view view = {
        .name = "web", .uuid = {1}, .node = "n1", .state = CT_RUNNING};
    struct message message = {.kind = MESSAGE_ANSWER};
    char request[REQUEST_ID_BYTES];

    hear_query(talk, QUERY_VERSION, request);
    message.answer =
        (struct answer){.request_id = request, .is_last = true, .version = "drover-agent 1"};
    talk_say(talk, &message);
    hear_query(talk, QUERY_LIST, request);
    message.answer = (struct answer){
        .request_id = request, .is_last = true, .containers = &view, .container_count = 1};
    talk_say(talk, &message);
    hear_query(talk, QUERY_SHOW, request);
    message.answer = (struct answer){.request_id = request, .is_last = true};
    talk_say(talk, &message);
    hear_query(talk, QUERY_EVENTS, events);
}

static void hear_command(struct talk *talk, enum verb verb, char request[REQUEST_ID_BYTES])
{
    const struct command *command = &talk_hear(talk, MESSAGE_COMMAND)->command;

    if (command->verb != verb || strcmp(request, command->request_id) == 0)
        talk_fail("another command, or the same again");
    (void)snprintf(request, REQUEST_ID_BYTES, "%s", command->request_id);
}

static void tell_event(struct talk *talk, const char *request, const char *name)
{
    struct event_view event = {.node = "n1", .event = {.type = EVENT_RESULT, .seq = 1}};
    struct message message = {.kind = MESSAGE_ANSWER};

    (void)strcpy(event.event.name, name);
    message.answer = (struct answer){.request_id = request, .events = &event, .event_count = 1};
    talk_say(talk, &message);
}

static void be_busy_for_long(struct talk *talk)
{
    char events[REQUEST_ID_BYTES];
    char request[REQUEST_ID_BYTES] = "";

    begin_shutdown(talk, events);
    for (unsigned i = 0; i < BUSY_ROUNDS; i++) {
        hear_command(talk, VERB_STOP, request);
        tell(talk, request, PHASE_FAILED, STATUS_BUSY);
        tell_event(talk, events, "web");
    }
    hear_command(talk, VERB_STOP, request);
    tell(talk, request, PHASE_DONE, STATUS_UNSET);
    (void)talk_is_over(talk);
}

/* Nothing is asked again before something is heard, and nothing at all after a signal. */
static void be_busy_and_interrupt(struct talk *talk)
{
    char events[REQUEST_ID_BYTES];
    char request[REQUEST_ID_BYTES] = "";

    begin_shutdown(talk, events);
    hear_command(talk, VERB_STOP, request);
    /* That it is asked again is waited for where it is told. */
    char path[64];
    char event[4096];
    int watch = inotify_init1(IN_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/1", talk_peer(talk));
    if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
        talk_fail("inotify");
    tell(talk, request, PHASE_FAILED, STATUS_BUSY);
    tell_event(talk, events, "other");
    if (read(watch, event, sizeof(event)) <= 0)
        talk_fail("inotify");
    if (kill(talk_peer(talk), SIGINT) < 0)
        talk_fail("kill");
    if (talk_is_silent(talk))
        return;
    talk_fail("it asked again");
}

static void be_busy_for_ever(struct talk *talk)
{
    char events[REQUEST_ID_BYTES];
    char request[REQUEST_ID_BYTES] = "";

    begin_shutdown(talk, events);
    hear_command(talk, VERB_STOP, request);
    tell(talk, request, PHASE_FAILED, STATUS_BUSY);
    hear_command(talk, VERB_KILL, request);
    tell(talk, request, PHASE_DONE, STATUS_UNSET);
    (void)talk_is_over(talk);
}

static void test_shutdown__busy__is_asked_again_when_something_is_heard(void **state)
{
    RUN(be_busy_for_long, "node", "shutdown");
    assert_int_equal(outcome.code, 0);
    RUN(be_busy_and_interrupt, "node", "shutdown");
    assert_int_equal(outcome.code, 130);
    assert_non_null(strstr(outcome.err, "0 of 1 commands go on"));
    RUN(be_busy_for_ever, "node", "shutdown", "--timeout", "300ms");
    assert_int_equal(outcome.code, 0);
}

static void test_usage__wrong_words__are_2_or_125(void **state)
{
    RUN(NULL, "frobnicate");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "apply", "web");
    assert_int_equal(outcome.code, 2);
    assert_non_null(strstr(outcome.err, "unsupported"));
    RUN(NULL, "node", "shutdown", "--parallel", "0");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "start");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "ls", "--memory", "1M");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "ls", "-f", "xml");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "ls", "--controller", "/tmp/x");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "create", "Bad_Name", "--root", "/r");
    assert_int_equal(outcome.code, 2);
    RUN(NULL, "exec", "web", "true");
    assert_int_equal(outcome.code, 125);
    RUN(NULL, "exec", "web", "--bogus", "--", "true");
    assert_int_equal(outcome.code, 125);
    RUN(NULL, "exec", "web", "-s", "x", "--", "true");
    assert_int_equal(outcome.code, 125);
    RUN(NULL, "shell");
    assert_int_equal(outcome.code, 125);
    RUN(NULL, "help", "exec");
    assert_int_equal(outcome.code, 0);
    assert_non_null(strstr(outcome.out, "--tty"));
    assert_null(strstr(outcome.out, "--sort"));
}

int main(void)
{
#define FAKED(test) cmocka_unit_test_setup_teardown(test, fake_open, fake_close)
    const struct CMUnitTest tests[] = {
        FAKED(test_command__lost_on_its_way__is_unknown),
        FAKED(test_command__nobody_there__is_not_sent),
        FAKED(test_command__many_in_any_order__are_told_in_that_of_the_line),
        FAKED(test_command__all_end_alike__have_that_code),
        FAKED(test_command__what_was_typed__is_what_is_sent),
        FAKED(test_command__accepted__is_enough_for_detach_alone),
        FAKED(test_command__interrupted__says_that_it_goes_on),
        FAKED(test_command__selectors__reach_what_they_match_and_no_more),
        FAKED(test_shutdown__busy__is_asked_again_when_something_is_heard),
        FAKED(test_usage__wrong_words__are_2_or_125),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
