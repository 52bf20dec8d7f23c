#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: who comes from OpenVZ or LXC finds the same containers here, with the same limits, and is told
# what did not come along. Their files are imported on a real node, and what was made is booted and asked.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

mkdir -p "$WORK/etc/vz/conf" "$WORK/private" "$WORK/lxc/mail" "$WORK/data"
node_start
template busybox
cp -a "$WORK/roots/busybox" "$WORK/private/101"
cp -a "$WORK/roots/busybox" "$WORK/private/102"
cp -a "$WORK/roots/busybox" "$WORK/lxc/mail/rootfs"
echo kept >"$WORK/data/file"
cat >"$WORK/etc/vz/vz.conf" <<END
VIRTUOZZO=yes
LOCKDIR=/vz/lock
VE_ROOT="/vz/root/\$VEID"
VE_PRIVATE="$WORK/private/\$VEID"
CPUUNITS="2000"
END
cat >"$WORK/etc/vz/conf/101.conf" <<END
# as vzctl saved it
ONBOOT="yes"
PHYSPAGES="0:65536"    # 256 MiB
NUMPROC="77"
CPULIMIT="150"
BINDMOUNT="$WORK/data:/data,ro"
VE_ENVIRONMENT="GREETING=hello"
DESCRIPTION="\"Bob's\" shop; \$(touch $WORK/executed)"
IP_ADDRESS="192.0.2.1"
NAME="Shop_1"
END

# What would be made is told, and nothing is.
want 0 d import openvz --dry-run "$WORK/etc/vz/conf/101.conf" >"$WORK/out"
grep -q "^drover create shop-1 .*--memory 256M .*--cpus 1.5" "$WORK/out" || fail "$(cat "$WORK/out")"
grep -Eq '^shop-1 +IP_ADDRESS +192.0.2.1 +- +this version' "$WORK/out" || fail "$(cat "$WORK/out")"
want 0 d import openvz --dry-run -f json "$WORK/etc/vz/conf/101.conf" >"$WORK/out"
expect 'a row each' '.[0].receipt == "dry_run" and (.[0].option | startswith("drover create shop-1"))
    and ([.[].parameter] | index("NUMPROC") != null)
    and all(.[1:][]; .option != null or .why != null)' <"$WORK/out"
same 'nothing made' '' "$(d ls --no-header -o name)"

# It is made and boots, with its limits, its data and its environment.
want 0 d import openvz --start "$WORK/etc/vz/conf/101.conf" >/dev/null
d show shop-1 -f json | expect 'as it was' '.[0].state == "running" and .[0].config.limits.memory == 268435456
    and .[0].config.limits.pids == 77 and .[0].config.limits.cpus == 1.5 and .[0].config.limits.cpu_weight == 200
    and .[0].labels["openvz.ctid"] == "101" and (.[0].labels.description | startswith("\"Bob'\''s\" shop; $(touch"))
    and .[0].config.env.GREETING == "hello"'
same 'its data' kept "$(d exec shop-1 -- cat /data/file)"
want 1 d exec shop-1 -- sh -c 'echo x >/data/file' 2>/dev/null
same 'its environment' hello "$(d exec shop-1 -- sh -c "tr '\\0' '\\n' </proc/1/environ | sed -n s/^GREETING=//p")"
[[ ! -e $WORK/executed ]] || fail 'a configuration was executed'

# One that exists is refused alone, others go on; a file that is none is named.
cat >"$WORK/lxc/mail/config" <<END
lxc.rootfs.path = dir:$WORK/lxc/mail/rootfs
lxc.uts.name = mail
lxc.cgroup2.memory.max = 64M
lxc.mount.entry = $WORK/data srv/data none bind,create=dir 0 0
lxc.net.0.type = veth
END
sed 's/Shop_1/second/' "$WORK/etc/vz/conf/101.conf" >"$WORK/etc/vz/conf/102.conf"
want 4 d import openvz "$WORK/etc/vz/conf/101.conf" >"$WORK/out" 2>&1
want 6 d import openvz "$WORK/etc/vz/conf/101.conf" "$WORK/etc/vz/conf/102.conf" >/dev/null 2>&1
same 'the other is made' $'second\nshop-1' "$(d ls --no-header -o name)"
want 3 d import lxc "$WORK/nowhere" >/dev/null 2>&1
want 6 d import lxc --start -f json "$WORK/lxc/mail/config" "$WORK/nowhere" >"$WORK/out" 2>/dev/null
expect 'receipts' '[.[] | select(.parameter == null) | .receipt] == ["done", "failed"]' <"$WORK/out"
d show mail -f json | expect 'as it was' '.[0].state == "running" and .[0].config.limits.memory == 67108864'
same 'its data' kept "$(d exec mail -- cat /srv/data/file)"

# A root in an image is not to be had; a template does instead.
sed 's/Shop_1/ploop/; $a VE_LAYOUT="ploop"' "$WORK/etc/vz/conf/101.conf" >"$WORK/etc/vz/conf/103.conf"
want 1 d import openvz "$WORK/etc/vz/conf/103.conf" >/dev/null 2>"$WORK/out"
grep -q 'ploop image' "$WORK/out" || fail "$(cat "$WORK/out")"
want 0 d import openvz --template busybox "$WORK/etc/vz/conf/103.conf" >/dev/null
d show ploop -f json | expect 'of the template' '.[0].config.template == "busybox"'

# Nobody there: nothing was sent, and the report is there nevertheless.
node_kill TERM
want 10 d import openvz -f json "$WORK/etc/vz/conf/101.conf" >"$WORK/out" 2>/dev/null
expect 'not sent' '.[0].receipt == "not_sent" and length > 5' <"$WORK/out"
node_start
want 0 d destroy --force --all >/dev/null
