"""A node of the imitated cluster: divvyd, its API, and pods' processes in cgroups as the kubelet makes them."""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fakes", "kube"))
from apiserver import ApiServer, identity, make_authority, pod  # noqa: E402,F401  (for the tests that import this)

LIMIT = 40  # seconds that anything may take
failures = []


def expect(what, good, told=""):
    print("%-88s %s" % (what, "right" if good else "WRONG  %s" % (told,)), flush=True)
    if not good:
        failures.append(what)
    return good


def until(condition, limit=LIMIT):
    """The first value of the condition that is true, or its last one."""
    ends = time.monotonic() + limit
    while True:
        value = condition()
        if value or time.monotonic() > ends:
            return value
        time.sleep(0.05)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self.path)


def jwt(namespace, name, uid, expires=3600, extra="x"):
    """A token as the kubelet gives one; whether it is good, only the API server knows."""
    now = int(time.time())
    claims = {"aud": ["https://kubernetes.default.svc"], "exp": now + expires, "iat": now, "nbf": now - 5, "sub": "system:serviceaccount:%s:default" % namespace,
              "kubernetes.io": {"namespace": namespace, "pod": {"name": name, "uid": uid}, "serviceaccount": {"name": "default", "uid": "s"}}}
    parts = [json.dumps({"alg": "RS256", "kid": extra}).encode(), json.dumps(claims).encode(), b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


class Cgroups:
    """Cgroups of pods, in whichever hierarchy this machine lets us make some; None: in none."""

    def __init__(self):
        self.made = []
        self.root = None
        wanted = [words for words in (line.split() for line in open("/proc/mounts", encoding="ascii", errors="replace"))
                  if words[2] == "cgroup2" or (words[2] == "cgroup" and ("freezer" in words[3] or "pids" in words[3]))]
        for words in sorted(wanted, key=lambda words: words[2] != "cgroup2"):
            root = os.path.join(words[1], "kubepods-divvy-%d.slice" % os.getpid())
            try:
                os.mkdir(root)
                self.made.append(root)
                probe = os.fork()
                if probe == 0:
                    try:
                        with open(os.path.join(root, "cgroup.procs"), "w", encoding="ascii") as file:
                            file.write("0")
                        os._exit(0)
                    except OSError:
                        os._exit(1)
                if os.waitpid(probe, 0)[1] == 0:
                    self.root = root
                    return
            except OSError:
                continue

    def make(self, uid, container, systemd=False):
        part = "kubepods-pod%s.slice" % uid.replace("-", "_") if systemd else "pod" + uid
        path = os.path.join(self.root, part, container)
        for folder in (os.path.dirname(path), path):
            if not os.path.isdir(folder):
                os.mkdir(folder)
                self.made.append(folder)
        return path

    def done(self):
        for folder in reversed(self.made):
            until(lambda folder=folder: self.remove(folder), 5)

    @staticmethod
    def remove(folder):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


class Node:
    def __init__(self, binaries, options=()):
        self.bin = binaries
        self.folder = tempfile.mkdtemp(prefix="divvy-kube-")
        self.socket = os.path.join(self.folder, "socket")
        self.log = os.path.join(self.folder, "log")
        self.kubeconfig = os.path.join(self.folder, "kubeconfig")
        self.options = list(options)
        self.port = 0
        self.daemon = None
        self.processes = []
        self.environment = dict(os.environ, DIVVY_SIM_DIR=os.path.join(self.folder, "sim"), GPU_NODE_NAME="node-a", DIVVY_SOCKET=self.socket)
        for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "DIVVY_CONFIG"):
            self.environment.pop(name, None)

    def start(self):
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen(
                [os.path.join(self.bin, "divvyd"), "--gpu=sim", "--base", os.path.join(self.folder, "tenants"), "--socket", self.socket,
                 "--shm-base", os.path.join(self.folder, "shm"), "--backend=kubernetes", "--kubeconfig", self.kubeconfig,
                 "--listen", "127.0.0.1:%d" % self.port, *self.options],
                env=self.environment, stdout=log, stderr=log)
        if not until(lambda: self.get("/readyz")[0] == 200 and (self.port or self.port_read())):
            raise RuntimeError("divvyd does not become ready: " + self.read_log()[-2000:])

    def port_read(self):
        for line in self.read_log().splitlines():
            if "listening on 127.0.0.1" in line:
                self.port = int(line.rsplit(" port ", 1)[1])
        return self.port

    def stop(self, number=signal.SIGTERM):
        self.daemon.send_signal(number)
        status = self.daemon.wait(LIMIT)
        self.daemon = None
        return status

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def get(self, path, method="GET", body=None):
        connection = UnixConnection(self.socket)
        return self.call(connection, method, path, body, {})

    def ask(self, path, token=None, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        return self.call(connection, method, path, None, {"Authorization": "Bearer " + token} if token else {})

    @staticmethod
    def call(connection, method, path, body, headers):
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def tenants(self):
        return {tenant["id"]: tenant for tenant in (self.get("/api/v1/tenants")[1] or {}).get("tenants", [])}

    def pods(self):
        return self.get("/api/v1/node/pods")[1] or {}

    def states(self):
        return {"%s/%s" % (one["namespace"], one["name"]): one for one in self.pods().get("pods", [])}

    def process_pids(self, tenant):
        path = "/api/v1/tenants/%s/processes" % tenant.replace("/", "%2F")
        return [process["host_pid"] for process in (self.get(path)[1] or {}).get("processes", [])]

    def rss_mib(self):
        with open("/proc/%d/status" % self.daemon.pid, encoding="ascii") as file:
            return [int(line.split()[1]) for line in file if line.startswith("VmRSS")][0] / 1024

    def run(self, cgroup, arguments, **environment):
        """A process of a container: in its cgroup from its first instruction on."""
        def enter():
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

        output = open(os.path.join(self.folder, "program"), "ab")
        process = subprocess.Popen(arguments, env=dict(self.environment, **environment), preexec_fn=enter, stdout=output, stderr=output)
        output.close()
        self.processes.append(process)
        return process

    def done(self):
        for process in self.processes:
            process.kill()
            process.wait()
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
        if failures:
            print("--- log of divvyd\n" + self.read_log()[-6000:])
            program = os.path.join(self.folder, "program")
            if os.path.exists(program):
                print("--- programs\n" + open(program, encoding="utf-8", errors="replace").read()[-2000:])
        shutil.rmtree(self.folder, ignore_errors=True)


def finish():
    sys.exit(1 if failures else 0)
