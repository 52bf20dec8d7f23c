/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. Texts are not copied again: they stay where protobuf-c put them, and codec.c's
 * allocator leaves a NUL behind whatever it hands out, so that bytes are texts as well.
 * What is asked of us is refused if it uses a word that we do not know; what we are told is kept,
 * with that word as unset or unknown (COMPATIBILITY.md).
 */
#include <errno.h>
#include <string.h>

#include "codec_pb.h"
#include "ensure.h"

void in_fail(struct in *in, int result)
{
    if (in->result == 0)
        in->result = result;
}

void in_require(struct in *in, bool is_so)
{
    if (!is_so)
        in_fail(in, -EBADMSG);
}

unsigned in_order(struct in *in, int value, unsigned count)
{
    if (value >= 0 && (unsigned)value < count)
        return (unsigned)value;
    in->is_unsupported = true;
    return 0;
}

unsigned in_needed_order(struct in *in, int value, unsigned count)
{
    in_require(in, value != 0);
    return in_order(in, value, count);
}

/* Of what is told. */
static unsigned report(int value, unsigned count, unsigned otherwise)
{
    return value >= 0 && (unsigned)value < count ? (unsigned)value : otherwise;
}

void *in_list(struct in *in, size_t count, size_t size_bytes)
{
    size_t list_bytes = count * size_bytes; /* counts are bounded by codec_check() */
    if (count == 0)
        return NULL;
    void *list = arena_take(in->arena, list_bytes);
    if (list == NULL)
        in_fail(in, arena_has_room(in->arena, list_bytes) ? -ENOMEM : -EMSGSIZE);
    return list;
}

const char *in_bytes(struct in *in, ProtobufCBinaryData from)
{
    if (from.len == 0)
        return "";
    in_require(in, memchr(from.data, '\0', from.len) == NULL);
    return (const char *)from.data;
}

/* What a guest had a say in: put right rather than refused, so that no guest can make an event that
 * can never be delivered. */
static const char *in_guest_text(ProtobufCBinaryData from)
{
    for (size_t at = 0; at < from.len;) {
        size_t step = from.data[at] == '\0' ? 0 : utf8_step(from.data + at, from.len - at);
        if (step == 0)
            from.data[at] = '?';
        at += step == 0 ? 1 : step;
    }
    return from.len == 0 ? "" : (const char *)from.data;
}

static void copy_text(struct in *in, char *to, size_t room_bytes, const char *from)
{
    size_t size_bytes = strlen(from) + 1;

    in_require(in, size_bytes <= room_bytes);
    if (size_bytes <= room_bytes)
        memcpy(to, from, size_bytes);
}

/* Not within a character. */
static void copy_cut(char *to, size_t room_bytes, const char *from)
{
    size_t length = strlen(from);

    if (length >= room_bytes) {
        length = room_bytes - 1;
        while (length > 0 && ((uint8_t)from[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

static void in_uuid(struct in *in, uint8_t uuid[UUID_BYTES], ProtobufCBinaryData from)
{
    in_require(in, from.len == 0 || from.len == UUID_BYTES);
    if (from.len == UUID_BYTES)
        memcpy(uuid, from.data, UUID_BYTES);
}

static enum status in_status(const char *name)
{
    if (name[0] == '\0')
        return STATUS_UNSET;
    enum status status = status_find(name);
    return status != STATUS_UNSET ? status : STATUS_FAILED;
}

const struct pair *in_pairs(struct in *in, Drover__Pair *const *from, size_t count,
                            size_t *ret_count)
{
    struct pair *to = in_list(in, count, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        to[i] = (struct pair){.key = from[i]->key, .value = from[i]->value};
    *ret_count = count;
    return to;
}

static const struct bind *in_binds(struct in *in, const Drover__Config *from, size_t *ret_count)
{
    struct bind *to = in_list(in, from->n_binds, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < from->n_binds; i++)
        to[i] = (struct bind){.source = from->binds[i]->source,
                              .target = from->binds[i]->target,
                              .is_read_only = from->binds[i]->read_only,
                              .is_plain = from->binds[i]->plain};
    *ret_count = from->n_binds;
    return to;
}

static const struct tmpfs *in_tmpfs(struct in *in, const Drover__Config *from, size_t *ret_count)
{
    struct tmpfs *to = in_list(in, from->n_tmpfs, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < from->n_tmpfs; i++)
        to[i] = (struct tmpfs){.target = from->tmpfs[i]->target,
                               .size_bytes = from->tmpfs[i]->size_bytes};
    *ret_count = from->n_tmpfs;
    return to;
}

void in_config(struct in *in, const Drover__Config *from, struct config *ret)
{
    *ret = (struct config){
        .template_name = from->template_name,
        .root = from->root,
        .memory_max_bytes = from->memory_max_bytes,
        .swap_max_bytes = from->swap_max_bytes,
        .pids_max = from->pids_max,
        .cpu_milli = from->cpu_milli,
        .cpu_weight = from->cpu_weight,
        .init = from->init,
        .ready = (enum ready)in_order(in, (int)from->ready, READY_COUNT),
        .restart = (enum restart_on)in_order(in, (int)from->restart, RESTART_COUNT),
        .is_reboot_denied = from->reboot_denied,
        .on_node_lost = (enum node_lost)in_order(in, (int)from->on_node_lost, NODE_LOST_COUNT),
        .is_privileged = from->privileged,
        .stop_grace_ns = from->stop_grace_ns,
        .family = (enum family)in_order(in, (int)from->family, FAMILY_COUNT),
        .ready_text = from->ready_text,
        .ready_ns = from->ready_ns,
        .is_ready_kept = from->ready_kept,
        .autostart = (enum autostart)in_order(in, (int)from->autostart, AUTOSTART_COUNT),
        .order = from->order,
        .depends = (const char *const *)from->depends,
        .depend_count = from->n_depends,
    };
    in_require(in, from->n_depends <= CONFIG_LIST_MAX);
    ret->binds = in_binds(in, from, &ret->bind_count);
    ret->tmpfs = in_tmpfs(in, from, &ret->tmpfs_count);
    ret->env = in_pairs(in, from->env, from->n_env, &ret->env_count);
    ret->labels = in_pairs(in, from->labels, from->n_labels, &ret->label_count);
    ret->hooks = in_pairs(in, from->hooks, from->n_hooks, &ret->hook_count);
    if (from->isolation == NULL)
        return;
    ret->is_nested = from->isolation->nested;
    ret->has_fuse = from->isolation->fuse;
    ret->has_tun = from->isolation->tun;
    ret->has_ptrace = from->isolation->ptrace;
}

const struct config *in_config_new(struct in *in, const Drover__Config *from)
{
    struct config *to = from != NULL ? in_list(in, 1, sizeof(*to)) : NULL;

    if (to != NULL)
        in_config(in, from, to);
    return to;
}

void in_container(struct in *in, const Drover__ContainerState *from, struct container_view *ret)
{
    static const Drover__ContainerState none = DROVER__CONTAINER_STATE__INIT;

    if (from == NULL)
        from = &none;
    *ret = (struct container_view){
        .name = from->name,
        .node = from->node,
        .state = (enum ct_state)report((int)from->state, CT_STATE_COUNT, CT_UNSET),
        .generation = from->generation,
        .pid = from->pid,
        .is_ready = from->ready,
        .cause = (enum cause)report((int)from->cause, CAUSE_COUNT, CAUSE_UNKNOWN),
        .has_status = from->has_status_case == DROVER__CONTAINER_STATE__HAS_STATUS_STATUS,
        .started_wall_ns = from->started,
        .revision = from->revision,
    };
    if (ret->has_status)
        ret->wait_status = from->status;
    in_uuid(in, ret->uuid, from->id);
    ret->labels = in_pairs(in, from->labels, from->n_labels, &ret->label_count);
}

const struct container_view *in_containers(struct in *in, Drover__ContainerState *const *from,
                                           size_t count, size_t *ret_count)
{
    struct container_view *to = in_list(in, count, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        in_container(in, from[i], &to[i]);
    *ret_count = count;
    return to;
}

static void in_event(struct in *in, const Drover__Event *from, struct event_view *ret)
{
    struct event *event = &ret->event;

    *ret = (struct event_view){.node = from->node, .cursor = from->cursor};
    event->epoch = from->epoch;
    event->seq = from->seq;
    event->time_wall_ns = from->time;
    in_uuid(in, event->uuid, from->container);
    copy_text(in, event->name, sizeof(event->name), from->name);
    event->generation = from->generation;
    event->type = (enum event_type)report((int)from->type, EVENT_TYPE_COUNT, EVENT_UNSET);
    event->from = (enum ct_state)report((int)from->from, CT_STATE_COUNT, CT_UNSET);
    event->to = (enum ct_state)report((int)from->to, CT_STATE_COUNT, CT_UNSET);
    event->cause = (enum cause)report((int)from->cause, CAUSE_COUNT, CAUSE_UNKNOWN);
    event->has_status = from->has_status_case == DROVER__EVENT__HAS_STATUS_STATUS;
    if (event->has_status)
        event->wait_status = from->status;
    event->result = in_status(from->result);
    copy_text(in, event->request, sizeof(event->request), from->request);
    copy_cut(event->detail, sizeof(event->detail), in_guest_text(from->detail));
}

const struct event_view *in_events(struct in *in, Drover__Event *const *from, size_t count,
                                   size_t *ret_count)
{
    struct event_view *to = in_list(in, count, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        in_event(in, from[i], &to[i]);
    *ret_count = count;
    return to;
}

void in_fault(const Drover__Fault *from, struct fault_view *ret)
{
    static const Drover__Fault none = DROVER__FAULT__INIT;

    if (from == NULL || in_status(from->status) == STATUS_UNSET)
        from = &none; /* words without a status are of no fault */
    *ret = (struct fault_view){.status = in_status(from->status),
                               .error = from->error,
                               .text = in_guest_text(from->text),
                               .hint = from->hint,
                               .container = from->container,
                               .node = from->node};
}
