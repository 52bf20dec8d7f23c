/* SPDX-License-Identifier: Apache-2.0 */
#include "config_read.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "ensure.h"
#include "units.h"

/* The processes of all guests come out of one pid_max: none is to have them all by saying nothing.
 * As systemd-nspawn@.service has it (TasksMax=, systemd 252). */
#define PIDS_DEFAULT 16384

static int refuse(struct fault *fault, enum option option, const char *text, const char *why)
{
    fault_set(fault, STATUS_INVALID, 0, "--%s %s: %s", option_rows[option].name, text, why);
    return -EINVAL;
}

static char *copy(struct arena *texts, const char *text)
{
    size_t size_bytes = strlen(text) + 1;
    char *taken = arena_take(texts, size_bytes);

    ENSURE(taken != NULL);
    return memcpy(taken, text, size_bytes);
}

/* Cut at the first separator: what stands behind it, or NULL. */
static char *cut(char *text, char separator)
{
    char *at = strchr(text, separator);

    if (at == NULL)
        return NULL;
    *at = '\0';
    return at + 1;
}

static const char *absolute(struct arena *texts, const char *path)
{
    char cwd[PATH_MAX];

    if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
        return path;
    size_t cwd_length = strlen(cwd);
    char *text = arena_take(texts, cwd_length + strlen(path) + 2);
    ENSURE(text != NULL);
    memcpy(text, cwd, cwd_length);
    text[cwd_length] = '/';
    memcpy(text + cwd_length + 1, path, strlen(path) + 1);
    return text;
}

int pairs_read(struct arena *texts, const struct options *options, enum option option,
               struct pair ret_pairs[CONFIG_LIST_MAX], struct fault *fault)
{
    size_t index = 0;
    int count = 0;
    const char *given;

    while ((given = options_next(options, option, &index)) != NULL) {
        if (count == CONFIG_LIST_MAX)
            return refuse(fault, option, given, "too many of them");
        char *key = copy(texts, given);
        char *value = cut(key, '=');
        if (value == NULL || key[0] == '\0')
            return refuse(fault, option, given, "K=V is needed");
        ret_pairs[count++] = (struct pair){key, value};
    }
    return count;
}

static int read_binds(struct config_read *read, const struct options *options, struct fault *fault)
{
    size_t index = 0;
    const char *given;

    while ((given = options_next(options, OPTION_BIND, &index)) != NULL) {
        if (read->config.bind_count == CONFIG_LIST_MAX)
            return refuse(fault, OPTION_BIND, given, "too many of them");
        struct bind *bind = &read->binds[read->config.bind_count++];
        char *source = copy(&read->texts, given);
        char *target = cut(source, ':');
        char *word = target == NULL ? NULL : cut(target, ':');

        if (target == NULL || source[0] == '\0' || target[0] != '/')
            return refuse(fault, OPTION_BIND, given, "SRC:DST[:ro][:plain] with a DST from /");
        *bind = (struct bind){.source = absolute(&read->texts, source), .target = target};
        while (word != NULL) {
            char *rest = cut(word, ':');
            if (strcmp(word, "ro") == 0)
                bind->is_read_only = true;
            else if (strcmp(word, "plain") == 0)
                bind->is_plain = true;
            else
                return refuse(fault, OPTION_BIND, given, "only :ro and :plain may follow DST");
            word = rest;
        }
    }
    return 0;
}

static int read_tmpfs(struct config_read *read, const struct options *options, struct fault *fault)
{
    size_t index = 0;
    const char *given;

    while ((given = options_next(options, OPTION_TMPFS, &index)) != NULL) {
        if (read->config.tmpfs_count == CONFIG_LIST_MAX)
            return refuse(fault, OPTION_TMPFS, given, "too many of them");
        struct tmpfs *tmpfs = &read->tmpfs[read->config.tmpfs_count++];
        char *target = copy(&read->texts, given);
        const char *size = cut(target, ':');

        if (target[0] != '/')
            return refuse(fault, OPTION_TMPFS, given, "DST[:SIZE] with a DST from /");
        *tmpfs = (struct tmpfs){.target = target};
        if (size != NULL && (!size_parse(size, &tmpfs->size_bytes) ||
                             tmpfs->size_bytes == SIZE_BYTES_MAX || tmpfs->size_bytes == 0))
            return refuse(fault, OPTION_TMPFS, given, "not a size (64M, 1G)");
    }
    return 0;
}

bool cpus_read(const char *text, uint32_t *ret_milli)
{
    char whole[8] = {0}; /* up to 9999999 processors; what is longer is no count of them */
    char thousandths[4] = "000";
    const char *point = strchr(text, '.');
    size_t length = point == NULL ? strlen(text) : (size_t)(point - text);
    uint64_t count = 0;
    uint64_t rest = 0;

    if (length >= sizeof(whole) - 1 || (point != NULL && (strlen(point + 1) > 3 || !point[1])))
        return false;
    memcpy(whole, text, length);
    if (point != NULL)
        memcpy(thousandths, point + 1, strlen(point + 1));
    if (!number_read(whole, &count) || !number_read(thousandths, &rest) || count + rest == 0)
        return false;

    *ret_milli = (uint32_t)(count * 1000 + rest);
    return true;
}

static int read_size(const struct options *options, enum option option, uint64_t *ret_bytes,
                     struct fault *fault)
{
    const char *text = options_find(options, option);

    *ret_bytes = LIMIT_NONE;
    if (text == NULL || size_parse(text, ret_bytes))
        return 0;
    return refuse(fault, option, text, "not a size (64M, 2G, max)");
}

static int read_limits(struct config *config, const struct options *options, struct fault *fault)
{
    const char *cpus = options_find(options, OPTION_CPUS);
    const char *pids = options_find(options, OPTION_PIDS);
    uint64_t weight = 100;

    config->pids_max = PIDS_DEFAULT;
    if (read_size(options, OPTION_MEMORY, &config->memory_max_bytes, fault) < 0 ||
        read_size(options, OPTION_SWAP, &config->swap_max_bytes, fault) < 0 ||
        options_get_number(options, OPTION_CPU_WEIGHT, &weight, fault) < 0)
        return -EINVAL;
    if (pids != NULL && strcmp(pids, "max") == 0)
        config->pids_max = LIMIT_NONE;
    else if (options_get_number(options, OPTION_PIDS, &config->pids_max, fault) < 0)
        return -EINVAL;
    if (cpus != NULL && strcmp(cpus, "max") != 0 && !cpus_read(cpus, &config->cpu_milli))
        return refuse(fault, OPTION_CPUS, cpus, "not a count of processors (2, 1.5, 0.25, max)");
    if (weight < 1 || weight > 10000)
        return refuse(fault, OPTION_CPU_WEIGHT, options_find(options, OPTION_CPU_WEIGHT),
                      "1 to 10000");
    config->cpu_weight = (uint32_t)weight;
    return 0;
}

/* auto, exec, notify, or console=TEXT, file=PATH, tcp=PORT. */
static int read_ready(struct config *config, const struct options *options, struct fault *fault)
{
    static const char *const words[] = {"auto", "exec", "notify", NULL};
    static const char *const kinds[] = {"console=", "file=", "tcp="};
    static const char *const policies[] = {"kill", "keep", NULL};
    const char *given = options_find(options, OPTION_READY);
    int word = 0;

    config->ready_text = "";
    config->ready = READY_UNSET;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && given != NULL; i++) {
        if (strncmp(given, kinds[i], strlen(kinds[i])) != 0)
            continue;
        config->ready = (enum ready)(READY_CONSOLE + i);
        config->ready_text = given + strlen(kinds[i]);
    }
    if (config->ready == READY_UNSET) {
        word = options_get_word(options, OPTION_READY, words, 0, fault);
        config->ready = (enum ready)(READY_AUTO + word);
    }
    int policy = options_get_word(options, OPTION_READY_POLICY, policies, 0, fault);
    if (word < 0 || policy < 0 ||
        options_get_duration(options, OPTION_READY_TIMEOUT, &config->ready_ns, fault) < 0)
        return -EINVAL;
    if (!config_has_ready(config))
        return refuse(fault, OPTION_READY, given,
                      "console=TEXT (1 to 255 octets), file=PATH (from /) or tcp=PORT is needed");
    config->is_ready_kept = policy == 1;
    return 0;
}

static int read_family(struct config *config, const struct options *options, struct fault *fault)
{
    const char *given = options_find(options, OPTION_FAMILY);

    if (given == NULL)
        return 0;
    for (unsigned i = FAMILY_UNKNOWN + 1; i < FAMILY_COUNT; i++)
        if (strcmp(given, family_name((enum family)i)) == 0)
            config->family = (enum family)i;
    if (config->family == FAMILY_UNKNOWN)
        return refuse(fault, OPTION_FAMILY, given, "systemd, sysvinit, openrc, busybox or runit");
    return 0;
}

/* A switch of `create`; `set` gives it a word. */
static int read_switch(const struct options *options, enum option option, bool *ret_is_on,
                       struct fault *fault)
{
    const char *word = options_find(options, option);

    *ret_is_on = word == NULL ? options_has(options, option) : strcmp(word, "yes") == 0;
    if (word == NULL || *ret_is_on || strcmp(word, "no") == 0)
        return 0;
    return refuse(fault, option, word, "yes or no is needed");
}

static int read_policy(struct config *config, const struct options *options, struct fault *fault)
{
    static const char *const restart[] = {"never", "on-failure", "always", NULL};
    static const char *const reboot[] = {"yes", "no", NULL};
    static const char *const lost[] = {"report", "restart", NULL};
    int words[] = {options_get_word(options, OPTION_RESTART, restart, 0, fault),
                   options_get_word(options, OPTION_ALLOW_REBOOT, reboot, 0, fault),
                   options_get_word(options, OPTION_ON_NODE_LOST, lost, 0, fault)};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i] < 0)
            return -EINVAL;
    config->restart = (enum restart_on)(RESTART_NEVER + words[0]);
    config->is_reboot_denied = words[1] == 1;
    config->on_node_lost = (enum node_lost)(NODE_LOST_REPORT + words[2]);
    config->is_privileged = options_has(options, OPTION_PRIVILEGED);
    config->is_nested = options_has(options, OPTION_NESTED);
    if (read_switch(options, OPTION_FUSE, &config->has_fuse, fault) < 0 ||
        read_switch(options, OPTION_TUN, &config->has_tun, fault) < 0)
        return -EINVAL;
    return read_switch(options, OPTION_PTRACE, &config->has_ptrace, fault);
}

static int read_order(struct config_read *read, const struct options *options, struct fault *fault)
{
    static const char *const autostart[] = {"default", "yes", "no", "disabled", NULL};
    const char *given;
    size_t index = 0;
    uint64_t order = 0;
    int word = options_get_word(options, OPTION_AUTOSTART, autostart, 0, fault);

    if (word < 0 || options_get_number(options, OPTION_ORDER, &order, fault) < 0 ||
        options_get_duration(options, OPTION_STOP_GRACE, &read->config.stop_grace_ns, fault) < 0)
        return -EINVAL;
    if (order > UINT32_MAX)
        return refuse(fault, OPTION_ORDER, options_find(options, OPTION_ORDER), "too large");
    read->config.autostart = (enum autostart)(AUTOSTART_DEFAULT + word);
    read->config.order = (uint32_t)order;
    while ((given = options_next(options, OPTION_DEPENDS, &index)) != NULL) {
        if (read->config.depend_count == CONFIG_LIST_MAX)
            return refuse(fault, OPTION_DEPENDS, given, "too many of them");
        if (!name_check(given))
            return refuse(fault, OPTION_DEPENDS, given, "not a container's name");
        read->depends[read->config.depend_count++] = given;
    }
    return 0;
}

static int read_root(struct config_read *read, const struct options *options, struct fault *fault)
{
    const char *template_name = options_find(options, OPTION_TEMPLATE);
    const char *root = options_find(options, OPTION_ROOT);

    if ((template_name == NULL) == (root == NULL)) {
        fault_set(fault, STATUS_INVALID, 0, "what is it made from? one of --template and --root");
        return -EINVAL;
    }
    read->config.template_name = template_name == NULL ? "" : template_name;
    read->config.root = root == NULL ? "" : absolute(&read->texts, root);
    return 0;
}

int config_read_settings(struct config_read *read, const struct options *options,
                         struct fault *fault)
{
    const char *init = options_find(options, OPTION_INIT);

    *read = (struct config_read){0};
    read->config.template_name = read->config.root = "";
    read->config.init = init == NULL ? "" : init;
    read->config.binds = read->binds;
    read->config.tmpfs = read->tmpfs;
    read->config.env = read->env;
    read->config.labels = read->labels;
    read->config.hooks = read->hooks;
    read->config.depends = read->depends;
    if (init != NULL && init[0] != '/' && init[0] != '\0')
        return refuse(fault, OPTION_INIT, init, "a path from / of the container is needed");
    if (read_limits(&read->config, options, fault) < 0 || read_order(read, options, fault) < 0 ||
        read_policy(&read->config, options, fault) < 0 ||
        read_ready(&read->config, options, fault) < 0 ||
        read_family(&read->config, options, fault) < 0 || read_binds(read, options, fault) < 0 ||
        read_tmpfs(read, options, fault) < 0)
        return -EINVAL;

    int env = pairs_read(&read->texts, options, OPTION_ENV, read->env, fault);
    int labels =
        env < 0 ? env : pairs_read(&read->texts, options, OPTION_LABEL, read->labels, fault);
    int hooks =
        labels < 0 ? labels : pairs_read(&read->texts, options, OPTION_HOOK, read->hooks, fault);
    if (hooks < 0)
        return hooks;
    read->config.env_count = (size_t)env;
    read->config.label_count = (size_t)labels;
    read->config.hook_count = (size_t)hooks;
    if (!config_has_hooks(&read->config))
        return refuse(
            fault, OPTION_HOOK, options_find(options, OPTION_HOOK),
            "premount, mount, start, stop, umount or postumount, each once, and a path from /");
    return 0;
}

int config_read(struct config_read *read, const struct options *options, struct fault *fault)
{
    int result = config_read_settings(read, options, fault);

    return result < 0 ? result : read_root(read, options, fault);
}

void config_read_close(struct config_read *read)
{
    arena_close(&read->texts);
}
