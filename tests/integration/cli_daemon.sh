#!/usr/bin/env bash
# divvy's verbs that ask the daemon, against a stand-in for it: cli_daemon.sh DIVVY TREE FAKE-DIVVYD TOP-TEST
# What is printed, sent and returned; a daemon that misbehaves; divvy run as a tenant of it.
# shellcheck disable=SC2016 # the inner shells expand what stands in single quotes
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
tree=$2-daemon
fake=$3
top_test=$4

command -v python3 >/dev/null 2>&1 || {
    echo "skipped: the stand-in for divvyd needs python3"
    exit 77
}
# A tree of its own: the other test of the command line may run at the same time.
mkdir -p "$tree/bin"
cp -rf "$2/lib" "$tree/"
cp -f "$1" "$tree/bin/divvy"
divvy=$tree/bin/divvy
runtime=$(mktemp -d)
chmod 700 "$runtime"
daemon=
end() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null
    rm -rf "$runtime"
}
trap end EXIT
export XDG_RUNTIME_DIR=$runtime LC_ALL=C TZ=UTC TERM=xterm
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT DIVVY_SOCKET NO_COLOR
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0
mkdir -m 700 "$runtime/divvy"
socket=$runtime/divvy/divvyd.sock

says() { # WHAT STATUS TEXT COMMAND...: exactly this on stdout and stderr together
    local what=$1 expected=$2 text=$3 out status=0
    shift 3
    out=$("$@" 2>&1) || status=$?
    check "$what" "$text" "$out"
    check "$what: status" "$expected" "$status"
}

answers() { "$divvy" ps >/dev/null 2>&1; }
listens() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$socket" 2>/dev/null; }

daemon_start() { # [MODE]
    rm -f "$socket" "$socket.log"
    "$fake" "$socket" "$@" 2>/dev/null &
    daemon=$!
    eventually "the stand-in listens" listens
}

daemon_stop() {
    kill "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    daemon=
}

sent() { grep -c -F -x "$1" "$socket.log" 2>/dev/null || true; }

daemon_start
says "ps" 0 "\
NAME     STATE    QOS     GPU   MEMORY     COMPUTE  WAIT  PROCS    AGE
train    running  medium    0  1/8 GiB   30%/29.7%  3.4s      1  2m05s
web      running  high      0  1 GiB/-     -/29.7%  3.4s      1  2m05s
                            1  2 GiB/-  50%+/29.7%  3.4s
foreign  frozen   medium    1  1 GiB/-     -/29.7%  3.4s      2  2m05s" \
    bash -c '"$0" ps | sed "s/2m0.s/2m05s/"' "$divvy"
check "ps --all" 6 "$("$divvy" ps --all | wc -l)"
check_has "ps --all shows names whole where stdout is no terminal" "shop/backend-7d4b9c/main  idle" "$("$divvy" ps --all)"
json() { python3 -c 'import json, sys; print(eval(sys.argv[1], {"j": json.load(sys.stdin)}))' "$1"; }
check "ps --json" "['train', 'web', 'foreign']" "$("$divvy" ps --json | json '[t["id"] for t in j["tenants"]]')"
check "ps --json: numbers as the daemon wrote them" 4 "$("$divvy" ps --json | grep -c -F '"share_percent": 29.7,')"
check "ps --all --json" 4 "$("$divvy" ps -a --json | json 'len(j["tenants"])')"
says "ps: stray word" 2 "" bash -c '"$0" ps x 2>/dev/null' "$divvy"

# ---- acting ----
says "freeze" 0 "train: frozen" "$divvy" freeze train
check "freeze sends" 1 "$(sent 'POST /api/v1/tenants/train/freeze ')"
says "resume thaws what is frozen" 0 "train: goes on" "$divvy" resume train
check "resume sends" 1 "$(sent 'POST /api/v1/tenants/train/thaw ')"
says "resume of what was not stopped" 0 "train: was not stopped" "$divvy" resume train
says "snapshot" 0 "train: saved, its device memory is free" "$divvy" snapshot train
says "resume brings back what is saved" 0 "train: goes on" "$divvy" resume train
check "resume sends the other" 1 "$(sent 'POST /api/v1/tenants/train/resume ')"
says "a driver that cannot" 1 "divvy snapshot: web: the driver cannot save device memory" "$divvy" snapshot web
says "all are tried" 1 "divvy freeze: nope: there is no tenant 'nope'; 'divvy ps --all' lists the tenants
divvy freeze: foreign: tenant 'foreign' belongs to another user; its owner and root may
web: frozen" bash -c '"$0" freeze nope foreign web 2>&1 >"$1"; s=$?; cat "$1"; exit $s' "$divvy" "$runtime/out"
check "freeze --json" "frozen" "$("$divvy" freeze --json train | json 'j["tenants"][0]["state"]')"
"$divvy" resume train web >/dev/null
says "a name with slashes" 0 "shop/backend-7d4b9c/main: frozen" "$divvy" freeze shop/backend-7d4b9c/main
check "is escaped" 1 "$(sent 'POST /api/v1/tenants/shop%2Fbackend-7d4b9c%2Fmain/freeze ')"
says "a name that is a path" 2 "divvy freeze: ..: '..' is no tenant's name" "$divvy" freeze ..
says "a hostile name reaches the daemon as a name" 1 \
    "divvy freeze: a/../../x?force=1#: there is no tenant 'a/../../x?force=1#'; 'divvy ps --all' lists the tenants" \
    "$divvy" freeze 'a/../../x?force=1#'
says "no name" 2 "divvy freeze: '': a tenant's name has 1 to 127 characters; 'divvy ps --all' lists them" \
    bash -c '"$0" freeze "" 2>&1 | sed "s/: : /: /"; exit "${PIPESTATUS[0]}"' "$divvy"
says "a tenant is needed" 2 "divvy freeze: no TENANT is given (\`divvy ps' lists them)" \
    bash -c '"$0" freeze 2>&1 | sed -n 1p; exit "${PIPESTATUS[0]}"' "$divvy"

# ---- set ----
says "set" 0 "train: qos medium; GPU 0: memory 12 GiB, compute 60% (soft), weight 500" \
    "$divvy" set train --memory 12GiB --compute 60% --soft
check "set sends" 1 "$(sent 'PATCH /api/v1/tenants/train {"compute_percent":60,"soft":true,"memory_limit_bytes":12884901888}')"
says "set none" 0 "train: qos low; GPU 0: memory not limited, compute not capped, weight 7" \
    "$divvy" set train --memory none --compute none --qos low --weight 7 --hard
check "set sends null" 1 \
    "$(sent 'PATCH /api/v1/tenants/train {"compute_percent":null,"weight":7,"qos":"low","soft":false,"memory_limit_bytes":null}')"
says "a part of the device" 0 "train: qos low; GPU 0: memory 7.9 GiB, compute not capped, weight 7" "$divvy" set train --memory 50%
check "is sent as bytes" 1 "$(sent 'PATCH /api/v1/tenants/train {"memory_limit_bytes":8500000000}')"
says "of which one" 2 \
    "divvy set: web: --memory '50%': it uses 2 GPUs; say of which one by --gpu, or write a size such as 8GiB" \
    "$divvy" set web --memory 50%
check_has "of this one" "GPU 1: memory 7.9 GiB" "$("$divvy" set web --memory 50% --gpu 1)"
says "of one it does not use" 2 "divvy set: train: --gpu '7': the tenant does not use this GPU" \
    "$divvy" set train --memory 50% --gpu 7
says "bad size" 2 "divvy set: --memory '8XB': character 2: unknown unit; use B, K, M, G, T, P, Ki, Mi, Gi, Ti, Pi or %; write a size such as 8GiB, 800MiB or 50%" \
    "$divvy" set train --memory 8XB
says "bad class" 2 "divvy set: --qos 'top': write low, medium, high or critical" "$divvy" set train --qos top
says "bad weight" 2 "divvy set: --weight '0': write 1 to 1000000" "$divvy" set train --weight 0
says "what the daemon refuses" 2 "divvy set: train: 99 is more than there is" "$divvy" set train --compute 99
check "nothing to change" 2 "$("$divvy" set train >/dev/null 2>&1; echo $?)"
check "both" 2 "$("$divvy" set train --soft --hard >/dev/null 2>&1; echo $?)"
check "set --json" 20 "$("$divvy" set train --compute 20 --json | json 'j["devices"][0]["compute_percent"]')"

# ---- rm ----
says "rm of what has processes" 1 "divvy rm: train: it has 1 processes; end them, or use --force" "$divvy" rm train
says "rm --force" 0 "train: removed" "$divvy" rm --force train
says "rm" 0 "shop/backend-7d4b9c/main: removed" "$divvy" rm shop/backend-7d4b9c/main

# ---- events ----
check "events" "    1  DATE  tenant-created    train: registered" \
    "$("$divvy" events | head -n 1 | sed 's/....-..-.. ..:..:../DATE/')"
check "events --since" 3 "$("$divvy" events --since 2 --json | head -n 1 | json 'j["number"]')"
check "events --since: nonsense" 2 "$("$divvy" events --since -2 >/dev/null 2>&1; echo $?)"
last=$("$divvy" events --json | tail -n 1 | json 'j["number"]')
"$divvy" events --follow --since "$last" --json >"$runtime/events" 2>"$runtime/errors" &
follower=$!
"$divvy" freeze web >/dev/null
eventually "an event is told as it happens" grep -q '"tenant-frozen"' "$runtime/events"
daemon_stop
eventually "a daemon that goes away is waited for" grep -q "waiting for it" "$runtime/errors"
daemon_start
eventually "and found again, counting anew" grep -q '"number": 1, .*"tenant-created"' "$runtime/events"
kill "$follower"
wait "$follower" 2>/dev/null

# ---- top ----
out=$("$divvy" top --once | sed 's/up [^ ]*/up T/; s/..:..:..$/CLOCK/')
check "top: the head" "fakenode  divvyd 9.9, up T  4 tenants, 2 running" "$(head -n 1 <<<"$out" | sed 's/ *CLOCK$//')"
check_has "top: a device" "4/15.8 GiB]        62C" "$out"
check_has "top: a tenant" "train            running  medium     0    30%  29.7%         1/8 GiB     -     1" "$out"
check "top: no escape sequences where stdout is no terminal" 0 "$(grep -c $'\033' <<<"$out")"
check "top: fits 80 columns" "" "$(awk 'length($0) > 80' <<<"$out")"
check "top without a terminal prints once" "$(wc -l <<<"$out")" "$("$divvy" top | wc -l)"
check "top --once --json" "fakenode 2 4" \
    "$("$divvy" top --once --json | json '"%s %d %d" % (j["node"]["name"], len(j["devices"]), len(j["tenants"]))')"
check "top --json, a line each" 2 "$(timeout 5 "$divvy" top --json --interval 0.1 | head -n 2 | wc -l)"
check "top --interval: nonsense" 2 "$("$divvy" top --interval 0 >/dev/null 2>&1; echo $?)"
"$top_test" "$divvy" >"$runtime/top" 2>&1
status=$?
[ "$status" = 77 ] && cat "$runtime/top" || check "top at a terminal" 0 "$status"
grep FAILED "$runtime/top"

# ---- doctor ----
check_has "doctor" "ok    daemon: divvyd 9.9 answers at $socket (simulated GPU)" "$("$divvy" doctor)"

# ---- run ----
told() { "$divvy" run --gpu sim --name blue "$@" 2>&1; }
uuid=GPU-11111111-1111-1111-1111-111111111110
: >"$socket.log"
out=$(told --memory 2GiB --compute 30% --qos high --weight 9 --soft -- sh -c 'echo "$DIVVY_TENANT_DIR $PPID"')
keeper=${out##* }
check "run: the folder that the daemon gave" "$runtime/divvy/folder-blue" "${out% *}"
check "run enters its tenant, with its keeper" 1 "$(grep -F POST "$socket.log" | sed 's/^[^{]*//' | json \
    'int(j == {"id": "blue", "qos": "high", "keeper_pid": '"$keeper"', "devices": [{"gpu": "'$uuid'",
      "memory_limit_bytes": 2147483648, "compute_percent": 30, "soft": True, "weight": 9}]})')"
check "and takes it out" 1 "$(sent 'DELETE /api/v1/tenants/blue ')"
says "processes that the daemon has not seen end" 0 "" "$divvy" run --gpu sim --name busy -- true
check "do not keep the tenant" 1 "$(sent 'DELETE /api/v1/tenants/busy?force=1 ')"
check "nothing is left" 0 "$("$divvy" ps --all | grep -c blue)"
: >"$socket.log"
TENSOR_FUSION_CUDA_UP_LIMIT='{"0": 20, "1": 5}' TENSOR_FUSION_CUDA_MEM_LIMIT="{\"$uuid\": 1073741824}" told -- true
check "limits from the environment are the daemon's too" '{"gpu": "'$uuid'", "memory_limit_bytes": 1073741824, "compute_percent": 20}' \
    "$(grep -F POST "$socket.log" | sed 's/^[^{]*//' | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["devices"][0]))')"
says "run: its status" 42 "" "$divvy" run --gpu sim -- sh -c 'exit 42'
says "run: not found" 127 "divvy run: cannot start '/nowhere': No such file or directory" "$divvy" run --gpu sim -- /nowhere
says "run: the name is taken" 2 "divvy run: the name 'train' is in use; give another --name, or wait for it" \
    "$divvy" run --gpu sim --name train -- touch "$runtime/started"
says "run: what the daemon refuses" 2 "divvy run: only 8 GiB are left to promise" \
    "$divvy" run --gpu sim --memory 12GB -- touch "$runtime/started"
check "nothing was started" no "$([ -e "$runtime/started" ] && echo yes || echo no)"
: >"$socket.log"
check "--no-daemon asks nobody" 0 "$(told --no-daemon -- true; wc -l <"$socket.log")"
: >"$socket.log"
out=$(told -- sh -c '(sleep 1; :) >/dev/null 2>&1 & echo started')
check "run does not wait for a process that stays" "started 0" "$out $(grep -c DELETE "$socket.log")"
eventually "the tenant goes with the last" grep -q DELETE "$socket.log"
"$divvy" run --gpu sim --name red -- sh -c 'echo $PPID >"$0"; exec sleep 30' "$runtime/keeper" 2>/dev/null &
front=$!
eventually "the program starts" test -s "$runtime/keeper"
kill -KILL "$(cat "$runtime/keeper")"
wait "$front"
check "its keeper is killed: status" 1 "$?"
check "its keeper is killed: the tenant goes" 1 "$(sent 'DELETE /api/v1/tenants/red ')"
policy() { "$divvy" run --gpu sim -- sh -c 'echo "policy ${DIVVY_FAIL_POLICY-none}"' 2>&1; }
check "run: the daemon's policy, closed, is what programs do anyway" "policy none" "$(policy)"
# The daemon dies in between: the program goes on and ends as ever.
"$divvy" run --gpu sim --name lone -- sh -c 'echo up >"$0"; sleep 1; exit 7' "$runtime/lone" 2>"$runtime/errors" &
front=$!
eventually "the program starts" test -s "$runtime/lone"
daemon_stop
wait "$front"
check "a program outlives its daemon" "7 " "$? $(cat "$runtime/errors")"

daemon_start open
check "run: the daemon's policy, open" "policy open" "$(policy)"
check "run: the program's own policy is stronger" "policy closed" "$(DIVVY_FAIL_POLICY=closed policy)"
daemon_stop

# ---- a daemon that misbehaves ----
daemon_start junk
check_has "junk" "who answers at $socket does not speak HTTP" "$("$divvy" ps 2>&1)"
check_has "doctor: junk" "warn  daemon: who answers at $socket does not speak HTTP" "$("$divvy" doctor)"
daemon_stop
daemon_start html
says "html" 1 "divvy ps: divvyd at $socket answered GET /api/v1/tenants with what is no JSON object" "$divvy" ps
daemon_stop
daemon_start error
says "out of order" 1 "divvy ps: out of order" "$divvy" ps
daemon_stop
daemon_start large
says "an answer that never ends" 1 "divvy ps: divvyd at $socket answered more than 64 MiB" "$divvy" ps
daemon_stop
daemon_start hostile
check "no escape sequence gets through" "0 0 0" \
    "$("$divvy" ps --all | grep -c $'\033') $("$divvy" events | grep -c $'\033') $("$divvy" top --once | grep -c $'\033')"
daemon_stop
daemon_start unready
out=$("$divvy" run --gpu sim -- echo "it runs" 2>&1)
check_has "one that does not get ready" "does not get ready" "$out"
check_has "is done without" "it runs" "$out"
daemon_stop
rm -f "$socket"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$socket"
check_has "a socket that nobody serves" "no divvyd answers at $socket" "$("$divvy" ps 2>&1)"
DIVVY_SOCKET=$runtime/$(printf 'x%.0s' $(seq 120)) says "a path too long" 1 \
    "divvy ps: $(printf '%.100s' "$runtime/$(printf 'x%.0s' $(seq 120))")...: a socket's path has at most 107 characters; set DIVVY_SOCKET to a shorter one" \
    "$divvy" ps

# ---- started on demand ----
# A stand-in for divvyd's program too: it notes what it was given, detaches as divvyd does, and serves.
cat >"$tree/bin/divvyd" <<END
#!/bin/sh
echo "\$@ \$DIVVY_SOCKET preload=\$LD_PRELOAD policy=\$DIVVY_FAIL_POLICY" >>"$runtime/started-with"
setsid "$fake" "\$DIVVY_SOCKET" </dev/null >/dev/null 2>&1 &
echo \$! >"$runtime/demand-pid"
while ! [ -S "\$DIVVY_SOCKET" ]; do sleep 0.02; done
sleep 0.2
END
chmod +x "$tree/bin/divvyd"
rm -f "$socket"
: >"$socket.log"
says "run starts a daemon" 0 "$runtime/divvy/folder-green" \
    env LD_PRELOAD=libm.so.6 DIVVY_FAIL_POLICY=open "$divvy" run --gpu sim --name green -- sh -c 'echo "$DIVVY_TENANT_DIR"'
check "with what it needs" "--background --idle-exit=30s $socket preload= policy=" "$(cat "$runtime/started-with" 2>/dev/null)"
says "the next one finds it" 0 "" "$divvy" run --gpu sim -- true
check "and starts none" 1 "$(wc -l <"$runtime/started-with")"
daemon=$(cat "$runtime/demand-pid")
daemon_stop
rm -f "$tree/bin/divvyd"

summary
