/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "setting_read.h"

static void print_words(const struct cli_verb *verb)
{
    uint64_t all = (verb->options | OPTIONS_COMMON) & ~verb->needless;

    (void)printf("        %s) words=\"", verb->name);
    for (unsigned option = 0; option < OPTION_COUNT; option++)
        if ((all & UINT64_C(1) << option) != 0)
            (void)printf("--%s ", option_rows[option].name);
    (void)printf("\" ;;\n");
}

/* Options that take a value, so that the word behind one is not taken for the verb. */
static void print_valued(void)
{
    const char *separator = "";

    for (unsigned option = 0; option < OPTION_COUNT; option++) {
        const struct option_row *row = &option_rows[option];
        if (row->value == NULL || option == OPTION_AGENT || option == OPTION_CONTROLLER)
            continue; /* those two are looked at by themselves */
        (void)printf("%s--%s", separator, row->name);
        separator = "|";
        if (row->letter != 0)
            (void)printf("|-%c", row->letter);
    }
}

/* Names are asked of the same server that the line so far names. */
static const char script_names[] =
    "_drover_names() {\n"
    "    drover \"${server[@]}\" --timeout 2s -o name --no-header -f csv ls 2>/dev/null\n"
    "}\n";

static const char script_end[] =
    "    esac\n"
    "    if [[ $current == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
    "        return\n"
    "    fi\n"
    "    case $before in\n"
    "    --agent|--controller|--root|--init|=init|=bind) mapfile -t COMPREPLY < <(compgen -f -- "
    "\"$current\"); return ;;\n"
    "    -f|--format) words='table json jsonl yaml csv' ;;\n"
    "    --for) words='running stopped generation= event=' ;;\n"
    "    --wait) words='exec ready' ;;\n"
    "    --ready|=ready) words='auto exec notify console= file= tcp=' ;;\n"
    "    --ready-policy|=ready-policy) words='kill keep' ;;\n"
    "    --family|=family) words='systemd sysvinit openrc busybox runit' ;;\n"
    "    --restart|=restart) words='never on-failure always' ;;\n"
    "    --allow-reboot|=allow-reboot|=fuse|=tun|=ptrace) words='yes no' ;;\n"
    "    --on-node-lost|=on-node-lost) words='report restart' ;;\n"
    "    --autostart|=autostart) words='default yes no disabled' ;;\n"
    "    =*) words= ;;\n"
    "    *)\n"
    "        case $verb in\n"
    "        '') words=$verbs ;;\n"
    "        help) words=\"$verbs statuses\" ;;\n"
    "        node) words='ls shutdown' ;;\n"
    "        completion) words=bash ;;\n"
    "        import) [[ $before == import ]] && words='openvz lxc' || words= ;;\n"
    "        template) [[ $before == template ]] && words=import || words= ;;\n"
    "        create|events|version) words= ;;\n"
    "        set) words=$(_drover_names); [[ $before == set ]] || words+=\" $keys\" ;;\n"
    "        *) words=$(_drover_names) ;;\n"
    "        esac\n"
    "        [[ $verb == template && $before != template || $verb == import && $before != import "
    "]] "
    "&&\n"
    "            mapfile -t COMPREPLY < <(compgen -f -- \"$current\") && return ;;\n"
    "    esac\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
    "    [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null || true\n"
    "}\n"
    "complete -F _drover drover\n";

/* Behind `set NAME`; bash takes the three parts of KEY=VALUE for three words. */
static void print_keys(void)
{
    (void)printf("    local keys='cpuunits=");
    for (unsigned key = SETTING_UNSET + 1; key < SETTING_COUNT; key++) {
        const char *name = setting_name((enum setting_key)key);

        (void)printf(" %s=", name);
        if (setting_is_list((enum setting_key)key))
            (void)printf(" %s-=", name);
    }
    (void)printf("'\n"
                 "    if [[ $verb == set && $current == = ]]; then\n"
                 "        before==$before current=\n"
                 "    elif [[ $verb == set && $before == = ]]; then\n"
                 "        before==${COMP_WORDS[COMP_CWORD-2]}\n"
                 "    elif [[ $verb == set && $before == --restart ]]; then\n"
                 "        before=\n" /* create's has a value, this one has none */
                 "    fi\n");
}

static void print_bash(void)
{
    (void)printf("# bash completion of drover: source <(drover completion bash)\n%s", script_names);
    (void)printf("_drover() {\n"
                 "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local verb='' words='' i server=() verbs='");
    for (const struct cli_verb *verb = verbs; verb->name != NULL; verb++)
        (void)printf("%s%s", verb == verbs ? "" : " ", verb->name);
    (void)printf("'\n"
                 "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                 "        case ${COMP_WORDS[i]} in\n"
                 "        --agent|--controller)\n"
                 "            server=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
                 "        ");
    print_valued();
    (void)printf(") ((i++)) ;;\n"
                 "        -*) ;;\n"
                 "        *) [[ -n $verb ]] || verb=${COMP_WORDS[i]} ;;\n"
                 "        esac\n"
                 "    done\n");
    print_keys();
    (void)printf("    case $verb in\n"
                 "        '') words='--agent --controller --help' ;;\n");
    for (const struct cli_verb *verb = verbs; verb->name != NULL; verb++)
        print_words(verb);
    (void)fputs(script_end, stdout);
}

int verb_completion(struct cli *cli)
{
    if (cli->argument_count != 1)
        return cli_usage(cli, "of which shell? bash");
    if (strcmp(cli->arguments[0], "bash") != 0)
        return cli_usage(cli, "unsupported: bash is the only shell that is known");
    print_bash();
    return 0;
}
