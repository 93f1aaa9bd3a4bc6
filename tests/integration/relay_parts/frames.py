"""Frames of clients take turns at a worker: one at a time, by weight, within limits; long ones whole; who stops halfway stops nobody."""
import hashlib
import json
import os
import socket
import struct
import subprocess
import threading
import time

from play import LIMIT_S, Relay, check, connect, equal, exactly, run, wait

HEADER = struct.Struct("<IHHIiQII")
MAGIC = 0x31465644
HELLO, JOB, DRAIN, CONTEXT_SYNC, COPY_IN, COPY_OUT, LAUNCH = 0x01, 0x03, 0x04, 0x24, 0x33, 0x34, 0x50
ONEWAY = (COPY_IN, LAUNCH)


def frame(op, payload=b"", number=1, flags=0, status=0):
    return HEADER.pack(MAGIC, op, flags, len(payload), status, number, 0, 0) + payload


def receive(client):
    """(op, flags, status, id, payload)"""
    magic, op, flags, length, status, number, _, _ = HEADER.unpack(exactly(client, HEADER.size))
    equal(magic, MAGIC, "magic of a frame")
    return op, flags, status, number, exactly(client, length)


class FrameWorker:
    """A GPU that is played: what a connection asks for is done in order; `device` is what was done, by which connection."""

    def __init__(self, path, launch_s=0.0):
        self.path, self.launch_s, self.device, self.copies, self.stalls = path, launch_s, [], {}, False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        number = 0
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection, number), daemon=True).start()
            number += 1

    def serve(self, connection, me):
        digest = hashlib.sha256()
        try:
            while True:
                op, _, _, number, payload = receive(connection)
                answer = b""
                if op == HELLO:
                    answer = payload
                elif op == LAUNCH:
                    self.device.append((me, "work"))
                    time.sleep(self.launch_s)
                elif op == COPY_IN:
                    self.device.append((me, "work"))
                    digest.update(payload[16:])
                    self.copies[me] = digest.hexdigest()
                elif op == COPY_OUT:
                    answer = b"\xa5" * struct.unpack_from("<Q", payload, 8)[0]
                elif op == JOB:
                    self.device.append((me, "work"))
                elif op in (CONTEXT_SYNC, DRAIN):
                    while self.stalls:
                        time.sleep(0.01)
                if op not in ONEWAY:
                    if op in (CONTEXT_SYNC, DRAIN, JOB):
                        self.device.append((me, "done"))
                    connection.sendall(frame(op, answer, number, flags=1))
        except (OSError, EOFError):
            pass
        finally:
            connection.close()  # as a worker's process does, when all is done


class Client:
    def __init__(self, path):
        self.socket = connect(path)
        self.socket.sendall(frame(HELLO, struct.pack("<4Q", 0x00010000, 32, 1 << 20, 0)))
        equal(receive(self.socket)[0], HELLO, "the answer to hello")

    def sync(self):
        self.socket.sendall(frame(CONTEXT_SYNC, number=7))
        equal(receive(self.socket)[:4], (CONTEXT_SYNC, 1, 0, 7), "the answer to a sync")


def start(program, folder, *options, **more):
    worker = FrameWorker(folder + "/worker", **more)
    relay = Relay(program, folder, "--worker", folder + "/worker", "--vm", "A:1=" + folder + "/a", "--vm", "B:2=" + folder + "/b", *options)
    return worker, relay


def pour(client, stop, launches=4):
    """Launches without end; never more on its way than the sockets take."""
    try:
        while not stop.is_set():
            client.socket.sendall(frame(LAUNCH, b"\0" * 72) * launches)
    except OSError:
        pass


def exclusive(worker):
    device = list(worker.device)
    for (one, what), (other, _) in zip(device, device[1:]):
        check(one == other or what == "done", "another's work began before %d's was done" % one)


def turns_are_exclusive(program, folder):
    worker, relay = start(program, folder, launch_s=0.0005)
    stop = threading.Event()
    clients = [Client(folder + "/a"), Client(folder + "/b")]
    threads = [threading.Thread(target=pour, args=(client, stop)) for client in clients]
    for thread in threads:
        thread.start()
    wait(lambda: len({me for me, _ in worker.device}) == 2 and sum(1 for _, what in worker.device if what == "done") > 40, "turns")
    exclusive(worker)
    stop.set()
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(LIMIT_S)
    relay.stop()


def weights(program, folder):
    divvy = os.environ["DIVVY"]
    admin = folder + "/admin"

    def vm(*words):
        done = subprocess.run([divvy, "vm"] + list(words) + ["--admin", admin, "--state", folder + "/state"], capture_output=True,
                              text=True, timeout=LIMIT_S, check=False)
        equal(done.returncode, 0, "divvy vm %s: %s" % (words[0], done.stderr))
        return done.stdout

    for name, weight in (("heavy", "80"), ("light", "20")):
        vm("register-vm", "--vm-name", name, "--weight", weight, "--socket", folder + "/" + name)
    worker = FrameWorker(folder + "/worker", launch_s=0.001)
    relay = Relay(program, folder, "--worker", folder + "/worker", "--admin", admin, "--state", folder + "/state")
    stop = threading.Event()
    clients = [Client(folder + "/" + name) for name in ("heavy", "light")]
    threads = [threading.Thread(target=pour, args=(client, stop)) for client in clients]
    for thread in threads:
        thread.start()

    def used():
        seen = {row["name"]: row["used_ns"] for row in json.loads(vm("show-metrics", "--json"))["vms"]}
        return seen["heavy"], seen["light"]

    # Both always want more; what is charged follows the weights however slow the machine is. The first turns are left out.
    wait(lambda: min(used()) > 0, "both to have turns")
    first = used()
    wait(lambda: sum(used()) > sum(first) + 1500000000, "turns", 3 * LIMIT_S)
    last = used()
    stop.set()
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(LIMIT_S)
    ratio = (last[0] - first[0]) / max(1, last[1] - first[1])
    check(2.5 < ratio < 6, "time by weights 80:20: %.2f" % ratio)
    relay.stop()
    check(worker.device, "the worker worked")


def late_turn(program, folder):
    worker, relay = start(program, folder, "--job-limit", "1", "--faults", "1")
    worker.stalls = True
    client = Client(folder + "/a")
    client.socket.sendall(frame(LAUNCH, b"\0" * 72) + frame(CONTEXT_SYNC))
    equal(client.socket.recv(1), b"", "what a client gets whose work does not end")
    wait(lambda: "ran beyond the limit" in relay.log() and "under quarantine" in relay.log(), "the log")
    worker.stalls = False
    other = connect(folder + "/a")
    other.sendall(frame(HELLO, struct.pack("<4Q", 0x00010000, 32, 1 << 20, 0)))
    equal(receive(other)[:3], (HELLO, 1, 10006), "hello under quarantine")
    Client(folder + "/b").sync()
    relay.stop()


def part_of_short_frame(program, folder):
    """Who stops within a short frame has left nothing begun at the worker: its turn ends when its work is done."""
    worker, relay = start(program, folder, launch_s=0.002)
    half, good = Client(folder + "/a"), Client(folder + "/b")
    for rest in (1, 40, 100):
        half.socket.sendall(frame(LAUNCH, b"\0" * 72) * 12 + frame(LAUNCH, b"\0" * 72)[:-rest])
        for _ in range(10):
            good.socket.sendall(frame(LAUNCH, b"\0" * 72))
            good.sync()
        half.socket.sendall(frame(LAUNCH, b"\0" * 72)[-rest:])
        half.sync()
    exclusive(worker)
    relay.stop()


def gone_with_work(program, folder):
    """A client that goes while the GPU works for it keeps its turn until that is done, or until the limit of a job."""
    worker, relay = start(program, folder, "--job-limit", "2", "--faults", "1", launch_s=0.05)
    good = Client(folder + "/b")
    for _ in range(3):
        gone = Client(folder + "/a")
        before = len(worker.device)
        gone.socket.sendall(frame(LAUNCH, b"\0" * 72) * 8)
        wait(lambda at=before: len(worker.device) > at, "work")
        gone.socket.close()
        good.socket.sendall(frame(LAUNCH, b"\0" * 72))
        good.sync()
        device = worker.device[before:]
        equal([what for _, what in device[:8]], ["work"] * 8, "what was done first")
        equal(len({me for me, _ in device[:8]}), 1, "clients whose work that was")
    worker.launch_s = 3
    gone = Client(folder + "/a")
    gone.socket.sendall(frame(LAUNCH, b"\0" * 72) * 8)
    wait(lambda: worker.device[-1][1] == "work", "work")
    gone.socket.close()
    worker.launch_s = 0.001
    good.socket.sendall(frame(LAUNCH, b"\0" * 72))
    good.sync()
    check("ran beyond the limit" in relay.log(), "the log")
    relay.stop()


def halfway(program, folder):
    """A client with a turn sends a part of a frame, another does not take what it asked for: a third gets on."""
    worker, relay = start(program, folder, launch_s=0.001)
    half, slow, good = Client(folder + "/a"), Client(folder + "/a"), Client(folder + "/b")
    half.socket.sendall(frame(LAUNCH, b"\0" * 72) + frame(COPY_IN, b"\0" * 100000)[:5000])
    slow.socket.sendall(frame(LAUNCH, b"\0" * 72) + frame(COPY_OUT, struct.pack("<3Q", 0, 1 << 20, 0)) * 16)
    for _ in range(20):
        good.socket.sendall(frame(LAUNCH, b"\0" * 72))
        good.sync()
    # And both can go on.
    half.socket.sendall(frame(COPY_IN, b"\0" * 100000)[5000:])
    half.sync()
    for _ in range(16):
        equal(len(receive(slow.socket)[4]), 1 << 20, "bytes of a late answer")
    relay.stop()
    check(worker.device, "the worker worked")


def long_frames(program, folder):
    worker, relay = start(program, folder)
    client = Client(folder + "/a")
    digest = hashlib.sha256()
    sent = b""
    for size in (0, 1, 4095, 4096, 32768 - 16, 32768, 65536, 1 << 20, 3 << 20, (8 << 20) - 16):
        data = os.urandom(size)
        digest.update(data)
        sent += frame(COPY_IN, b"\0" * 16 + data)
    threading.Thread(target=client.socket.sendall, args=(sent,), daemon=True).start()
    wait(lambda: worker.copies.get(0) == digest.hexdigest(), "all bytes at the worker, the same", 3 * LIMIT_S)
    for size in (0, 1, 4096, 32768, 100000, 1 << 20, 8 << 20):
        client.socket.sendall(frame(COPY_OUT, struct.pack("<3Q", 0, size, 0), number=size))
        op, _, status, number, payload = receive(client.socket)
        equal((op, status, number, len(payload)), (COPY_OUT, 0, size, size), "an answer")
        check(payload == b"\xa5" * size, "the bytes of an answer")
    client.sync()
    relay.stop()


def only_relays_ask_so(program, folder):
    _, relay = start(program, folder)
    client = Client(folder + "/a")
    client.socket.sendall(frame(DRAIN))
    equal(client.socket.recv(1), b"", "what a client gets that asks as a relay does")
    check("VM-A (id 1) sent" in relay.log(), "the log")
    Client(folder + "/b").sync()
    relay.stop()


if __name__ == "__main__":
    run([turns_are_exclusive, weights, late_turn, part_of_short_frame, gone_with_work, halfway, long_frames, only_relays_ask_so])
