/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "hooks.h"
#include "message.h"

bool config_has_ready(const struct config *config)
{
    const char *text = config->ready_text == NULL ? "" : config->ready_text;
    size_t length = strlen(text);
    uint64_t port = 0;

    switch (config->ready) {
    case READY_UNSET:
    case READY_AUTO:
    case READY_EXEC:
    case READY_NOTIFY:
        return length == 0;
    case READY_CONSOLE:
        return length > 0 && length <= READY_TEXT_BYTES_MAX;
    case READY_FILE:
        return text[0] == '/' && length <= READY_TEXT_BYTES_MAX;
    case READY_TCP:
        for (; *text >= '0' && *text <= '9' && port <= UINT16_MAX; text++)
            port = port * 10 + (uint64_t)(*text - '0');
        return *text == '\0' && port > 0 && port <= UINT16_MAX;
    case READY_COUNT:
        break;
    }
    return false;
}

bool config_has_hooks(const struct config *config)
{
    uint32_t seen = 0;

    for (size_t i = 0; i < config->hook_count; i++) {
        enum hook_point point = hook_point_find(config->hooks[i].key);

        if (point == HOOK_POINT_COUNT || (seen & 1u << point) != 0 ||
            config->hooks[i].value[0] != '/' ||
            strlen(config->hooks[i].value) > HOOK_PATH_BYTES_MAX)
            return false;
        seen |= 1u << point;
    }
    return true;
}
