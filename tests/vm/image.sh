# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # slow and at_once are tests/vm/run's, guests_support guests.sh's
# What the virtual machine is made of. To be sourced, as root, after guests.sh:
#
#   vm_kernel DIR             Debian's own kernel: DIR/vmlinuz, DIR/lib/modules/VERSION
#   vm_initramfs DIR          DIR/initramfs: the modules without which there is no disk
#   vm_image DIR BUILD        DIR/root.img: Debian 12 with what the tests need, this tree and BUILD
#                             at the paths that they have here; it runs DIR/list as its init
#
# Kernel and Debian are kept between runs.

# Disk first, then what Debian builds as modules and the tests use.
vm_disk_modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk)

vm_cache=${XDG_CACHE_HOME:-/var/cache}/drover-tests

vm_kernel() {
    local dir=$1 name work
    mkdir -p "$vm_cache" "$dir" || return
    # The archive's name for the newest of 6.1; the lists may be absent.
    name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2 }')
    if [[ -z $name ]]; then
        apt-get update -qq || return
        name=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2 }')
    fi
    if [[ -z $name ]]; then
        echo "Debian's archive has no linux-image-cloud-amd64" >&2
        return 1
    fi
    if [[ ! -e $vm_cache/$name.deb ]]; then
        work=$(mktemp -d "$vm_cache/kernel.XXXXXX") || return
        if ! (cd "$work" && apt-get -q download "$name" >/dev/null && mv ./*.deb "$vm_cache/$name.deb"); then
            rm -rf "$work"
            echo "$name cannot be downloaded" >&2
            return 1
        fi
        rm -rf "$work"
    fi
    dpkg-deb -x "$vm_cache/$name.deb" "$dir" && mv "$dir"/boot/vmlinuz-* "$dir/vmlinuz" || return
    vm_version=${name#linux-image-}
    depmod -b "$dir" "$vm_version"
}

vm_initramfs() {
    local dir=$1 init=$1/init name
    mkdir -p "$init"/{bin,dev,proc,root,modules} && cp /bin/busybox "$init/bin/" || return
    for name in "${vm_disk_modules[@]}"; do
        find "$dir/lib/modules" -name "$name.ko" -exec cp {} "$init/modules/" \; || return
    done
    # shellcheck disable=SC2016 # the machine's own words
    {
        echo '#!/bin/busybox sh'
        echo '/bin/busybox mount -t devtmpfs dev /dev'
        printf '/bin/busybox insmod /modules/%s.ko\n' "${vm_disk_modules[@]}"
        # The disk is there when its driver says so.
        echo 'until /bin/busybox mount -t ext4 /dev/vda /root 2>/dev/null; do /bin/busybox usleep 10000; done'
        echo '/bin/busybox mount -t proc proc /proc'
        printf '%s\n' 'init=$(/bin/busybox sed -n "s/.*drover.init=\([^ ]*\).*/\1/p" /proc/cmdline)'
        echo '/bin/busybox umount /proc'
        echo '/bin/busybox mount --move /dev /root/dev'
        echo 'exec /bin/busybox switch_root /root "$init"'
    } >"$init/init"
    chmod 755 "$init/init"
    (cd "$init" && find . | cpio --quiet -o -H newc | gzip -1) >"$dir/initramfs"
}

vm_host_packages() {
    echo systemd systemd-sysv dbus kmod iproute2 libuv1 libnanomsg5 libsodium23 libcgroup2 \
        libsqlite3-0 libarchive13 libjansson4 libsmartcols1 libinih1 libprotobuf-c1 libcmocka0 \
        libseccomp2 "$(packages_of guests)" | tr ' ' ,
}

# vm_init FILE BUILD TREE: runs the list, and takes orphans as an init does.
vm_init() {
    printf '%s\n' '#!/bin/bash' \
        "export DROVER_TEST_SLOW=$slow DROVER_TEST_FEW=yes DROVER_VM_AT_ONCE=$at_once" \
        "exec '$2/test.support.reaper' bash '$3/tests/vm/inside' /list" >"$1" &&
        chmod 755 "$1"
}

# vm_unit DIR BUILD TREE: what runs when systemd is this machine's init.
vm_unit() {
    # This tree may lie below /tmp, which would be emptied at boot.
    mkdir -p "${1%/systemd/system}/tmpfiles.d" &&
        ln -s /dev/null "${1%/systemd/system}/tmpfiles.d/tmp.conf" &&
        ln -s /dev/null "$1/serial-getty@ttyS0.service" || return # it would wait for udev
    printf '%s\n' '[Unit]' 'After=multi-user.target' '[Service]' 'Type=oneshot' 'TimeoutStartSec=infinity' \
        "ExecStart=$3/tests/vm/host $2" 'StandardOutput=file:/dev/ttyS1' 'StandardError=file:/dev/ttyS0' \
        >"$1/drover-vm.service" &&
        mkdir -p "$1/graphical.target.wants" &&
        ln -s ../drover-vm.service "$1/graphical.target.wants/drover-vm.service" &&
        ln -sf /lib/systemd/system/graphical.target "$1/default.target"
}

vm_image() {
    local dir=$1 build=$2 root=$1/root guest top size
    top=$(cd "$guests_support/../.." && pwd)
    guests_cached "$root" vm "$(vm_host_packages)" || return
    mkdir -p "$root/dev" "$root$top" "$root$build" &&
        cp -a "$dir/lib/modules" "$root/lib/" &&
        cp -a "$top"/{tests,deploy} "$root$top/" &&
        find "$build" -maxdepth 1 -type f -perm /111 -exec cp -a {} "$root$build/" \; || return
    mkdir -p "$root$vm_cache/roots" || return
    for guest in busybox trivial debian sysvinit; do # what the tests of the list use
        guest_run "$guest" "$root$vm_cache/roots/$guest" || return
    done
    cp "$dir/list" "$root/list" && vm_init "$root/init-of-tests" "$build" "$top" &&
        vm_unit "$root/etc/systemd/system" "$build" "$top" && echo host >"$root/etc/hostname" || return
    strip --strip-debug "$root$build"/* 2>/dev/null
    size=$(($(du -sm "$root" | cut -f1) + 3072))
    truncate -s "${size}M" "$dir/root.img" &&
        mkfs.ext4 -q -F -d "$root" -E lazy_itable_init=1 "$dir/root.img" && rm -rf --one-file-system "$root"
}
