/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"
#include "codec.h"

json_t *row_text(const char *text)
{
    json_t *value = text == NULL || text[0] == '\0' ? json_null() : json_string(text);

    return value != NULL ? value : json_string("\xef\xbf\xbd");
}

json_t *row_uuid(const uint8_t uuid[UUID_BYTES])
{
    static const uint8_t none[UUID_BYTES];
    char text[UUID_TEXT_BYTES];

    return memcmp(uuid, none, UUID_BYTES) == 0 ? json_null() : json_string(uuid_format(uuid, text));
}

static json_t *time_of(uint64_t wall_ns)
{
    char text[CLOCK_TEXT_BYTES];

    return wall_ns == 0 ? json_null() : json_string(clock_format_wall(wall_ns, text));
}

static json_t *number_of(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static json_t *name_of(unsigned value, const char *name)
{
    return value == 0 ? json_null() : json_string(name);
}

static json_t *pairs_of(const struct pair *pairs, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        (void)json_object_set_new(object, pairs[i].key, json_string(pairs[i].value));
    return object;
}

static json_t *status_of(bool has_status, int wait_status)
{
    if (has_status && WIFEXITED(wait_status))
        return json_pack("{s:i}", "exited", WEXITSTATUS(wait_status));
    if (has_status && WIFSIGNALED(wait_status))
        return json_pack("{s:i, s:b}", "signalled", WTERMSIG(wait_status), "core",
                         WCOREDUMP(wait_status) != 0);
    return json_null();
}

json_t *row_container(const struct container_view *view)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:[], s:o}", "name",
        row_text(view->name), "id", row_uuid(view->uuid), "node", row_text(view->node), "state",
        name_of(view->state, ct_state_name(view->state)), "generation", number_of(view->generation),
        "pid", view->pid == 0 ? json_null() : json_integer(view->pid), "ready", view->is_ready,
        "cause", name_of(view->cause, cause_name(view->cause)), "status",
        status_of(view->has_status, view->wait_status), "started", time_of(view->started_wall_ns),
        "ip", "labels", pairs_of(view->labels, view->label_count));
}

/* ---- configuration ---- */

static json_t *limit_of(uint64_t limit)
{
    return limit == LIMIT_NONE ? json_null() : number_of(limit);
}

static json_t *binds_of(const struct config *config)
{
    json_t *list = json_array();

    for (size_t i = 0; i < config->bind_count; i++) {
        const struct bind *bind = &config->binds[i];

        (void)json_array_append_new(list, json_pack("{s:o, s:o, s:b, s:b}", "source",
                                                    row_text(bind->source), "target",
                                                    row_text(bind->target), "read_only",
                                                    bind->is_read_only, "plain", bind->is_plain));
    }
    return list;
}

static json_t *tmpfs_of(const struct config *config)
{
    json_t *list = json_array();

    for (size_t i = 0; i < config->tmpfs_count; i++) {
        const struct tmpfs *tmpfs = &config->tmpfs[i];

        (void)json_array_append_new(
            list, json_pack("{s:o, s:o}", "target", row_text(tmpfs->target), "size",
                            tmpfs->size_bytes == 0 ? json_null() : number_of(tmpfs->size_bytes)));
    }
    return list;
}

static json_t *texts_of(const char *const *texts, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, row_text(texts[i]));
    return list;
}

static json_t *limits_of(const struct config *config)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i}", "memory", limit_of(config->memory_max_bytes),
                     "swap", limit_of(config->swap_max_bytes), "pids", limit_of(config->pids_max),
                     "cpus",
                     config->cpu_milli == 0 ? json_null() : json_real(config->cpu_milli / 1000.0),
                     "cpu_weight", (int)config->cpu_weight);
}

/* As it was written for --ready. */
static json_t *ready_of(const struct config *config)
{
    static const char *const words[READY_COUNT] = {
        [READY_UNSET] = "auto",    [READY_AUTO] = "auto",        [READY_EXEC] = "exec",
        [READY_NOTIFY] = "notify", [READY_CONSOLE] = "console=", [READY_FILE] = "file=",
        [READY_TCP] = "tcp="};
    char text[READY_TEXT_BYTES_MAX + 16];

    (void)snprintf(text, sizeof(text), "%s%s", words[config->ready],
                   config->ready > READY_NOTIFY ? config->ready_text : "");
    return row_text(text);
}

static json_t *family_of(const struct config *config)
{
    return config->family == FAMILY_UNKNOWN ? json_null() : row_text(family_name(config->family));
}

static json_t *config_of(const struct config *config)
{
    static const char *const restart[RESTART_COUNT] = {[RESTART_NEVER] = "never",
                                                       [RESTART_ON_FAILURE] = "on-failure",
                                                       [RESTART_ALWAYS] = "always"};
    static const char *const node_lost[NODE_LOST_COUNT] = {
        [NODE_LOST_REPORT] = "report", [NODE_LOST_RESTART] = "restart"};
    static const char *const autostart[AUTOSTART_COUNT] = {[AUTOSTART_UNSET] = "default",
                                                           [AUTOSTART_DEFAULT] = "default",
                                                           [AUTOSTART_YES] = "yes",
                                                           [AUTOSTART_NO] = "no",
                                                           [AUTOSTART_DISABLED] = "disabled"};

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:o, s:b, "
        "s:b, s:b, s:b, s:b, s:o, s:o, s:s, s:I, s:o}",
        "template", row_text(config->template_name), "root", row_text(config->root), "limits",
        limits_of(config), "binds", binds_of(config), "tmpfs", tmpfs_of(config), "env",
        pairs_of(config->env, config->env_count), "init", row_text(config->init), "family",
        family_of(config), "ready", ready_of(config), "ready_timeout_ns",
        config->ready_ns == 0 ? json_null() : number_of(config->ready_ns), "ready_policy",
        config->is_ready_kept ? "keep" : "kill", "restart", row_text(restart[config->restart]),
        "allow_reboot", !config->is_reboot_denied, "on_node_lost",
        row_text(node_lost[config->on_node_lost]), "privileged", config->is_privileged, "nested",
        config->is_nested, "fuse", config->has_fuse, "tun", config->has_tun, "ptrace",
        config->has_ptrace, "hooks", pairs_of(config->hooks, config->hook_count), "stop_grace_ns",
        config->stop_grace_ns == 0 ? json_null() : number_of(config->stop_grace_ns), "autostart",
        autostart[config->autostart], "order", (json_int_t)config->order, "depends",
        texts_of(config->depends, config->depend_count));
}

json_t *row_shown(const struct container_view *view, const struct config *config)
{
    json_t *row = row_container(view);

    (void)json_object_set_new(row, "revision", number_of(view->revision));
    (void)json_object_set_new(row, "config", config == NULL ? json_null() : config_of(config));
    return row;
}

/* ---- events, nodes, steps ---- */

static json_t *detail_of(const struct event *event)
{
    char text[EVENT_DETAIL_BYTES + 32];

    (void)snprintf(text, sizeof(text), "%s%s%s",
                   event->result == STATUS_UNSET ? "" : status_name(event->result),
                   event->result == STATUS_UNSET || event->detail[0] == '\0' ? "" : ": ",
                   event->detail);
    return row_text(text);
}

/* A controller's own events, that a node came or went, are in no node's ledger: those count from 1
 * and carry an epoch. */
json_t *row_event(const struct event_view *view, bool has_cursor)
{
    const struct event *event = &view->event;
    bool is_of_node = event->name[0] == '\0';
    char epoch[24] = "";

    if (event->seq != 0)
        (void)snprintf(epoch, sizeof(epoch), "%" PRIu64, event->epoch);
    json_t *row = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "node",
        row_text(view->node), "epoch", row_text(epoch), "seq",
        event->seq == 0 ? json_null() : number_of(event->seq), "time", time_of(event->time_wall_ns),
        "container", row_uuid(event->uuid), "name", row_text(event->name), "generation",
        is_of_node ? json_null() : number_of(event->generation), "type",
        name_of(event->type, event_type_name(event->type)), "from",
        name_of(event->from, ct_state_name(event->from)), "to",
        name_of(event->to, ct_state_name(event->to)), "cause",
        name_of(event->cause, cause_name(event->cause)), "status",
        status_of(event->has_status, event->wait_status), "request", row_text(event->request),
        "detail", detail_of(event));
    if (has_cursor)
        (void)json_object_set_new(row, "cursor", row_text(view->cursor));
    return row;
}

json_t *row_node(const struct node_view *view)
{
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "node", row_text(view->name),
                     "state", row_text(view->state), "cordoned", view->is_cordoned, "agent_version",
                     row_text(view->agent_version), "containers", number_of(view->containers),
                     "running", number_of(view->running), "session", row_text(view->session),
                     "seen", time_of(view->seen_wall_ns), "labels",
                     pairs_of(view->labels, view->label_count));
}

json_t *row_step(const struct boot_step *step)
{
    return json_pack("{s:o, s:o, s:o}", "step", row_text(step->step), "offset_ns",
                     number_of(step->offset_ns), "duration_ns", number_of(step->duration_ns));
}
