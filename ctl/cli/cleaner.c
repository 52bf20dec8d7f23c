/* SPDX-License-Identifier: Apache-2.0 */
#include "cleaner.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

#define ESCAPE 0x1b

enum held { HELD_OPEN, HELD_WHOLE, HELD_WRONG };

static enum held look_at_sequence(const uint8_t *held, size_t count)
{
    uint8_t last = held[count - 1];

    if (count == 1)
        return HELD_OPEN;
    if (held[1] != '[')
        return HELD_WRONG;
    if (count == 2 || (last >= 0x20 && last <= 0x3f))
        return count == CLEANER_HELD_MAX ? HELD_WRONG : HELD_OPEN;
    return last >= 0x40 && last <= 0x7e ? HELD_WHOLE : HELD_WRONG;
}

static enum held look_at_character(const uint8_t *held, size_t count)
{
    size_t length = held[0] < 0xc2 ? 1 : held[0] < 0xe0 ? 2 : held[0] < 0xf0 ? 3 : 4;

    if (count > 1 && (held[count - 1] & 0xc0) != 0x80)
        return HELD_WRONG;
    return count < length ? HELD_OPEN : HELD_WHOLE;
}

static int put_safe(const uint8_t *data, size_t size_bytes, struct buffer *to)
{
    AUTO_FREE char *text = text_sanitise((const char *)data, size_bytes, true);

    return text == NULL ? -ENOMEM : buffer_append(to, text, strlen(text));
}

static int put_sequence(struct cleaner *cleaner, struct buffer *to)
{
    if (!cleaner->has_colour || cleaner->held[cleaner->held_bytes - 1] != 'm')
        return 0;
    cleaner->is_coloured = true;
    return buffer_append(to, cleaner->held, cleaner->held_bytes);
}

/* One octet behind those that are held. False: it is not of them, and is to be taken again. */
static bool take_one(struct cleaner *cleaner, uint8_t octet, struct buffer *to, int *ret_result)
{
    cleaner->held[cleaner->held_bytes++] = octet;
    bool is_sequence = cleaner->held[0] == ESCAPE;
    enum held held = is_sequence ? look_at_sequence(cleaner->held, cleaner->held_bytes)
                                 : look_at_character(cleaner->held, cleaner->held_bytes);
    if (held == HELD_OPEN)
        return true;
    size_t count = cleaner->held_bytes - (held == HELD_WRONG);
    if (held == HELD_WHOLE && is_sequence)
        *ret_result = put_sequence(cleaner, to);
    else
        *ret_result = put_safe(cleaner->held, count, to);
    cleaner->held_bytes = 0;
    return held == HELD_WHOLE;
}

static size_t plain_length(struct octets from, size_t at)
{
    size_t length = 0;

    while (at + length < from.size_bytes) {
        uint8_t octet = from.data[at + length];
        bool is_plain = (octet >= 0x20 && octet < 0x7f) || octet == '\n' || octet == '\t';
        if (!is_plain)
            break;
        length++;
    }
    return length;
}

int cleaner_take(struct cleaner *cleaner, struct octets from, struct buffer *to)
{
    int result = 0;

    for (size_t i = 0; i < from.size_bytes && result == 0;) {
        size_t plain = cleaner->held_bytes == 0 ? plain_length(from, i) : 0;

        if (plain > 0)
            result = buffer_append(to, from.data + i, plain);
        else if (take_one(cleaner, from.data[i], to, &result))
            plain = 1;
        i += plain;
    }
    return result;
}

int cleaner_finish(struct cleaner *cleaner, struct buffer *to)
{
    int result = put_safe(cleaner->held, cleaner->held_bytes, to);

    cleaner->held_bytes = 0;
    if (result == 0 && cleaner->is_coloured)
        result = buffer_append(to, "\033[0m", 4);
    return result;
}
