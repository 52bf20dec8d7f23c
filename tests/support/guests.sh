# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Guest roots for tests, benches and the quickstart. To be sourced, as root:
#
#   guest_busybox DIR    2 MB: busybox as init, a shell on the console
#   guest_debian DIR     Debian 12 with systemd, kept as a tar between runs
#   guest_sysvinit DIR   likewise, with sysvinit-core
#   guest_openrc DIR     likewise, with openrc on sysvinit-core
#   guest_runit DIR      likewise, with runit-init
#   guest_trivial DIR    one static init (trivial_init.c), for storms
#   guest_run NAME DIR   one of these by name
#
# DIR must not exist. Each is whole or not there.

guests_support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=packages.sh
. "$guests_support/packages.sh"

# Where whoever made the machine (tests/vm) left them: it has no network, no compiler, and little time.
guests_made=${XDG_CACHE_HOME:-/var/cache}/drover-tests/roots

guests_copy() { cp -a "$guests_from/." "$1"; }

guest_run() {
    case $1 in
        busybox | debian | sysvinit | openrc | runit | trivial)
            if [[ -d $guests_made/$1 ]]; then
                guests_from=$guests_made/$1
                guests_make "$2" guests_copy
            else
                "guest_$1" "$2"
            fi
            ;;
        *)
            echo "no guest is named '$1' (busybox debian sysvinit openrc runit trivial)" >&2
            return 2
            ;;
    esac
}

# guests_make DIR FUNCTION: FUNCTION fills a directory that becomes DIR when it succeeded.
guests_make() {
    local dir=$1 part="$1.part.$BASHPID"
    if [[ -e $dir ]]; then
        echo "$dir exists already" >&2
        return 1
    fi
    if mkdir -p "$(dirname "$dir")" && mkdir -m 755 "$part" && "$2" "$part" &&
        mv -T "$part" "$dir"; then
        return 0
    fi
    echo "no guest root could be made in $dir" >&2
    rm -rf --one-file-system "$part"
    return 1
}

guest_busybox() {
    [[ -x /bin/busybox ]] || packages_install guests || return
    guests_make "$1" guests_fill_busybox
}

# No `set -e` in these: the shell ignores it wherever a caller tests what a function answers.
guests_fill_busybox() {
    local root=$1 applet
    mkdir "$root"/{bin,sbin,etc,proc,sys,dev,run,root,var,home} && mkdir -m 1777 "$root/tmp" &&
        cp /bin/busybox "$root/bin/busybox" || return
    for applet in $(/bin/busybox --list); do
        case $applet in
            busybox) ;;
            init | reboot | halt | poweroff)
                ln -s ../bin/busybox "$root/sbin/$applet" || return
                ;;
            *) ln -s busybox "$root/bin/$applet" || return ;;
        esac
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n' \
        >"$root/etc/passwd" &&
        printf 'root:x:0:\nguest:x:1000:\n' >"$root/etc/group" &&
        printf '127.0.0.1 localhost\n' >"$root/etc/hosts" || return
    # The dash makes the console the shell's own terminal. `reboot`, `halt` and `poweroff` signal
    # init, as SIGTERM, SIGUSR1 and SIGUSR2 from outside do.
    printf '%s\n' '::sysinit:/bin/mkdir -p /run /tmp' 'console::respawn:-/bin/sh' \
        '::ctrlaltdel:/sbin/reboot' >"$root/etc/inittab"
}

guest_trivial() {
    command -v "${CC:-gcc}" >/dev/null || packages_install build || return
    guests_make "$1" guests_fill_trivial
}

guests_fill_trivial() {
    mkdir "$1"/{sbin,etc,proc,sys,dev,run,tmp,bench} || return
    "${CC:-gcc}" -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -static -s \
        -o "$1/sbin/init" "$guests_support/trivial_init.c"
}

guest_debian() { guests_cached "$1" debian systemd,systemd-sysv,dbus,procps,iproute2; }
guest_sysvinit() { guests_cached "$1" sysvinit sysvinit-core,procps,iproute2; }
guest_openrc() { guests_cached "$1" openrc sysvinit-core,openrc,procps,iproute2; }
guest_runit() { guests_cached "$1" runit runit-init,procps,iproute2; }

# guests_cached DIR NAME PACKAGES: Debian 12 with these, from a tar that is kept; one tar a guest.
guests_cached() {
    local dir=$1 name=$2 packages=$3 cache="${XDG_CACHE_HOME:-/var/cache}/drover-tests" sum tar
    sum=$({ declare -f guests_bootstrap && echo "$packages"; } | sha256sum | cut -c1-16)
    tar="$cache/bookworm-$name-$sum.tar"
    mkdir -p "$cache" || return
    # Whoever comes second waits for the first one's tar.
    (
        flock 9 || exit
        [[ -e $tar ]] && exit
        rm -f "$cache/bookworm-$name"-*.tar "$cache/bookworm-$name"-*.part
        guests_bootstrap "$tar" "$packages"
    ) 9>"$cache/$name.lock" || return
    guests_tar=$tar
    guests_make "$dir" guests_unpack
}

guests_unpack() {
    tar -C "$1" -xpf "$guests_tar" --numeric-owner --xattrs --xattrs-include='*' &&
        mkdir -p "$1/dev"
}

guests_bootstrap() {
    local tar=$1 packages=$2 part="$1.part"
    packages_install guests || return
    echo "bootstrapping Debian 12 with $packages (kept in $tar)" >&2
    # Without documentation and device nodes: a guest is given its /dev. Without descriptors: mmdebstrap
    # gives the number of one to a shell, and Debian's knows none of two digits.
    # shellcheck disable=SC2016 # $1 is the hook's
    if ! mmdebstrap --quiet --variant=minbase --mode=root --format=tar --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --skip=output/dev --customize-hook='rm -f "$1/etc/hostname"' bookworm "$part" \
        >&2 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; then
        rm -f "$part"
        return 1
    fi
    mv "$part" "$tar"
}
