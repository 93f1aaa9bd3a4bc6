"""Client, relay and worker as they are built, on the simulated GPU: JSON, frames, two machines at once, a worker that is killed."""
import json
import os
import pty
import socket
import struct
import subprocess
import termios
import threading
import tty

from play import LIMIT_S, REQUEST, Lines, Monitor, Relay, check, connect, equal, run, stub_frame, stub_receive, stub_request, wait
from real import BIN, RealWorker


def client(socket_path, *words):
    return subprocess.run([BIN + "/divvy-client", "-w", "unix:" + socket_path] + list(words), capture_output=True, text=True,
                          timeout=60, check=False)


def device_tells(path):
    device = Lines(path).ask({"operation": "device_info"})["result"]
    check(device["name"] and device["uuid"].startswith("GPU-") and device["multiprocessors"] > 0, "the GPU: %r" % device)
    stub = connect(path)
    stub.sendall(stub_frame(REQUEST, 5, stub_request(5)))
    answer = stub_receive(stub)[3]
    words = struct.unpack("<10I", answer[:40])
    equal(words[1:3] + words[8:], (0, 2, device["multiprocessors"], device["memory_bytes"] >> 20), "the same by registers")
    equal(answer[words[3]:words[3] + words[4]].decode(), device["name"], "and its name")


def end_to_end(program, folder):
    worker = RealWorker(folder)
    relay = Relay(program, folder, "--worker", folder + "/worker", "--vm", "A=" + folder + "/a", "--vm", "B=" + folder + "/b")
    try:
        equal(Lines(folder + "/a").add([1, 2, 3], [4, 5, 6]), {"result": [5, 7, 9]}, "JSON through both")
        device_tells(folder + "/a")
        done = client(folder + "/a", "vector-add", "1,2,3", "4,5,6")
        check(done.returncode == 0 and "[5, 7, 9]" in done.stdout, "divvy-client vector-add: %s%s" % (done.stdout, done.stderr))
        done = client(folder + "/a", "saxpy", "5000")
        equal(done.returncode, 0, "divvy-client saxpy through frames: %s%s" % (done.stdout, done.stderr))
        done = client(folder + "/b", "bandwidth", "8MiB")
        equal(done.returncode, 0, "divvy-client bandwidth: %s%s" % (done.stdout, done.stderr))
        for words in (("--compress", "bandwidth", "8MiB"), ("--compress", "--checksum", "saxpy", "50000"), ("--checksum", "launches", "1000")):
            done = client(folder + "/b", *words)
            check(done.returncode == 0 and not done.stderr, "divvy-client %s: %s%s" % (" ".join(words), done.stdout, done.stderr))
        faults = []

        def many(path, base):
            try:
                vm = Lines(path)
                for i in range(100):
                    equal(vm.add([base, i], [i, 1], id=i), {"result": [base + i, i + 1], "id": i}, "answer")
            except Exception as fault:
                faults.append(fault)

        threads = [threading.Thread(target=many, args=(folder + path, base)) for path, base in (("/a", 100000), ("/b", 900000))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        check(not faults, "two machines at once: %s" % faults)
        worker.kill()
        vm = Lines(folder + "/a")
        # The process that served this machine goes with its parent, but not at the same moment.
        wait(lambda: vm.add([1], [1]).get("error", {}).get("code") == 3, "error 3 without a worker")
        check(client(folder + "/a", "saxpy", "100").returncode == 1, "frames without a worker")
        worker.start()
        wait(lambda: "result" in vm.add([2], [2]), "the new worker")
        equal(client(folder + "/b", "vector-add", "7", "8").returncode, 0, "divvy-client with the new worker")
        relay.stop()
    finally:
        if relay.process.poll() is None:
            relay.kill()
        if worker.process.poll() is None:
            worker.stop()


def both_end(relay, worker):
    for process in (relay.process, worker.process):
        if process.poll() is None:
            process.kill()
            process.wait(LIMIT_S)


class Line:
    """A virtio-serial port: a terminal line for the guest's programs, on the host a socket to which the relay connects."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(1)
        self.host, guest = pty.openpty()
        tty.setraw(guest)
        self.guest, self.path = guest, os.ttyname(guest)  # held open, as a port is
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.server.accept()
            back = threading.Thread(target=self.to_guest, args=(connection,), daemon=True)
            self.connection = connection
            back.start()
            back.join()
            termios.tcflush(self.guest, termios.TCOFLUSH)  # as QEMU does: what the host did not take is dropped

    def to_guest(self, connection):
        threading.Thread(target=self.to_host, args=(connection,), daemon=True).start()
        try:
            while data := connection.recv(1 << 16):
                while data:
                    data = data[os.write(self.host, data):]
        except ConnectionResetError:
            pass
        self.connection = None

    def to_host(self, connection):
        while self.connection is connection:
            data = os.read(self.host, 1 << 16)
            try:
                (self.connection or connection).sendall(data)
            except OSError:
                return

    def add(self, a):
        os.write(self.guest, json.dumps({"array_a": [a], "array_b": [1], "id": a}).encode() + b"\n")
        data = b""
        while not data.endswith(b"\n"):
            data += os.read(self.guest, 4096)
        return json.loads(data.splitlines()[-1])


def one_line_many_programs(program, folder):
    """Programs that use the same virtio-serial port one after the other, in either dialect, some of them killed."""
    worker = RealWorker(folder)
    line = Line(folder + "/port")
    relay = Relay(program, folder, "--worker", worker.path, "--vm-connect", "A:1=" + folder + "/port")

    def client_on_line(*arguments):
        done = subprocess.run([BIN + "/divvy-client", "-w", "serial:" + line.path] + list(arguments), capture_output=True, text=True,
                              timeout=60, check=False)
        equal(done.returncode, 0, "divvy-client %s: %s%s" % (" ".join(arguments), done.stdout, done.stderr))
        return done.stdout

    try:
        for number in range(3):
            check("[5, 7, 9]" in client_on_line("vector-add", "1,2,3", "4,5,6"), "a sum by frames")
            client_on_line("saxpy", "5000")
            for i in range(3):
                equal(line.add(number + i), {"result": [number + i + 1], "id": number + i}, "a sum by JSON behind frames")
        wait(lambda: len(worker.device()["processes"]) <= 1, "what programs before had on the device to be freed")
        relay.stop()
    finally:
        both_end(relay, worker)


def killed_at_a_line(program, folder):
    """A program at a port is killed within a frame, and no other comes: what it had on the device is freed all the same."""
    worker = RealWorker(folder)
    line = Line(folder + "/port")
    monitor = Monitor(folder + "/qmp", folder + "/port")
    relay = Relay(program, folder, "--worker", worker.path, "--vm-connect", "A:1=%s/port,qmp=%s/qmp" % (folder, folder))

    def start(*arguments):
        return subprocess.Popen([BIN + "/divvy-client", "-w", "serial:" + line.path] + list(arguments), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    try:
        for _ in range(3):
            monitor.port(True)
            killed = start("bandwidth", "512MiB")
            wait(lambda: any(p["bytes"] > 1000 << 20 for p in worker.device()["processes"]), "its memory on the device")
            killed.kill()
            killed.communicate()
            monitor.port(False)
            wait(lambda: not worker.device()["processes"], "what it had on the device to be freed")
            monitor.port(True)
            next_one = start("vector-add", "1,2,3", "4,5,6")
            told = next_one.communicate(timeout=60)
            check("[5, 7, 9]" in told[0], "the next program's sum: %s" % (told,))
        relay.stop()
    finally:
        both_end(relay, worker)


if __name__ == "__main__":
    run([end_to_end, one_line_many_programs, killed_at_a_line])
