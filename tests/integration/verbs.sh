#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: agent and controller are one thing to an operator. Every verb is run twice, by --agent and
# by --controller, on real guests; output, words and exit codes are equal but for what must differ
# (cursor, seq, epoch, times, ids, pids, requests).
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

controller_start
node_start
TO="--controller $CONTROLLER_SOCK"
want 0 d wait --for event=node_up --since 2000-01-01T00:00:00Z --timeout 20s
guest_run busybox "$WORK/roots/busybox"

step=0
# run NAME COMMAND…: keep stdout, stderr and exit code of one step under its number. Over a bad network
# (DROVER_TEST_LOSSY) what came to nothing is asked again, as its words say: a command under its own
# request id, so that it is done once; an import when nothing is left of the first.
run() {
    local name code turn turns=1 what=$1
    step=$((step + 1))
    [[ -z ${DROVER_TEST_LOSSY:-} ]] || turns=40
    name=$(printf '%s/%03d-%s' "$OUT" "$step" "$what")
    shift
    case "${DROVER_TEST_LOSSY:+$2} $*" in
        *' --request-id '*) ;;
        create* | start* | stop* | kill* | reboot* | freeze* | thaw* | destroy*)
            set -- "$@" --request-id "verbs-$side-$step"
            ;;
    esac
    for ((turn = 1; turn <= turns; turn++)); do
        code=0
        "$@" >"$name.out" 2>"$name.err" </dev/null || code=$?
        if ((turn == turns)) || ! is_broken "$code" "$name.err"; then
            break
        fi
        echo "$SECONDS s: $*: $code $(head -n 1 "$name.err")" >&2
        node_back
        [[ $what != import && $what != import-tar ]] || rm -rf "$WORK/state/templates/${4:?}"
    done
    echo "$code" >"$name.code"
}

all_verbs() {
    local began
    began=$(date -u +%FT%T.%NZ)
    step=0
    run version d version
    run version-json d version -f json
    run help d help
    run statuses d help statuses
    run import d template import bb "$WORK/roots/busybox"
    run import-twice d template import bb "$WORK/roots/busybox"
    tar -C "$WORK/roots/busybox" -cf "$WORK/bb.tar" .
    run import-tar d template import bb-tar "$WORK/bb.tar"
    run import-missing d template import bb-none "$WORK/none"
    run import-bad-name d template import Bad_Name "$WORK/bb.tar"
    run ls-empty d ls -f json
    run ls-empty-table d ls
    run create d create one --template bb --memory 64M --swap 0 --pids 64 --cpus 1.5 \
        --cpu-weight 50 --label tier=web --env A=B --tmpfs /scratch:1M --restart on-failure
    run create-again d create one --template bb
    run create-start d create two --template bb-tar --start
    run create-no-template d create three --template none
    run create-bad-name d create Bad_Name --template bb
    run create-bad-limit d create three --template bb --memory abc
    run create-no-root d create three
    run show d show one
    run show-json d show one -f json
    run show-yaml d show one -f yaml
    run show-none d show none
    run show-none-json d show none -f json
    run ls d ls
    run ls-json d ls -f json
    run ls-jsonl d ls -f jsonl
    run ls-csv d ls -f csv -o name,state,generation
    run ls-sorted d ls --no-header -o name,state -s name
    run ls-glob d ls 'o*' -f json
    run ls-label d ls tier=web -f json
    run ls-node d ls "@$NODE" -f json
    run ls-none d ls none -f json
    run start d start one
    run start-again d start one
    run start-json d start one -f json
    run start-none d start none
    run start-repeat d start one --request-id "verbs-$side"
    run start-repeat-again d start one --request-id "verbs-$side"
    run start-repeat-other d kill one --request-id "verbs-$side"
    run exec d exec one -- /bin/sh -c 'echo out; echo err >&2; exit 7'
    run exec-env d exec --env X=Y --user guest --cwd /tmp one -- /bin/sh -c 'echo $X; id -u; pwd'
    run exec-timeout d exec --timeout 300ms one -- /bin/sleep 100
    run exec-missing d exec one -- /none
    run exec-none d exec none -- /bin/true
    run exec-config d exec one -- /bin/sh -c \
        'tr "\0" "\n" </proc/1/environ | grep ^A=; df -k /scratch | tail -n 1 | tr -s " " | cut -d" " -f2'
    run wait-running d wait one two --for running
    run wait-timeout d wait one --for stopped --timeout 100ms
    run freeze d freeze one
    run freeze-again d freeze one
    run exec-frozen d exec one -- /bin/true
    run thaw d thaw one
    run thaw-again d thaw one
    run reboot d reboot one
    run wait-generation d wait one --for generation=2 -f json
    itself one /sbin/reboot guest_reboot "$began"
    run wait-third d wait one --for generation=3 --timeout 60s
    itself two /sbin/poweroff guest_halt "$began"
    run wait-stopped d wait two --for stopped --timeout 60s
    run wait-event d wait two --for event=guest_halt --since 2000-01-01T00:00:00Z
    run logs d logs two
    run boot d boot one -f json -o step -s step # in the order of their beginning, which is chance
    run stop d stop one
    run stop-again d stop one
    run stop-both d stop one two -f json
    run kill-stopped d kill one
    run reboot-stopped d reboot one
    run freeze-stopped d freeze one
    run start-many d start one two
    run kill-many d kill --all
    run history d history one -f jsonl
    run history-table d history one --no-header -o type,from,to,cause
    run history-none d history none
    run node-ls d node ls -f json
    run destroy-running d start one
    run destroy-refused d destroy one
    run destroy-force d destroy --force one
    run destroy-none d destroy one
    run destroy d destroy two
    run events-bad d events --since nonsense
    run unsupported d set one memory=1G
    run unknown d frobnicate
    run usage d start
    run ls-end d ls -f json
}

for side in agent controller; do
    OUT=$WORK/by-$side
    mkdir "$OUT"
    TO="--$side $([[ $side == agent ]] && echo "$AGENT_SOCK" || echo "$CONTROLLER_SOCK")"
    all_verbs
    rm -r "$WORK/state/templates/bb" "$WORK/state/templates/bb-tar" # no verb does it yet
done

# Many targets are told in the order in which they were done, and so are the steps of a boot, of
# which some run side by side.
sort_targets() {
    case $1 in
        *-many.out | *-both.out | *-boot*.out) sort ;;
        *) cat ;;
    esac
}

# What must differ: `drover-agent` and `drover-controller` in version, ids, numbers, times, sockets.
clean() {
    sed -E -e 's/"(cursor|seq|epoch|time|id|pid|request|started|seen|session)": ?("[^"]*"|[0-9]+|null)/"\1":_/g' \
        -e 's/drover-(agent|controller)/drover-_/g' \
        -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/ID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?/TIME/g' \
        -e 's/(pid|PID):? +[0-9]+/pid _/g' -e 's/,"cursor":_//' -e 's/\([0-9.]+ (s|ms|us|min)\)/(T)/' \
        -e 's/in [0-9.]+ (s|ms|us)$/in T/' -e 's/verbs-(agent|controller)/REQUEST/g' \
        -e "s#$WORK/run/(agent|controller).sock#SOCK#g" "$1" | sort_targets "$1"
}
hide_numbers() { tr -s ' ' | sed -E -e 's/ [0-9]+ / N /g' -e 's/ [0-9]+ / N /g'; }

differs=0
for file in "$WORK"/by-agent/*; do
    name=$(basename "$file")
    case $name in
        *events-bad.err) continue ;; # a seq at one, a cursor at the other
        *wait-timeout.err) [[ -z ${DROVER_TEST_LOSSY:-} ]] || continue ;;& # before the first answer
        *ls.out | *show.out | *show-yaml.out | *-ls-sorted.out)
            clean "$file" | hide_numbers >"$WORK/x" &&
                clean "$WORK/by-controller/$name" | hide_numbers >"$WORK/y"
            ;;
        *) clean "$file" >"$WORK/x" && clean "$WORK/by-controller/$name" >"$WORK/y" ;;
    esac
    cmp -s "$WORK/x" "$WORK/y" && continue
    echo "--- $name: agent (<), controller (>)"
    diff "$WORK/x" "$WORK/y" || true
    differs=$((differs + 1))
done
((differs == 0)) || fail "$differs outputs differ"
echo "$step verbs, each by agent and by controller, equal"

# And they are what the contract says.
code() { cat "$WORK"/by-agent/[0-9][0-9][0-9]-"$1".code; }
while read -r wanted name; do
    same "exit code of $name" "$wanted" "$(code "$name")"
done <<'CODES'
0 version
0 import
4 import-twice
0 import-tar
1 import-missing
2 import-bad-name
0 create
4 create-again
0 create-start
2 create-bad-name
2 create-bad-limit
2 create-no-root
3 show-none
0 ls-none
0 start
0 start-again
3 start-none
0 start-repeat
0 start-repeat-again
4 start-repeat-other
7 exec
0 exec-env
124 exec-timeout
127 exec-missing
125 exec-none
0 wait-running
5 wait-timeout
0 freeze
0 freeze-again
125 exec-frozen
0 thaw
0 reboot
0 wait-generation
0 wait-third
0 wait-stopped
0 wait-event
0 logs
0 boot
0 stop
0 stop-again
0 stop-both
0 kill-stopped
4 reboot-stopped
4 freeze-stopped
0 start-many
0 kill-many
0 history
3 history-none
0 node-ls
4 destroy-refused
0 destroy-force
3 destroy-none
0 destroy
2 events-bad
2 usage
2 unknown
CODES
jq -e '.[0] |
    keys == ["cause","generation","id","ip","labels","name","node","pid","ready","started","state","status"]' \
    "$WORK"/by-agent/*-ls-json.out >/dev/null ||
    fail "ls -f json has other fields: $(jq -c '.[0] | keys' "$WORK"/by-agent/*-ls-json.out)"
jq -se 'all(.[];
    keys == ["cause","container","epoch","from","generation","name","node","request","seq","status",
             "time","to","type"])' \
    "$WORK"/by-agent/*-history.out >/dev/null ||
    fail "an event has other fields: $(head -n 1 "$WORK"/by-agent/*-history.out)"
same 'an empty list' '[]' "$(jq -c . "$WORK"/by-agent/*-ls-empty.out)"

# An agent that ends says so: its node is down at once, where its word arrives, and commands to it are
# not sent.
node_kill TERM
before=$(date -u +%FT%T.%NZ)
[[ -z ${DROVER_TEST_LOSSY:-} || $(d node ls -f json | jq -r '.[0].state') == down ]] ||
    want 0 d wait --for event=node_down --since "$before" --timeout 60s >/dev/null
same 'a node whose agent ended' down "$(d node ls -f json | jq -r '.[0].state')"
want 10 d start one
echo "ok"
