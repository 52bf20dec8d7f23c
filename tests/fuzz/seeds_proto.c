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

static void add_frame(struct seed *seed, const struct message *message)
{
    struct buffer buffer = {0};

    if (codec_encode_framed(message, &buffer) == 0)
        seed_add(seed, buffer.data, buffer.size_bytes);
    buffer_close(&buffer);
}

/* What a later version might ask: the octet in which two messages differ is neither's. */
static void add_unknown(struct seed *seed, const struct message *one, const struct message *other)
{
    struct buffer first = {0};
    struct buffer second = {0};

    if (codec_encode_framed(one, &first) == 0 && codec_encode_framed(other, &second) == 0 &&
        first.size_bytes == second.size_bytes) {
        for (size_t i = 0; i < first.size_bytes; i++)
            if (first.data[i] != second.data[i])
                first.data[i] = 120;
        seed_add(seed, first.data, first.size_bytes);
    }
    buffer_close(&first);
    buffer_close(&second);
}

static void write_unknown(const struct message *one, const struct message *other)
{
    static struct seed seed;

    seed.size_bytes = 0;
    seed_octet(&seed, 40);
    add_unknown(&seed, one, other);
    seed_write(seed.data, seed.size_bytes);
}

static void seeds_local_unknown(void)
{
    struct message one = {
        .kind = MESSAGE_COMMAND,
        .command = {.request_id = "r", .node = "", .container = "c", .verb = VERB_START}};
    struct message other = one;

    other.command.verb = VERB_STOP;
    write_unknown(&one, &other);
    one = (struct message){.kind = MESSAGE_STREAM_OPEN,
                           .stream_open = {.stream = 1,
                                           .request_id = "",
                                           .node = "",
                                           .container = "c",
                                           .kind = STREAM_CONSOLE,
                                           .cwd = "",
                                           .user = ""}};
    other = one;
    other.stream_open.kind = STREAM_LOGS;
    write_unknown(&one, &other);
}

void seeds_local(void)
{
    static struct seed seed;
    const struct message ping = {.kind = MESSAGE_PING, .ping_ns = 5};
    const struct message query = {.kind = MESSAGE_QUERY,
                                  .query = {.kind = QUERY_LIST, .request_id = "q"}};

    for (size_t i = 0; i < SAMPLE_COUNT; i += 4) {
        seed.size_bytes = 0;
        seed_octet(&seed, (unsigned)(8 * i));
        add_frame(&seed, &samples[i]);
        add_frame(&seed, &ping);
        seed_write(seed.data, seed.size_bytes);
    }
    seed.size_bytes = 0;
    seed_octet(&seed, 1);
    add_frame(&seed, &query);
    add_frame(&seed, &query);
    seed_write(seed.data, seed.size_bytes);
    const struct message pong = {.kind = MESSAGE_PONG, .ping_ns = 5};
    seed.size_bytes = 0;
    seed_octet(&seed, 255);
    add_frame(&seed, &pong);
    add_frame(&seed, &query);
    seed_write(seed.data, seed.size_bytes);
    for (unsigned odd = 248; odd < 256; odd++) { /* as local.c names them */
        seed.size_bytes = 0;
        seed_octet(&seed, odd);
        add_frame(&seed, &ping);
        add_frame(&seed, &ping);
        seed_write(seed.data, seed.size_bytes);
    }
    for (unsigned how = 100; how < 106; how++) {
        seed.size_bytes = 0;
        seed_octet(&seed, how);
        for (unsigned i = 0; i < 12; i++)
            add_frame(&seed, &ping);
        seed_write(seed.data, seed.size_bytes);
    }
    for (uint8_t where = 0; where < 6; where++)
        seed_write((const uint8_t[]){249, where}, 2);
    seeds_local_unknown();
}

static void write_octets(const uint8_t *octets, size_t count)
{
    seed_write(octets, count);
}
#define WRITE(...)                                                                                 \
    write_octets((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Steps as flow.c reads them. */
void seeds_flow(void)
{
    WRITE(0, 0, 200, 0, 16, 200, 4, 255, 0, 0, 1, 2, 0);
    WRITE(1, 0, 64, 3, 255, 3, 255, 3, 255, 3, 255, 3, 255, 2, 1);
    WRITE(0, 7, 10);
    WRITE(5);
    WRITE(2, 4);
}

/* Steps as streams.c reads them: exec, console, logs, import. */
void seeds_streams(void)
{
    WRITE(0, 0, 1, 4, 0, 0, 100, 14, 14, 4, 0, 1, 50, 14, 14, 1, 1, 1, 20, 5, 0, 20, 14, 8, 0, 14);
    WRITE(0, 1, 2, 6, 100, 2, 2, 0, 32, 1, 2, 1, 3, 11);
    WRITE(0, 2, 3, 6, 200, 13, 0, 2, 0);
    WRITE(0, 3, 0, 1, 0, 1, 200, 1, 0, 65, 4, 5, 0, 255, 14, 8, 0, 14);
    WRITE(9, 0, 0, 0, 4, 0, 0, 255, 14, 14, 10, 3, 0, 14);
}

void seeds_keeper_records(void)
{
    WRITE(5, 3, 1, 3, 0, 0, 0, 9, 0, 0, 0, 1, 0, /* booted */
          5, 3, 2, 3, 1, 0, 0, 9, 0, 0, 0, 1, 0, /* ready */
          5, 2, 3, 5, 4, 2, 0, 0, 0, 0, 0, 1, 0  /* another one ended */
    );
    WRITE(5, 1, 1, 3, 0, 0, 0, 9, 0, 0, 0, 1, 4, 15, 16, 10, 17);
    WRITE(5, 2, 1, 4, 0, 0, 0, 0, 14, 2, 2, 0, 0, 1, 1, 0, 7, 12);
}
