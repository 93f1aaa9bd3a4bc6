"""divvy-relay between clients of virtual machines and a worker: answers, errors, hostile input, ends of processes at every stage."""
import json
import os
import socket
import struct
import threading
import time

from play import (BUSY, HEADER, LIMIT_S, PING, PONG, QUARANTINED, REQUEST, RESPONSE, Lines, Monitor, Relay, Worker, check, connect, equal, run,
                  stub_frame, stub_receive, stub_request, wait)


def start(program, folder, *options, delay_s=0.0, once=False):
    worker = Worker(folder + "/worker", delay_s, once)
    relay = Relay(program, folder, "--worker", folder + "/worker", "--vm", "A:1=" + folder + "/a", "--vm", "B:2=" + folder + "/b",
                  *options)
    return worker, relay


def one_request(program, folder):
    worker, relay = start(program, folder)
    vm = Lines(folder + "/a")
    equal(vm.add([1, 2, 3], [4, 5, 6]), {"result": [5, 7, 9]}, "sum")
    equal(vm.add([1], [2], id="x\u20ac"), {"result": [3], "id": "x\u20ac"}, "sum with an id")
    check("Received GPU request from VM-A" in relay.log(), "the request is logged")
    check("Sent response to VM A" in relay.log(), "the response is logged")
    equal(os.stat(folder + "/a").st_mode & 0o777, 0o600, "mode of a VM's socket")
    relay.stop()
    check(not os.path.exists(folder + "/a"), "the socket is gone")


def every_cut(program, folder):
    worker, relay = start(program, folder)
    text = b' {"operation": "vector_add",\n "array_a": [1, 2, 3], "array_b": [4, 5, 6], "id": "a}\\"{"} '
    for cut in range(1, len(text)):
        client = connect(folder + "/a")
        client.sendall(text[:cut])
        time.sleep(0.0005)
        client.sendall(text[cut:])
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            got = client.recv(4096)
            if not got:
                break
            answer += got
        # The played worker reads lines: an object with a line's end in it is not for it; its answer still belongs here.
        check(answer.endswith(b"\n") and json.loads(answer.split(b"\n")[0]), "cut at %d: %r" % (cut, answer))
        client.close()
    client = connect(folder + "/a")
    client.sendall(b'{"array_a":[1],"array_b":[2],"id":1}{"array_a":[3],"array_b":[4],"id":2}\n\n{"array_a":[5],"array_b":[6],"id":3}')
    data = b""
    while data.count(b"\n") < 3:
        data += client.recv(4096)
    equal([json.loads(line) for line in data.split(b"\n")[:3]],
          [{"result": [3], "id": 1}, {"result": [7], "id": 2}, {"result": [11], "id": 3}], "three in a row")
    relay.stop()


def worker_that_serves_once(program, folder):
    worker, relay = start(program, folder, once=True)
    vm = Lines(folder + "/a")
    for i in range(50):
        equal(vm.add([i], [1]), {"result": [i + 1]}, "job %d" % i)
    relay.stop()


def two_at_once(program, folder):
    worker, relay = start(program, folder)
    faults = []

    def client(path, base):
        try:
            vm = Lines(path)
            for i in range(100):
                equal(vm.add([base, i], [i, base * 2], id=base + i), {"result": [base + i, base * 2 + i], "id": base + i}, "answer")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=client, args=(folder + path, base)) for path, base in
               (("/a", 1000), ("/b", 500000), ("/a", 7000000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check(not faults, "faults: %s" % faults)
    equal(worker.jobs, 300, "jobs at the worker")
    check("from VM-A" in relay.log() and "from VM-B" in relay.log(), "both are logged")
    relay.stop()


def sizes(program, folder):
    worker, relay = start(program, folder)
    vm = Lines(folder + "/a")
    for length in (1, 4095, 4096, 4097, 1 << 20, 8 << 20):
        text = "x" * length
        equal(vm.add([1], [1], id=text), {"result": [2], "id": text}, "id of %d bytes" % length)
    relay.stop()


def worker_down_and_back(program, folder):
    worker, relay = start(program, folder)
    vm = Lines(folder + "/a")
    equal(vm.add([1], [1]), {"result": [2]}, "before")
    worker.close()
    begin = time.monotonic()
    for i in range(5):
        answer = vm.add([1], [1], id=i)
        equal((answer["error"]["code"], answer["id"]), (3, i), "code without a worker")
    check(time.monotonic() - begin < 2, "the error comes soon")
    worker = Worker(folder + "/worker")
    wait(lambda: "result" in vm.add([2], [2]), "the worker to be found again")
    equal(vm.add([1], [3]), {"result": [4]}, "after")
    relay.stop()


def worker_killed_in_a_job(program, folder):
    worker, relay = start(program, folder, delay_s=0.5)
    vm = Lines(folder + "/a")
    vm.send({"array_a": [1], "array_b": [2], "id": 7})
    wait(lambda: worker.jobs == 1, "the job to arrive")
    worker.close()
    answer = vm.receive()
    equal((answer["error"]["code"], answer["id"]), (3, 7), "a job whose worker went")
    worker = Worker(folder + "/worker")
    wait(lambda: "result" in vm.add([2], [2]), "a new worker")
    equal(len([line for line in worker.requests if b'"id": 7' in line]), 0, "times that the job was sent again")
    relay.stop()


def relay_killed_in_a_job(program, folder):
    worker, relay = start(program, folder, delay_s=0.3)
    vm = Lines(folder + "/a")
    vm.send({"array_a": [1], "array_b": [2], "id": 7})
    wait(lambda: worker.jobs == 1, "the job to arrive")
    relay.kill()
    try:
        vm.receive()
        raise AssertionError("an answer from the dead")
    except (EOFError, ConnectionError):
        pass
    relay.start()  # the sockets and the lock that the dead one left are no obstacle
    vm = Lines(folder + "/a")
    equal(vm.add([1], [5]), {"result": [6]}, "after the restart")
    equal(worker.jobs, 2, "no job was done twice")
    relay.stop()


def client_killed_in_a_job(program, folder):
    worker, relay = start(program, folder, delay_s=0.2)
    other = Lines(folder + "/b")
    for _ in range(5):
        vm = Lines(folder + "/a")
        for i in range(3):
            vm.send({"array_a": [1], "array_b": [2], "id": i})
        wait(lambda: worker.jobs > 0, "a job")
        vm.socket.close()
    equal(other.add([1], [5]), {"result": [6]}, "the other VM")
    vm = Lines(folder + "/a")
    equal(vm.add([1], [5], id="new"), {"result": [6], "id": "new"}, "a new client gets its own answer")
    check(worker.jobs <= 8, "waiting jobs of dead clients are not run: %d" % worker.jobs)
    relay.stop()


def late_jobs_quarantine(program, folder):
    worker, relay = start(program, folder, "--job-limit", "1", "--faults", "2", delay_s=2.5)
    vm, other = Lines(folder + "/a"), Lines(folder + "/b")
    for i in range(2):
        equal(vm.add([1], [1])["error"]["code"], 4, "a late job")
    equal(vm.add([1], [1])["error"]["code"], 11, "under quarantine")
    worker.delay_s = 0
    equal(other.add([1], [1]), {"result": [2]}, "the other VM")
    check("VM-A is under quarantine" in relay.log(), "it is logged")
    stub = connect(folder + "/a")
    stub.sendall(stub_frame(REQUEST, 5, stub_request(1, (1, 2))))
    equal(stub_receive(stub)[:2], (QUARANTINED, 5), "a stub under quarantine")
    relay.stop()


def flood(program, folder):
    worker, relay = start(program, folder, "--queue-depth", "8", delay_s=0.01)
    vm, other = connect(folder + "/a"), Lines(folder + "/b")
    other.add([1], [1])
    before = relay.rss_kib()
    line = b'{"array_a":[1],"array_b":[2],"id":"f"}\n' * 1000
    stop = threading.Event()

    def send():
        vm.settimeout(0.5)
        try:
            while not stop.is_set():
                try:
                    vm.send(line)
                except socket.timeout:
                    pass
        except OSError:
            pass

    thread = threading.Thread(target=send)
    thread.start()
    for i in range(50):  # nothing of the flood's answers is read meanwhile
        equal(other.add([i], [1]), {"result": [i + 1]}, "the other VM during the flood")
    grown = relay.rss_kib() - before
    stop.set()
    thread.join()
    check(grown < int(os.environ.get("GROWTH_KIB", "8192")), "memory grew by %d KiB" % grown)
    data = vm.recv(1 << 20)
    check(b'"code": 7' in data and b'"id": "f"' in data, "a full queue is an answer: %r" % data[:200])
    vm.close()
    relay.stop()


def hostile_frames(program, folder):
    worker, relay = start(program, folder)
    good = connect(folder + "/b")
    bad = {
        "magic": stub_frame(REQUEST, 1, magic=0x56475056),
        "kind": stub_frame(9),
        "reserved": stub_frame(0x10, 1, b"x" * 88),
        "long": stub_frame(REQUEST, 1, length=1025),
        "huge": stub_frame(REQUEST, 1, length=0xFFFFFFFF),
        "answer": stub_frame(RESPONSE, 1, stub_request(0)),
        "truncated": stub_frame(PING)[:11],
        "old": HEADER.pack(0x56475055, 1, 1, 1, b"A", 1, 32, 0)[:20],
        "garbage": b"UPG" + os.urandom(61),
        "not json": b"hello\n",
        "deep": b"{" + b'"a":[' * 100,
        "frames": b"DVF1" + b"\xff" * 60,
        "frames too long": struct.pack("<IHHIiQII", 0x31465644, 1, 0, 0xFFFFFFF0, 0, 1, 0, 0),
        "an answer": struct.pack("<IHHIiQII", 0x31465644, 1, 1, 0, 0, 1, 0, 0),
    }
    for name, frame in bad.items():
        client = connect(folder + "/a")
        client.sendall(frame)
        client.shutdown(socket.SHUT_WR)
        rest = b""
        try:
            while True:
                got = client.recv(4096)
                if not got:
                    break
                rest += got
        except ConnectionError:
            pass
        check(b"result" not in rest, "%s is not served: %r" % (name, rest))
        client.close()
        good.sendall(stub_frame(PING, 77))
        equal(stub_receive(good)[:2], (PONG, 77), "PING after " + name)
        good.sendall(stub_frame(REQUEST, 78, stub_request(1, (3, 4))))
        equal(stub_receive(good)[:2], (RESPONSE, 78), "request after " + name)
    check("VM-A (id 1) sent" in relay.log(), "the offender is logged by its true name")
    check("VM-B (id 2) sent" not in relay.log(), "and nobody else")
    relay.stop()


def stub_requests(program, folder):
    worker, relay = start(program, folder, "--vm", "C:7=" + folder + "/c")
    stub = connect(folder + "/c")

    def ask(payload, **more):
        stub.sendall(stub_frame(REQUEST, 9, payload, **more))
        kind, request_id, vm, answer = stub_receive(stub)
        equal((kind, request_id, vm), (RESPONSE, 9, 7), "kind, request and true VM of an answer")
        words = struct.unpack("<%dI" % (len(answer) // 4), answer)
        equal(words[0], 0x00010000, "version")
        return words[1], words[8:8 + words[2]]

    equal(ask(stub_request(1, (20, 22))), (0, (42,)), "the sum of two")
    equal(ask(stub_request(1, (1, 2, 3, 4, 5, 6))), (0, (5, 7, 9)), "the sum of two arrays")
    equal(ask(stub_request(1, (0xFFFFFFFF, 3))), (0, (2,)), "numbers are signed")
    equal(ask(stub_request(0)), (0, ()), "NOP")
    equal(ask(stub_request(1, (1, 2, 3)))[0], 1, "an odd number of parameters")
    equal(ask(stub_request(0x777))[0], 8, "an unknown opcode")
    equal(ask(stub_request(2))[0], 8, "allocation")
    equal(ask(stub_request(0, version=0x00020000))[0], 1, "another version")
    equal(ask(b"")[0], 9, "length zero")
    equal(ask(b"x" * 20)[0], 1, "shorter than a request")
    # What a message claims of itself changes nothing: ids, pool and priority are the channel's.
    equal(ask(stub_request(1, (1, 1)), vm=1, pool=b"B", priority=2), (0, (2,)), "a forged identity")
    check("from VM-C" in relay.log() and "from VM-A" not in relay.log(), "accounted to the true VM")
    worker.close()
    equal(ask(stub_request(1, (1, 1)))[0], 3, "no worker")
    relay.stop()


def hypervisor_listen(folder):
    """A socket as QEMU's chardev with server=on has it."""
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(LIMIT_S)
    server.bind(folder + "/qemu")
    server.listen(1)
    return server


def connects_to_the_hypervisor(program, folder):
    """The relay connects, and again after each end."""
    server = hypervisor_listen(folder)
    worker = Worker(folder + "/worker")
    relay = Relay(program, folder, "--worker", folder + "/worker", "--vm-connect", "Q:3=" + folder + "/qemu")
    for i in range(3):
        port, _ = server.accept()
        port.settimeout(LIMIT_S)
        port.sendall(b'{"array_a":[%d],"array_b":[1]}\n' % i)
        equal(json.loads(port.recv(4096)), {"result": [i + 1]}, "answer through the port")
        port.close()
    relay.stop()


def programs_that_hang_up(program, folder):
    """The hypervisor's monitor tells that no program has the port open: what was begun there is forgotten, and nothing else."""
    server = hypervisor_listen(folder)
    worker = Worker(folder + "/worker")
    monitor = Monitor(folder + "/qmp", folder + "/qemu")
    relay = Relay(program, folder, "--worker", worker.path, "--vm-connect", "Q:3=%s/qemu,qmp=%s/qmp" % (folder, folder))

    def whole(port, number):
        port.sendall(b'{"array_a":[%d],"array_b":[1]}\n' % number)
        equal(json.loads(port.recv(4096)), {"result": [number + 1]}, "answer through the port")

    port, _ = server.accept()
    port.settimeout(LIMIT_S)
    wait(lambda: monitor.asked > 0, "the monitor to be asked")
    for number in range(3):
        monitor.port(True)
        whole(port, number)
        monitor.port(False)  # nothing is left of it: the connection stays
        time.sleep(0.4)
        whole(port, number)
        monitor.port(True)
        port.sendall(b'{"array_a":[1')
        monitor.port(False)
        time.sleep(0.05)
        monitor.port(True)  # another one, in time: it is for that one to begin anew
        time.sleep(0.4)
        port.sendall(b'],"array_b":[1]}\n')
        equal(json.loads(port.recv(4096)), {"result": [2]}, "a request that went on")
        port.sendall(b'{"array_a":[1')
        wait(lambda p=port: not p.recv(1) if not monitor.port(False) else False, "the connection to end")
        port.close()
        port, _ = server.accept()
        port.settimeout(LIMIT_S)
        whole(port, number)
    check("VM-Q: the program at its port has ended" in relay.log(), "the log")
    # What is no monitor, or one that knows nothing: it is said once, all else goes on.
    for number, bad in enumerate((b"\0\xff\n", b"[" * 5000 + b"\n", b'"QMP"\n', b'{"error": {"desc": "no"}}\r\n', b'{"event": 7, "return": {"a": []}}\n',
                                  b'{"id": "divvy", "return": 5}\n', b'{"id": "divvy", "return": [1, {}, {"filename": 5}]}\n', b"x" * (3 << 20))):
        connection, asked = monitor.connection, monitor.asked
        monitor.say(bad)
        whole(port, number)
        if number != 4:
            wait(lambda: "its monitor " + folder + "/qmp" in relay.log(), "the log")
        if number in (0, 1, 2, 3, 7):
            wait(lambda old=connection: monitor.connection is not old, "another connection to the monitor")
            wait(lambda before=asked: monitor.asked > before, "the monitor to be asked again")
    monitor.name = "unix:/elsewhere"
    monitor.port(True)
    whole(port, 9)
    relay.stop()


def second_relay(program, folder):
    worker, relay = start(program, folder)
    import subprocess
    second = subprocess.run([program, "--worker", folder + "/worker", "--lock", folder + "/relay.lock", "--state=", "--admin="],
                            capture_output=True, text=True, timeout=LIMIT_S, check=False)
    equal(second.returncode, 1, "exit status of the second")
    check("process %d " % relay.process.pid in second.stderr, "it names the first: " + second.stderr)
    relay.stop()


def partial_requests_end(program, folder):
    worker, relay = start(program, folder)
    clients = [connect(folder + "/a") for _ in range(40)]
    for client in clients:
        try:
            client.sendall(b'{"a')
        except OSError:
            pass
    wait(lambda: "one more is refused" in relay.log(), "the limit of connections")
    equal(Lines(folder + "/b").add([1], [1]), {"result": [2]}, "the other VM")
    relay.stop()


if __name__ == "__main__":
    run([one_request, every_cut, worker_that_serves_once, two_at_once, sizes, worker_down_and_back, worker_killed_in_a_job,
         relay_killed_in_a_job, client_killed_in_a_job, late_jobs_quarantine, flood, hostile_frames, stub_requests,
         connects_to_the_hypervisor, programs_that_hang_up, second_relay, partial_requests_end])
