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

seconds=${DIVVY_VM_XEN_SECONDS:-900}
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
    vm_program "$tree" "$vm_root/$tools/vchan-socket-proxy" bin
    cp -L "$(vm_library libgcc_s.so.1)" "$tree/lib/x86_64-linux-gnu/" # pthread_cancel loads it
    vm_pack "$tree" "$place/guest.gz"
}

dom0_initrd() {
    local tree=$place/dom0 program
    tree_make "$tree" xen-dom0-init "${xen_modules[@]}" virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover \
        net_failover virtio_net
    for program in xl xenstored xenconsoled xen-init-dom0 vchan-socket-proxy; do vm_program "$tree" "$vm_root/$tools/$program" "$tools"; done
    vm_program "$tree" "$bin/divvy-relay" bin
    cp -L "$(vm_library libgcc_s.so.1)" "$tree/lib/x86_64-linux-gnu/" # and xl does
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
        -initrd "$(echo "$vm_root"/boot/vmlinuz-*) console=hvc0 quiet divvy.worker=10.0.2.2:$port divvy.seconds=$((seconds - 10)) divvy.jobs=plain+tool+many+large+peep+vchan+restart,$place/dom0.gz" \
        </dev/null >"$place/qemu.log" 2>&1 &
    machine=$!
    wait "$machine" || true
    machine=
    sed 's/\r//g; s/\x1b[^a-zA-Z]*[a-zA-Z]//g' "$place/serial" >"$place/xen.console"
}

# says PATTERN: a line of the machine's console matches.
says() { console xen "$1"; }
# said PATTERN COUNT: so many do.
said() { [ "$(grep -cE -- "$1" "$place/xen.console")" = "$2" ]; }

# What both guests must have reached; guest N has the numbers N000..
guest_judge() {
    local name=$1 number=$2
    check "$name: the simplest client gets [5,7,9]" says "^$name: plain: GPU Result: .*\[5, *7, *9\]"
    check "$name: and its own sum" says "^$name: plain: GPU Result: .*\[$((1000 + number))\]"
    check "$name: what is no request is refused" says "^$name: plain: GPU Result: .*\"code\": 1"
    check "$name: divvy-client gets [5, 7, 9]" says "^$name: tool: GPU Result: \[5, 7, 9\]"
    check "$name: a hundred answers are its own" says "^$name: many: own answers: 100 of 100"
    check "$name: a request and an answer of many nodes" says "^$name: large: large: 8000 of 8000"
    check "$name: too large is an answer" says "^$name: large: GPU Result: .*\"code\": 2"
    check "V36: $name cannot read or write the other's nodes" said "^$name: peep: (read|wrote|listed)" 0
    check "V36: $name was told so" said "^$name: peep: .*(couldn't read|could not write|Permission denied)" 7
    check "V36: $name has nodes of its own" says "^$name: peep: own node: written"
    check "$name: [5, 7, 9] through vchan" says "^$name: vchan: GPU Result: \[5, 7, 9\]"
    check "$name: every operation through vchan" said "^$name: vchan: .*: status 0, attempt" 5
    check "V7: $name loses no answer to the relay's end, and gets no wrong one" says "^$name: restart: good [0-9]+ refused [01] wrong 0 after 20"
}

xen_packages
zcat "$vm_root"/boot/xen-*-amd64.gz >"$place/xen.elf"
guest_initrd
dom0_initrd
worker_start
echo "== Xen: Dom0 with the relay, two paravirtualised guests, the worker outside (at most $seconds s)"
began=$SECONDS
machine_run
echo "V36: boot of everything to its end took $((SECONDS - began)) s"
check "Dom0 comes up" says '^dom0: up after'
guest_judge A 1
guest_judge B 2
check "V3: the relay's log names both" says '^relay: .*Received GPU request from VM-A'
check "V3: and the other" says '^relay: .*Received GPU request from VM-B'
check "a domain that is destroyed is forgotten" says '^relay: .*VM-dom1 is gone with its domain'
check "no node is left behind" said '^dom0: nodes left for [12]: 0' 2
check "the machine ended by itself" says '^dom0: END'
if [ "$failed" -gt 0 ]; then
    sed -n '/^dom0/,$p' "$place/xen.console" | grep -vE 'Received GPU|Sent response' | tail -n 150
    tail -n 5 "$place/qemu.log" "$place/worker.log"
fi
grep -hE '^[AB]: (vchan|restart): ' "$place/xen.console" || true
echo "$failed failed"
[ "$failed" = 0 ]
