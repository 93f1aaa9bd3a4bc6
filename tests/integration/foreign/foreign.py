#!/usr/bin/env python3
"""
divvy's limiter at the pod file of a hypervisor that is not divvyd, on the simulated GPU:
foreign.py BUILD
Shares and memory of programs under it; who decides where several could; hostile files; either side killed.
"""

import http.server
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def until(truth, seconds, what):
    end = time.monotonic() + seconds
    while not truth():
        check(time.monotonic() < end, what)
        time.sleep(0.05)


class Child(subprocess.Popen):
    """One that does not outlive a failed check."""

    def __exit__(self, kind, value, trace):
        if kind:
            self.kill()
        super().__exit__(kind, value, trace)


class Pod:
    def __init__(self, build):
        self.build = pathlib.Path(build)
        self.limiter = self.build / "lib" / "libcuda_limiter.so"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="divvy-foreign-"))
        self.file = self.folder / "shm"
        self.child = None
        self.environment = {**os.environ, "DIVVY_SIM_DIR": str(self.folder / "sim"), "LC_ALL": "C",
                            "LD_LIBRARY_PATH": str(self.build / "lib" / "simgpu")}
        for name in ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "DIVVY_TENANT", "DIVVY_TENANT_DIR", "DIVVY_FAIL_POLICY", "DIVVY_LOG",
                     "TENSOR_FUSION_CUDA_MEM_LIMIT", "TENSOR_FUSION_CUDA_UP_LIMIT", "HYPERVISOR_IP", "POD_NAME", "TF_SHM_FILE",
                     "SHM_PATH"):
            self.environment.pop(name, None)

    def hypervisor(self, percent, limit):
        self.child = subprocess.Popen([self.build / "tests" / "foreign_hypervisor", self.file, str(percent), str(limit)],
                                      stdout=subprocess.PIPE, text=True, env=self.environment)
        check(self.child.stdout.readline() == "ready\n", "the hypervisor does not start")

    def end(self, number=signal.SIGKILL):
        self.child.send_signal(number)
        self.child.wait()
        self.child.stdout.close()

    def start(self, *words, **more):
        environment = {**self.environment, "LD_PRELOAD": str(self.limiter), "TF_SHM_PATH": str(self.file), **more}
        return Child([self.build / "tests" / "foreign_work", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                     text=True, env=environment)

    def run(self, *words, **more):
        with self.start(*words, **more) as child:
            out, err = child.communicate(timeout=60)
        return child.returncode, out, err

    def word(self, offset, form="Q"):
        return struct.unpack_from("<" + form, self.file.read_bytes(), offset)[0]

    def write(self, offset, data):
        with open(self.file, "r+b") as file:
            os.pwrite(file.fileno(), data, offset)

    def pids(self):
        data = self.file.read_bytes()
        places = struct.unpack_from("<2048Q", data, 2208)
        bitmap = struct.unpack_from("<32Q", data, 18592)
        return [places[k] for k in range(2048) if bitmap[k // 64] >> (63 - k % 64) & 1]


def shares(pod):
    pod.hypervisor(40, 512 * MIB)
    for how, warm_up in (("share", 15), ("graph", 8)):
        with pod.start(how, warm_up, 6) as child:
            check(child.stdout.readline() == "ready\n", child.stderr.read() if child.poll() else "the program does not start")
            until(lambda: child.pid in pod.pids(), 2, "its pid is not in the file")
            share = float(child.stdout.readline())
            print(f"{how}, asked for 40 %: {100 * share:.1f} %")
            check(child.wait() == 0, child.stderr.read())
        check(0.25 < share < 0.5, share)  # wide: other things run on this machine too
        until(lambda: pod.pids() == [], 2, "its pid stays")


def memory(pod):
    half, whole = 256 * MIB, 512 * MIB
    status, out, err = pod.run("memory", whole)
    check(status == 0 and out == f"total {whole} nvml {whole} first 0 second 2\n", out + err)
    status, out, err = pod.run("memory", whole + 1)
    check(out.endswith("first 2 second 0\n"), out + err)
    # Two programs that do not know each other: one pod.
    with pod.start("hold", half) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        check(pod.run("memory", half + 1)[1].endswith("first 2 second 0\n"), "two programs have a limit each")
        until(lambda: pod.word(96) >= half, 3, "the hypervisor does not see it")
        # Another container of the pod, whose limiter shares no page with it: the file's figure counts.
        child.kill()
    until(lambda: pod.word(96) < half, 3, "memory of the dead stays")
    with Child([pod.build / "tests" / "foreign_work", "hold", str(half)], stdout=subprocess.PIPE, text=True,
               env=pod.environment) as other:
        check(other.stdout.readline() == "ready\n", "the program does not start")
        for offset, value in ((2208, other.pid), (18592, 1 << 63), (34976, 1)):  # as its hypervisor would
            pod.write(offset, struct.pack("<Q", value))
        until(lambda: pod.word(96) >= half, 3, "the hypervisor does not see it")
        result = pod.run("memory", half + 1)
        check(" first 2 " in result[1], ("what others of the pod hold does not count", pod.word(96), result))
        other.kill()
    until(lambda: pod.word(96) < half, 3, "memory of the dead stays")


def killed(pod):
    """The hypervisor dies: the last limits hold, nothing fails; a new one goes on with the file. Then the program dies."""
    with pod.start("share", 3, 6) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        pod.end()
        share = float(child.stdout.readline())
        print(f"without hypervisor, asked for 40 %: {100 * share:.1f} %")
        check(0.25 < share < 0.5, share)
        out, err = child.communicate()
        check(child.returncode == 0, out + err)
        check(err.count("\n") == 1 and "no sign of life" in err, err)
    check(pod.run("memory", 512 * MIB + 1)[1].endswith("first 2 second 0\n"), "without hypervisor memory is not limited")
    # A last limit that is far from what even a busy machine can do: one policy keeps it, the other does not.
    pod.write(72, struct.pack("<I", 4))
    for policy, least, most in (("closed", 0.01, 0.08), ("open", 0.15, 1.1)):
        with pod.start("share", 2, 4, DIVVY_FAIL_POLICY=policy) as child:
            check(child.stdout.readline() == "ready\n", "the program does not start")
            share = float(child.stdout.readline())
            check(least < share < most, f"policy {policy}, last limit 4 %: {100 * share:.1f} %")
    with pod.start("share", 4, 2) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        time.sleep(1)
        before = pod.word(120, "d")
        pod.hypervisor(40, 512 * MIB)
        until(lambda: pod.word(120, "d") != before, 2, "tokens are not taken again")
        child.kill()
    until(lambda: pod.pids() == [], 2, "the pid of the dead stays")


def who_decides(pod):
    """The environment's limits, and a tenant's folder, come before the file."""
    out = pod.run("memory", 64 * MIB, TENSOR_FUSION_CUDA_MEM_LIMIT='{"0": 67108864}')[1]
    check(out.startswith(f"total {64 * MIB} "), out)
    folder = pod.folder / "tenant"
    folder.mkdir(mode=0o700)
    out = pod.run("memory", 64 * MIB, DIVVY_TENANT_DIR=str(folder))[1]
    check(not out.startswith(f"total {512 * MIB} "), out)
    # TF_SHM_FILE names its folder, SHM_PATH one too, and both are read.
    for name, value in (("TF_SHM_FILE", pod.folder / "anything"), ("SHM_PATH", pod.folder)):
        out = pod.run("memory", 64 * MIB, **{"TF_SHM_PATH": "", name: str(value)})[1]
        check(out.startswith(f"total {512 * MIB} "), (name, out))


class Answers(http.server.BaseHTTPRequestHandler):
    """What a hypervisor says of pods and processes."""

    pod = {}
    processes = []

    def answer(self, data):
        body = json.dumps({"success": True, "data": data, "message": "done"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # pylint: disable=invalid-name
        if self.path.startswith("/api/v1/pod?"):
            self.answer({"pod_name": "p", "namespace": "n", **self.pod})
        else:
            self.send_error(404)  # TensorFusion's has no stream of commands

    def do_POST(self):  # pylint: disable=invalid-name
        pid = int(self.path.split("container_pid=")[1])
        self.processes.append(pid)
        self.answer({"host_pid": pid, "container_pid": pid})

    def log_message(self, *_):
        pass


def asked_by_http(pod):
    """A hypervisor that tells by HTTP who the pod is, and the rest by the file; divvyd, which needs no file."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.handle_error = lambda *_: None  # programs end while they are answered
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = {"HYPERVISOR_IP": "127.0.0.1", "HYPERVISOR_PORT": str(server.server_port), "CONTAINER_NAME": "main",
             "DIVVY_POD_TOKEN": str(pod.folder / "no-token")}
    (pod.folder / "no-token").write_text("a.b.c")
    Answers.pod = {"tflops_limit": 100.0, "vram_limit": 600 * MIB, "gpu_uuids": []}
    with pod.start("hold", MIB, **words) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        until(lambda: child.pid in Answers.processes, 5, "the process is not registered")
        check(child.pid not in pod.pids(), "a pid was entered that the hypervisor enters itself")
        child.kill()
    out = pod.run("memory", MIB, **words)[1]
    check(out.startswith(f"total {512 * MIB} "), out)
    Answers.pod["compute_permille"] = 400
    out = pod.run("memory", MIB, **words)[1]
    check(out.startswith(f"total {600 * MIB} "), out)
    server.shutdown()


def hostile(pod):
    whole = pod.file.read_bytes()
    bad = {"empty": b"", "short": whole[:-8], "long": whole + b"\0" * 8, "tag": b"\7" + whole[1:], "random": os.urandom(len(whole)),
           "bare payload": whole[8:]}
    path = pod.folder / "bad"
    for name, data in bad.items():
        path.write_bytes(data)
        status, out, err = pod.run("init", TF_SHM_PATH=str(path))
        check((status, out) == (0, "init 800\n"), (name, status, out, err))
        check(err.count("\n") == 1 and "TF_SHM_PATH" in err and str(path) in err, (name, err))
        check(pod.run("init", TF_SHM_PATH=str(path), DIVVY_FAIL_POLICY="open")[:2] == (0, "init 0\n"), name)
    for value in (str(pod.folder / "nothing"), "relative/shm"):
        status, out, err = pod.run("init", TF_SHM_PATH=value)
        check((status, out, err.count("\n")) == (0, "init 800\n", 1), (value, out, err))


def changing(pod):
    """A file that is scribbled over, removed and made again while a program works."""
    with pod.start("share", 0, 5) as child:
        check(child.stdout.readline() == "ready\n", "the program does not start")
        seen = pod.file.read_bytes()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            pod.write(4, os.urandom(35500))
            time.sleep(0.15)
            pod.file.unlink()
            time.sleep(0.15)
            other = pod.folder / "new"
            other.write_bytes(seen)
            other.rename(pod.file)
            time.sleep(0.02)
        out, err = child.communicate(timeout=30)
        check(child.returncode == 0, (child.returncode, out, err))


def main():
    pod = Pod(sys.argv[1])
    try:
        for case in (shares, memory, killed, who_decides, asked_by_http, hostile, changing):
            case(pod)
            print(case.__name__, flush=True)
    finally:
        pod.child.kill()
    shutil.rmtree(pod.folder)
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
