#!/usr/bin/env bash
# divvy with divvyd and the limiter on the simulated GPU: cli_live.sh BUILD-FOLDER
# Tenants are seen, steered, survive their daemon, and go. What shares are worth is measured by the benches.
# shellcheck disable=SC2016 # the inner shells expand what stands in single quotes
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
explain() { "$divvy" ps --all; }
build=$1
divvy=$build/bin/divvy
work=$build/bin/examples/throughput

[ -x "$build/bin/divvyd" ] || {
    echo "skipped: divvyd is not built"
    exit 77
}
scratch=$(mktemp -d)
chmod 700 "$scratch"
mkdir -m 700 "$scratch/sim"
export DIVVY_SIM_DIR=$scratch/sim XDG_RUNTIME_DIR=$scratch LC_ALL=C
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT DIVVY_SOCKET
daemon_pid() { "$divvy" top --once --json 2>/dev/null | sed -nE 's/^ *"pid": ([0-9]+).*/\1/p' | head -n 1; }
end() {
    local pid
    "$divvy" ps --all 2>/dev/null | awk 'NR > 1 { print $1 }' | xargs -r "$divvy" rm --force >/dev/null 2>&1
    pid=$(daemon_pid)
    [ -z "$pid" ] || kill "$pid" 2>/dev/null
    wait
    rm -rf "$scratch"
}
trap end EXIT

launches() { # TENANT, which has one device
    "$divvy" ps --json | awk -v name="\"$1\"," '
        $1 == "\"id\":" { id = $2 } $1 == "\"launches\":" { count = $2 + 0 }
        /^    }/ { if (id == name) print count }'
}
state() { "$divvy" ps --all 2>/dev/null | awk -v name="$1" '$1 == name { print $2 }'; }
is() { [ "$(state "$1")" = "$2" ]; }
got() { # TENANT LEAST MOST: its share of GPU time in percent
    "$divvy" ps --all | awk -v name="$1" -v least="$2" -v most="$3" '
        $1 == name && match($0, /%\+?\/[0-9.]+%/) {
            split(substr($0, RSTART, RLENGTH), part, "/"); share = part[2] + 0
            found = share >= least && share <= most
        }
        END { exit !found }'
}

"$divvy" run --gpu sim --memory 4GiB --compute 30% --name a -- "$work" --gpu sim --seconds 60 >"$scratch/a" 2>&1 &
a=$!
"$divvy" run --gpu sim --compute 60% --qos high --name b -- "$work" --gpu sim --seconds 60 >"$scratch/b" 2>&1 &
b=$!
eventually "a tenant is seen" is a running
eventually "another" is b running
first=$(daemon_pid)
check "one daemon for both" yes "$([ -n "$first" ] && echo yes || echo no)"
# Wide bounds: the machine may be busy with other things.
eventually "its share" got a 15 45
check "set" "a: qos low; GPU 0: memory 4 GiB, compute 5% (hard), weight 50" "$("$divvy" set a --compute 5% --qos low)"
eventually "it gets less" got a 0.5 12
check "freeze" "b: frozen" "$("$divvy" freeze b)"
check "what it gets is nothing, at once" yes "$(got b 0 0 && echo yes || echo no)"
eventually "it is seen frozen" is b frozen
# What it had started before is still counted for a moment.
sleep 0.5
before=$(launches b)
sleep 0.5
check "a frozen tenant starts nothing" "$before" "$(launches b)"
check "resume" "b: goes on" "$("$divvy" resume b)"
eventually "it goes on" is b running
check "a name that is taken" 2 "$("$divvy" run --gpu sim --name a -- true >/dev/null 2>&1; echo $?)"
check "memory that is not there" 2 "$("$divvy" set a --memory 9999GiB >/dev/null 2>&1; echo $?)"

kill -KILL "$first"
eventually "the daemon is gone" bash -c '! "$0" ps >/dev/null 2>&1' "$divvy"
sleep 0.5
check "its tenants are not" yes "$(kill -0 "$a" "$b" && echo yes || echo no)"
check "the next run starts another" 0 "$("$divvy" run --gpu sim --name c -- true; echo $?)"
eventually "which goes on with the tenants" is a running
eventually "both of them" is b running
eventually "at their limits" got a 0.5 12

kill "$a"
wait "$a"
eventually "a tenant goes with its program" is a ""
check "and is told of" 1 "$("$divvy" events | grep -c 'tenant-removed  *a')"
kill "$b"
wait "$b"
eventually "the other" is b ""
check "nothing is left" "" "$(find "$scratch/divvy/tenants" -mindepth 1 -name "[!.]*")"

summary
