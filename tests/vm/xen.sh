#!/usr/bin/env bash
# Real Xen under software emulation: xen.sh BIN, the bin of a build. Dom0 with divvy-relay and its XenStore front end, two
# paravirtualised guests, a worker outside of the machine. Hypervisor, tools and kernel come from Debian's packages, unpacked.
set -euo pipefail
bin=${1:?bin of the build}
place=$(mktemp -d)
worker='' machine=''
cleanup() {
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
    rm -rf "$place"
}
trap cleanup EXIT
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${DIVVY_VM_XEN_SECONDS:-400}
vm_root=$vm_cache/xen
tools=usr/lib/xen-4.17/bin

xen_packages() {
    vm_unpack xen "$(vm_kernel_package amd64)" busybox-static xen-hypervisor-4.17-amd64 xen-utils-4.17 xenstore-utils libxenstore4 libxentoolcore1 \
        libxentoollog1 libxencall1 libxendevicemodel1 libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenmisc4.17 libyajl2
}

# tree_make TREE INIT MODULE...: busybox, the store's tools, modules in the order in which they are to be loaded.
tree_make() {
    local tree=$1 init=$2 module
    shift 2
    mkdir -p "$tree"/{bin,dev,proc,sys,etc,modules}
    cp "$(find "$vm_root" -path '*bin/busybox' | head -n 1)" "$tree/bin/busybox"
    for module in read write rm ls chmod; do vm_program "$tree" "$vm_root/usr/bin/xenstore-$module" bin; done
    for module; do cp "$(find "$vm_root/lib/modules" -name "$module.ko" | head -n 1)" "$tree/modules/"; done
    printf '%s\n' "$@" >"$tree/modules/order"
    cp "$vm_here/$init" "$tree/init"
    chmod 755 "$tree/init"
}

xen_modules=(xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs)

guest_initrd() {
    local tree=$place/guest
    tree_make "$tree" xen-guest-init "${xen_modules[@]}"
    cp "$bin/divvy-client" "$tree/bin/"
    vm_pack "$tree" "$place/guest.gz"
}

dom0_initrd() {
    local tree=$place/dom0 program
    tree_make "$tree" xen-dom0-init "${xen_modules[@]}" virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover \
        net_failover virtio_net
    for program in xl xenstored xenconsoled xen-init-dom0; do vm_program "$tree" "$vm_root/$tools/$program" "$tools"; done
    vm_program "$tree" "$bin/divvy-relay" bin
    cp -L "$(vm_library libgcc_s.so.1)" "$tree/lib/x86_64-linux-gnu/" # xl aborts without it
    mkdir -p "$tree/etc/xen" "$tree/guest"
    : >"$tree/etc/xen/xl.conf"
    cp "$vm_root"/boot/vmlinuz-* "$tree/guest/vmlinuz"
    cp "$place/guest.gz" "$tree/guest/initrd.gz"
    vm_pack "$tree" "$place/dom0.gz"
}

worker_start() {
    DIVVY_SIM_DIR=$place/sim "$bin/divvy-worker" --no-daemon --gpu sim --bind 127.0.0.1 -p 0 >"$place/worker.log" 2>&1 &
    worker=$!
    for _ in $(seq 200); do
        port=$(sed -n 's/.*port \([0-9][0-9]*\).*/\1/p' "$place/worker.log" | head -n 1)
        [ -z "$port" ] || return 0
        sleep 0.1
    done
    cat "$place/worker.log"
    return 1
}

machine_run() {
    timeout -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -machine q35 -cpu Nehalem-v1 -smp 2 -m 1400 -nographic -no-reboot \
        -nodefaults -serial "file:$place/serial" -netdev user,id=n0 -device virtio-net-pci,netdev=n0,romfile= \
        -kernel "$place/xen.elf" -append "com1=115200,8n1 console=com1 dom0_mem=600M loglvl=warning" \
        -initrd "$(echo "$vm_root"/boot/vmlinuz-*) console=hvc0 quiet divvy.worker=10.0.2.2:$port divvy.seconds=$((seconds - 10)) divvy.jobs=plain+tool+many+large+peep+restart,$place/dom0.gz" \
        </dev/null >"$place/qemu.log" 2>&1 &
    machine=$!
    wait "$machine" || true
    machine=
    sed 's/\r//g; s/\x1b[^a-zA-Z]*[a-zA-Z]//g' "$place/serial" >"$place/xen.console"
}

xen_packages
zcat "$vm_root"/boot/xen-*-amd64.gz >"$place/xen.elf"
guest_initrd
dom0_initrd
worker_start
began=$SECONDS
machine_run
echo "the machine ran for $((SECONDS - began)) s"
cat "$place/xen.console"
