"""Processes killed by SIGKILL at any moment of a job: relay, worker, the worker's process for a client, client, stub, played QEMU.

Each round asks for work over every dialect, kills one process at a random moment, and looks at what everybody got: a definite
answer in bounded time, work done at most once by the device's own record, no memory left there, others not touched, and new work
done without anybody's help but the restart of what was killed. DIVVY_TEST_KILLS rounds (18), DIVVY_TEST_SEED for the same ones.
"""
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

from play import LIMIT_S, STARTED, Lines, Relay, check, equal, run, wait
from real import BIN, Counter, RealWorker, children_of

FAKE_QEMU = os.environ["DIVVY_FAKE_QEMU"]
# Each step of a job takes a while, so that kills come in all of them; most of it when the device has done it and nobody was told.
SLOW = "slow:cuMemcpyHtoDAsync=2ms;slow:cuLaunchKernel=3ms;slow:cuStreamSynchronize=8ms;slow:cuCtxSynchronize=3ms;slow:cuMemcpyDtoH=4ms"
JOB_S = 0.015
HELD_BYTES = 100 << 20


class Others(threading.Thread):
    """A VM of the other pool, whose worker nobody kills: every answer must be right; only the relay's end may interrupt it."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ends, self.fault, self.relay_may_end, self.done = path, False, None, False, 0
        self.start()

    def run(self):
        try:
            while not self.ends:
                try:
                    vm = Lines(self.path)
                    while not self.ends:
                        equal(vm.add([self.done], [7]), {"result": [self.done + 7]}, "answer")
                        self.done += 1
                except (EOFError, OSError):
                    check(self.relay_may_end or self.ends, "the connection ended")
                    time.sleep(0.01)
        except Exception as fault:
            self.fault = fault

    def goes_on(self):
        before = self.done
        wait(lambda: self.done > before or self.fault, "the other VM to go on")
        check(not self.fault, "the other VM: %s" % self.fault)


class Port:
    """A virtio-serial port as QEMU offers it: we listen, the relay connects, again and again; the guest knows nothing of it."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(4)
        self.server.settimeout(LIMIT_S)

    def live(self, text):
        """The relay's connection that takes `text`; those of relays that were killed are passed over."""
        while True:
            connection, _ = self.server.accept()
            connection.settimeout(LIMIT_S)
            try:
                connection.sendall(text)
                return connection
            except OSError:
                connection.close()

    def add(self, a):
        with self.live(json.dumps({"array_a": [a], "array_b": [1]}).encode()) as connection:
            equal(json.loads(connection.recv(4096)), {"result": [a + 1]}, "answer through the port")


class Machine:
    """A stub, and a QEMU that is played: one sum before the round, three in it, one after it."""

    def __init__(self, folder, number):
        self.go, self.after = "%s/go%d" % (folder, number), "%s/after%d" % (folder, number)
        self.out_path = "%s/machine%d" % (folder, number)
        with open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(
                [BIN + "/divvy-vgpu-stub", "--relay", folder + "/s", "--vm-id", "4", "--", FAKE_QEMU, "-m", "64",
                 "add,wait-%s,add,add,add,wait-%s,add" % (self.go, self.after)], stdout=out, stderr=subprocess.STDOUT)
        STARTED.append(self.process)
        wait(lambda: len(self.codes()) == 1, "the machine's first sum")
        equal(self.codes(), ["code 0 result 3"], "the machine's first sum")

    def codes(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as out:
            return [line[5:].strip() for line in out if line.startswith("add: ") and line.endswith("\n")]

    def qemu(self):
        return children_of(self.process.pid)[0]

    def is_over(self):
        return self.process.poll() is not None


def touch(path):
    with open(path, "wb"):
        pass


class Scene:
    def __init__(self, program, folder, chance):
        self.folder, self.chance, self.number = folder, chance, 0
        self.worker = RealWorker(folder, "worker-a", SLOW)
        self.other_worker = RealWorker(folder, "worker-b")
        self.port = Port(folder + "/q")
        self.relay = Relay(program, folder, "--worker", self.worker.path + "=A", "--worker", self.other_worker.path + "=B", "--vm",
                           "A:1=" + folder + "/a", "--vm", "F:3=" + folder + "/f", "--vm", "S:4=" + folder + "/s", "--state",
                           folder + "/state", "--vm-connect", "Q:5=" + folder + "/q", "--admin", folder + "/admin")
        self.others = None
        equal(Lines(folder + "/a").add([1], [2]), {"result": [3]}, "the first sum")
        self.context_bytes = self.worker.device()["processes"][0]["bytes"]

    def close(self):
        if self.others:
            self.others.ends = True


# ---- who is killed; each says whether what was asked over the relay may have been interrupted ----


def kill_relay(scene, machine):
    scene.others.relay_may_end = True
    scene.relay.kill()
    scene.relay.start()
    return True


def kill_worker(scene, machine):
    os.kill(scene.chance.choice(scene.worker.processes()[0]), signal.SIGKILL)
    wait(lambda: scene.worker.process.poll() is not None, "the rest of a worker to end with one of its processes")
    wait(lambda: scene.worker.device()["used_bytes"] == 0, "the killed worker's memory to come back")
    scene.worker.start()
    return True


def kill_server(scene, machine):
    os.kill(scene.chance.choice(scene.worker.processes()[1]), signal.SIGKILL)
    return True


def kill_client(scene, machine):
    scene.client.kill()
    scene.client.wait(LIMIT_S)
    scene.leaver.socket.close()
    return False


def kill_stub(scene, machine):
    machine.process.kill()
    return False


def kill_qemu(scene, machine):
    os.kill(machine.qemu(), signal.SIGKILL)
    return False


VICTIMS = [kill_relay, kill_worker, kill_server, kill_client, kill_stub, kill_qemu]


def client_begins(scene):
    """A client that is to be killed: copies of 100 MiB, and jobs on a connection beside VM-A's other one."""
    scene.client = subprocess.Popen([BIN + "/divvy-client", "-w", "unix:%s/f" % scene.folder, "bandwidth", "100MiB"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scene.leaver = Lines(scene.folder + "/a")
    for number in range(3):
        scene.leaver.send({"array_a": [1], "array_b": [number], "id": "gone"})
    return 3


def answers_of(vm, base, count, may_end):
    """How many of the jobs base.. were done: each is answered once, in order, or the connection ends where it may."""
    done = 0
    for number in range(base, base + count):
        try:
            answer = vm.receive()
        except (EOFError, OSError):
            check(may_end, "a connection ended though its relay did not")
            return done
        equal(answer["id"], number, "which job is answered")
        if "result" in answer:
            equal(answer["result"], [number + 5], "the sum of job %d" % number)
            done += 1
        else:
            check(may_end and answer["error"]["code"] == 3, "answer to job %d: %r" % (number, answer))
    return done


def sums_of(machine, kill, may_end):
    """The machine's three sums of the round: (done, asked)."""
    if kill in (kill_stub, kill_qemu):
        wait(machine.is_over, "the stub to end with its machine")
        codes = machine.codes()[1:4]
        check(kill is kill_stub or machine.process.returncode == 137, "the stub's status is QEMU's: %s" % machine.process.returncode)
        return len(codes), 3
    wait(lambda: len(machine.codes()) >= 4 or machine.is_over(), "the machine's sums")
    codes = machine.codes()[1:4]
    for code in codes:
        check(code == "code 0 result 3" or (may_end and code == "code 3 result 0"), "a sum of the machine: " + code)
    equal(len(codes), 3, "sums of the machine")
    return codes.count("code 0 result 3"), 3


def alone(scene, kill):
    """One job in the whole machine: by the device's record it was done once if it was answered, and never twice."""
    before = scene.worker.device()["launches"]
    vm = Lines(scene.folder + "/a")
    vm.send({"operation": "vector_add", "array_a": [1], "array_b": [5], "id": 1})
    time.sleep(scene.chance.uniform(0, JOB_S))
    kill(scene, None)
    done = answers_of(vm, 1, 1, True)
    return before, done, 1


def together(scene, kill, machine):
    counter = Counter(scene.folder + "/f", HELD_BYTES)
    vm = Lines(scene.folder + "/a")
    before = scene.worker.device()["launches"]
    asked = client_begins(scene) if kill is kill_client else 0
    jobs, bumps = scene.chance.randint(1, 3), scene.chance.randint(1, 3)
    touch(machine.go)
    for number in range(jobs):
        vm.send({"operation": "vector_add", "array_a": [number], "array_b": [5], "id": number})
    counter.send(bumps)
    time.sleep(scene.chance.uniform(0, 3 * JOB_S))
    may_end = kill(scene, machine)
    done = answers_of(vm, 0, jobs, may_end)
    counted = counter.counted()
    check(counted == bumps or (may_end and counted is None), "launches that the device counted: %r of %d" % (counted, bumps))
    sums, sums_asked = sums_of(machine, kill, may_end)
    counter.close()
    # Whoever held the memory is gone, though the worker lives, or a new one does: nobody has more than a context.
    wait(lambda: all(process["bytes"] < scene.context_bytes + HELD_BYTES for process in scene.worker.device()["processes"]),
         "memory of clients that went")
    return before, done + (counted or 0) + sums, asked + jobs + bumps + sums_asked


def works_again(scene, machine, kill):
    """New work is done, by the same machine where it was not killed: (done, asked), where asked counts tries that failed too."""
    tries = [0]

    def answered(answer):
        tries[0] += 1
        check("result" in answer or answer["error"]["code"] == 3, "answer after the kill: %r" % answer)
        return "result" in answer

    vm = Lines(scene.folder + "/a")
    wait(lambda: answered(vm.add([2], [2])), "work after the kill of " + kill.__name__[5:])
    scene.port.add(scene.number)
    done, asked = 2, tries[0] + 1
    if machine and not machine.is_over():
        touch(machine.after)
        wait(machine.is_over, "the machine to end")
        equal(machine.codes()[4:], ["code 0 result 3"], "the machine's sum after the kill")
        done, asked = done + 1, asked + 1
    return done, asked


def round_run(scene, kill, is_alone):
    machine = None if is_alone else Machine(scene.folder, scene.number)
    before, done, asked = alone(scene, kill) if is_alone else together(scene, kill, machine)
    more_done, more_asked = works_again(scene, machine, kill)
    if not is_alone:
        counter = Counter(scene.folder + "/f", HELD_BYTES)
        counter.probe()
        counter.close()
    scene.others.goes_on()
    scene.others.relay_may_end = False
    scene.worker.stop()  # nothing can be launched behind the count now
    device = scene.worker.device()
    launches = device["launches"] - before
    check(done + more_done <= launches <= asked + more_asked,
          "%d launches; %d asked for, %d answered" % (launches, asked + more_asked, done + more_done))
    equal(device["used_bytes"], 0, "memory left on the device")
    scene.worker.start()


def kills(program, folder):
    seed = int(os.environ.get("DIVVY_TEST_SEED") or random.randrange(1 << 32))
    rounds = int(os.environ.get("DIVVY_TEST_KILLS") or 18)
    print("seed %d, %d kills" % (seed, rounds), flush=True)
    scene = Scene(program, folder, random.Random(seed))
    try:
        subprocess.run([BIN + "/divvy", "vm", "register-vm", "--vm-name", "other", "--pool", "B", "--vm-id", "9", "--socket", folder + "/o",
                        "--state", folder + "/state", "--admin", folder + "/admin"], check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
        scene.others = Others(folder + "/o")
        scene.port.add(0)
        for scene.number in range(1, rounds + 1):
            kill = VICTIMS[scene.number % len(VICTIMS)]
            is_alone = kill in VICTIMS[:3] and scene.chance.random() < 0.4
            try:
                round_run(scene, kill, is_alone)
            except Exception as fault:
                raise AssertionError("seed %d, kill %d (%s%s): %s %s" % (seed, scene.number, kill.__name__[5:], ", alone" if is_alone else "",
                                                                     type(fault).__name__, fault)) from fault
        print("%d answers of the other VM, all right" % scene.others.done)
        scene.others.ends = True
        scene.others.join(LIMIT_S)
        scene.relay.stop()
    finally:
        scene.close()


if __name__ == "__main__":
    run([kills])
