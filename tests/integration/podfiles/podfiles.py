#!/usr/bin/env python3
"""
Pod files of a real divvyd on the simulated GPU:  podfiles.py DIVVYD FOREIGN LIBRARIES
A pod's file and its bytes, read here by the published offsets; a program that takes tokens as limiters of other systems do; a
change of limits; freezing; the daemon killed and started again; the pod gone.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "daemon_http"))
import server  # pylint: disable=wrong-import-position

SIZE = 35504
LABELS = {"tensor-fusion.ai/workload": "web", "team": "blue, \"one\""}
TENANT = "/api/v1/tenants/prod%2Fweb-0%2Fmain"


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def until(truth, seconds, what):
    end = time.monotonic() + seconds
    while not truth():
        check(time.monotonic() < end, what)
        time.sleep(0.05)


class Machine:
    def __init__(self, program, libraries):
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="divvy-podfiles-"))
        self.socket = str(self.folder / "socket")
        self.file = self.folder / "shm" / "prod" / "web-0" / "shm"
        self.log = self.folder / "log"
        self.metrics = self.folder / "metrics.log"
        self.child = None
        self.environment = {**os.environ, "DIVVY_SIM_DIR": str(self.folder / "sim"), "HOME": str(self.folder),
                            "XDG_CONFIG_HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder), "POD_NAME": "web-0",
                            "POD_NAMESPACE": "prod", "CONTAINER_NAME": "main"}
        for name in ("DIVVY_SOCKET", "DIVVY_BASE", "DIVVY_CONFIG", "HYPERVISOR_PORT", "API_LISTEN_ADDR", "DIVVY_TENANT_DIR",
                     "SHM_BASE_PATH"):
            self.environment.pop(name, None)
        self.libraries = libraries

    def start(self):
        words = ["--gpu", "sim", "--socket", self.socket, "--base", str(self.folder / "tenants"), "--shm-base",
                 str(self.folder / "shm"), "--jwt-unverified", "--metrics-output-path", str(self.metrics), "--metrics-interval",
                 "1s", "--metrics-labels", '{"team": "group", "absent": "absent"}']
        with open(self.log, "a", encoding="utf-8") as log:
            self.child = subprocess.Popen([self.program, *words], stdout=log, stderr=log, env=self.environment)
        until(self.answers, 30, "the daemon does not become ready:\n" + self.log.read_text())

    def answers(self):
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, headers=None):
        connection = server.UnixConnection(self.socket)
        status, _, text = server.ask(connection, method, path, json.dumps(body) if body is not None else None, headers)
        connection.close()
        return status, json.loads(text) if text[:1] == "{" else text

    def foreign(self, program, warm_up, seconds):
        return subprocess.Popen([program, str(self.file), str(warm_up), str(seconds)], stdout=subprocess.PIPE, text=True,
                                env={**self.environment, "LD_LIBRARY_PATH": self.libraries})

    def word(self, offset, form="Q"):
        return struct.unpack_from("<" + form, self.file.read_bytes(), offset)[0]

    def pids(self):
        data = self.file.read_bytes()
        places = struct.unpack_from("<2048Q", data, 2208)
        bitmap = struct.unpack_from("<32Q", data, 18592)
        return [places[k] for k in range(2048) if bitmap[k // 64] >> (63 - k % 64) & 1]

    def events(self):
        return [event["text"] for event in self.ask("GET", "/api/v1/events")[1]["events"]]


def token():
    claims = {"kubernetes.io": {"namespace": "prod", "pod": {"name": "web-0"}}, "exp": 4102444800}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)]
    return {"Authorization": "Bearer " + ".".join(parts) + ".c2ln"}


def the_bytes(machine):
    spec = {"id": "prod/web-0/main", "pod": "web-0", "namespace": "prod", "container": "main", "labels": LABELS,
            "devices": [{"gpu": 0, "memory_limit_bytes": 1 << 30, "compute_percent": 40}]}
    status, answer = machine.ask("POST", "/api/v1/tenants", spec)
    check(status == 201, answer)
    until(machine.file.exists, 2, "there is no pod file")
    until(lambda: machine.word(2184, "I") == 1, 2, "no device in the file")
    check(machine.file.stat().st_size == SIZE and machine.file.stat().st_mode & 0o777 == 0o666, "size or mode")
    uuid = machine.ask("GET", "/api/v1/devices")[1]["data"][0]["UUID"]
    text = machine.file.read_bytes()[8:72].rstrip(b"\0").decode()
    check(text.lower() == uuid.lower() and text.startswith("GPU-"), text)
    check(machine.word(0, "I") == 1 and machine.word(72, "I") == 40 and machine.word(80) == 1 << 30, "limits")
    check(machine.word(88, "I") > 0 and machine.word(136, "I") == 1 and machine.word(34984) == machine.child.pid, "entry")
    check(0 <= time.time() - machine.word(2192) < 2.5, "heartbeat")


def a_limiter(machine, program):
    with machine.foreign(program, 20, 10) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        status, answer = machine.ask("POST", f"/api/v1/process?container_name=main&container_pid={child.pid}", headers=token())
        check(status == 200 and answer["success"], answer)
        until(lambda: machine.pids() == [child.pid], 2, "its pid is not in the file")
        until(lambda: 64 << 20 <= machine.word(96) < 1 << 30, 4, "what it uses is not in the file")
        share = float(child.stdout.readline())
    print(f"asked for 40 %: {100 * share:.1f} %")
    check(0.3 < share < 0.5, share)  # wide: other things run on this machine too
    until(lambda: machine.pids() == [], 3, "its pid stays")
    until(lambda: machine.word(96) == 0, 4, "its memory stays")
    time.sleep(1.5)
    measured(machine, child.pid)


def changes(machine):
    check(machine.ask("PATCH", TENANT, {"compute_percent": 15})[0] == 200, "change")
    until(lambda: machine.word(72, "I") == 15, 1, "the change does not come")
    check(machine.ask("POST", TENANT + "/freeze")[0] == 200, "freeze")
    until(lambda: machine.word(120, "d") == 0, 1, "a frozen pod has tokens")
    check(machine.ask("POST", TENANT + "/thaw")[0] == 200, "thaw")
    until(lambda: machine.word(120, "d") > 0, 1.5, "no tokens come")


def another_daemon(machine, program):
    inode = machine.file.stat().st_ino
    with machine.foreign(program, 0, 6) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        answer = machine.ask("POST", f"/api/v1/process?container_name=main&container_pid={child.pid}", headers=token())[1]
        check(answer["success"], answer)
        until(lambda: machine.pids() == [child.pid], 2, "its pid is not in the file")
        machine.child.kill()
        machine.child.wait()
        machine.start()
        until(lambda: machine.word(34984) == machine.child.pid, 2, "the new daemon does not take the file over")
        check(machine.file.stat().st_ino == inode, "the file was made again")
        check(machine.pids() == [child.pid], "the process was forgotten")
        tenant = machine.ask("GET", TENANT)[1]
        check(tenant["labels"] == LABELS and tenant["container"] == "main", tenant)
        check(child.wait() == 0, "the program did not survive")
    until(lambda: machine.pids() == [], 3, "its pid stays")


def measured(machine, pid):
    """The file of metrics: tags of the pod, and what happened to its process, each once."""
    lines = machine.metrics.read_text().splitlines()
    used = [line for line in lines if line.startswith("tf_worker_usage,")]
    tags = ",pod_name=web-0,namespace=prod,workload=web,worker=prod/web-0/main,group=blue\\,\\ \"one\" "
    check(used and all(tags in line for line in used), used[:1])
    for what in ("register_process", "remove_process"):
        found = [line for line in lines if line.startswith(f"tf_scheduler_event,event_type={what},pid={pid},qos=medium weight=")]
        check(len(found) == 1 and found[0].rsplit(" ", 1)[1].isdigit(), (what, found))
    check("absent" not in "".join(lines), "a tag of a label that the pod does not have")


def the_end(machine):
    check(machine.ask("DELETE", TENANT)[0] == 204, "delete")
    time.sleep(1)
    last = machine.word(2192)
    time.sleep(1.2)
    check(machine.word(2192) == last, "a pod that is gone has a heartbeat")


def main():
    daemon, foreign, libraries = sys.argv[1:4]
    machine = Machine(daemon, libraries)
    machine.start()
    the_bytes(machine)
    a_limiter(machine, foreign)
    changes(machine)
    another_daemon(machine, foreign)
    the_end(machine)
    machine.child.send_signal(signal.SIGTERM)
    check(machine.child.wait(timeout=30) == 0, machine.log.read_text())
    shutil.rmtree(machine.folder)
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
