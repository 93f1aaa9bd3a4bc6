#!/usr/bin/env bash
# The packages in a bare Debian that runs its systemd: installed, upgraded while a tenant computes, removed, purged; then the
# tarball. packages.sh BUILD
# The system is made by debootstrap and lives in namespaces of its own; nothing of this machine is touched.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
# shellcheck source=tools/userland-lib.sh
. "$root/tools/userland-lib.sh"

skip() {
    echo "skip: $*"
    exit 77
}
for tool in unshare nsenter dpkg-buildpackage dh readlink; do
    command -v $tool >/dev/null || skip "$tool is not here"
done
[ "$(id -u)" = 0 ] || skip "this needs root"
reason=$(userland_cached bookworm) || skip "$reason"
unshare --mount --pid --cgroup --fork true 2>/dev/null || skip "namespaces cannot be made here"

system='' booted='' failures=0
place=$(mktemp -d)
# shellcheck disable=SC2317  # called by the trap
tidy() {
    [ -z "$booted" ] || { kill -KILL "$booted" && wait "$booted"; } 2>/dev/null || true
    [ -z "$system" ] || rm -rf --one-file-system "$system"
    rm -rf "$place"
}
trap tidy EXIT
trap 'exit 143' INT TERM HUP

check() { # WHAT EXPECTED GOT
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

# ---- the packages, of two versions ----

"$root/scripts/package" --build "$build" --output "$place/old" --version 0.0.1 --no-setup || { echo "FAILED: scripts/package"; exit 1; }
"$root/scripts/package" --build "$build" --output "$place/new" --version 0.0.2 --only deb --no-setup --no-lintian >/dev/null ||
    { echo "FAILED: scripts/package of the next version"; exit 1; }
dpkg-deb -x "$place/old/divvy-dev_0.0.1_amd64.deb" "$place/dev"
dpkg-deb -x "$place/old/divvy_0.0.1_amd64.deb" "$place/dev"
if command -v pkg-config >/dev/null; then
    flags=$(PKG_CONFIG_SYSROOT_DIR=$place/dev PKG_CONFIG_LIBDIR=$place/dev/usr/lib/x86_64-linux-gnu/pkgconfig pkg-config --cflags --libs divvy-mig)
    # shellcheck disable=SC2086  # several words
    check "divvy-dev compiles its example" 0 \
        "$("${CC:-cc}" -o "$place/example" "$place/dev/usr/share/doc/divvy-dev/examples/mig_discovery.c" $flags >&2; echo $?)"
fi

# ---- a bare Debian with what the packages depend on ----

system=$(mktemp -d "$USERLAND_CACHE/packages.XXXXXX")
chmod 755 "$system"
cp -a "$USERLAND_CACHE/bookworm/." "$system/"
cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
in_userland "$system" sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
    systemd-sysv dbus libcurl4 libjansson4 libmicrohttpd12 libnghttp2-14 libprotobuf-c1 libsqlite3-0 libssl3 libyaml-0-2' >"$place/apt.log" 2>&1 </dev/null ||
    skip "what the packages depend on cannot be had: $(tail -n 1 "$place/apt.log")"
mkdir "$system/root/old" "$system/root/new" "$system/root/tar"
cp "$place"/old/*.deb "$system/root/old/"
cp "$place"/new/*.deb "$system/root/new/"
tar -xzf "$place"/old/divvy-0.0.1-linux-x86_64.tar.gz --strip-components 1 -C "$system/root/tar"

boot_userland "$system" >"$place/boot.log" 2>&1 </dev/null &
booted=$!
in_it() { in_booted "$booted" "$system" "$@" </dev/null; }
# soon COMMAND...: true once it is, within 30 seconds.
soon() {
    local tries
    for ((tries = 0; tries < 150; tries++)); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    return 1
}
# shellcheck disable=SC2317  # called by soon
is_up() { in_it systemctl is-system-running | grep -qE 'running|degraded'; }
soon is_up || skip "systemd does not boot in a namespace here: $(tail -n 1 "$place/boot.log")"

# All that is there, without what package managers and systemd keep for themselves.
snapshot() {
    in_it sh -c 'find / /run /dev/shm -xdev \( -path /proc -o -path /sys -o -path /root -o -path /tmp -o -path "/var/lib/dpkg" \
        -o -path "/var/lib/apt" -o -path "/var/lib/systemd" -o -path "/var/cache" -o -path "/var/log" -o -path "/run/systemd" \
        -o -path "/run/log" -o -path "/run/user" -o -path "/run/lock" -o -name "*-" -o -name ".pwd.lock" \) -prune -o -print | sort
        cat /etc/passwd /etc/group | sort'
}
snapshot >"$place/before"
is() { in_it systemctl is-active "$1" || true; }
pid_of() { in_it systemctl show --property MainPID --value "$1"; }

# ---- install ----

apt_install() { in_it apt-get -y --no-install-recommends install "$@" >"$place/install.log" 2>&1 || { cat "$place/install.log"; return 1; }; }
apt_install /root/old/divvy_0.0.1_amd64.deb /root/old/divvy-sim_0.0.1_amd64.deb /root/old/divvy-dev_0.0.1_amd64.deb ||
    { echo "FAILED: apt-get install"; exit 1; }
check "divvyd runs after the installation" active "$(is divvyd)"
check "and at the next boot" enabled "$(in_it systemctl is-enabled divvyd || true)"
check "the agent waits for a registration" "inactive no" "$(is ggo) $(in_it systemctl show --property ConditionResult --value ggo)"
doctor=$(in_it divvy doctor 2>&1) && status=0 || status=$?
check "divvy doctor is content" "0 0" "$status $(grep -cE '^(FAIL|warn)' <<<"$doctor")"
[ "$status" = 0 ] || echo "$doctor"
check "units without fault" '' "$(in_it systemd-analyze verify divvyd.service ggo.service divvy-runner@x.service divvy-worker.service divvy-relay.service 2>&1 | grep -E 'divvy|ggo' |
    grep -v "Command 'man " || true)" # there is no man here
check "the user of runners" "divvy /var/lib/divvy" "$(in_it getent passwd divvy | awk -F: '{ print $1, $6 }')"
check "the folder of locks" "775 root divvy" "$(in_it stat -c '%a %U %G' /run/hypercore/mig)"
check "worker and relay wait until they are wanted" "inactive disabled inactive disabled" "$(is divvy-worker) $(in_it systemctl is-enabled divvy-worker || true
    ) $(is divvy-relay) $(in_it systemctl is-enabled divvy-relay || true)"
check "completion of all programs" '' "$(in_it bash -c 'cd /usr/bin && for one in divvy* ggo runner tensor-fusion-worker; do
    [ -f "/usr/share/bash-completion/completions/$one" ] || echo "$one"; done')"
check "completion of both commands" "agent: doctor" "$(in_it bash -c '
    for one in ggo divvy; do . /usr/share/bash-completion/completions/$one; done
    COMP_WORDS=(ggo ag) COMP_CWORD=1; _ggo; printf "%s: " "${COMPREPLY[*]}"
    COMP_WORDS=(divvy doc) COMP_CWORD=1; _divvy; echo "${COMPREPLY[*]}"')"
# How far units are open to the system: 0 not at all, 10 entirely. Those that take what strangers send are closed the most.
exposure() { in_it systemd-analyze security --no-pager "$1" 2>/dev/null | grep -oE 'exposure level for [^:]*: [0-9.]+' | grep -oE '[0-9.]+$'; }
for limit in divvy-runner@x:3.5 divvy-worker:3.5 divvy-relay:4.5 divvyd:8 ggo:9; do
    level=$(exposure "${limit%%:*}.service" || true)
    echo "exposure of ${limit%%:*}: $level"
    check "exposure of ${limit%%:*} is at most ${limit##*:}" yes "$(awk -v is="$level" -v most="${limit##*:}" 'BEGIN { if (is != "" && is + 0 <= most + 0) print "yes" }')"
done

# ---- the demo, as its package has it; a worker and a relay as services ----

in_it /usr/lib/divvy/examples/demo --seconds 6 --gpu sim >"$place/demo" 2>&1 && status=0 || status=$?
check "the demo" "0 2" "$status $(grep -c 'refused (out of memory)' "$place/demo")"
[ "$status" = 0 ] || cat "$place/demo"
in_it systemctl start divvy-worker divvy-relay || true
# shellcheck disable=SC2317  # called by soon
adds() { [ "$(in_it divvy-client --worker 127.0.0.1:5000 vector-add 1,2,3 4,5,6 2>/dev/null | grep -cE '5, ?7, ?9')" = 1 ]; }
soon adds || in_it journalctl --no-pager -u divvy-worker | tail -n 5
check "the worker serves the GPU" yes "$(adds && echo yes)"
check "as a user without rights" divvy "$(in_it ps -o user= -p "$(pid_of divvy-worker)" 2>/dev/null || in_it stat -c %U "/proc/$(pid_of divvy-worker)")"
worker=$(pid_of divvy-worker)
# shellcheck disable=SC2317  # called by soon
relays() { in_it divvy vm status >/dev/null 2>&1; }
soon relays || in_it journalctl --no-pager -u divvy-relay | tail -n 5
check "the relay answers" "yes active" "$(relays && echo yes) $(is divvy-relay)"
check "a reload of the relay" 0 "$(in_it systemctl reload divvy-relay; echo $?)"

# ---- a tenant computes; the daemon is upgraded below it ----

in_it divvy run --name held --memory 1GiB --compute 40% -- /usr/lib/divvy/examples/throughput --json --seconds 0 --interval-ms 200 \
    >"$place/tenant" 2>"$place/tenant.err" &
runner=$!
intervals() { grep -c '"event": "interval"' "$place/tenant" || true; }
# shellcheck disable=SC2317  # called by soon
beyond() { [ "$(intervals)" -gt "$1" ]; }
soon beyond 3 || { echo "FAILED: the tenant does not compute"; cat "$place/tenant.err"; exit 1; }
processes() { in_it sh -c 'for exe in /proc/[0-9]*/exe; do case $(readlink "$exe") in */throughput | */throughput\ *) dirname "$exe" ;; esac; done'; }
tenant=$(processes) daemon=$(pid_of divvyd)
check "a reload" "0 $daemon" "$(in_it systemctl reload divvyd; echo $? "$(pid_of divvyd)")"
in_it sh -c 'printf "\n[metrics]\npool = ours\n" >>/etc/divvy/divvyd.conf'

apt_install /root/new/divvy_0.0.2_amd64.deb /root/new/divvy-sim_0.0.2_amd64.deb /root/new/divvy-dev_0.0.2_amd64.deb ||
    { echo "FAILED: the upgrade"; failures=$((failures + 1)); }
check "the new version" 0.0.2 "$(in_it dpkg-query -W -f '${Version}' divvy)"
check "divvyd runs after the upgrade" active "$(is divvyd)"
check "as another process" yes "$([ "$(pid_of divvyd)" != "$daemon" ] && echo yes)"
check "with the administrator's configuration" 1 "$(in_it grep -c '^pool = ours' /etc/divvy/divvyd.conf)"
check "the tenant is the same process" "$tenant" "$(processes)"
check "worker and relay go on" "active active" "$(is divvy-worker) $(is divvy-relay)"
check "the worker without an interruption" "$worker" "$(pid_of divvy-worker)"
seen=$(intervals)
check "and goes on" yes "$(soon beyond $((seen + 5)) && echo yes)"
check "the new daemon has it" held "$(in_it divvy ps --json | grep -oE '"(name|id|tenant)": *"held"' | head -n 1 | grep -o held || true)"
check "with its share" 400 "$(in_it divvy ps --json | tr -d ' \n' | grep -oE '"compute(_asked)?_(permille|percent)":[0-9.]+' | head -n 1 | sed 's/.*://; s/^40\(\.0*\)\{0,1\}$/400/' || true)"

# ---- a model as a service, under a user without rights ----

in_it sh -c 'cat >/etc/divvy/models/demo.json <<END
{"name": "demo", "engine": "bash", "model_path": "/usr/local/share/demo.sh", "vram_limit": "1GiB", "cpu_mem_limit": "1GiB"}
END
echo "exec sleep 1000" >/usr/local/share/demo.sh'
in_it systemctl start divvy-runner@demo || true
sleeps() { in_it sh -c 'for exe in /proc/[0-9]*/exe; do case $(readlink "$exe") in */sleep) stat -c %U "$(dirname "$exe")" ;; esac; done'; }
# shellcheck disable=SC2317  # called by soon
model_runs() { [ -n "$(sleeps)" ]; }
soon model_runs || in_it journalctl --no-pager -u divvy-runner@demo | tail -n 5
check "the model runs as its user" divvy "$(sleeps)"
in_it systemctl stop divvy-runner@demo
check "and ends with its service" '' "$(sleeps)"
in_it rm -r /usr/local/share/demo.sh /etc/divvy/models/demo.json

# ---- remove, while the tenant computes, and purge ----

in_it apt-get -y remove divvy divvy-sim divvy-dev >"$place/remove.log" 2>&1 || { cat "$place/remove.log"; failures=$((failures + 1)); }
check "no service is left" "inactive inactive inactive" "$(is divvyd) $(is divvy-worker) $(is divvy-relay)"
check "the tenant is not disturbed" "$tenant" "$(processes)"
check "the configuration stays" yes "$(in_it test -f /etc/divvy/divvyd.conf && echo yes)"
in_it sh -c "kill -TERM ${tenant#/proc/}"
wait $runner || true
in_it apt-get -y purge divvy divvy-sim >"$place/purge.log" 2>&1 || { cat "$place/purge.log"; failures=$((failures + 1)); }
snapshot >"$place/after"
check "purge leaves nothing" '' "$(diff "$place/before" "$place/after" || true)"

# ---- the tarball ----

check "the tarball installs" 0 "$(in_it sh /root/tar/install >&2; echo $?)"
check "a second time over itself" 0 "$(in_it sh /root/tar/install >/dev/null; echo $?)"
check "its programs work" 0 "$(in_it /usr/local/bin/divvy gpus --gpu sim >/dev/null 2>&1; echo $?)"
check "its unit is in order" '' "$(in_it systemd-analyze verify /usr/local/lib/systemd/system/divvyd.service 2>&1 | grep divvy | grep -v "Command 'man " || true)"
in_it systemctl daemon-reload
in_it systemctl start divvyd || true
check "and starts" active "$(is divvyd)"
in_it systemctl stop divvyd
check "another prefix" 0 "$(in_it sh /root/tar/install --prefix /opt/divvy >/dev/null; echo $?)"
check "is in its units" 1 "$(in_it grep -c '^ExecStart=/opt/divvy/bin/divvyd ' /opt/divvy/lib/systemd/system/divvyd.service)"
check "a wrong prefix" 2 "$(in_it sh /root/tar/install --prefix here 2>/dev/null; echo $?)"
check "it goes" "0 0" "$(in_it sh /root/tar/install --uninstall >/dev/null; echo $?) $(in_it sh /root/tar/install --uninstall --prefix /opt/divvy >/dev/null; echo $?)"
in_it rm -rf /etc/divvy /run/divvy /dev/shm/divvy-sim-0 /run/hypercore
in_it systemctl daemon-reload
snapshot >"$place/after"
check "and leaves nothing but the folder that it was told to use" '> /opt/divvy' "$(diff "$place/before" "$place/after" | grep '^[<>]' || true)"

[ $failures = 0 ] || { echo "$failures failed"; exit 1; }
echo "all well"
