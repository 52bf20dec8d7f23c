/* SPDX-License-Identifier: Apache-2.0 */
/* Field by field, by hand: a comparison by way of the codec would share its mistakes. `a` is what
 * was sent, where NULL means "", `b` what came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

#define NUMBER(field) assert_true(a->field == b->field)
#define TEXT(field) same_text(a->field, b->field)

static void same_text(const char *a, const char *b)
{
    assert_non_null(b);
    assert_string_equal(a != NULL ? a : "", b);
}

static void same_texts(const char *const *a, const char *const *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        same_text(a[i], b[i]);
}

static void same_pairs(const struct pair *a, const struct pair *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(key);
        TEXT(value);
    }
}

static void same_binds(const struct bind *a, const struct bind *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(source);
        TEXT(target);
        NUMBER(is_read_only);
        NUMBER(is_plain);
    }
}

static void same_tmpfs(const struct tmpfs *a, const struct tmpfs *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(target);
        NUMBER(size_bytes);
    }
}

void same_config(const struct config *a, const struct config *b)
{
    TEXT(template_name);
    TEXT(root);
    NUMBER(memory_max_bytes);
    NUMBER(swap_max_bytes);
    NUMBER(pids_max);
    NUMBER(cpu_milli);
    NUMBER(cpu_weight);
    NUMBER(bind_count);
    same_binds(a->binds, b->binds, a->bind_count);
    NUMBER(tmpfs_count);
    same_tmpfs(a->tmpfs, b->tmpfs, a->tmpfs_count);
    NUMBER(env_count);
    same_pairs(a->env, b->env, a->env_count);
    TEXT(init);
    NUMBER(ready);
    NUMBER(restart);
    NUMBER(is_reboot_denied);
    NUMBER(on_node_lost);
    NUMBER(is_privileged);
    NUMBER(is_nested);
    NUMBER(has_fuse);
    NUMBER(has_tun);
    NUMBER(has_ptrace);
    NUMBER(label_count);
    same_pairs(a->labels, b->labels, a->label_count);
    NUMBER(hook_count);
    same_pairs(a->hooks, b->hooks, a->hook_count);
    NUMBER(stop_grace_ns);
    NUMBER(family);
    TEXT(ready_text);
    NUMBER(ready_ns);
    NUMBER(is_ready_kept);
    NUMBER(autostart);
    NUMBER(order);
    NUMBER(depend_count);
    same_texts(a->depends, b->depends, a->depend_count);
}

static void same_config_if_any(const struct config *a, const struct config *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL && b != NULL)
        same_config(a, b);
}

static void same_containers(const struct container_view *a, const struct container_view *b,
                            size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(name);
        assert_memory_equal(a->uuid, b->uuid, UUID_BYTES);
        TEXT(node);
        NUMBER(state);
        NUMBER(generation);
        NUMBER(pid);
        NUMBER(is_ready);
        NUMBER(cause);
        NUMBER(has_status);
        NUMBER(wait_status);
        NUMBER(started_wall_ns);
        NUMBER(label_count);
        same_pairs(a->labels, b->labels, a->label_count);
        NUMBER(revision);
    }
}

static void same_fault(const struct fault_view *a, const struct fault_view *b)
{
    NUMBER(status);
    NUMBER(error);
    TEXT(text);
    TEXT(hint);
    TEXT(container);
    TEXT(node);
}

static void same_events(const struct event_view *a, const struct event_view *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        NUMBER(event.epoch);
        NUMBER(event.seq);
        NUMBER(event.time_wall_ns);
        assert_memory_equal(a->event.uuid, b->event.uuid, UUID_BYTES);
        TEXT(event.name);
        NUMBER(event.generation);
        NUMBER(event.type);
        NUMBER(event.from);
        NUMBER(event.to);
        NUMBER(event.cause);
        NUMBER(event.has_status);
        NUMBER(event.wait_status);
        NUMBER(event.result);
        TEXT(event.request);
        TEXT(event.detail);
        TEXT(node);
        TEXT(cursor);
    }
}

static void same_nodes(const struct node_view *a, const struct node_view *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(name);
        TEXT(state);
        NUMBER(is_cordoned);
        TEXT(agent_version);
        NUMBER(containers);
        NUMBER(running);
        TEXT(session);
        NUMBER(seen_wall_ns);
        NUMBER(label_count);
        same_pairs(a->labels, b->labels, a->label_count);
    }
}

static void same_steps(const struct boot_step *a, const struct boot_step *b, size_t count)
{
    for (; count > 0; count--, a++, b++) {
        TEXT(step);
        NUMBER(offset_ns);
        NUMBER(duration_ns);
    }
}

static void same_hello(const struct hello *a, const struct hello *b)
{
    NUMBER(version);
    TEXT(node);
    TEXT(build);
    NUMBER(epoch);
    NUMBER(ledger_last);
    NUMBER(started_wall_ns);
    NUMBER(container_count);
    same_containers(a->containers, b->containers, a->container_count);
    NUMBER(is_partial);
}

static void same_command(const struct command *a, const struct command *b)
{
    TEXT(request_id);
    TEXT(node);
    TEXT(container);
    NUMBER(time_left_ns);
    NUMBER(verb);
    same_config_if_any(a->config, b->config);
    NUMBER(is_started);
    NUMBER(wait);
    NUMBER(grace_ns);
    NUMBER(is_forced);
    NUMBER(is_for_shutdown);
    NUMBER(setting_count);
    NUMBER(set_when);
    NUMBER(base_revision);
    for (size_t i = 0; i < a->setting_count; i++) {
        NUMBER(settings[i].key);
        NUMBER(settings[i].is_cleared);
        TEXT(settings[i].removed);
    }
}

static void same_receipt(const struct receipt *a, const struct receipt *b)
{
    TEXT(request_id);
    NUMBER(phase);
    same_fault(&a->fault, &b->fault);
    NUMBER(has_container);
    same_containers(&a->container, &b->container, 1);
    NUMBER(applied);
    NUMBER(at_next_start);
    same_config_if_any(a->config, b->config);
}

static void same_query(const struct query *a, const struct query *b)
{
    TEXT(request_id);
    TEXT(node);
    NUMBER(kind);
    NUMBER(selector_count);
    same_texts(a->selectors, b->selectors, a->selector_count);
    TEXT(container);
    NUMBER(since);
    NUMBER(since_number);
    TEXT(since_cursor);
    NUMBER(is_follow);
}

static void same_answer(const struct answer *a, const struct answer *b)
{
    TEXT(request_id);
    NUMBER(is_last);
    same_fault(&a->fault, &b->fault);
    NUMBER(container_count);
    same_containers(a->containers, b->containers, a->container_count);
    same_config_if_any(a->config, b->config);
    NUMBER(event_count);
    same_events(a->events, b->events, a->event_count);
    NUMBER(node_count);
    same_nodes(a->nodes, b->nodes, a->node_count);
    NUMBER(step_count);
    same_steps(a->steps, b->steps, a->step_count);
    TEXT(version);
}

static void same_stream_open(const struct stream_open *a, const struct stream_open *b)
{
    NUMBER(stream);
    TEXT(request_id);
    TEXT(node);
    TEXT(container);
    NUMBER(kind);
    NUMBER(argv_count);
    same_texts(a->argv, b->argv, a->argv_count);
    NUMBER(env_count);
    same_pairs(a->env, b->env, a->env_count);
    TEXT(cwd);
    TEXT(user);
    NUMBER(is_tty);
    NUMBER(timeout_ns);
    NUMBER(rows);
    NUMBER(columns);
    NUMBER(is_follow);
}

static void same_stream_frame(const struct stream_frame *a, const struct stream_frame *b)
{
    NUMBER(stream);
    NUMBER(number);
    NUMBER(lane);
    NUMBER(data.size_bytes);
    assert_memory_equal(a->data.data, b->data.data, a->data.size_bytes);
    NUMBER(is_end);
}

static void same_stream_end(const struct stream_end *a, const struct stream_end *b)
{
    NUMBER(stream);
    NUMBER(bytes);
    same_fault(&a->fault, &b->fault);
    NUMBER(exit_code);
}

static void same_body(const struct message *a, const struct message *b)
{
    switch (a->kind) {
    case MESSAGE_UNSET:
    case MESSAGE_COUNT:
        fail_msg("not a sample");
        break;
    case MESSAGE_HELLO:
        same_hello(&a->hello, &b->hello);
        break;
    case MESSAGE_HELLO_ANSWER:
        NUMBER(hello_answer.version);
        NUMBER(hello_answer.session);
        NUMBER(hello_answer.acknowledged);
        NUMBER(hello_answer.acknowledged_epoch);
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        NUMBER(ping_ns);
        break;
    case MESSAGE_RESET:
        NUMBER(reset);
        break;
    case MESSAGE_COMMAND:
        same_command(&a->command, &b->command);
        break;
    case MESSAGE_RECEIPT:
        same_receipt(&a->receipt, &b->receipt);
        break;
    case MESSAGE_EVENTS:
        NUMBER(events.count);
        same_events(a->events.events, b->events.events, a->events.count);
        break;
    case MESSAGE_EVENT_ACK:
        NUMBER(event_ack);
        break;
    case MESSAGE_CONTAINERS:
        NUMBER(containers.container_count);
        same_containers(a->containers.containers, b->containers.containers,
                        a->containers.container_count);
        NUMBER(containers.is_last);
        break;
    case MESSAGE_QUERY:
        same_query(&a->query, &b->query);
        break;
    case MESSAGE_ANSWER:
        same_answer(&a->answer, &b->answer);
        break;
    case MESSAGE_STREAM_OPEN:
        same_stream_open(&a->stream_open, &b->stream_open);
        break;
    case MESSAGE_STREAM_FRAME:
        same_stream_frame(&a->stream_frame, &b->stream_frame);
        break;
    case MESSAGE_STREAM_CREDIT:
        NUMBER(stream_credit.stream);
        NUMBER(stream_credit.bytes);
        break;
    case MESSAGE_STREAM_END:
        same_stream_end(&a->stream_end, &b->stream_end);
        break;
    }
}

void same_message(const struct message *a, const struct message *b)
{
    NUMBER(session);
    NUMBER(number);
    NUMBER(received);
    NUMBER(committed);
    NUMBER(kind);
    same_body(a, b);
}
