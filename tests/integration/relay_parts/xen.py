"""divvy-relay between domains that use XenStore, as the simplest client does and as divvy-client does, and a worker."""
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

    def put(self, name, value):
        equal(self.call(WRITE, (self.base + name).encode() + b"\0" + value), (WRITE, b"OK\0"), "write")

    def write_pieces(self, text, tag, size=1900):
        """As somebody does who knows heads."""
        pieces = [text[i:i + size] for i in range(0, len(text), size)]
        for i, piece in enumerate(pieces):
            self.put("request/%d" % i, piece)
        self.put("request", b"@%d %d %d\n" % (len(pieces), len(text), tag))

    def receive_tagged(self, tag):
        """The answer, and in how many pieces it came."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            kind, value = self.call(READ, (self.base + "response").encode() + b"\0")
            head, _, text = value.partition(b"\n")
            if kind == READ and value and head.split(b" ")[2] == b"%d" % tag:
                count, length = (int(word) for word in head[1:].split(b" ")[:2])
                for i in range(count):
                    kind, piece = self.call(READ, (self.base + "response/%d" % i).encode() + b"\0")
                    equal(kind, READ, "piece %d" % i)
                    text += piece
                equal(len(text), length, "length")
                self.call(RM, (self.base + "response").encode() + b"\0")
                return json.loads(text), count
            time.sleep(0.005)
        raise AssertionError("no response")


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


def pieces(program, folder):
    store, worker, relay = start(program, folder)
    domain = Domain(folder + "/store", 3)
    many = list(range(8000))
    domain.write_pieces(json.dumps(add(many, many)).encode(), 4294967295)
    answer, count = domain.receive_tagged(4294967295)
    equal(answer, {"result": [2 * i for i in many]}, "sum in pieces")
    check(count > 10, "the answer comes in pieces too: %d" % count)
    domain.write_pieces(json.dumps(add(many[:500], many[:500])).encode(), 1, size=100)
    equal(domain.receive_tagged(1)[0], {"result": [2 * i for i in many[:500]]}, "small pieces")
    domain.put("request", b"@0 %d 2\n" % len(json.dumps(add([1], [2]))) + json.dumps(add([1], [2])).encode())
    equal(domain.receive_tagged(2), ({"result": [3]}, 0), "a tag alone")
    domain.put("request/0", b"{}")
    domain.put("request", b"@2 4 3\n")
    equal(domain.receive_tagged(3)[0]["error"]["code"], 1, "a piece that is missing")
    domain.put("request/0", b"{}" * 10)
    domain.put("request", b"@1 4 4\n")
    equal(domain.receive_tagged(4)[0]["error"]["code"], 1, "a piece that is too long")
    domain.put("request", b"@300 500000 5\n")
    equal(domain.receive_tagged(5)[0]["error"]["code"], 2, "too large")
    for head in (b"@", b"@1", b"@0 9 1\n{}", b"@1 1 1\nx", b"@257 9 1\n", b"@1 2 99999999999\n"):
        domain.put("request", head)
        equal(domain.receive()["error"]["code"], 1, "the head %r" % head)
    store.conflicts, before = 5, worker.jobs
    equal(domain.ask(add([1], [4])), {"result": [5]}, "with other transactions in the way")
    equal((worker.jobs, store.conflicts), (before + 1, 0), "one job for it")
    wait(lambda: not store.nodes, "no node to be left")
    relay.stop()


def domains_that_go(program, folder):
    store, worker, relay = start(program, folder, "--exclusive", "--vm", "A:1=" + folder + "/a")
    for number in range(1, 300):
        equal(Domain(folder + "/store", number).ask(add([1], [number])), {"result": [number + 1]}, "domain %d" % number)
        store.remove(number)
    worker.delay_s, jobs = 1, worker.jobs
    for number in (1, 400):
        Domain(folder + "/store", number).write(json.dumps(add([1], [1])).encode())
    wait(lambda: worker.jobs == jobs + 1, "a job to run")
    for number in (1, 400):
        store.remove(number)
    worker.delay_s = 0
    equal(Domain(folder + "/store", 401).ask(add([1], [1])), {"result": [2]}, "others go on")
    wait(lambda: not [node for node in store.nodes if "401" not in node], "no node for who is gone")
    relay.stop()


def relay_killed(program, folder):
    store, worker, relay = start(program, folder)
    worker.delay_s = 2
    plain, tagged, late = (Domain(folder + "/store", number) for number in (1, 2, 3))
    for domain, write in ((plain, lambda text: plain.write(text)), (tagged, lambda text: tagged.put("request", b"@0 %d 77\n" % len(text) + text))):
        jobs = worker.jobs
        write(json.dumps(add([1], [1])).encode())
        wait(lambda: worker.jobs == jobs + 1, "the job to run")
        relay.kill()
        late.write(json.dumps(add([1], [2])).encode())
        relay.start()
        answer = domain.receive() if domain is plain else domain.receive_tagged(77)[0]
        equal(answer["error"]["code"], 3, "what was under way is answered")
        equal(late.receive(), {"result": [3]}, "what was written meanwhile is done")
        equal(worker.jobs, jobs + 2, "nothing is done twice")
    wait(lambda: not store.nodes, "no node to be left")
    relay.stop()


def divvy_client(program, folder):
    client = os.environ.get("DIVVY_CLIENT")
    if not client:
        raise Skipped("divvy-client is not built")
    store, worker, relay = start(program, folder)
    store.listen(folder + "/guest2", 2)

    def ask(socket_path, *words, timeout="20"):
        return subprocess.run([client, "-w", "xenstore:" + socket_path, "--timeout", timeout] + list(words), capture_output=True, text=True,
                              timeout=60, check=False)

    done = ask(folder + "/store", "vector-add", "1,2,3", "4,5,6")
    equal((done.returncode, done.stdout), (0, "GPU Result: [5, 7, 9]\n"), "vector-add")
    many = ",".join(str(i) for i in range(9000))
    done = ask(folder + "/store", "vector-add", many, many)
    equal(done.stdout, "GPU Result: %s\n" % [2 * i for i in range(9000)], "vector-add in pieces")
    check(store.most > 40, "it was in pieces")
    done = ask(folder + "/store", "devices")
    check(done.returncode == 1 and "jobs only" in done.stderr, "frames: " + done.stderr)
    faults = []

    def several(path, number):
        for i in range(30):
            got = ask(path, "vector-add", "%d,%d" % (number, i), "1,1").stdout
            if got != "GPU Result: [%d, %d]\n" % (number + 1, i + 1):
                faults.append(got)

    threads = [threading.Thread(target=several, args=(folder + path, number)) for path, number in (("/store", 1000), ("/guest2", 2000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    equal(faults, [], "two domains at once")
    worker.delay_s = 3
    done = ask(folder + "/store", "vector-add", "1", "1", timeout="1")
    check(done.returncode == 1 and "may have been done" in done.stderr, "too late: " + done.stderr)
    worker.delay_s, jobs = 0, worker.jobs
    relay.kill()
    done = ask(folder + "/store", "vector-add", "1", "1", timeout="1")
    check(done.returncode == 1 and "was not done" in done.stderr, "no relay: " + done.stderr)
    check("/local/domain/1/gpu/request" not in store.nodes, "the request is withdrawn")
    relay.start()
    done = ask(folder + "/store", "vector-add", "2", "2")
    equal(done.stdout, "GPU Result: [4]\n", "with the relay again")
    equal(worker.jobs, jobs + 1, "what was withdrawn is not done")
    check(ask(folder + "/nowhere", "vector-add", "1", "1").returncode == 1, "no store")
    server = socket.socket(socket.AF_UNIX)
    server.bind(folder + "/hostile")
    server.listen(4)
    for data in (os.urandom(64), struct.pack("<4I", 4, 0, 0, 0xFFFFFFFF), struct.pack("<4I", 16, 1, 0, 7) + b"EACCES\0", b""):
        process = subprocess.Popen([client, "-w", "xenstore:" + folder + "/hostile", "--timeout", "5", "vector-add", "1", "1"],
                                   stderr=subprocess.PIPE)
        peer, _ = server.accept()
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        equal(process.wait(LIMIT_S), 1, "a hostile store: " + process.stderr.read().decode())
        process.stderr.close()
        peer.close()
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
    run([one_domain, two_domains, pieces, domains_that_go, relay_killed, divvy_client, store_comes_later, hostile_store], apart=[tools_of_debian])
