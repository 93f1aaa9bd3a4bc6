# shellcheck shell=bash
# Minimal systems for tools/old-userland-test and tools/bare-test, made by debootstrap into a cache outside the tree.
# Sourced; needs root. The caller has set -euo pipefail.

USERLAND_CACHE=${DIVVY_USERLAND_CACHE:-/var/tmp/divvy-userland}

# mirror_of SUITE and keyring_of SUITE: where a suite is served and what signs it.
mirror_of() {
    case $1 in
    buster | stretch | jessie) echo "http://archive.debian.org/debian" ;;
    xenial | bionic | focal | jammy | noble) echo "http://archive.ubuntu.com/ubuntu" ;;
    *) echo "http://deb.debian.org/debian" ;;
    esac
}

keyring_of() {
    case $1 in
    buster | stretch | jessie) echo /usr/share/keyrings/debian-archive-removed-keys.gpg ;;
    xenial | bionic | focal | jammy | noble) echo /usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *) echo /usr/share/keyrings/debian-archive-keyring.gpg ;;
    esac
}

# userland_cached SUITE: makes sure that $USERLAND_CACHE/SUITE is a complete minimal system. Where it cannot be, prints
# the reason and fails. Half-made ones are never taken for whole: the folder gets its name when it is complete.
userland_cached() {
    local suite=$1 mirror keyring folder=$USERLAND_CACHE/$1 log components=()
    [ ! -d "$folder" ] || return 0
    command -v debootstrap >/dev/null || { echo "debootstrap is not installed"; return 1; }
    [ "$(id -u)" = 0 ] || { echo "debootstrap needs root"; return 1; }
    mirror=$(mirror_of "$suite")
    keyring=$(keyring_of "$suite")
    [ -f "$keyring" ] || { echo "the keys of $suite ($keyring) are not installed"; return 1; }
    case $mirror in *ubuntu*) components=("--components=main,universe") ;; esac
    mkdir -p "$USERLAND_CACHE"
    log=$USERLAND_CACHE/$suite.log
    rm -rf --one-file-system "$folder.part"
    if ! debootstrap --variant=minbase --keyring="$keyring" ${components[@]+"${components[@]}"} \
        "$suite" "$folder.part" "$mirror" >"$log" 2>&1; then
        echo "debootstrap of $suite from $mirror failed: $(grep '^E:' "$log" | tail -n 1)"
        rm -rf --one-file-system "$folder.part"
        return 1
    fi
    rm -rf "$folder.part/var/cache/apt/archives"/*.deb
    mv "$folder.part" "$folder"
}

# Run by a shell in a mount namespace of its own, with the system's folder in $root: private /proc, /dev and /dev/shm.
# shellcheck disable=SC2016  # expanded there
USERLAND_MOUNTS='
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
    for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        read -r name major minor <<<"$node"
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"'

# in_userland FOLDER COMMAND...: runs a command in the system at FOLDER, in mount and process namespaces of its own: its
# mounts and every process left over are gone when the command ends, however it ends.
in_userland() {
    local folder=$1
    shift
    unshare --mount --pid --ipc --fork --kill-child -- bash -c '
        set -euo pipefail
        root=$1
        eval "$2"
        shift 2
        exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root TERM="${TERM:-dumb}" "$@"' in_userland "$folder" "$USERLAND_MOUNTS" "$@"
}

# boot_userland FOLDER: boots the systemd of the system at FOLDER in namespaces of its own, control groups among them, and
# becomes it: run it in the background. Whoever kills that process ends the system with all that runs in it.
boot_userland() {
    exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child -- bash -c '
        set -euo pipefail
        root=$1
        mount --bind "$root" "$root"
        eval "$2"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
        mount -t tmpfs -o mode=0755 tmpfs "$root/run"
        exec chroot "$root" /usr/bin/env -i container=userland PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            /lib/systemd/systemd --log-target=console --show-status=no systemd.unit=multi-user.target' \
        boot_userland "$1" "$USERLAND_MOUNTS"
}

# in_booted PID FOLDER COMMAND...: runs a command in the system that boot_userland made of FOLDER as process PID.
in_booted() {
    local child folder=$2
    child=$(awk '{ print $1 }' "/proc/$1/task/$1/children") && [ -n "$child" ] || return 1
    shift 2
    nsenter --target "$child" --mount --pid --ipc --uts --cgroup chroot "$folder" /usr/bin/env -i \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}
