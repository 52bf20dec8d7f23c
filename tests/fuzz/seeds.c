/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: a fuzzer that begins with nothing spends its time on the first octets of a format. This
 * makes inputs that are right to begin with: fuzz.seeds TARGET DIR. From them and what was found
 * `tests/fuzz/run keep` keeps the few that tests/fuzz/corpus holds.
 */
#include "seeds.h"

static const char *directory;
static unsigned count;

void seed_write(const void *data, size_t size_bytes)
{
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/seed-%u", directory, count++);
    FILE *file = fopen(path, "we");
    if (file == NULL || fwrite(data, 1, size_bytes, file) != size_bytes || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static const struct {
    const char *target;
    void (*make)(void);
} makers[] = {
    {"codec", seeds_codec},
    {"console", seeds_console},
    {"flow", seeds_flow},
    {"guest_files", seeds_guest_files},
    {"import", seeds_import},
    {"keeper", seeds_keeper},
    {"keeper_plan", seeds_keeper_plan},
    {"keeper_records", seeds_keeper_records},
    {"local", seeds_local},
    {"model", seeds_model},
    {"notify", seeds_notify},
    {"options_agent", seeds_options_agent},
    {"options_controller", seeds_options_controller},
    {"streams", seeds_streams},
    {"template", seeds_template},
    {"words", seeds_words},
};

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: fuzz.seeds TARGET DIR\n");
        return 2;
    }
    directory = argv[2];
    for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
        if (strcmp(makers[i].target, argv[1]) == 0)
            makers[i].make();
    return 0; /* a target without any begins with its kept corpus */
}
