/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: a configuration file that an operator, or whoever writes for one, got wrong must be
 * refused in words before anything is touched, and what is accepted must be what it says. The input
 * is the file, or, if it begins with a dash, the command line itself. Agent and controller are
 * built from this one text.
 */
#include <getopt.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "options.h"

static bool is_ended(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static void check_fault(const struct fault *fault)
{
    PROMISE(fault->status != STATUS_UNSET && fault->status < STATUS_COUNT);
    PROMISE(fault->text[0] != '\0' && is_ended(fault->text, sizeof(fault->text)));
    PROMISE(is_ended(fault->hint, sizeof(fault->hint)));
}

/* What agent and controller have in common, then their own. */
static void check_options(const struct options *options)
{
    PROMISE(options->state_dir[0] != '\0' && options->run_dir[0] != '\0');
    PROMISE(is_ended(options->state_dir, sizeof(options->state_dir)));
    PROMISE(is_ended(options->run_dir, sizeof(options->run_dir)));
#ifdef FUZZ_OPTIONS_AGENT
    PROMISE(name_check(options->node));
    PROMISE(options->cgroup[0] != '\0' && options->cgroup[0] != '/');
    PROMISE(options->uid_base >= UID_RANGE && options->uid_count >= UID_RANGE);
    PROMISE((uint64_t)options->uid_base + options->uid_count <= UINT32_MAX);
    PROMISE(options->controller_count <= CONTROLLERS_MAX);
    CANARY(options->controller_count == 1 && options->uid_count % 2 == 1);
#else
    PROMISE(options->events_max > 0 && options->listen[0] != '\0');
    CANARY(options->events_max < 9 && options->listen[6] == '[');
#endif
}

#define ARGUMENTS_MAX 16

/* Lines as the words of a command line. */
static int split(char *text, char *argv[ARGUMENTS_MAX + 1])
{
    int argc = 1;

    argv[0] = (char *)(uintptr_t) "fuzz";
    for (char *line; argc < ARGUMENTS_MAX && (line = strsep(&text, "\n")) != NULL;)
        argv[argc++] = line;
    argv[argc] = NULL;
    return argc;
}

/* As a file that the command line names. */
static int name_file(const uint8_t *data, size_t size_bytes, char *argv[ARGUMENTS_MAX + 1])
{
    static char path[64];
    static int file = -1;

    if (file < 0)
        file = memfd_create("options", MFD_CLOEXEC);
    PROMISE(ftruncate(file, 0) == 0);
    PROMISE(pwrite(file, data, size_bytes, 0) == (ssize_t)size_bytes);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    argv[0] = (char *)(uintptr_t) "fuzz";
    argv[1] = (char *)(uintptr_t) "--config";
    argv[2] = path;
    argv[3] = NULL;
    return 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct options options;
    static char text[16385];
    char *argv[ARGUMENTS_MAX + 1];
    struct fault fault = {0};
    bool is_line = size_bytes > 0 && size_bytes < sizeof(text) && data[0] == '-';

    if (is_line) {
        memcpy(text, data, size_bytes);
        text[size_bytes] = '\0';
    }
    int argc = is_line ? split(text, argv) : name_file(data, size_bytes, argv);
    optind = 0; /* getopt_long(3): anew */
    opterr = 0;
    if (options_read(&options, argc, argv, &fault) < 0)
        check_fault(&fault);
    else if (!options.is_help && !options.is_version)
        check_options(&options);
    return 0;
}
