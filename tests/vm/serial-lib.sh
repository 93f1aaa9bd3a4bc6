# shellcheck shell=bash
# Machines with a vGPU and a virtio-serial port, behind the real relay and a worker on the simulated GPU. Sourced after lib.sh.
#
# VM-A and VM-B are the machines' ports (the relay connects to QEMU), A-stub and B-stub their vGPUs.
# shellcheck disable=SC2034 # worker and relay are the caller's
place=${place:?a scratch folder} bin=${bin:?bin of the build} vm_cache=${vm_cache:?lib.sh first} vm_here=${vm_here:?lib.sh first}

# Adds virtio's modules, divvy-client and the jobs to the guest.
serial_initrd() {
    local tree=$place/initrd module
    vm_initrd
    mkdir -p "$tree/mods"
    for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console; do
        find "$vm_cache/root/lib/modules" -name "$module.ko" -exec cp {} "$tree/mods/" \;
    done
    cp "$bin/divvy-client" "$tree/bin/"
    cp "$vm_here/guest-serial" "$tree/guest-serial"
    (cd "$tree" && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$place/initrd.gz")
}

# Further options of the stub.
serial_stub_options=()

# serial_run NAME NUMBER KERNEL-OPTIONS QEMU-OPTION...: as vm_run, with a port whose socket is $place/NAME.port.
serial_run() {
    local name=$1 number=$2 kernel_options=$3
    shift 3
    : >"$place/$name.console"
    timeout -k 5 "${vm_seconds:-400}" "$bin/divvy-vgpu-stub" --relay "$place/$name.sock" --vm-id "$number" "${serial_stub_options[@]}" -- \
        qemu-system-x86_64 -accel tcg,thread=multi -machine q35 -cpu max -m 320 -smp 1 -nographic -no-reboot -nodefaults \
        -serial stdio -kernel "$(echo "$vm_cache"/root/boot/vmlinuz-*)" -initrd "$place/initrd.gz" \
        -append "console=ttyS0 quiet panic=-1 $kernel_options" \
        -qmp "unix:$place/$name.qmp,server=on,wait=off" \
        -device virtio-serial-pci -chardev "socket,id=c0,path=$place/$name.port,server=on,wait=off" \
        -device virtserialport,chardev=c0,name=org.divvy.0,id=gpu "$@" \
        </dev/null 2>"$place/$name.log" | sed -u 's/\r//g; s/\x1b[^a-zA-Z]*[a-zA-Z]//g' >"$place/$name.console"
}

serial_worker_start() {
    # The simulated GPU is this place's own; nothing of a user's daemon is asked.
    XDG_RUNTIME_DIR=$place DIVVY_SIM_DIR=$place/sim "$bin/divvy-worker" --no-daemon --gpu sim --socket "$place/worker.sock" \
        2>>"$place/worker.log" &
    worker=$!
}

serial_relay_start() {
    "$bin/divvy-relay" --worker "$place/worker.sock" --vm-connect "A:1=$place/a.port,qmp=$place/a.qmp" \
        --vm-connect "B:2=$place/b.port,qmp=$place/b.qmp" \
        --vm "A-stub:11=$place/a.sock" --vm "B-stub:12=$place/b.sock" --state= --admin= --lock "$place/lock" 2>>"$place/relay.log" &
    relay=$!
}

# end_now PID: by SIGKILL.
end_now() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

# wait_for SECONDS COMMAND...: until it is true.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# qemu_of NAME: the process of its QEMU.
qemu_of() { pgrep -f "^qemu-system-x86_64 .*path=$place/$1.port" | head -n 1; }

# processes: how many hold memory on the device.
processes() { DIVVY_SIM_DIR=$place/sim "$bin/divvy-sim" busy | wc -l; }

# ended: how often the relay found that a program had left something at VM-A's port.
ended() { grep -c 'VM-A: the program at its port has ended' "$place/relay.log"; }

# more_ended N: more often than that.
more_ended() { [ "$(ended)" -gt "$1" ]; }

# at_most_processes N: so many hold memory on the device.
at_most_processes() { [ "$(processes)" -le "$1" ]; }
