#!/usr/bin/env bash
# Dashboard and alerts against a real Prometheus that scrapes a running runner: runner_monitoring.sh RUNNER PROGRAM SANITIZERS
# With DIVVY_SHOW=1 the results are printed as docs/MIG.md shows them.
. "$(dirname "$0")/runner_parts/lib.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
for tool in prometheus promtool curl python3; do
    command -v $tool >/dev/null || { echo "$tool is not here"; exit 77; }
done
dashboard=$root/monitoring/grafana-hypercore-gpu.json
alerts=$root/monitoring/prometheus-alerts.yml

check "promtool takes the alert rules" 0 "$(promtool check rules "$alerts" >"$place/rules" 2>&1; echo $?)"

# ---- a runner with something to tell ----

cat >"$place/model.json" <<EOF
{"name": "demo", "engine": "bash", "model_path": "$place/model.sh", "vram_limit": "2GiB", "cpu_mem_limit": "8GiB"}
EOF
# Slow and fast answers, an error, one allocation too many, and a crash at its third start at the latest.
cat >"$place/model.sh" <<EOF
for i in {1..20}; do
    "$program" tell 'latency 0.02' tell 'latency 0.04' tell 'latency 2' tell error wait 100 >/dev/null
done
[ -n "\$HYPERCORE_DISABLE_SHIM" ] || "$program" alloc $((3 << 30)) alloc $((1 << 30)) wait 500
exit 1
EOF
HC_MIG_PROFILE=1g.10gb start runner-1 --metrics 0 --model "$place/model.json"
soon grep -q 'metrics:' "$place/runner-1.log"
target=$(sed -nE 's|.*metrics: http://([^ ]+)/metrics.*|\1|p' "$place/runner-1.log")

# ---- a Prometheus that looks every second ----

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$place/data"
cat >"$place/prometheus.yml" <<EOF
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$alerts"]
scrape_configs:
  - job_name: runners
    honor_labels: true
    static_configs: [{targets: ["$target"]}]
EOF
prometheus --config.file="$place/prometheus.yml" --storage.tsdb.path="$place/data" --web.listen-address="127.0.0.1:$port" \
    --log.level=error >"$place/prometheus.log" 2>&1 &
started+=("$!")
api=http://127.0.0.1:$port/api/v1

query() { curl -fsS --max-time 5 --data-urlencode "query=$1" "$api/query"; }
rows() { # EXPRESSION: how many series it gives
    query "$1" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["data"]["result"]))'
}
has_rows() { [ "$(rows "$1" 2>/dev/null || echo 0)" -gt 0 ]; }
wait_for() { # EXPRESSION: at most a minute
    for _ in {1..120}; do
        has_rows "$1" && return 0
        sleep 0.5
    done
    return 1
}
wait_for 'hypercore_model_restarts_total >= 2' || { echo "FAILED: no restarts arrive"; failures=$((failures + 1)); }

check "the runner's name is kept" 1 "$(rows 'hypercore_runner_info{instance="runner-1", model_id="demo"}')"
check "the scrape is well" 1 "$(rows "up{job=\"runners\"} == 1")"

# ---- every expression of the dashboard ----

python3 - "$dashboard" >"$place/expressions" <<'EOF'
import json, sys
board = json.load(open(sys.argv[1]))
for panel in board["panels"]:
    for target in panel["targets"]:
        print(panel["title"] + "\t" + target["expr"])
EOF
check "five panels" 5 "$(wc -l <"$place/expressions")"
while IFS=$'\t' read -r title expression; do
    case $expression in
    DCGM_*) check "$title: known to Prometheus, empty without DCGM" 0 "$(rows "$expression")" ;;
    *quota*) [ -n "$sanitized" ] || check "$title" 1 "$(wait_for "$expression > 0" && rows "$expression")" ;;
    *) check "$title" 1 "$(wait_for "$expression > 0" && rows "$expression")" ;;
    esac
done <"$place/expressions"

# ---- every alert: its expression is evaluated without a fault, and those that have a reason are on ----

rules() { curl -fsS "$api/rules" | python3 -c '
import json, sys
for group in json.load(sys.stdin)["data"]["groups"]:
    for rule in group["rules"]:
        print(rule["name"], rule["health"], rule["state"])'; }
all_known() { ! rules | grep -q unknown; }
soon all_known
check "rules that cannot be evaluated" '' "$(rules | grep -v ' ok ')"
check "alerts" 7 "$(rules | wc -l)"
on() { rules | grep -E "^$1 ok (firing|pending)$"; }
# Rules are evaluated once a second: what a query sees already they may not have seen yet.
soon on HypercoreErrors
soon on HypercoreLatencyHigh
[ -n "$sanitized" ] || soon on HypercoreQuotaExceeded
check_match "errors are noticed" '^HypercoreErrors ok (firing|pending)$' "$(rules)"
check_match "slowness is noticed" '^HypercoreLatencyHigh ok (firing|pending)$' "$(rules)"
[ -n "$sanitized" ] || check_match "the quota is noticed" '^HypercoreQuotaExceeded ok firing$' "$(rules)"
check_match "what has no reason is silent" '^HypercoreHostMemoryNearlyFull ok inactive$' "$(rules)"

if [ -n "${DIVVY_SHOW:-}" ]; then
    while IFS=$'\t' read -r title expression; do
        query "$expression" | python3 -c '
import json, sys
result = json.load(sys.stdin)["data"]["result"]
for row in result or [None]:
    labels = ", ".join(f"{k}={v}" for k, v in sorted(row["metric"].items())) if row else "(no series)"
    value = "%.4g" % float(row["value"][1]) if row else ""
    print(f"| {sys.argv[1]} | {labels} | {value} |")' "$title"
    done <"$place/expressions"
    rules | sed -E 's/(.*) (.*) (.*)/| \1 | \3 |/'
fi

finish
