"""divvy-relay between domains that use XenStore, as the simplest client does, and a worker."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

from play import LIMIT_S, Relay, Skipped, Worker, check, connect, equal, run, wait
from store import READ, RM, WRITE, Store


class Domain:
    """What a client in a domain does: write the request, look for the response every little while, remove it."""

    def __init__(self, path, domain):
        self.socket, self.base = connect(path), "/local/domain/%d/gpu/" % domain

    def call(self, kind, payload):
        self.socket.sendall(struct.pack("<4I", kind, 5, 0, len(payload)) + payload)
        header = self.exactly(16)
        answer, _, _, length = struct.unpack("<4I", header)
        return answer, self.exactly(length)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            check(got, "the store is there")
            data += got
        return data

    def write(self, text):
        equal(self.call(WRITE, (self.base + "request").encode() + b"\0" + text), (WRITE, b"OK\0"), "write")

    def receive(self):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            kind, value = self.call(READ, (self.base + "response").encode() + b"\0")
            if kind == READ:
                self.call(RM, (self.base + "response").encode() + b"\0")
                return json.loads(value)
            time.sleep(0.005)
        raise AssertionError("no response")

    def ask(self, value):
        self.write(json.dumps(value, ensure_ascii=False).encode())
        return self.receive()


def start(program, folder, *options):
    store = Store(folder + "/store")
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", "--xenstore=" + folder + "/store", *options)
    wait(lambda: "is watched" in relay.log(), "the watch")
    return store, worker, relay


def add(a, b):
    return {"operation": "vector_add", "array_a": a, "array_b": b}


def one_domain(program, folder):
    store, worker, relay = start(program, folder)
    domain = Domain(folder + "/store", 3)
    equal(domain.ask(add([1, 2, 3], [4, 5, 6])), {"result": [5, 7, 9]}, "sum")
    check("Received GPU request from VM-dom3" in relay.log() and "Sent response to VM dom3" in relay.log(), "log")
    wait(lambda: not store.nodes, "no node to be left")
    domain.write(b"no json")
    equal(domain.receive()["error"]["code"], 1, "no JSON")
    domain.write(b'{"a":')
    equal(domain.receive()["error"]["code"], 1, "half an object")
    equal(domain.ask({"operation": "melt"})["error"]["code"], 8, "an unknown operation")
    equal(domain.ask(add([1] * 300, [1] * 300)), {"result": [2] * 300}, "close to the largest value")
    equal(domain.ask(dict(add([1], [1]), id="\u00e9" * 600))["error"]["code"], 2, "an answer that is too large: its id is written longer")
    worker.close()
    equal(domain.ask(add([1], [1]))["error"]["code"], 3, "no worker")
    relay.stop()


def two_domains(program, folder):
    store, worker, relay = start(program, folder, "--vm", "A:1=" + folder + "/a")
    faults = []

    def client(number):
        try:
            domain = Domain(folder + "/store", number)
            for i in range(100):
                equal(domain.ask(add([number, i], [i, 1])), {"result": [number + i, i + 1]}, "answer")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=client, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check(not faults, "faults: %s" % faults)
    equal(worker.jobs, 200, "jobs")
    check("from VM-A" in relay.log() and "from VM-dom2" in relay.log(), "a registered domain goes by its name")
    check(store.most <= 4, "nodes are removed after use: %d" % store.most)
    relay.stop()


def store_comes_later(program, folder):
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", "--xenstore=" + folder + "/store")
    wait(lambda: "cannot be reached" in relay.log(), "a word about the missing store")
    Store(folder + "/store")
    wait(lambda: "is watched" in relay.log(), "the watch")
    equal(Domain(folder + "/store", 1).ask(add([1], [1])), {"result": [2]}, "sum")
    relay.stop()


def hostile_store(program, folder):
    server = socket.socket(socket.AF_UNIX)
    server.bind(folder + "/store")
    server.listen(4)
    server.settimeout(LIMIT_S)
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", "--xenstore=" + folder + "/store", "--vm", "A=" + folder + "/a")
    for data in (os.urandom(64), struct.pack("<4I", 15, 0, 0, 0xFFFFFFFF), struct.pack("<4I", 15, 0, 0, 4) + b"abcd",
                 struct.pack("<4I", 2, 16, 0, 3) + b"abc", struct.pack("<4I", 16, 1, 0, 7) + b"EACCES\0", b""):
        peer, _ = server.accept()
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        time.sleep(0.02)
        peer.close()
    client = connect(folder + "/a")
    client.sendall(b'{"array_a":[1],"array_b":[1]}')
    equal(json.loads(client.recv(4096)), {"result": [2]}, "other channels")
    relay.stop()


def tools_of_debian(program, folder):
    if not shutil.which("xenstore-write"):
        raise Skipped("xenstore-write (package xenstore-utils) is not here")
    store, worker, relay = start(program, folder)
    environment = dict(os.environ, XENSTORED_PATH=folder + "/store")
    subprocess.run(["xenstore-write", "gpu/request", json.dumps(add([1, 2, 3], [4, 5, 6]))], env=environment, check=True)
    wait(lambda: "/local/domain/1/gpu/response" in store.nodes, "the response")
    done = subprocess.run(["xenstore-read", "gpu/response"], env=environment, check=True, capture_output=True, text=True)
    equal(json.loads(done.stdout), {"result": [5, 7, 9]}, "read by the tool")
    relay.stop()


if __name__ == "__main__":
    run([one_domain, two_domains, store_comes_later, hostile_store], apart=[tools_of_debian])
