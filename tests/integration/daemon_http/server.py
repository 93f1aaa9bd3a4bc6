"""A server under test, and the smallest client for it. Python's standard library only."""

import base64
import http.client
import json
import os
import socket
import subprocess
import tempfile


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class FakeServer:
    """fake_server with these options, in a folder of its own."""

    def __init__(self, program, **options):
        self.folder = tempfile.TemporaryDirectory(prefix="divvy-http-")
        self.socket = os.path.join(self.folder.name, "socket")
        options.setdefault("mig_locks", os.path.join(self.folder.name, "locks"))
        options.setdefault("relay_state", os.path.join(self.folder.name, "relay.db"))
        if "FAKE_MIG_NVML" in os.environ:
            options.setdefault("mig_library", os.environ["FAKE_MIG_NVML"])
        words = [f"{name}={value}" for name, value in options.items()]
        self.child = subprocess.Popen(
            [program, self.socket, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline().split()
        if not line or line[0] != "ready":
            raise SystemExit(f"the server did not start (status {self.child.wait()})")
        self.port = int(line[1])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.child.stdin.close()
        status = self.child.wait(timeout=30)
        self.child.stdout.close()
        self.folder.cleanup()
        if status != 0:
            raise SystemExit(f"the server ended with status {status}")


def ask(connection, method, path, body=None, headers=None):
    """(status, headers, body as text) of one request."""
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, answer.headers, text


def unsigned_token(namespace, pod):
    """A pod's token without a signature, for servers that are told to believe it."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"kubernetes.io": {"namespace": namespace, "pod": {"name": pod, "uid": "u-1"}}, "exp": 4102444800}
    return f"{part({'alg': 'none'})}.{part(claims)}."
