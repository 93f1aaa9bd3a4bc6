#!/usr/bin/env python3
"""A real kubectl takes every manifest: kubectl apply --dry-run=client, against a server that tells what kinds there are.

usage: kubectl.py ROOT

What kubectl asks for without doing anything is answered here: which groups and kinds a cluster has (discovery), and that no such object
is there yet. Ends with 77 where there is no kubectl.
"""
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

# Group and version: kinds with (plural, namespaced), as Kubernetes 1.32 has them.
KINDS = {
    "v1": {"Namespace": ("namespaces", False), "ConfigMap": ("configmaps", True), "ServiceAccount": ("serviceaccounts", True),
           "Service": ("services", True), "Pod": ("pods", True), "Secret": ("secrets", True)},
    "apps/v1": {"DaemonSet": ("daemonsets", True), "Deployment": ("deployments", True)},
    "rbac.authorization.k8s.io/v1": {"ClusterRole": ("clusterroles", False), "ClusterRoleBinding": ("clusterrolebindings", False),
                                     "Role": ("roles", True), "RoleBinding": ("rolebindings", True)},
}


def answer(path):
    """(status, object) of a GET."""
    groups = {group for group in KINDS if "/" in group}
    if path == "/api":
        return 200, {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": group.split("/")[0], "versions": [{"groupVersion": group, "version": "v1"}],
             "preferredVersion": {"groupVersion": group, "version": "v1"}} for group in sorted(groups)]}
    version = path[len("/api/"):] if path.startswith("/api/") else path[len("/apis/"):]
    if version in KINDS:
        return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
            {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
             "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]} for kind, (plural, namespaced) in KINDS[version].items()]}
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, found):
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(*answer(self.path.split("?")[0]))

    def refuse(self):
        self.server.written.append("%s %s" % (self.command, self.path))
        self.reply(405, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "MethodNotAllowed", "code": 405})

    do_POST = do_PUT = do_PATCH = do_DELETE = refuse

    def log_message(self, *arguments):
        pass


def main():
    root = sys.argv[1]
    if not shutil.which("kubectl"):
        print("skip: no kubectl here")
        return 77
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.written = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tempfile.mkdtemp()
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "KUBECONFIG": os.path.join(folder, "none"), "no_proxy": "*"}
    failed = 0

    def apply(path):
        return subprocess.run(["kubectl", "--server", "http://127.0.0.1:%d" % server.server_address[1], "apply", "--dry-run=client",
                               "--validate=false", "-R", "-f", path], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120, check=False)

    def check(what, right, text):
        nonlocal failed
        failed += not right
        print("%s %s%s" % ("ok    " if right else "FAILED", what, "" if right else "\n" + text))

    try:
        files = sorted(os.path.join(place, name) for place, _, names in os.walk(os.path.join(root, "deploy", "kubernetes"))
                       for name in names if name.endswith((".yaml", ".yml")))
        check("there are manifests", len(files) >= 6, "\n".join(files))
        for path in files:
            done = apply(path)
            lines = done.stdout.strip().splitlines()
            check("%s: %d objects" % (os.path.relpath(path, root), len(lines)),
                  done.returncode == 0 and lines and all(line.endswith("created (dry run)") for line in lines), done.stdout)
        whole = apply(os.path.join(root, "deploy", "kubernetes"))
        check("the whole folder", whole.returncode == 0, whole.stdout)
        check("nothing was written", not server.written, "\n".join(server.written))
        wrong = os.path.join(folder, "wrong.yaml")
        for text in ("apiVersion: apps/v1\nkind: NoSuchKind\nmetadata:\n  name: x\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: [x\n"):
            with open(wrong, "w", encoding="ascii") as out:
                out.write(text)
            refused = apply(wrong)
            check("what is wrong is refused: " + (refused.stdout.strip().splitlines() or ["?"])[-1][:80], refused.returncode != 0, refused.stdout)
    finally:
        server.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
