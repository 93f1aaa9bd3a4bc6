"""What the tests of divvy-relay share: a small worker that is played, the relay's process, clients of virtual machines."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

LIMIT_S = 20  # how long anything is waited for
STARTED = []  # processes of the case that runs; what is left of them is killed behind it


class Worker:
    """Serves the JSON dialect on a unix socket. `delay_s`: time for each job. `once`: as the simplest worker, closes after each."""

    def __init__(self, path, delay_s=0.0, once=False):
        self.path, self.delay_s, self.once = path, delay_s, once
        self.jobs, self.requests, self.lock, self.open = 0, [], threading.Lock(), True
        self.connections = []
        self.socket = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.socket.bind(path)
        self.socket.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        pending = b""
        try:
            while True:
                got = connection.recv(1 << 20)
                if not got:
                    return
                pending += got
                while b"\n" in pending:
                    line, pending = pending.split(b"\n", 1)
                    self.answer(connection, line)
                    if self.once:
                        return
        except OSError:
            pass
        finally:
            connection.close()

    def answer(self, connection, line):
        with self.lock:
            self.jobs += 1
            if len(self.requests) < 100000:
                self.requests.append(line)
        if self.delay_s:
            time.sleep(self.delay_s)
        try:
            request = json.loads(line)
            if request.get("operation", "vector_add") != "vector_add":
                answer = {"error": {"code": 8, "message": "unsupported operation"}}
            else:
                answer = {"result": [a + b for a, b in zip(request["array_a"], request["array_b"])]}
            if "id" in request:
                answer["id"] = request["id"]
        except (ValueError, KeyError, TypeError, AttributeError):
            answer = {"error": {"code": 1, "message": "invalid request"}}
        connection.sendall(json.dumps(answer).encode() + (b"" if self.once else b"\n"))

    def close(self):
        """As when the process is killed: every connection ends."""
        self.open = False
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        os.unlink(self.path)


class Relay:
    def __init__(self, program, folder, *options):
        self.program, self.folder = program, folder
        self.log_path = os.path.join(folder, "relay.log")
        self.options = ["--lock", folder + "/relay.lock", "--log-format", "text"] + list(options)
        if not any(o.startswith("--state") for o in options):
            self.options += ["--state="]
        if not any(o.startswith("--admin") for o in options):
            self.options += ["--admin="]
        self.start()

    def start(self):
        before = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.program] + self.options, stdout=log, stderr=log)
        STARTED.append(self.process)
        wait(lambda: ": ready" in self.log()[before:] or self.process.poll() is not None, "the relay to be ready")
        check(self.process.poll() is None, "the relay runs: " + self.log()[-400:])

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def stop(self):
        status = self.kill(signal.SIGTERM)
        check(status == 0, "the relay ends with 0 after SIGTERM, not %s: %s" % (status, self.log()[-1500:]))

    def rss_kib(self):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


class Monitor:
    """QEMU's QMP, of which the relay uses little: whether a program in the guest has the port of `path` open."""

    def __init__(self, path, port_path):
        self.name, self.is_open, self.asked, self.connection = "unix:%s,server=on" % port_path, False, 0, None
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.server.accept()
            with connection, connection.makefile("r", encoding="utf-8") as lines:
                self.connection = connection
                self.say({"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}})
                try:
                    for line in lines:
                        self.answer(json.loads(line))
                except ConnectionResetError:
                    pass

    def answer(self, asked):
        answer = {"return": {}}
        if asked["execute"] == "query-chardev":
            self.asked += 1
            answer["return"] = [{"label": "serial", "filename": "stdio", "frontend-open": True},
                                {"label": "c1", "filename": self.name.replace("unix:", "disconnected:unix:/elsewhere"), "frontend-open": True},
                                {"label": "c0", "filename": self.name, "frontend-open": self.is_open}]
        if "id" in asked:
            answer["id"] = asked["id"]
        self.say(answer)

    def say(self, what):
        try:
            self.connection.sendall(what if isinstance(what, bytes) else json.dumps(what).encode() + b"\r\n")
        except OSError:
            pass

    def port(self, is_open):
        self.is_open = is_open
        self.say({"timestamp": {"seconds": 1, "microseconds": 1}, "event": "VSERPORT_CHANGE", "data": {"open": is_open, "id": "port0"}})


def connect(path, timeout_s=LIMIT_S):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout_s)
    client.connect(path)
    return client


class Lines:
    """A client of the JSON dialect."""

    def __init__(self, path):
        self.socket, self.pending = connect(path), b""

    def send(self, value):
        self.socket.sendall(json.dumps(value).encode() + b"\n")

    def receive(self):
        while b"\n" not in self.pending:
            got = self.socket.recv(1 << 16)
            if not got:
                raise EOFError
            self.pending += got
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def ask(self, value):
        self.send(value)
        return self.receive()

    def add(self, a, b, **more):
        return self.ask(dict(operation="vector_add", array_a=a, array_b=b, **more))


class Skipped(Exception):
    """Something is not here that the case needs."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what):
    check(got == wanted, "%s: got %r, wanted %r" % (what, got, wanted))


def wait(condition, what, limit_s=LIMIT_S):
    end = time.monotonic() + limit_s
    while not condition():
        check(time.monotonic() < end, "waited too long for " + what)
        time.sleep(0.01)


HEADER = struct.Struct("<IIIIcBHI")  # of a vGPU's stub: magic, kind, VM, request, pool, priority, padding, length
MAGIC = 0x56475055
REQUEST, RESPONSE, PING, PONG, BUSY, QUARANTINED = range(1, 7)


def stub_frame(kind, request_id=0, payload=b"", vm=0, magic=MAGIC, length=None, pool=b"A", priority=1):
    return HEADER.pack(magic, kind, vm, request_id, pool, priority, 0, len(payload) if length is None else length) + payload


def stub_request(opcode, words=(), version=0x00010000):
    return struct.pack("<8I%dI" % len(words), version, opcode, 0, len(words), 0, 0, 0, 0, *words)


def exactly(client, count):
    data = b""
    while len(data) < count:
        got = client.recv(count - len(data))
        if not got:
            raise EOFError
        data += got
    return data


def stub_receive(client):
    """(kind, request_id, vm, payload)"""
    magic, kind, vm, request_id, _, _, _, length = HEADER.unpack(exactly(client, HEADER.size))
    equal(magic, MAGIC, "magic of an answer")
    return kind, request_id, vm, exactly(client, length)


def run(cases, apart=()):
    """Runs the functions in `cases`, each with the relay's program and a folder of its own; those `apart` only when named."""
    program = sys.argv[1]
    chosen = sys.argv[2:]
    failed = skipped = 0
    for case in list(cases) + list(apart):
        if case.__name__ not in chosen if chosen else case in apart:
            continue
        with tempfile.TemporaryDirectory(prefix="divvy-relay-") as folder:
            try:
                case(program, folder)
                print("ok", case.__name__, flush=True)
            except Skipped as reason:
                skipped += 1
                print("skipped", case.__name__, reason, flush=True)
            except Exception as fault:  # the next case is run all the same
                failed += 1
                print("FAILED", case.__name__, type(fault).__name__, fault, flush=True)
                log = os.path.join(folder, "relay.log")
                if os.path.exists(log):
                    with open(log, encoding="utf-8", errors="replace") as text:
                        print(text.read()[-3000:], flush=True)
            finally:
                for process in STARTED:
                    if process.poll() is None:
                        process.kill()
                        process.wait(LIMIT_S)
                STARTED.clear()
    sys.exit(1 if failed else 77 if skipped else 0)
