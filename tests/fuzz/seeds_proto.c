/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake and how: see seeds.c. Messages are those that the codec's unit tests compare.
 */
#include "codec.h"
#include "samples.h"
#include "seeds.h"

void seeds_codec(void)
{
    for (size_t i = 0; i <= SAMPLE_COUNT; i++) {
        struct buffer buffer = {0};
        uint8_t what = i == SAMPLE_COUNT ? 1 : 0;
        int result = buffer_append(&buffer, &what, 1);

        if (result == 0)
            result = i == SAMPLE_COUNT ? codec_encode_config(&sample_config, &buffer)
                                       : codec_encode(&samples[i], &buffer);
        if (result == 0)
            seed_write(buffer.data, buffer.size_bytes);
        buffer_close(&buffer);
    }
    /* A short one, where each octet weighs more. */
    const struct bind bind = {.source = "/a", .target = "/b"};
    const struct config config = {
        .template_name = "t", .cpu_weight = 100, .binds = &bind, .bind_count = 1};
    const struct message create = {
        .kind = MESSAGE_COMMAND,
        .command = {.request_id = "r", .container = "c", .verb = VERB_CREATE, .config = &config}};
    struct buffer framed = {0};
    const uint8_t message_first = 0;
    if (buffer_append(&framed, &message_first, 1) == 0 && codec_encode(&create, &framed) == 0)
        seed_write(framed.data, framed.size_bytes);
    buffer_consume(&framed, framed.size_bytes);
    const uint8_t what = 2;
    if (buffer_append(&framed, &what, 1) == 0 && codec_encode_framed(&samples[0], &framed) == 0)
        seed_write(framed.data, framed.size_bytes);
    buffer_close(&framed);
}
