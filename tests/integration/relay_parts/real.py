"""Workers on simulated machines of their own, and clients of the framed protocol, for tests of the relay with programs as they are built."""
import json
import os
import signal
import struct
import subprocess
import sys

from play import LIMIT_S, STARTED, check, equal, wait

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "worker_parts"))
from frames import ALLOCATE, CONTEXT_SYNC, LAUNCH, PRIMARY, Peer, frame  # noqa: E402 - lies in another folder

BIN = os.environ["DIVVY_BIN"]
COPY_IN, COPY_OUT, IMAGE, MODULE_LOAD, FUNCTION_GET = 0x33, 0x34, 0x40, 0x41, 0x43
STREAM_CREATE, STREAM_SYNC, EVENT_CREATE, EVENT_RECORD, EVENT_SYNC = 0x60, 0x62, 0x70, 0x72, 0x73

# Adds 1 to the word at `at`: what this was launched for counts how often it was.
BUMP = (b".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry bump(.param .u64 at)\n{\n  .reg .b64 %rd<2>;\n  .reg .b32 %r<2>;\n"
        b"  ld.param.u64 %rd1, [at];\n  atom.global.add.u32 %r1, [%rd1], 1;\n  ret;\n}\n\0")


def children_of(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as children:
            return [int(child) for child in children.read().split()]
    except OSError:
        return []


class RealWorker:
    """divvy-worker on the simulated GPU; `name` is that of its machine. `faults`: rules of the simulated device."""

    gpu = "sim"

    def __init__(self, folder, name="worker", faults=""):
        self.path, self.name = folder + "/" + name, name
        self.log_path = self.path + ".log"
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=folder, DIVVY_SIM_DIR=folder + "/sim-" + name, DIVVY_SIM_FAULTS=faults)
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen([BIN + "/divvy-worker", "--socket", self.path, "--gpu", self.gpu, "--no-daemon"],
                                            stdout=log, stderr=log, env=self.environment)
        STARTED.append(self.process)
        wait(lambda: "listening on" in self.log(before) or self.process.poll() is not None, "the worker", 3 * LIMIT_S)
        check(self.process.poll() is None, "the worker runs: " + self.log())

    def log(self, begin=0):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            return log.read()

    def processes(self):
        """Those that hold the worker as a whole (one keeps its tenant, one accepts clients), and those that serve clients."""
        whole = [self.process.pid]
        for _ in range(2):
            whole += children_of(whole[-1])[:1]
        return whole, children_of(whole[-1])

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(LIMIT_S), 0, "the worker's status after SIGTERM")

    def device(self):
        """The device's own record."""
        done = subprocess.run([BIN + "/divvy-sim", "show", "--json"], env=self.environment, capture_output=True, text=True,
                              timeout=LIMIT_S, check=True)
        return json.loads(done.stdout)["devices"][0]


def words(payload, count):
    return struct.unpack_from("<%dQ" % count, payload)


def right(answer, what):
    """The payload of an answer that must be a good one."""
    equal(answer[0], 0, "status of " + what)
    return answer[2]


class Counter:
    """A client of frames with memory on the device and a kernel that counts its own launches there."""

    def __init__(self, path, held_bytes=4096):
        self.peer = Peer(path)
        right(self.peer.call(PRIMARY, (0,)), "the context")
        self.at = words(right(self.peer.call(ALLOCATE, (held_bytes,)), "memory"), 1)[0]
        self.peer.send(frame(IMAGE, (0, len(BUMP)), BUMP))
        module = words(right(self.peer.call(MODULE_LOAD), "the module"), 1)[0]
        self.function = words(right(self.peer.call(FUNCTION_GET, (module,), b"bump"), "the function"), 1)[0]
        self.peer.send(frame(COPY_IN, (self.at, 0), struct.pack("<I", 0)))
        right(self.peer.call(CONTEXT_SYNC), "the first copy")

    def send(self, count):
        launch = frame(LAUNCH, (self.function, 1, 1, 1, 1, 1, 1, 0, 0), struct.pack("<Q", self.at))
        self.peer.send(launch * count + frame(COPY_OUT, (self.at, 4, 0), number=9))

    def counted(self):
        """What the kernels counted; None when the worker or the relay says that it is gone, or the connection ends."""
        try:
            status, _, _, payload = self.peer.answer()
        except (OSError, struct.error):
            return None
        return struct.unpack("<I", payload)[0] if status == 0 else None

    def probe(self):
        """4 MiB to the device and back beside the null stream, with an event."""
        data = os.urandom(1 << 19)  # a frame may have a megabyte with its words
        stream = words(right(self.peer.call(STREAM_CREATE, (1, 0)), "a stream"), 1)[0]
        event = words(right(self.peer.call(EVENT_CREATE, (0,)), "an event"), 1)[0]
        room = words(right(self.peer.call(ALLOCATE, (4 << 20,)), "4 MiB"), 1)[0]
        for part in range(8):
            self.peer.send(frame(COPY_IN, (room + (part << 19), stream), data))
        self.peer.send(frame(EVENT_RECORD, (event, stream, 0)))
        right(self.peer.call(EVENT_SYNC, (event,)), "the event")
        right(self.peer.call(STREAM_SYNC, (stream,)), "the stream")
        for part in range(8):
            equal(right(self.peer.call(COPY_OUT, (room + (part << 19), 1 << 19, stream)), "the way back"), data, "what came back")

    def close(self):
        self.peer.socket.close()
