# shellcheck shell=bash
# shellcheck disable=SC2034 # who sources this uses them
# Shared by agent_cli.sh and agent_life.sh: a platform, folders of its own, checks. Sourced with GGO PLATFORM WORKER in $1 to $3.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
ggo=$1 platform=$2 worker=$3
place=$(mktemp -d /tmp/divvy-agent-test.XXXXXX)
export HOME=$place/home GGO_CONFIG_DIR=$place/config TENSOR_FUSION_STATE_DIR=$place/state GPU_GO_MOCK_GPUS=2 LC_ALL=C
export NO_PROXY='*' no_proxy='*'
unset GPU_GO_TOKEN GPU_GO_USER_TOKEN GPU_GO_ENDPOINT XDG_CONFIG_HOME GGO_STATE_DIR GGO_CACHE_DIR TF_LOG_LEVEL
mkdir -p "$HOME" "$TENSOR_FUSION_STATE_DIR"
chmod 755 "$place" "$TENSOR_FUSION_STATE_DIR"
state=$place/state/workers.json config=$place/config/workers.json
agent_pid=''

command -v curl >/dev/null || { echo "skip: curl is not installed"; exit 77; }

"$platform" "$place/port" 2>"$place/platform.log" &
platform_pid=$!

# Workers' ports lie among those that the kernel gives to outgoing connections, which would now and then have them first.
reserved=/proc/sys/net/ipv4/ip_local_reserved_ports
reserved_before=$(cat "$reserved" 2>/dev/null)
[ -w "$reserved" ] && echo "${reserved_before:+$reserved_before,}42352-42552" >"$reserved" 2>/dev/null

finish() {
    local pid
    [ -w "$reserved" ] && echo "$reserved_before" >"$reserved" 2>/dev/null
    [ -z "$agent_pid" ] || kill -9 "$agent_pid" 2>/dev/null
    # Workers outlive their agent.
    [ ! -e "$place/workers.pids" ] || while IFS= read -r pid; do
        [ "$pid" -gt 1 ] && kill -9 "$pid" 2>/dev/null
    done <"$place/workers.pids"
    kill "$platform_pid" 2>/dev/null
    [ -n "${KEEP:-}" ] && echo "kept: $place" || rm -rf "$place"
}
trap finish EXIT

check_lacks() { # WHAT PART TEXT
    checks=$((checks + 1))
    case $3 in
    *"$2"*)
        printf 'FAILED: %s\n  must not hold: %s\n  got: %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
        ;;
    esac
}

status_of() { # COMMAND...: its exit status, output dropped
    local status=0
    "$@" >/dev/null 2>&1 || status=$?
    echo "$status"
}

flat() { tr -d ' \n'; } # JSON without blanks

steer() { # NAME JSON: a lever of the platform
    curl -sf -X POST -H 'Content-Type: application/json' -d "$2" "$server/test/$1" >/dev/null || echo "FAILED: steering $1" >&2
}

told() { curl -sf "$server/test/state" | flat; } # all that the platform knows

done_or_failed() {
    if [ "$failures" -gt 0 ]; then
        printf '%d of %d checks failed\n' "$failures" "$checks"
        exit 1
    fi
    printf '%d checks passed\n' "$checks"
}

for ((i = 0; i < 500; i++)); do
    [ -s "$place/port" ] && break
    sleep 0.02
done
[ -s "$place/port" ] || { echo "FAILED: the platform does not start: $(cat "$place/platform.log")"; exit 1; }
server=http://127.0.0.1:$(cat "$place/port")
