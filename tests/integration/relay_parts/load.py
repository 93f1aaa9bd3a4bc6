"""Many clients at once for a while, with relay and worker as they are built: no answer lost, doubled or somebody else's, everybody
served, memory flat; clients that fail beside clients that work; every operation of the protocol, and those that there are not.

DIVVY_TEST_LOAD_S seconds for each number of clients (3); DIVVY_TEST_SEED for the same requests.
"""
import json
import os
import random
import re
import signal
import time

from play import LIMIT_S, Lines, Relay, check, equal, run, wait
from real import CONTEXT_SYNC, LAUNCH, Counter, Peer, RealWorker, frame, right

SECONDS = float(os.environ.get("DIVVY_TEST_LOAD_S") or 3)
SEED = int(os.environ.get("DIVVY_TEST_SEED") or random.randrange(1 << 32))
LARGE = 4000
WARM = 4         # requests of each client until memory is looked at for the first time
SETTLE_S = 60    # at most so long after that, for the relay's buffers to have the size that these requests ask for
# Growth that is no growth; in a short run buffers of clients that had a large request late count much.
SLACK_KIB = 512 if SECONDS >= 60 else 4096


def json_round(vm, chance, number):
    kind = chance.random()
    if kind < 0.05:
        answer = vm.ask({"operation": "melt", "id": number})
        equal((answer["error"]["code"], answer["id"]), (8, number), "an unknown operation")
        return
    count = LARGE if number == 0 else 3 if kind < 0.8 else chance.randrange(1, LARGE)
    a, b = [chance.randrange(1 << 40) for _ in range(count)], [chance.randrange(1 << 40) for _ in range(count)]
    equal(vm.add(a, b, id=number), {"result": [x + y for x, y in zip(a, b)], "id": number}, "an answer")


def client(path, number, out):
    """In a process of its own: JSON mostly, every fifth one frames; now and then a new connection. Says when it is warm, and in the end
    how many requests were answered."""
    chance = random.Random(SEED * 1000 + number)
    done, times = 0, []
    speaks_frames = number % 5 == 4
    vm = Counter(path) if speaks_frames else Lines(path)
    counted, until = 0, None
    while until is None or time.monotonic() < until:
        if chance.random() < 0.02:
            (vm.peer.socket if speaks_frames else vm.socket).close()
            vm, counted = (Counter(path) if speaks_frames else Lines(path)), 0
        begin = time.monotonic()
        if speaks_frames:
            more = chance.randrange(1, 20)
            vm.send(more)
            counted += more
            equal(vm.counted(), counted, "launches that the device counted")
        else:
            json_round(vm, chance, done)
        times.append(time.monotonic() - begin)
        done += 1
        if done == WARM:
            os.write(out, b"w")
            until = time.monotonic() + SECONDS
    times.sort()
    os.write(out, json.dumps({"done": done, "p99_ms": round(1000 * times[len(times) * 99 // 100], 2)}).encode())


def clients_run(folder, count, relay):
    """Starts the clients, samples the relay's memory, waits; what each says of itself."""
    pipes, pids = [], []
    for number in range(count):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                client("%s/vm%d" % (folder, number), number, write)
                status = 0
            except BaseException as fault:  # told by the status and here; the test goes on in the parent only
                print("client %d: %s %s" % (number, type(fault).__name__, fault), flush=True)
            finally:
                os._exit(status)
        os.close(write)
        pipes.append(read)
        pids.append(pid)
    for read in pipes:
        check(os.read(read, 1) == b"w", "a client that works")
    time.sleep(min(SETTLE_S, SECONDS / 10))
    warm_kib = relay.rss_kib()
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    told = []
    for read in pipes:
        with os.fdopen(read, "rb") as pipe:
            told.append(pipe.read())
    equal(statuses, [0] * count, "statuses of %d clients" % count)
    end_kib = relay.rss_kib()
    check(end_kib <= warm_kib * 1.05 + SLACK_KIB, "the relay's memory grew from %d to %d KiB with %d clients" % (warm_kib, end_kib, count))
    return [json.loads(text) for text in told], end_kib


def many_clients(program, folder):
    print("seed %d, %g s for each number of clients" % (SEED, SECONDS), flush=True)
    worker = RealWorker(folder)
    options = ["--worker", worker.path]
    for number in range(30):
        options += ["--vm", "vm%d:%d=%s/vm%d" % (number, number + 1, folder, number)]
    relay = Relay(program, folder, *options)
    for count in (4, 15, 30):
        told, kib = clients_run(folder, count, relay)
        check(all(one["done"] >= WARM for one in told), "everybody is served: %s" % told)
        print("%d clients: %d requests, all answered once; least of one %d, worst p99 %.1f ms, relay %d KiB" %
              (count, sum(one["done"] for one in told), min(one["done"] for one in told), max(one["p99_ms"] for one in told), kib), flush=True)
    relay.stop()
    worker.stop()
    equal(worker.device()["used_bytes"], 0, "memory left on the device")


def pair(program, folder):
    worker = RealWorker(folder)
    return worker, Relay(program, folder, "--worker", worker.path, "--vm", "A:1=" + folder + "/a", "--vm", "B:2=" + folder + "/b")


def failures_stay_at_home(program, folder):
    """Two processes of one machine, and another machine: one that fails, in every way, changes no result of the others."""
    worker, relay = pair(program, folder)
    good, other = Counter(folder + "/a"), Counter(folder + "/b")
    total = 0
    for broken in range(3):
        bad = Counter(folder + "/a")
        good.send(5)
        other.send(7)
        total += 1
        if broken == 0:
            bad.at = 8  # no memory of anybody
            bad.peer.send(frame(LAUNCH, (bad.function, 1, 1, 1, 1, 1, 1, 0, 0), (8).to_bytes(8, "little")))
            check(bad.peer.call(CONTEXT_SYNC)[0] != 0, "a kernel that writes to nobody's memory is told")
        elif broken == 1:
            bad.peer.send(frame(LAUNCH, (bad.function, 1, 1, 1, 1, 1, 1, 0, 0), b"x" * 8, magic=b"DVF2"))
            check(bad.peer.is_closed(), "what is no frame ends its connection")
        else:
            status = bad.peer.call(LAUNCH + 0x100)[0]
            equal(status, 801, "an unknown operation")
        equal((good.counted(), other.counted()), (5 * total, 7 * total), "what others counted")
        good.probe()
        bad.close()
    relay.stop()
    worker.stop()


def every_operation(program, folder):
    """What the table of docs/PROTOCOL.md lists has a handler, which judges its words; anything else is refused, not said to be done."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "..", "docs", "PROTOCOL.md"), encoding="utf-8") as page:
        listed = re.findall(r"^\| (0x[0-9a-f]+) \| (\w+) \| (CALL|ONEWAY|SYNC) \|([^|]*)\|", page.read(), re.M)
    check(len(listed) > 30, "operations are listed")
    worker, relay = pair(program, folder)
    numbers = {int(number, 16): (name, kind, operands.split()) for number, name, kind, operands in listed}
    peer = Peer(folder + "/a")
    for op in list(range(0, 0x200)) + [0x7FFF, 0xFFFF]:
        if op not in numbers:
            equal(peer.call(op)[0], 801, "operation 0x%x, which there is not" % op)
    for op, (name, kind, operands) in numbers.items():
        if name == "hello" or not [word for word in operands if word != "bytes"]:
            continue
        if kind == "ONEWAY":
            peer.send(frame(op, number=77))
            status, flags, _ = peer.call(CONTEXT_SYNC)
            equal((status, flags & 2), (10001, 2), "%s without its words, told by what waits next" % name)
        else:
            equal(peer.call(op)[0], 10001, "%s without its words" % name)
    right(peer.call(0x02, (), b"still here"), "ping after all of it")
    relay.stop()
    worker.stop()


if __name__ == "__main__":
    run([many_clients, failures_stay_at_home, every_operation])
