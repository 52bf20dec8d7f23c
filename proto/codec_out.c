/* SPDX-License-Identifier: Apache-2.0 */
/* Design note. Nothing is copied here but small structs: texts and octets are pointed to until they
 * are packed. protobuf-c's structs take no const, and it changes nothing that it packs. */
#include <errno.h>
#include <string.h>

#include "codec_pb.h"

void out_fail(struct out *out, int result)
{
    if (out->result == 0)
        out->result = result;
}

int out_needed(struct out *out, unsigned value, unsigned count)
{
    if (value == 0 || value >= count)
        out_fail(out, -EINVAL);
    return (int)value;
}

void *out_list(struct out *out, size_t count, size_t size_bytes)
{
    if (count == 0)
        return NULL;
    if (count > LIST_MAX) {
        out_fail(out, -EMSGSIZE);
        return NULL;
    }
    void *list = arena_take(&out->arena, count * size_bytes);
    if (list == NULL)
        out_fail(out, arena_has_room(&out->arena, count * size_bytes) ? -ENOMEM : -EMSGSIZE);
    return list;
}

ProtobufCBinaryData out_bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = text != NULL ? strlen(text) : 0, .data = (uint8_t *)text};
}

/* All zero is nobody's. */
static ProtobufCBinaryData out_uuid(const uint8_t uuid[UUID_BYTES])
{
    static const uint8_t nobody[UUID_BYTES];
    bool is_set = memcmp(uuid, nobody, UUID_BYTES) != 0;
    return (ProtobufCBinaryData){.len = is_set ? UUID_BYTES : 0, .data = (uint8_t *)uuid};
}

static char *out_status(enum status status)
{
    return status == STATUS_UNSET ? NULL : (char *)status_name(status);
}

void *out_pointers(struct out *out, void *elements, size_t count, size_t size_bytes)
{
    void **pointers = elements != NULL ? out_list(out, count, sizeof(*pointers)) : NULL;

    for (size_t i = 0; pointers != NULL && i < count; i++)
        pointers[i] = (uint8_t *)elements + i * size_bytes;
    return pointers;
}

Drover__Pair **out_pairs(struct out *out, const struct pair *from, size_t count, size_t *ret_count)
{
    Drover__Pair *to = out_list(out, count, sizeof(*to));
    Drover__Pair **list = out_pointers(out, to, count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        drover__pair__init(&to[i]);
        to[i].key = (char *)from[i].key;
        to[i].value = (char *)from[i].value;
    }
    *ret_count = count;
    return list;
}

static Drover__Bind **out_binds(struct out *out, const struct config *from, size_t *ret_count)
{
    Drover__Bind *to = out_list(out, from->bind_count, sizeof(*to));
    Drover__Bind **list = out_pointers(out, to, from->bind_count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < from->bind_count; i++) {
        drover__bind__init(&to[i]);
        to[i].source = (char *)from->binds[i].source;
        to[i].target = (char *)from->binds[i].target;
        to[i].read_only = from->binds[i].is_read_only;
        to[i].plain = from->binds[i].is_plain;
    }
    *ret_count = from->bind_count;
    return list;
}

static Drover__Tmpfs **out_tmpfs(struct out *out, const struct config *from, size_t *ret_count)
{
    Drover__Tmpfs *to = out_list(out, from->tmpfs_count, sizeof(*to));
    Drover__Tmpfs **list = out_pointers(out, to, from->tmpfs_count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < from->tmpfs_count; i++) {
        drover__tmpfs__init(&to[i]);
        to[i].target = (char *)from->tmpfs[i].target;
        to[i].size_bytes = from->tmpfs[i].size_bytes;
    }
    *ret_count = from->tmpfs_count;
    return list;
}

/* Absent where it says nothing: a build that does not know it can then read the rest. */
static Drover__Isolation *out_isolation(struct out *out, const struct config *from)
{
    bool is_any = from->is_nested || from->has_fuse || from->has_tun || from->has_ptrace;
    Drover__Isolation *to = is_any ? out_list(out, 1, sizeof(*to)) : NULL;

    if (to == NULL)
        return NULL;
    drover__isolation__init(to);
    to->nested = from->is_nested;
    to->fuse = from->has_fuse;
    to->tun = from->has_tun;
    to->ptrace = from->has_ptrace;
    return to;
}

Drover__Config *out_config(struct out *out, const struct config *from)
{
    Drover__Config *to = from != NULL ? out_list(out, 1, sizeof(*to)) : NULL;
    if (to == NULL)
        return NULL;
    drover__config__init(to);
    to->template_name = (char *)from->template_name;
    to->root = (char *)from->root;
    to->memory_max_bytes = from->memory_max_bytes;
    to->swap_max_bytes = from->swap_max_bytes;
    to->pids_max = from->pids_max;
    to->cpu_milli = from->cpu_milli;
    to->cpu_weight = from->cpu_weight;
    to->binds = out_binds(out, from, &to->n_binds);
    to->tmpfs = out_tmpfs(out, from, &to->n_tmpfs);
    to->env = out_pairs(out, from->env, from->env_count, &to->n_env);
    to->init = (char *)from->init;
    to->ready = (Drover__Ready)from->ready;
    to->restart = (Drover__Restart)from->restart;
    to->reboot_denied = from->is_reboot_denied;
    to->on_node_lost = (Drover__NodeLost)from->on_node_lost;
    to->privileged = from->is_privileged;
    to->labels = out_pairs(out, from->labels, from->label_count, &to->n_labels);
    to->stop_grace_ns = from->stop_grace_ns;
    to->isolation = out_isolation(out, from);
    to->hooks = out_pairs(out, from->hooks, from->hook_count, &to->n_hooks);
    to->family = (Drover__Family)from->family;
    to->ready_text = (char *)from->ready_text;
    to->ready_ns = from->ready_ns;
    to->ready_kept = from->is_ready_kept;
    to->autostart = (Drover__Autostart)from->autostart;
    to->order = from->order;
    to->depends = (char **)from->depends;
    to->n_depends = from->depend_count;
    if (from->depend_count > CONFIG_LIST_MAX)
        out_fail(out, -EINVAL);
    return to;
}

static void out_container_into(struct out *out, const struct container_view *from,
                               Drover__ContainerState *to)
{
    drover__container_state__init(to);
    to->name = (char *)from->name;
    to->id = out_uuid(from->uuid);
    to->node = (char *)from->node;
    to->state = (Drover__State)from->state;
    to->generation = from->generation;
    to->pid = from->pid;
    to->ready = from->is_ready;
    to->cause = (Drover__Cause)from->cause;
    if (from->has_status) {
        to->has_status_case = DROVER__CONTAINER_STATE__HAS_STATUS_STATUS;
        to->status = from->wait_status;
    }
    to->started = from->started_wall_ns;
    to->labels = out_pairs(out, from->labels, from->label_count, &to->n_labels);
    to->revision = from->revision;
}

Drover__ContainerState *out_container(struct out *out, const struct container_view *from)
{
    Drover__ContainerState *to = out_list(out, 1, sizeof(*to));

    if (to != NULL)
        out_container_into(out, from, to);
    return to;
}

Drover__ContainerState **out_containers(struct out *out, const struct container_view *from,
                                        size_t count, size_t *ret_count)
{
    Drover__ContainerState *to = out_list(out, count, sizeof(*to));
    Drover__ContainerState **list = out_pointers(out, to, count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        out_container_into(out, &from[i], &to[i]);
    *ret_count = count;
    return list;
}

static void out_event(const struct event_view *from, Drover__Event *to)
{
    const struct event *event = &from->event;

    drover__event__init(to);
    to->node = (char *)from->node;
    to->epoch = event->epoch;
    to->seq = event->seq;
    to->time = event->time_wall_ns;
    to->container = out_uuid(event->uuid);
    to->name = (char *)event->name;
    to->generation = event->generation;
    to->type = (Drover__EventType)event->type;
    to->from = (Drover__State)event->from;
    to->to = (Drover__State)event->to;
    to->cause = (Drover__Cause)event->cause;
    if (event->has_status) {
        to->has_status_case = DROVER__EVENT__HAS_STATUS_STATUS;
        to->status = event->wait_status;
    }
    to->request = (char *)event->request;
    to->cursor = (char *)from->cursor;
    to->detail = out_bytes(event->detail);
    to->result = out_status(event->result);
}

Drover__Event **out_events(struct out *out, const struct event_view *from, size_t count,
                           size_t *ret_count)
{
    Drover__Event *to = out_list(out, count, sizeof(*to));
    Drover__Event **list = out_pointers(out, to, count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        out_event(&from[i], &to[i]);
    *ret_count = count;
    return list;
}

Drover__Fault *out_fault(struct out *out, const struct fault_view *from)
{
    Drover__Fault *to = from->status != STATUS_UNSET ? out_list(out, 1, sizeof(*to)) : NULL;
    if (to == NULL)
        return NULL;
    drover__fault__init(to);
    to->status = out_status(from->status);
    to->text = out_bytes(from->text);
    to->container = (char *)from->container;
    to->node = (char *)from->node;
    to->error = from->error;
    to->hint = (char *)from->hint;
    return to;
}
