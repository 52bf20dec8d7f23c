/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: every octet that a peer sends is decoded by this before anybody knows who the peer is;
 * a crash is the node's. And a field that one side writes and the other does not read is lost for
 * ever. Decoded, encoded and decoded again a message must be the same, field by field.
 */
#include <errno.h>

#include "codec.h"
#include "fuzz.h"
#include "samples.h"

static struct arena first;
static struct arena second;
static struct buffer encoded;
static struct buffer again;

static bool is_planted(const struct message *message)
{
    const struct config *config = message->kind == MESSAGE_COMMAND ? message->command.config : NULL;

    return config != NULL && config->bind_count > 0 && config->cpu_weight != 100 &&
           config->cpu_weight != 101;
}

static void take_message(const uint8_t *data, size_t size_bytes)
{
    struct message message;
    struct message copy;

    int result = codec_decode(data, size_bytes, &first, &message);
    PROMISE(first.used_bytes <= ARENA_BYTES_MAX);
    if (result < 0)
        return;
    CANARY(is_planted(&message));
    /* A word of a later version is kept as unset, which may not be sent: the only way to fail. */
    result = codec_encode_framed(&message, &encoded);
    if (result < 0) {
        PROMISE(result == -EINVAL && encoded.size_bytes == 0);
        return;
    }
    PROMISE(codec_frame_find(&encoded) == (int64_t)encoded.size_bytes - 4);
    PROMISE(codec_decode(encoded.data + 4, encoded.size_bytes - 4, &second, &copy) == 0);
    same_message(&message, &copy);
    PROMISE(codec_encode_framed(&copy, &again) == 0);
    PROMISE(again.size_bytes == encoded.size_bytes);
    PROMISE(memcmp(again.data, encoded.data, again.size_bytes) == 0);
}

static void take_config(const uint8_t *data, size_t size_bytes)
{
    struct config config;
    struct config copy;

    if (codec_decode_config(data, size_bytes, &first, &config) < 0 ||
        codec_encode_config(&config, &encoded) < 0)
        return;
    PROMISE(codec_decode_config(encoded.data, encoded.size_bytes, &second, &copy) == 0);
    same_config(&config, &copy);
}

/* What a prefix claims is either there, awaited, or refused. */
static void take_frame(const uint8_t *data, size_t size_bytes)
{
    const struct buffer buffer = {.data = (uint8_t *)(uintptr_t)data, .size_bytes = size_bytes};
    int64_t found = codec_frame_find(&buffer);

    PROMISE(found == -EMSGSIZE || (found >= 0 && (size_t)found + 4 <= size_bytes + 4));
    if (found > 0)
        take_message(data + 4, (size_t)found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    uint8_t what = script_octet(&script);

    encoded.size_bytes = again.size_bytes = 0;
    if (what == 1)
        take_config(script.at, script.left);
    else if (what == 2)
        take_frame(script.at, script.left);
    else
        take_message(script.at, script.left);
    arena_reset(&first);
    arena_reset(&second);
    return 0;
}
