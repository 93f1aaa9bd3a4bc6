#!/usr/bin/env python3
"""
The API of a real divvyd with the simulated GPU:  daemon.py DIVVYD DOCUMENT FAKE_SERVER
The OpenAPI document against it; a tenant's life; TLS with a token and its reload; a pod's token that is really signed; the file
of metrics; promtool, where it is installed.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import http.client

import server

PYTHON = sys.executable
HERE = os.path.dirname(os.path.abspath(__file__))


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def openssl(*words, **options):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, **options).stdout


def certificate(folder, name):
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert))
    key.chmod(0o600)
    return key, cert


def signed_token(key, namespace, pod, lifetime=600):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"kubernetes.io": {"namespace": namespace, "pod": {"name": pod, "uid": "u-1"}}, "exp": time.time() + lifetime,
              "nbf": time.time() - 10}
    text = part(b'{"alg":"RS256"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(openssl("dgst", "-sha256", "-sign", str(key), input=text))).decode()


class Daemon:
    def __init__(self, program):
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="divvy-http-daemon-"))
        self.socket = str(self.folder / "divvyd.sock")
        self.log = self.folder / "log"
        self.metrics = self.folder / "metrics.log"
        self.rsa, public = self.folder / "pods.key", self.folder / "pods.pub"
        openssl("genpkey", "-algorithm", "RSA", "-out", str(self.rsa))
        openssl("pkey", "-in", str(self.rsa), "-pubout", "-out", str(public))
        self.key, self.cert = certificate(self.folder, "first")
        self.tokens = self.folder / "tokens"
        self.tokens.write_text("a-token-for-this-test\n")
        self.tokens.chmod(0o600)
        self.child = None
        self.words = ["--gpu", "sim", "--socket", self.socket, "--base", str(self.folder / "tenants"), "--listen", "127.0.0.1:0",
                      "--token-file", str(self.tokens), "--tls-key", str(self.key), "--tls-cert", str(self.cert),
                      "--shm-base", str(self.folder / "shm"), "--mig-locks", str(self.folder / "locks"),
                      "--relay-state", str(self.folder / "relay.db"), "--jwt-key-file", str(public), "--metrics-output-path", str(self.metrics), "--metrics-interval", "1s"]

    def __enter__(self):
        environment = {**os.environ, "DIVVY_SIM_DIR": str(self.folder / "sim"), "HOME": str(self.folder),
                       "XDG_CONFIG_HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        for name in ("DIVVY_SOCKET", "DIVVY_BASE", "DIVVY_CONFIG", "HYPERVISOR_PORT", "API_LISTEN_ADDR", "DIVVY_TENANT_DIR"):
            environment.pop(name, None)
        with open(self.log, "w", encoding="utf-8") as log:
            self.child = subprocess.Popen([self.program, *self.words], stdout=log, stderr=log, env=environment)
        for _ in range(600):
            if self.child.poll() is not None or self.port():
                break
            time.sleep(0.05)
        check(self.child.poll() is None and self.port(), "the daemon does not start:\n" + self.log.read_text())
        self.until(lambda: self.ask("GET", "/readyz")[0] == 200, "it does not become ready")
        return self

    def __exit__(self, *unused):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            status = self.child.wait(timeout=30)
            text = self.log.read_text()
            shutil.rmtree(self.folder)
            check(status == 0, f"it ended with status {status}:\n{text}")
            check("a-token-for-this-test" not in text, "a token is in the log")

    def port(self):
        words = self.log.read_text().split()
        return next((int(words[i + 1]) for i, word in enumerate(words[:-1]) if word == "port"), 0)

    def until(self, truth, what):
        for _ in range(400):
            if truth():
                return
            time.sleep(0.05)
        check(False, what + ":\n" + self.log.read_text())

    def ask(self, method, path, body=None, headers=None):
        connection = server.UnixConnection(self.socket)
        status, _, text = server.ask(connection, method, path, json.dumps(body) if body is not None else None, headers)
        connection.close()
        return status, json.loads(text) if text[:1] == "{" else text

    def ask_tls(self, path, cert, token=None):
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", self.port(), context=context, timeout=20)
        headers = {"Authorization": "Bearer " + token} if token else {}
        status, _, text = server.ask(connection, "GET", path, None, headers)
        connection.close()
        return status, text


def life(daemon):
    spec = {"id": "job/a", "qos": "low", "devices": [{"gpu": 0, "memory_limit_bytes": 1 << 30, "compute_percent": 40}]}
    status, tenant = daemon.ask("POST", "/api/v1/tenants", spec)
    check(status == 201 and os.path.isdir(tenant["folder"]), tenant)
    check(daemon.ask("POST", "/api/v1/tenants", spec)[0] == 409, "the same name twice")
    status, answer = daemon.ask("POST", "/api/v1/tenants", {**spec, "id": "../x"})
    check(status == 422, answer)
    status, answer = daemon.ask("POST", "/api/v1/tenants", {"id": "huge", "devices": [{"gpu": 0, "memory_limit_bytes": 1 << 50}]})
    check(status in (409, 422), answer)
    status, tenant = daemon.ask("PATCH", "/api/v1/tenants/job%2Fa", {"compute_percent": 60, "memory_limit_bytes": None})
    check(status == 200 and tenant["devices"][0]["compute_percent"] == 60, tenant)
    check(tenant["devices"][0]["memory_limit_bytes"] is None, tenant)
    check(daemon.ask("POST", "/api/v1/tenants/job%2Fa/freeze")[1]["frozen"] is True, "freeze")
    check(daemon.ask("POST", "/api/v1/tenants/job%2Fa/thaw")[1]["frozen"] is False, "thaw")
    kinds = [event["kind"] for event in daemon.ask("GET", "/api/v1/events")[1]["events"] if event["tenant"] == "job/a"]
    check(kinds == ["tenant-created", "tenant-changed", "tenant-frozen", "tenant-resumed"], kinds)
    check('divvy_tenant_share_asked_ratio{tenant="job/a"' in daemon.ask("GET", "/metrics")[1], "metrics")
    check(daemon.ask("DELETE", "/api/v1/tenants/job%2Fa")[0] == 204, "delete")
    check(not os.path.exists(tenant["folder"]), "the folder is left")


def tls(daemon):
    token = "a-token-for-this-test"
    check(daemon.ask_tls("/api/v1/node", daemon.cert)[0] == 401, "without a token")
    check(daemon.ask_tls("/api/v1/node", daemon.cert, token)[0] == 200, "with the token")
    kept = http.client.HTTPSConnection("localhost", daemon.port(), timeout=20,
                                       context=ssl.create_default_context(cafile=str(daemon.cert)))
    bearer = {"Authorization": "Bearer " + token}
    check(server.ask(kept, "GET", "/api/v1/node", None, bearer)[0] == 200, "a connection that is kept")
    key, cert = certificate(daemon.folder, "second")
    os.replace(key, daemon.key)
    os.replace(cert, daemon.cert)
    daemon.child.send_signal(signal.SIGHUP)

    def renewed():
        try:
            return daemon.ask_tls("/api/v1/node", daemon.cert, token)[0] == 200
        except (ssl.SSLError, ConnectionError):
            return False

    daemon.until(renewed, "the new certificate is not used")
    check(server.ask(kept, "GET", "/api/v1/node", None, bearer)[0] == 200, "the kept connection is gone with its certificate")
    kept.close()


def pods(daemon):
    spec = {"id": "prod/web-0/main", "pod": "web-0", "namespace": "prod", "container": "main",
            "devices": [{"gpu": 0, "memory_limit_bytes": 1 << 30}]}
    check(daemon.ask("POST", "/api/v1/tenants", spec)[0] == 201, "a pod's tenant")
    good = {"Authorization": "Bearer " + signed_token(daemon.rsa, "prod", "web-0")}
    old = {"Authorization": "Bearer " + signed_token(daemon.rsa, "prod", "web-0", -60)}
    forged = {"Authorization": "Bearer " + server.unsigned_token("prod", "web-0")}
    status, answer = daemon.ask("GET", "/api/v1/pod?container_name=main", headers=good)
    check(status == 200 and answer["success"] and answer["data"]["vram_limit"] == 1 << 30, answer)
    for headers in (old, forged, {}):
        check(daemon.ask("GET", "/api/v1/pod?container_name=main", headers=headers)[0] == 401, headers)
    check(daemon.ask("DELETE", "/api/v1/tenants/prod%2Fweb-0%2Fmain", headers=good)[0] == 403, "a pod removes a tenant")
    check(daemon.ask("DELETE", "/api/v1/tenants/prod%2Fweb-0%2Fmain")[0] == 204, "delete")


def metrics(daemon):
    daemon.until(lambda: daemon.metrics.exists() and daemon.metrics.stat().st_size > 0, "no metrics file")
    line = daemon.metrics.read_text().splitlines()[0]
    check(line.startswith("tf_gpu_usage,uuid=GPU-") and "memory_bytes=" in line and line.rsplit(" ", 1)[1].isdigit(), line)
    tool = shutil.which("promtool")
    if tool:
        text = daemon.ask("GET", "/metrics")[1]
        checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        check(checked.returncode == 0, checked.stdout + checked.stderr)


def main():
    if not shutil.which("openssl"):
        print("no openssl program here")
        return 77
    program, document, fake = sys.argv[1:4]
    with Daemon(program) as daemon:
        life(daemon)
        tls(daemon)
        pods(daemon)
        metrics(daemon)
        held = subprocess.run([PYTHON, os.path.join(HERE, "openapi.py"), document, fake, daemon.socket], check=False)
        check(held.returncode == 0, "the document does not describe the daemon")
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
