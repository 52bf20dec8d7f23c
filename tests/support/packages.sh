# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The one list of the Debian packages that anything here needs. To be sourced:
#
#   packages_install GROUP…     install what is missing of the groups
#   packages_of GROUP…          print their names
#
# build    compile everything, the tests too, and break it on purpose (patch)
# guests   make guest roots, read what drover says as JSON, and attack it (socat, small disks)
# bench    the peers that tests/bench/run measures beside Drover
# tidy     what tests/tidy checks with, and the second compiler
# vm       the virtual machine of tests/vm
# fuzz     clang's libFuzzer and sanitizers, and llvm-cov
#
# libc6-dev is named since gcc only recommends it, and recommended packages are left out.

packages_of() {
    local group
    for group; do
        case $group in
            build)
                echo gcc libc6-dev cmake ninja-build pkg-config protobuf-c-compiler \
                    libprotobuf-c-dev libuv1-dev libnanomsg-dev libsodium-dev libcgroup-dev \
                    libseccomp-dev libsqlite3-dev libarchive-dev libjansson-dev \
                    libsmartcols-dev libinih-dev libcmocka-dev patch
                ;;
            guests)
                echo busybox-static mmdebstrap debian-archive-keyring jq socat procps e2fsprogs \
                    xz-utils strace sqlite3
                ;;
            bench) echo lxc crun jq systemd-container ;;
            tidy) echo clang clang-format clang-tidy shellcheck ;;
            vm) echo qemu-system-x86 cpio kmod gcc libc6-dev ;;
            fuzz) echo clang libclang-rt-dev llvm jq ;;
            *)
                echo "packages_of: no group '$group' (build guests bench tidy vm fuzz)" >&2
                return 2
                ;;
        esac
    done
}

packages_install() {
    local names name missing=()
    names=$(packages_of "$@") || return
    for name in $names; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            missing+=("$name")
    done
    ((${#missing[@]} > 0)) || return 0

    if ((EUID != 0)); then
        echo "these packages are missing: ${missing[*]}" >&2
        echo "  run this as root, or: apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    # The lists may be absent, or older than the archive.
    apt-get update -qq || return
    # Daemons that packages bring along (lxc: bridges, monitors) are not wanted here.
    local no_start=''
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        no_start=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$no_start" && chmod 755 "$no_start" || return
    fi
    local rc=0 said
    said=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" </dev/null 2>&1) || rc=$?
    [[ -z $no_start ]] || rm -f "$no_start"
    ((rc == 0)) || printf '%s\n' "$said" | tail -n 30 >&2
    return "$rc"
}
