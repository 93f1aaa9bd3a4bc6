#!/usr/bin/env bash
# The ConfigMap's configuration is one that divvyd takes; and two tenants, registered by hand with a kubectl that runs commands here,
# compute in their folders, with the variables of the example's pods. register.sh ROOT BUILD
set -euo pipefail
root=$1 build=$2
for tool in curl python3 openssl; do
    command -v $tool >/dev/null || { echo "$tool is not here"; exit 77; }
done
python3 -c 'import yaml' 2>/dev/null || { echo "no yaml for Python here"; exit 77; }
place=$(mktemp -d)
daemon='' tenants=() failures=0
# shellcheck disable=SC2317  # called by the trap
tidy() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    [ ${#tenants[@]} = 0 ] || kill "${tenants[@]}" 2>/dev/null || true
    wait
    rm -rf "$place"
}
trap tidy EXIT
check() { # WHAT EXPECTED GOT
    [ "$2" != "$3" ] || return 0
    printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}
soon() {
    local tries
    for ((tries = 0; tries < 150; tries++)); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    return 1
}
unset DIVVY_TENANT DIVVY_TENANT_DIR DIVVY_BASE DIVVY_CONFIG DIVVY_GPU HYPERVISOR_PORT API_LISTEN_ADDR LD_PRELOAD LD_LIBRARY_PATH
export XDG_RUNTIME_DIR=$place DIVVY_SIM_DIR=$place/sim DIVVY_SOCKET=$place/divvyd.sock

# ---- the ConfigMap, with the files of the secrets here ----

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=divvyd -keyout "$place/tls.key" -out "$place/tls.crt" 2>/dev/null
(umask 077 && echo a-token-for-prometheus >"$place/tokens")
chmod 600 "$place/tls.key"
python3 "$root/tests/integration/deploy/manifests.py" "$root" --configuration |
    sed "s|/etc/divvy/tls|$place|; s|/etc/divvy/token|$place|" >"$place/divvyd.conf"
chmod 600 "$place/divvyd.conf"
"$build/bin/divvyd" "--config=$place/divvyd.conf" --check-config >"$place/checked" || { echo "FAILED: divvyd does not take the ConfigMap"; exit 1; }
# The same but for what this machine lacks, and a port that nobody has.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$build/bin/divvyd" "--config=$place/divvyd.conf" --gpu sim --listen "127.0.0.1:$port" --base "$place/tenants" --shm-base "$place/shm" \
    --mig-locks "$place/mig" >"$place/log" 2>&1 &
daemon=$!
# A certificate without a name for the address: what a probe does not look at either.
probe() { curl -fsSk "https://127.0.0.1:$port/readyz"; }
soon probe || { echo "FAILED: the probes get no answer"; cat "$place/log"; exit 1; }
check "a scrape without a token" 401 "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/metrics")"
scrape() { curl -fsSk -H 'Authorization: Bearer a-token-for-prometheus' "https://127.0.0.1:$port/metrics"; }
check "a scrape with one" yes "$(scrape | grep '^divvy_ready' >/dev/null && echo yes)"

# ---- registering ----

mkdir "$place/bin"
cat >"$place/bin/kubectl" <<'KUBECTL'
#!/bin/sh
# Lists one pod, on node n1; runs what exec is given here.
case "$*" in
*' get pods '*spec.nodeName=n1,*) echo pod/divvyd-x ;;
*' get pods '*) ;;
*' exec pod/divvyd-x '*)
    while [ "$1" != -- ]; do shift; done
    shift
    exec "$@"
    ;;
*) exit 1 ;;
esac
KUBECTL
chmod +x "$place/bin/kubectl"
register() { PATH=$place/bin:$PATH "$root/deploy/kubernetes/register" "$@" 2>&1; }
for words in "" "--node n1" "--node n1 a/b" "--node n1 a/b/c/d" "--node n1 A/b/c" "--node n1 a/../c" "--node n1 --memory 8GB a/b/c" \
    "--node n1 --compute 0 a/b/c" "--node n1 --compute 101 a/b/c" "--node n1 --gpu x a/b/c" "--node n1 --what a/b/c"; do
    status=0
    # shellcheck disable=SC2086  # several words
    register $words >"$place/said" || status=$?
    check "register $words" "2 1" "$status $(wc -l <"$place/said")"
done
check "a node without a daemon" "register: no divvyd runs on node n2 (namespace divvy)" "$(register --node n2 a/b/c)"
check "a GPU that is not there" 1 "$(register --node n1 --gpu 7 a/b/c >/dev/null; echo $?)"

# Two tenants as the example's pods are, by hand.
cat >"$place/lines" <<'LINES'
--node n1 --memory 8GiB --compute 60 default/anna/main
--node n1 --memory 4GiB --compute 30 default/ben/main
LINES
while IFS= read -r line; do
    # shellcheck disable=SC2086  # several words
    check "register $line" "${line##* } registered on n1" "$(register $line)"
done <"$place/lines"

# ---- the pods: what each container has in its environment and mounts ----

python3 - "$root/deploy/kubernetes/example-tenants.yaml" >"$place/pods" <<'PODS'
import sys, yaml
for pod in yaml.safe_load_all(open(sys.argv[1])):
    container = pod["spec"]["containers"][0]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["spec"]["volumes"]}
    print(pod["metadata"]["name"], paths["tenant"])
PODS
while read -r pod folder; do
    folder=$place/tenants/${folder##*/}+main # the container's, not the pod's
    [ -d "$folder" ] || { echo "FAILED: $pod's folder $folder is not there"; exit 1; }
    LD_PRELOAD=$build/lib/libcuda_limiter.so LD_LIBRARY_PATH=$build/lib/simgpu DIVVY_TENANT_DIR=$folder \
        "$build/bin/examples/throughput" --json --seconds 0 >"$place/$pod.out" 2>&1 &
    tenants+=($!)
done <"$place/pods"
asked() { scrape | sed -nE "s|^divvy_tenant_share_asked_ratio\{.*tenant=\"default/$1/main\".*\} (.*)|\1|p"; }
check "what both asked for" "0.6 0.3" "$(asked anna) $(asked ben)"
# Both are at work under the limits that they were registered with.
works() { [ "0$(scrape | sed -nE "s|^divvy_tenant_launches_total\{.*tenant=\"default/$1/main\".*\} (.*)|\1|p")" -gt 0 ]; }
soon works anna || { check "anna computes" yes no; cat "$place/anna.out"; }
soon works ben || { check "ben computes" yes no; cat "$place/ben.out"; }
check "a tenant with processes is not removed" 1 "$(register --node n1 --remove default/anna/main >/dev/null; echo $?)"
kill "${tenants[@]}"
wait "${tenants[@]}" || true
tenants=()
removed() { register --node n1 --remove default/anna/main; }
soon removed || check "anna is removed" yes no
check "and her folder" '' "$(find "$place/tenants" -name '*anna*')"

[ $failures = 0 ] || { cat "$place/log"; exit 1; }
echo "all well"
