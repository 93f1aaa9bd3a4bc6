#!/usr/bin/env python3
"""
deploy/prometheus and deploy/grafana:  monitoring.py ROOT FAKE_SERVER
promtool takes the rules, their tests and the scrape configuration; and every expression of rules and dashboard names series that
/metrics exports, with labels that they have.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    print("no yaml for Python here")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "daemon_http"))
import server  # noqa: E402  # found by the line before

# Words of PromQL, and labels that Prometheus adds.
WORDS = set("sum by avg min max count rate increase and or unless bool on ignoring max_over_time label_values without".split())
ADDED = {"instance", "job"}


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def exported(program):
    """The metrics of the table, each with the labels that a server with tenants shows; None: it shows none of that metric."""
    names = subprocess.run([program, "--metrics"], capture_output=True, text=True, check=True).stdout.split()
    with server.FakeServer(program, tenants=3) as fake:
        status, _, text = server.ask(server.UnixConnection(fake.socket), "GET", "/metrics")
    check(status == 200, status)
    labels = {name: None for name in names}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name = re.match("[a-zA-Z_:][a-zA-Z0-9_:]*", line).group()
            labels[name] = (labels.get(name) or set()) | set(re.findall(r'[{,]([a-z_]+)="', line))
    return labels


def expression_check(expression, known, records, where):
    """Names are series that are there; labels in braces and in by () are theirs."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = set(re.findall(r"([a-z_]+) *(?:=~|!~|!=|=)\s*\"\"", bare))
    for group in re.findall(r"(?:by|without|on|ignoring) *\(([^)]*)\)", bare):
        used |= {word.strip() for word in group.split(",")}
    outside = re.sub(r"\{[^}]*\}|\[[^]]*\]|(?:by|without|on|ignoring) *\([^)]*\)", " ", bare)
    names = {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", outside)} - WORDS
    check(names, f"{where}: no series in {expression}")
    for name in names:
        check(name in known or name in records or name == "up", f"{where}: nobody exports {name}")
        if known.get(name):
            check(used <= known[name] | ADDED, f"{where}: {name} has no label {used - known[name] - ADDED}")


def rules_check(folder, known):
    groups = yaml.safe_load((folder / "divvy.rules.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    records = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        expression_check(rule["expr"], known, records, rule.get("alert") or rule["record"])
        if "alert" in rule:
            check(rule["labels"]["severity"] in ("info", "warning", "critical"), rule)
            check(set(rule["annotations"]) == {"summary", "description"}, rule)
    return records


def dashboard_check(path, known, records):
    board = json.loads(path.read_text())
    check(board["uid"] and board["title"] and board["schemaVersion"] >= 36, "head of the dashboard")
    numbers = [panel["id"] for panel in board["panels"]]
    check(len(numbers) == len(set(numbers)), "two panels of one number")
    taken, expressions = set(), []
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        check(at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} lies upon another panel")
        taken |= cells
        check(panel["title"] and panel["description"] and panel["targets"], panel["id"])
        for target in panel["targets"]:
            expression_check(target["expr"], known, records, panel["title"])
            expressions.append(target["expr"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.*), ([a-z_]+)\)", variable["query"]["query"])
            expression_check(inner.group(1), known, records, variable["name"])
            name = re.match("[a-z_]+", inner.group(1)).group()
            check(inner.group(2) in (known[name] or set()) | ADDED, f"{name} has no label {inner.group(2)}")
    return expressions


def promtool(*words):
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"promtool {' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")


def main():
    root = pathlib.Path(sys.argv[1])
    folder = root / "deploy/prometheus"
    known = exported(sys.argv[2])
    records = rules_check(folder, known)
    expressions = dashboard_check(root / "deploy/grafana/divvy-node.json", known, records)
    jobs = yaml.safe_load((folder / "scrape.yml").read_text())["scrape_configs"] + yaml.safe_load((folder / "scrape-kubernetes.yml").read_text())
    check([job["job_name"] for job in jobs] == ["divvy", "divvy-pods"], jobs)
    if not shutil.which("promtool"):
        print("no promtool here")
        return 77
    promtool("check", "rules", folder / "divvy.rules.yml")
    promtool("test", "rules", folder / "divvy.rules.test.yml")
    promtool("check", "config", "--syntax-only", folder / "scrape.yml")
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # Grafana's variables stand in texts only.
        rules = [{"record": f"panel:{place}", "expr": expression} for place, expression in enumerate(expressions)]
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        promtool("check", "rules", file.name)
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
