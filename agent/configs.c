/* SPDX-License-Identifier: Apache-2.0 */
#include "configs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct configs_entry {
    struct configs_entry *next;
    char request[REQUEST_ID_BYTES];
    struct octets config;
};

static bool are_names(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!name_check(names[i]))
            return false;
    return true;
}

static int check(const struct config *config, struct fault *fault)
{
    bool has_template = config->template_name[0] != '\0';
    bool has_root = config->root[0] != '\0';

    if (has_template == has_root)
        fault_set(fault, STATUS_INVALID, 0,
                  "a container is made from one of --template and --root");
    else if (has_template && !name_check(config->template_name))
        fault_set(fault, STATUS_INVALID, 0, "%s: not a name for a template", config->template_name);
    else if (has_root && config->root[0] != '/')
        fault_set(fault, STATUS_INVALID, 0, "--root %s: an absolute path is needed", config->root);
    else if (config->cpu_weight > 10000)
        fault_set(fault, STATUS_INVALID, 0, "cpu-weight %u: 1 to 10000",
                  (uint64_t)config->cpu_weight);
    else if (config->init[0] != '\0' && config->init[0] != '/')
        fault_set(fault, STATUS_INVALID, 0, "--init %s: an absolute path is needed", config->init);
    else if (config->init[0] != '\0' && strlen(config->init) >= 64)
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "--init %s: too long", config->init);
    else if (!are_names(config->depends, config->depend_count))
        fault_set(fault, STATUS_INVALID, 0, "depends: not a name for a container");
    else if (config->memory_max_bytes == 0 || config->pids_max == 0)
        fault_set(fault, STATUS_INVALID, 0, "a container cannot live with 0 %s",
                  config->memory_max_bytes == 0 ? "memory" : "pids");
    return fault->status == STATUS_UNSET ? 0 : -EINVAL;
}

int configs_expect(struct configs *configs, const char *request, const struct config *config,
                   struct fault *fault)
{
    struct buffer buffer = {0};
    int result = check(config, fault);

    if (result < 0)
        return result;
    struct configs_entry *entry = calloc(1, sizeof(*entry));
    result = entry == NULL ? -ENOMEM : codec_encode_config(config, &buffer);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot keep the configuration");
        buffer_close(&buffer);
        free(entry);
        return result;
    }
    (void)strncpy(entry->request, request, REQUEST_ID_BYTES - 1);
    entry->config = (struct octets){buffer.data, buffer.size_bytes};
    entry->next = configs->first;
    configs->first = entry;
    return 0;
}

struct octets configs_take(struct configs *configs, const char *request)
{
    for (struct configs_entry **at = &configs->first; *at != NULL; at = &(*at)->next) {
        struct configs_entry *entry = *at;

        if (strcmp(entry->request, request) != 0)
            continue;
        struct octets config = entry->config;
        *at = entry->next;
        free(entry);
        return config;
    }
    return (struct octets){0};
}

void configs_close(struct configs *configs)
{
    while (configs->first != NULL)
        free((void *)(uintptr_t)configs_take(configs, configs->first->request).data);
}
