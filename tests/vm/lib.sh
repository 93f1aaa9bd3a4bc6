# shellcheck shell=bash
# Test VMs from Debian's packages: an unpacked kernel and busybox, an initramfs of our own, QEMU under software emulation.
# Sourced. The caller has set -euo pipefail, $place (a scratch folder), $bin (bin of the build).
#
# Packages are unpacked into $DIVVY_VM_CACHE, not installed; only QEMU itself has to be on the machine.

skip() {
    echo "skipped: $*"
    exit 77
}

place=${place:?a scratch folder} bin=${bin:?bin of the build}

have() { command -v "$1" >/dev/null 2>&1; }

vm_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_cache=${DIVVY_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/divvy-vm}
vm_root=$vm_cache/root # where the packages of this script are unpacked

# vm_kernel_package FLAVOUR: the newest kernel of the 6.1 line that apt knows; cloud-amd64 is small, amd64 can be Dom0.
vm_kernel_package() {
    apt-cache search --names-only "^linux-image-6\\.1\\.0-[0-9]+-$1\$" 2>/dev/null | awk '{ print $1 }' | sort -V | tail -n 1
}

# vm_unpack FOLDER KERNEL PACKAGE...: unpacks them into $vm_cache/FOLDER, once.
vm_unpack() {
    local folder=$vm_cache/$1 kernel=$2 package work
    have qemu-system-x86_64 || skip "qemu-system-x86_64 is not here (apt-get install --no-install-recommends qemu-system-x86)"
    [ ! -e "$folder/complete" ] || return 0
    have apt-get && have dpkg-deb || skip "no apt-get and dpkg-deb to get a kernel with"
    [ -n "$kernel" ] || skip "apt knows no kernel linux-image-6.1.0-N"
    shift
    work=$(mktemp -d)
    if ! (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$@" >log 2>&1); then
        tail -n 1 "$work/log"
        rm -rf "$work"
        skip "apt-get download got no packages"
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$folder"; done
    rm -rf "$work"
    touch "$folder/complete"
}

# Kernel, busybox and lspci.
vm_packages() {
    vm_unpack root "$(vm_kernel_package cloud-amd64)" busybox-static pciutils libpci3 libkmod2 pci.ids
}

# vm_library NAME: a shared library of the packages, else of this machine.
vm_library() {
    find "$vm_root" /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu -name "$1" 2>/dev/null | head -n 1
}

# vm_program TREE PROGRAM FOLDER: copies a program and the libraries that it needs.
vm_program() {
    local tree=$1 program=$2 folder=$3 library
    mkdir -p "$tree/$folder" "$tree/lib64" "$tree/lib/x86_64-linux-gnu"
    cp "$program" "$tree/$folder/"
    [ -e "$tree/lib64/ld-linux-x86-64.so.2" ] || cp -L /lib64/ld-linux-x86-64.so.2 "$tree/lib64/"
    # ldd asks this machine's loader; names that it does not find come from the packages.
    for library in $(LD_LIBRARY_PATH=$vm_root/lib/x86_64-linux-gnu:$vm_root/usr/lib/x86_64-linux-gnu ldd "$program" |
        awk '$2 == "=>" { print $1 }'); do
        [ -e "$tree/lib/x86_64-linux-gnu/$library" ] || cp -L "$(vm_library "$library")" "$tree/lib/x86_64-linux-gnu/"
    done
}

# vm_pack TREE FILE: the tree as an initramfs.
vm_pack() { (cd "$1" && find . | "$1/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1 >"$2"); }

# Makes $place/initrd.gz: busybox, lspci, divvy-vgpu.
vm_initrd() {
    local tree=$place/initrd
    mkdir -p "$tree"/{bin,dev,proc,sys,etc,usr/share/misc}
    cp "$(find "$vm_root" -path '*bin/busybox' | head -n 1)" "$tree/bin/busybox"
    cp "$bin/divvy-vgpu" "$tree/bin/"
    vm_program "$tree" "$(find "$vm_root" -path '*bin/lspci' | head -n 1)" bin
    cp "$vm_root/usr/share/misc/pci.ids" "$tree/usr/share/misc/"
    cp "$vm_here/guest-init" "$tree/init"
    chmod 755 "$tree/init"
    vm_pack "$tree" "$place/initrd.gz"
}

# vm_run NAME NUMBER KERNEL-OPTIONS STUB-OPTION...: boots a VM with its stub in the foreground; its console goes to
# $place/NAME.console, what stub and QEMU say to $place/NAME.log. The stub's exit status.
vm_run() {
    local name=$1 number=$2 kernel_options=$3
    shift 3
    timeout -k 5 "${vm_seconds:-90}" "$bin/divvy-vgpu-stub" --relay "$place/$name.sock" --vm-id "$number" "$@" -- \
        qemu-system-x86_64 -accel tcg,thread=multi -machine q35 -cpu max -m 128 -smp 1 -nographic -no-reboot -nodefaults \
        -serial stdio -kernel "$(echo "$vm_root"/boot/vmlinuz-*)" -initrd "$place/initrd.gz" \
        -append "console=ttyS0 quiet panic=-1 $kernel_options" \
        </dev/null 2>"$place/$name.log" | sed -u 's/\r//g; s/\x1b[^a-zA-Z]*[a-zA-Z]//g' >"$place/$name.console"
}

# check WHAT: says how the command that follows ended; `failed` counts.
failed=0
check() {
    local what=$1
    shift
    if "$@" >/dev/null; then
        echo "ok    $what"
    else
        echo "FAIL  $what"
        failed=$((failed + 1))
    fi
}

# console NAME PATTERN: a line of the VM's console matches.
console() { grep -qE -- "$2" "$place/$1.console"; }
