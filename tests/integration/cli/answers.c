/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a script that takes half an answer, or none, for the whole. Servers refuse, lie,
 * hang up and say nothing; exit code, output and words are those of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
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

static void answer(struct talk *talk, const char *request, const char *name, bool is_last)
{
    const struct container_view view = {
        .name = name, .uuid = {1}, .node = "n1", .state = CT_RUNNING, .generation = 1, .pid = 42};
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = request,
                                     .is_last = is_last,
                                     .containers = &view,
                                     .container_count = name == NULL ? 0 : 1};
    talk_say(talk, &message);
}

static void test_cli__nobody_listens__is_unreachable(void **state)
{
    const struct fake *fake = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    RUN(NULL, "ls");
    assert_int_equal(outcome.code, 10);
    assert_non_null(strstr(outcome.err, "nobody answers"));

    (void)strcpy(address.sun_path, fake->path); /* a socket file that a dead server left */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    RUN(NULL, "ls", "-f", "json");
    assert_int_equal(outcome.code, 10);
    assert_string_equal(outcome.out, "");
    assert_non_null(strstr(outcome.err, "{\"error\":{\"status\":\"unreachable\""));
}

static void hang_up(struct talk *talk)
{
    (void)close(talk->fd);
}

static void say_garbage(struct talk *talk)
{
    static const uint8_t garbage[] = {5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff};

    (void)talk_hear(talk, MESSAGE_QUERY);
    talk_octets(talk, garbage, sizeof(garbage));
    (void)talk_is_over(talk);
}

static void say_endless(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_QUERY);
    talk_octets(talk, "\xff\xff\xff\xff", 4);
    (void)talk_is_over(talk);
}

static void say_half_a_message(struct talk *talk)
{
    (void)talk_hear(talk, MESSAGE_QUERY);
    talk_octets(talk, "\x40\x00\x00\x00half", 8);
    (void)close(talk->fd);
}

static void say_half_a_list(struct talk *talk)
{
    const struct message *asked = talk_hear(talk, MESSAGE_QUERY);

    answer(talk, asked->query.request_id, "first", false);
    (void)close(talk->fd);
}

static void test_cli__a_connection_lost_or_spoilt__is_unreachable(void **state)
{
    static const fake_server_fn servers[] = {hang_up, say_garbage, say_endless, say_half_a_message,
                                             say_half_a_list};

    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        RUN(servers[i], "ls", "-f", "json");
        assert_int_equal(outcome.code, 10);
        assert_string_equal(outcome.out, ""); /* half a list would be taken for a whole one */
        assert_non_null(strstr(outcome.err, "\"status\":\"unreachable\""));
    }
}

static void say_nothing(struct talk *talk)
{
    (void)talk_is_over(talk);
}

static void test_cli__silence__ends_at_the_timeout(void **state)
{
    RUN(say_nothing, "ls", "--timeout", "100ms");
    assert_int_equal(outcome.code, 5);
    RUN(say_nothing, "wait", "web", "--for", "running", "--timeout", "100ms");
    assert_int_equal(outcome.code, 5);
}

static void refuse_all(struct talk *talk)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.is_last = true};
    message.answer.fault = (struct fault_view){
        .status = STATUS_NOT_PERMITTED, .text = "uid 5 may not", .hint = "ask root"};
    talk_say(talk, &message);
    (void)close(talk->fd);
}

static void test_cli__refused_before_it_spoke__says_why(void **state)
{
    RUN(refuse_all, "ls");
    assert_int_equal(outcome.code, 9);
    assert_non_null(strstr(outcome.err, "uid 5 may not"));
    assert_non_null(strstr(outcome.err, "ask root"));
    RUN(refuse_all, "start", "web");
    assert_int_equal(outcome.code, 9);
    RUN(refuse_all, "exec", "web", "--", "true");
    assert_int_equal(outcome.code, 125);
    assert_non_null(strstr(outcome.err, "uid 5 may not"));
}

static void say_much_besides(struct talk *talk)
{
    struct message other = {.kind = MESSAGE_PONG};
    char request[REQUEST_ID_BYTES];

    (void)snprintf(request, sizeof(request), "%s",
                   talk_hear(talk, MESSAGE_QUERY)->query.request_id);
    answer(talk, "another", "wrong", true);
    talk_say(talk, &other);
    talk_octets(talk, "\x05\x00\x00\x00\xd2\x03\x02\x08\x01", 9); /* a kind of a newer server */
    answer(talk, request, "first", false);
    answer(talk, request, NULL, false);
    answer(talk, request, "second", true);
    (void)talk_is_over(talk);
}

static void test_cli__answers_to_others__are_passed_over(void **state)
{
    RUN(say_much_besides, "ls", "-f", "csv", "-o", "name", "--no-header");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, "first\nsecond\n");
}

/* ---- events ---- */

static void say_events(struct talk *talk, const char *request, bool is_last)
{
    struct event_view views[2] = {{.node = "n1", .cursor = ""}, {.node = "n1", .cursor = ""}};
    struct message message = {.kind = MESSAGE_ANSWER};

    for (uint64_t i = 0; i < 2; i++)
        views[i].event = (struct event){.epoch = 1,
                                        .seq = i + 1,
                                        .time_wall_ns = 1,
                                        .uuid = {1},
                                        .name = "web",
                                        .type = EVENT_CREATED};
    message.answer = (struct answer){
        .request_id = request, .is_last = is_last, .events = views, .event_count = 2};
    talk_say(talk, &message);
}

/* An agent by its own words, asked for events next. */
static const char *greet(struct talk *talk, char request[REQUEST_ID_BYTES])
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = talk_hear(talk, MESSAGE_QUERY)->query.request_id,
                                     .is_last = true,
                                     .version = "drover-agent 1"};
    talk_say(talk, &message);
    (void)snprintf(request, REQUEST_ID_BYTES, "%s",
                   talk_hear(talk, MESSAGE_QUERY)->query.request_id);
    return request;
}

static void events_then_hang_up(struct talk *talk)
{
    char request[REQUEST_ID_BYTES];

    say_events(talk, greet(talk, request), false);
    (void)close(talk->fd);
}

static void events_then_interrupt(struct talk *talk)
{
    char request[REQUEST_ID_BYTES];

    (void)greet(talk, request);
    /* The rows are waited for where they are written to. */
    char path[64];
    char event[4096];
    int watch = inotify_init1(IN_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/1", talk_peer(talk));
    if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
        talk_fail("inotify");
    say_events(talk, request, false);
    if (read(watch, event, sizeof(event)) <= 0)
        talk_fail("inotify");
    if (kill(talk_peer(talk), SIGINT) < 0 || !talk_is_over(talk))
        talk_fail("kill");
}

static void events_then_end(struct talk *talk)
{
    char request[REQUEST_ID_BYTES];

    say_events(talk, greet(talk, request), true);
    (void)talk_is_over(talk);
}

static void test_cli__events_cut_short__are_a_whole_array_and_an_error(void **state)
{
    static const char two[] = "[{\"seq\":1},\n {\"seq\":2}]\n";

    RUN(events_then_hang_up, "events", "-f", "json", "-o", "seq");
    assert_int_equal(outcome.code, 10);
    assert_string_equal(outcome.out, two);
    RUN(events_then_interrupt, "events", "--follow", "-f", "json", "-o", "seq");
    assert_int_equal(outcome.code, 130);
    assert_string_equal(outcome.out, two);
    RUN(events_then_end, "events", "-f", "json", "-o", "seq");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.out, two);
}

/* ---- wait ---- */

static void boot_while_watched(struct talk *talk)
{
    struct message message = {.kind = MESSAGE_ANSWER};
    struct event_view view = {.node = "n1", .cursor = ""};
    struct container_view booting = {
        .name = "web", .uuid = {1}, .node = "n1", .state = CT_BOOTING, .generation = 4};
    char events[REQUEST_ID_BYTES];

    (void)greet(talk, events);
    message.answer = (struct answer){.request_id = talk_hear(talk, MESSAGE_QUERY)->query.request_id,
                                     .is_last = true,
                                     .containers = &booting,
                                     .container_count = 1};
    talk_say(talk, &message);
    view.event = (struct event){.epoch = 1,
                                .seq = 9,
                                .uuid = {1},
                                .name = "web",
                                .generation = 4,
                                .type = EVENT_CHANGED,
                                .from = CT_BOOTING,
                                .to = CT_RUNNING};
    message.answer = (struct answer){.request_id = events, .events = &view, .event_count = 1};
    talk_say(talk, &message);
    answer(talk, talk_hear(talk, MESSAGE_QUERY)->query.request_id, "web", true);
    (void)talk_is_over(talk);
}

static void destroy_while_watched(struct talk *talk)
{
    struct message message = {.kind = MESSAGE_ANSWER};
    struct event_view view = {.node = "n1", .cursor = ""};
    char events[REQUEST_ID_BYTES];

    (void)greet(talk, events);
    answer(talk, talk_hear(talk, MESSAGE_QUERY)->query.request_id, "web", true);
    view.event =
        (struct event){.epoch = 1, .seq = 9, .uuid = {1}, .name = "web", .type = EVENT_DESTROYED};
    message.answer = (struct answer){.request_id = events, .events = &view, .event_count = 1};
    talk_say(talk, &message);
    (void)talk_is_over(talk);
}

static void hang_up_on_watcher(struct talk *talk)
{
    char events[REQUEST_ID_BYTES];

    (void)greet(talk, events);
    (void)close(talk->fd);
}

static void test_cli__wait__is_met_lost_or_in_vain(void **state)
{
    RUN(boot_while_watched, "wait", "web", "--for", "running", "-f", "json");
    assert_int_equal(outcome.code, 0);
    assert_non_null(strstr(outcome.out, "\"state\":\"running\",\"generation\":1,\"pid\":42"));
    RUN(destroy_while_watched, "wait", "web", "--for", "stopped");
    assert_int_equal(outcome.code, 3);
    RUN(hang_up_on_watcher, "wait", "web", "--for", "running");
    assert_int_equal(outcome.code, 10);
}

int main(void)
{
#define FAKED(test) cmocka_unit_test_setup_teardown(test, fake_open, fake_close)
    const struct CMUnitTest tests[] = {
        FAKED(test_cli__nobody_listens__is_unreachable),
        FAKED(test_cli__a_connection_lost_or_spoilt__is_unreachable),
        FAKED(test_cli__silence__ends_at_the_timeout),
        FAKED(test_cli__refused_before_it_spoke__says_why),
        FAKED(test_cli__answers_to_others__are_passed_over),
        FAKED(test_cli__events_cut_short__are_a_whole_array_and_an_error),
        FAKED(test_cli__wait__is_met_lost_or_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
