#!/usr/bin/env python3
"""
A real Prometheus scrapes a real divvyd:  prometheus.py DIVVYD FAKE_SERVER
By TLS with a bearer token, as the documentation says; what Prometheus then knows is asked of it: the target is up, every metric of
the table is there, values are those that the daemon tells, and what changes makes no new series.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import server

CONFIGURATION = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: divvy
    scheme: https
    authorization: {{credentials_file: {token}}}
    tls_config: {{ca_file: {cert}}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """divvyd with one tenant, on TLS; and Prometheus beside it."""

    def __init__(self, program):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="divvy-prometheus-"))
        self.socket = str(self.folder / "divvyd.sock")
        self.log = self.folder / "log"
        self.port, self.prometheus_port = free_port(), free_port()
        self.children = []
        key, self.cert = self.folder / "key", self.folder / "cert"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.cert],
                       check=True, capture_output=True)
        key.chmod(0o600)
        self.token = self.folder / "token"
        self.token.write_text("a-token-for-prometheus\n")
        self.token.chmod(0o600)
        self.words = [program, "--gpu", "sim", "--socket", self.socket, "--base", self.folder / "tenants", "--listen",
                      f"127.0.0.1:{self.port}", "--token-file", self.token, "--tls-key", key, "--tls-cert", self.cert, "--shm-base",
                      self.folder / "shm", "--mig-locks", self.folder / "locks"]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(timeout=30)
        shutil.rmtree(self.folder)

    def run(self, words):
        environment = {**os.environ, "DIVVY_SIM_DIR": str(self.folder / "sim"), "HOME": str(self.folder),
                       "XDG_CONFIG_HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        for name in ("DIVVY_SOCKET", "DIVVY_BASE", "DIVVY_CONFIG", "HYPERVISOR_PORT", "API_LISTEN_ADDR", "DIVVY_TENANT_DIR"):
            environment.pop(name, None)
        with open(self.log, "a", encoding="utf-8") as log:
            self.children.append(subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=environment))

    def prometheus(self):
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(token=self.token, cert=self.cert, port=self.port))
        self.run(["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                  f"--web.listen-address=127.0.0.1:{self.prometheus_port}", "--log.level=warn"])

    def until(self, truth, what):
        for _ in range(600):
            try:
                if truth():
                    return
            except (OSError, urllib.error.URLError):
                pass
            check(all(child.poll() is None for child in self.children), "ended:\n" + self.log.read_text())
            time.sleep(0.1)
        check(False, what + ":\n" + self.log.read_text())

    def ask(self, method, path, body=None):
        connection = server.UnixConnection(self.socket)
        status, _, text = server.ask(connection, method, path, json.dumps(body) if body is not None else None)
        connection.close()
        return status, text

    def query(self, path, **words):
        address = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found = json.load(answer)
        check(found["status"] == "success", found)
        return found["data"]

    def value(self, expression):
        found = self.query("query", query=expression)["result"]
        return float(found[0]["value"][1]) if len(found) == 1 else None


def scraped(node, names):
    node.until(lambda: node.value('up{job="divvy"}') == 1, "Prometheus does not reach the daemon")
    target = node.query("targets")["activeTargets"][0]
    check(target["health"] == "up" and target["lastError"] == "", target)
    node.until(lambda: node.value("divvy_tenants") == 1, "the tenant is not scraped")
    known = node.query("label/__name__/values")
    text = node.ask("GET", "/metrics")[1]
    shown = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    check(shown - set(known) == set(), sorted(shown - set(known)))
    check(shown <= set(names), sorted(shown - set(names)))
    # Types and help are understood, not only lines.
    metadata = node.query("metadata")
    for name in shown:
        kind = "counter" if name.endswith("_total") else "gauge"
        check(metadata[name][0]["type"] == kind and metadata[name][0]["help"], (name, metadata.get(name)))


def values(node):
    tenant = 'tenant="prod/web-0/main"'
    check(node.value(f"divvy_tenant_memory_limit_bytes{{{tenant}}}") == 1 << 30, "memory limit")
    check(abs(node.value(f"divvy_tenant_share_asked_ratio{{{tenant}}}") - 0.4) < 1e-9, "share asked")
    info = node.query("query", query=f"divvy_tenant_info{{{tenant}}}")["result"][0]["metric"]
    check((info["pod"], info["namespace"], info["container"], info["workload"]) == ("web-0", "prod", "main", "we\"b\\"), info)
    check(node.ask("PATCH", "/api/v1/tenants/prod%2Fweb-0%2Fmain", {"compute_percent": 15, "qos": "high"})[0] == 200, "change")
    node.until(lambda: node.value(f"divvy_tenant_share_asked_ratio{{{tenant}}}") == 0.15, "the change is not scraped")
    check(len(node.query("series", **{"match[]": f"divvy_tenant_share_asked_ratio{{{tenant}}}"})) == 1, "a change makes a new series")
    node.until(lambda: node.value("rate(process_cpu_seconds_total[10s])") is not None, "no rate")


def refused(node):
    """Without its token it is not let in, and says so."""
    node.token.write_text("some-other-token-here\n")
    node.until(lambda: node.value('up{job="divvy"}') == 0, "a wrong token is let in")
    check("401" in node.query("targets")["activeTargets"][0]["lastError"], "it is not told why")


def main():
    if not shutil.which("prometheus") or not shutil.which("openssl"):
        print("no prometheus or no openssl here")
        return 77
    names = subprocess.run([sys.argv[2], "--metrics"], capture_output=True, text=True, check=True).stdout.split()
    with Node(sys.argv[1]) as node:
        node.run(node.words)
        node.until(lambda: node.ask("GET", "/readyz")[0] == 200, "the daemon does not become ready")
        spec = {"id": "prod/web-0/main", "pod": "web-0", "namespace": "prod", "container": "main",
                "labels": {"tensor-fusion.ai/workload": "we\"b\\"},
                "devices": [{"gpu": 0, "memory_limit_bytes": 1 << 30, "compute_percent": 40}]}
        check(node.ask("POST", "/api/v1/tenants", spec)[0] == 201, "a tenant")
        node.prometheus()
        scraped(node, names)
        values(node)
        refused(node)
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
