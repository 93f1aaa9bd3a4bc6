"""Shared memory as the way between a client and divvy-relay: what works on a stream works on it, and nobody who writes what he
likes into the memory disturbs others. With a worker that is played, and (DIVVY_BIN) with client and worker as they are built."""
import json
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

from play import LIMIT_S, Lines, Relay, Worker, check, connect, equal, run, wait

BIN = os.environ.get("DIVVY_BIN")
GREETING, VERSION, MAGIC, PAGE = 0x31474E52, 0x20000, 0x52565644, 4096
LINES = 64  # of the header; then 128 bytes for each direction


class Ring:
    """The client's side. All waiting is looking again and again."""

    def __init__(self, folder, name, size=None):
        self.file = os.open(folder + "/" + name, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        self.map = mmap.mmap(self.file, self.size)
        # Positions are read and written at once, as the relay may look at any time: struct and slices go byte by byte.
        self.words = memoryview(self.map).cast("Q")
        self.capacity = (self.size // PAGE - 1) // 2 * PAGE
        self.stream = connect(folder + "/" + name + ".sock")
        self.session = random.getrandbits(64)
        self.written, self.read, self.pending = 0, 0, b""
        self.status = self.greet(size or self.size)

    def greet(self, size, version=VERSION):
        self.stream.sendall(struct.pack("<IIQQII", GREETING, version, size, self.session, 0, 0))
        answer = b""
        while len(answer) < 32:
            got = self.stream.recv(32 - len(answer))
            if not got:
                raise EOFError
            answer += got.lstrip(b"w") if not answer else got
        magic, self.host_version, self.host_size, session, status, _ = struct.unpack("<IIQQII", answer)
        equal((magic, session), (GREETING, self.session), "the greeting comes back")
        return status

    def word(self, offset, value=None):
        if value is not None:
            self.words[offset // 8] = value
        return self.words[offset // 8]

    def wake(self):
        try:
            self.stream.sendall(b"w")
        except ConnectionError:
            pass  # has_ended tells

    def send(self, data):
        end = time.monotonic() + LIMIT_S
        while data:
            room = self.capacity - (self.written - self.word(LINES + 128 + 64))
            at = self.written % self.capacity
            part = data[:min(room, self.capacity - at, 1 << 16)]
            check(time.monotonic() < end, "room in the ring")
            if not part:
                time.sleep(0.001)
                continue
            start = PAGE + self.capacity + at
            self.map[start:start + len(part)] = part
            self.written += len(part)
            self.word(LINES + 128, self.written)
            self.wake()
            data = data[len(part):]

    def receive(self):
        end = time.monotonic() + LIMIT_S
        while True:
            there = self.word(LINES) - self.read
            if there:
                at = self.read % self.capacity
                part = min(there, self.capacity - at)
                data = self.map[PAGE + at:PAGE + at + part]
                self.read += part
                self.word(LINES + 64, self.read)
                self.wake()
                return bytes(data)
            check(time.monotonic() < end, "bytes in the ring")
            time.sleep(0.0005)

    def ask(self, value):
        self.send((value if isinstance(value, str) else json.dumps(value)).encode() + b"\n")
        while b"\n" not in self.pending:
            self.pending += self.receive()
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def add(self, a, b, **more):
        return self.ask(dict({"operation": "vector_add", "array_a": a, "array_b": b}, **more))

    def has_ended(self):
        self.stream.settimeout(LIMIT_S)
        try:
            while True:
                if not self.stream.recv(64):
                    return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.stream.close()
        self.words.release()
        self.map.close()
        os.close(self.file)


def vm(folder, name, size="256KiB"):
    return ["--vm", "%s=%s/%s.sock,shm=%s/%s,size=%s" % (name, folder, name, folder, name, size)]


def jobs(program, folder):
    """JSON through memory; large requests and answers wrap around; errors; two machines at once."""
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", *vm(folder, "A"), *vm(folder, "B"))
    try:
        equal(os.stat(folder + "/A").st_mode & 0o777, 0o600, "mode of the file")
        ring = Ring(folder, "A")
        equal(ring.status, 0, "greeting")
        equal(ring.word(0), VERSION << 32 | MAGIC, "magic and version in the header")
        equal(ring.word(40), ring.session, "session in the header")
        equal(ring.add([1, 2, 3], [4, 5, 6]), {"result": [5, 7, 9]}, "a small job")
        count = 30000  # both ways several times what the memory holds
        equal(ring.add(list(range(count)), [7] * count)["result"], [i + 7 for i in range(count)], "a large job")
        equal(ring.ask('{"operation": "sing", "id": 5}')["error"]["code"], 8, "an unknown operation")
        other = Ring(folder, "A")
        equal(other.status, 4, "a second client is told that the memory is in use")
        other.close()
        faults = []

        def many(one, base):
            try:
                for i in range(100):
                    equal(one.add([base], [i], id=i), {"result": [base + i], "id": i}, "own answer")
            except Exception as fault:
                faults.append(fault)

        rings = [ring, Ring(folder, "B")]
        threads = [threading.Thread(target=many, args=(one, base)) for one, base in zip(rings, (1000, 9000))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        check(not faults, "two machines at once: %s" % faults)
        equal(ring.ask("[1]")["error"]["code"], 1, "what is no object")
        check(ring.has_ended(), "which ends the connection")
        ring.close()
        ring = Ring(folder, "A")
        equal(ring.add([1], [1]), {"result": [2]}, "the next client")
        # A greeting on the same stream begins anew: what was under way is dropped.
        worker.delay_s = 0.3
        ring.send(b'{"array_a": [1], "array_b": [2]}\n')
        wait(lambda: b'"array_b": [2]' in b"".join(worker.requests), "the job to be under way")
        ring.session += 1
        ring.written = ring.read = 0
        equal(ring.greet(ring.size), 0, "a second greeting")
        equal(ring.add([3], [4], id=1), {"result": [7], "id": 1}, "no answer of the session before")
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.close()


def refusals(program, folder):
    """Files and greetings that do not fit."""
    def refused(name, said, *options):
        done = subprocess.run([program, "--worker", "1", "--state=", "--admin=", "--lock", folder + "/l"] + list(options),
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        check(done.returncode in (1, 2) and said in done.stderr, "%s: %d %s" % (name, done.returncode, done.stderr))

    open(folder + "/open", "wb").truncate(65536)
    os.chmod(folder + "/open", 0o644)
    refused("a file that others may open", "0600", *vm(folder, "open", "64KiB"))
    with open(folder + "/odd", "wb") as file:
        os.chmod(folder + "/odd", 0o600)
        file.truncate(65537)
    refused("a file of another size", "65537", *vm(folder, "odd", "64KiB"))
    refused("a file of no possible size", "65537", "--vm", "x=%s/x.sock,shm=%s/odd" % (folder, folder))
    os.symlink(folder + "/open", folder + "/link")
    refused("a link", "link", *vm(folder, "link", "64KiB"))
    for bad in ("shm=", "shm=f,size=5000", "shm=f,size=1KiB", "shm=f,size=x", "shm=" + "f" * 200):
        refused(bad, "--vm", "--vm", "x=%s/x.sock,%s" % (folder, bad))
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", *vm(folder, "A"), "--vm", "N=" + folder + "/N.sock")
    try:
        ring = Ring(folder, "A", size=1 << 20)
        equal((ring.status, ring.host_size), (2, 256 << 10), "another size")
        equal((ring.greet(ring.size, 0x30000), ring.host_version), (1, VERSION), "another version")
        equal(ring.greet(ring.size), 0, "and then the right one")
        equal(ring.add([1], [1]), {"result": [2]}, "works")
        open(folder + "/N", "wb").truncate(65536)
        equal(Ring(folder, "N").status, 3, "a machine without shared memory")
        for what in (b"RNG0" + bytes(28), struct.pack("<IIQQII", GREETING, VERSION, 262144, 1, 7, 0), b"w" * 40 + b"x"):
            stream = connect(folder + "/A.sock")
            stream.sendall(what)
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(100):
                pass
        ring.stream.sendall(b"x")
        check(ring.has_ended(), "what does not belong on the stream ends the session")
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.close()


def hostile(program, folder):
    """Words that change at any time, a header that is rubbed out, a file that is cut short: only their own machine suffers."""
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", *vm(folder, "A"), *vm(folder, "B"))
    try:
        good = Ring(folder, "B")
        seed = random.getrandbits(32)
        print("seed", seed)
        chance = random.Random(seed)
        for words in ((LINES + 128, 1 << 40), (LINES + 64, 1 << 40), (LINES + 128, (1 << 64) - 1)):
            ring = Ring(folder, "A")
            equal(ring.add([1], [1]), {"result": [2]}, "before")
            ring.word(*words)
            ring.wake()
            if words[0] == LINES + 64:
                ring.send(b'{"array_a": [1], "array_b": [1]}\n')
            check(ring.has_ended(), "positions that cannot be end the session: %s" % (words,))
            ring.close()
            equal(good.add([2], [2]), {"result": [4]}, "the other machine")
        check("VM-A" in relay.log() and "cannot be true" in relay.log(), "the log names the offender")
        ring = Ring(folder, "A")
        ring.map[0:LINES] = b"\xff" * LINES
        equal(ring.add([1], [2]), {"result": [3]}, "a header that is rubbed out changes nothing")
        ring.close()
        for _ in range(30):
            ring = Ring(folder, "A")
            equal(ring.status, 0, "a greeting")
            stop = time.monotonic() + 0.05
            while time.monotonic() < stop:
                place = chance.choice((LINES, LINES + 8, LINES + 64, LINES + 72, LINES + 128, LINES + 136, LINES + 192, LINES + 200,
                                       PAGE + ring.capacity + chance.randrange(64) * 8))
                ring.word(place, chance.choice((chance.getrandbits(64), chance.randrange(300), int.from_bytes(b'{"a":[1]', "little"))))
                ring.wake()
            ring.close()
            equal(good.add([2], [3]), {"result": [5]}, "the other machine")
        ring = Ring(folder, "A")
        equal(ring.add([1], [3]), {"result": [4]}, "the machine itself, later")
        os.truncate(folder + "/A", 0)
        ring.wake()  # the relay may have looked before, and ended the session
        equal(good.add([2], [5]), {"result": [7]}, "the other machine, when the file was cut short")
        check(relay.process.poll() is None, "the relay runs")
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.close()


def lives(program, folder):
    """Clients and relays that are killed; nobody computes when nobody asks."""
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", *vm(folder, "A"), *vm(folder, "B"))
    try:
        ring = Ring(folder, "A")
        equal(ring.add([1], [1]), {"result": [2]}, "before")

        def ticks():
            with open("/proc/%d/stat" % relay.process.pid, encoding="ascii") as stat:
                return sum(int(word) for word in stat.read().rsplit(")", 1)[1].split()[11:13])

        time.sleep(0.2)
        before, begun = ticks(), time.monotonic()
        time.sleep(1)
        share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun)
        check(share < 0.2, "an idle ring costs no processor: %.2f" % share)
        equal(ring.add([1], [2]), {"result": [3]}, "and it wakes up")
        worker.delay_s = 0.5
        ring.send(b'{"array_a": [1], "array_b": [')
        ring.close()
        ring = Ring(folder, "A")
        equal((ring.status, ring.add([4], [4])), (0, {"result": [8]}), "after a client that went in mid-request")
        worker.delay_s = 0
        relay.kill()
        check(ring.has_ended(), "a relay that is killed ends the session")
        ring.close()
        relay.start()
        ring = Ring(folder, "A")
        equal(ring.add([5], [5]), {"result": [10]}, "the new relay takes the file as it is")
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.close()


# --- client and worker as they are built -------------------------------------------------------------------------------


class RealWorker:
    def __init__(self, folder, *options):
        self.path = folder + "/worker"
        self.log_path = folder + "/worker.log"
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder, DIVVY_SIM_DIR=folder + "/sim")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BIN + "/divvy-worker", "--socket", self.path, "--gpu", "sim", "--no-daemon", *options],
                                            stdout=log, stderr=log, env=environment)
        wait(lambda: os.path.exists(self.path) or self.process.poll() is not None, "the worker")

    def serving(self, file):
        """The worker's processes that have this memory."""
        found = set()
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/comm" % process, encoding="ascii") as comm:
                    if comm.read().strip() != "divvy-worker":
                        continue
                with open("/proc/%s/maps" % process, encoding="ascii", errors="replace") as maps:
                    if file in maps.read():
                        found.add(process)
            except OSError:
                pass
        return found

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(LIMIT_S)


def client(address, *words, **options):
    return subprocess.run([BIN + "/divvy-client", "-w", address] + list(words), capture_output=True, text=True, timeout=60,
                          check=False, **options)


def frames(program, folder):
    """Frames are handed over to the worker: sizes at every edge come back exactly; kills; the data path is told."""
    worker = RealWorker(folder)
    relay = Relay(program, folder, "--worker", folder + "/worker", *vm(folder, "A", "4MiB"), *vm(folder, "B", "12KiB"))
    try:
        a, b = "shm:" + folder + "/A", "shm:%s/B,%s/B.sock" % (folder, folder)
        done = client(a, "vector-add", "1,2,3", "4,5,6")
        check(done.returncode == 0 and "[5, 7, 9]" in done.stdout, "vector-add: %s%s" % (done.stdout, done.stderr))
        for size in ("1", "4095", "4096", "4097", "1MiB", "64MiB"):
            done = client(a, "bandwidth", size)
            equal(done.returncode, 0, "%s there and back: %s" % (size, done.stderr))
        for size in ("1", "4095", "4096", "4097", "1MiB"):
            done = client(b, "bandwidth", size)
            equal(done.returncode, 0, "%s there and back through the smallest memory: %s" % (size, done.stderr))
        equal(client(a, "saxpy", "5000").returncode, 0, "saxpy")
        done = client(a, "--checksum", "bandwidth", "4MiB")
        check(done.returncode == 0 and not done.stderr, "with checksums: " + done.stderr)
        done = client(a, "--compress", "saxpy", "5000")
        check(done.returncode == 0 and "left out" in done.stderr, "memory is not packed, and the client says so: " + done.stderr)
        check("data_path=shared memory" in relay.log(), "the log tells the data path")
        # A client that is killed: its process in the worker goes, and the next client has the memory.
        def begin():
            wait(lambda: not worker.serving(folder + "/A"), "the process of the last client to be gone")
            begun = subprocess.Popen([BIN + "/divvy-client", "-w", a, "bandwidth", "2GiB"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            wait(lambda: worker.serving(folder + "/A") or begun.poll() is not None, "the client to be served")
            equal(begun.poll(), None, "it is at work")
            return begun

        killed = begin()
        process = worker.serving(folder + "/A")
        killed.kill()
        killed.wait(LIMIT_S)
        equal(client(a, "vector-add", "1", "2").returncode, 0, "the next client")
        check(not process & worker.serving(folder + "/A"), "the process of the killed one had gone before")
        holder = begin()
        other = Lines(folder + "/B.sock")
        for i in range(20):
            equal(other.add([i], [1]), {"result": [i + 1]}, "another machine has turns meanwhile")
        equal(holder.poll(), None, "the client is still at work")
        done = client(a, "devices")
        check(done.returncode == 1 and len(done.stderr.splitlines()) == 1, "a second client at once is refused: " + done.stderr)
        worker.end(signal.SIGKILL)
        check(holder.wait(LIMIT_S) == 1, "a worker that is killed ends its client's session")
        done = client(a, "devices")
        check(done.returncode == 1 and len(done.stderr.splitlines()) == 1, "no worker: " + done.stderr)
        worker = RealWorker(folder)
        wait(lambda: client(a, "vector-add", "7", "8").returncode == 0, "the next worker")
        relay.stop()
        relay.start()
        equal(client(b, "vector-add", "7", "8").returncode, 0, "the next relay")
        done = client("shm:" + folder + "/none", "devices")
        check(done.returncode == 1 and len(done.stderr.splitlines()) == 1, "no such memory: " + done.stderr)
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.end() if worker.process.poll() is None else None


def frames_over_tcp(program, folder):
    """A worker that cannot have the memory: the relay carries the bytes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    worker = RealWorker(folder, "-p", str(port))
    relay = Relay(program, folder, "--worker", "127.0.0.1:%d" % port, *vm(folder, "A"))
    try:
        for size in ("1", "4097", "8MiB"):
            done = client("shm:" + folder + "/A", "bandwidth", size)
            equal(done.returncode, 0, "%s there and back: %s" % (size, done.stderr))
        check("data_path=" not in relay.log(), "no memory was handed over")
        relay.stop()
    finally:
        relay.kill() if relay.process.poll() is None else None
        worker.end() if worker.process.poll() is None else None


if __name__ == "__main__":
    run([frames, frames_over_tcp] if BIN else [jobs, refusals, hostile, lives])
