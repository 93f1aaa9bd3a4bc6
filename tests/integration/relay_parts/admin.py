"""`divvy vm' with a relay that runs, and without: what is registered, live changes, quarantine, metrics, hostile administration."""
import json
import os
import re
import socket
import sqlite3
import struct
import subprocess
import sys


from play import LIMIT_S, Lines, Relay, Worker, check, connect, equal, run, wait

DIVVY = os.environ["DIVVY"]


OLD_VMS = """
CREATE TABLE vms (vm_id INTEGER PRIMARY KEY, vm_uuid TEXT UNIQUE, vm_name TEXT NOT NULL UNIQUE, pool_id TEXT NOT NULL DEFAULT 'A',
  priority INTEGER NOT NULL DEFAULT 1, weight INTEGER NOT NULL DEFAULT 50, max_jobs_per_sec INTEGER NOT NULL DEFAULT 0,
  max_queue_depth INTEGER NOT NULL DEFAULT 0, quarantined INTEGER NOT NULL DEFAULT 0, error_count INTEGER NOT NULL DEFAULT 0,
  socket TEXT NOT NULL DEFAULT '', connects INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


class Node:
    def __init__(self, program, folder, *options, delay_s=0.0):
        self.folder = folder
        self.worker = Worker(folder + "/worker", delay_s)
        self.environment = dict(os.environ, DIVVY_RELAY_STATE=folder + "/state", DIVVY_RELAY_ADMIN=folder + "/admin")
        self.relay = Relay(program, folder, "--worker", folder + "/worker", "--state", folder + "/state", "--admin",
                           folder + "/admin", *options)

    def vm(self, *words, status=0, answer=""):
        done = subprocess.run([DIVVY, "vm"] + list(words), capture_output=True, text=True, timeout=LIMIT_S, env=self.environment,
                              input=answer, check=False)
        equal(done.returncode, status, "status of divvy vm %s: %s%s" % (" ".join(words), done.stdout, done.stderr))
        check(status == 0 or len(done.stderr.strip().splitlines()) >= 1, "a failure says why: " + " ".join(words))
        return done.stdout

    def shown(self, name):
        return json.loads(self.vm("show-vm", name, "--json"))

    def metrics(self):
        return json.loads(self.vm("show-metrics", "--json"))


def registered_and_live(program, folder):
    node = Node(program, folder)
    node.vm("register-vm", "--vm-name", "one", "--socket", folder + "/one")
    one = node.shown("one")
    equal((one["vm_id"], one["pool"], one["priority"], one["weight"], one["max_jobs_per_sec"]), (1, "A", "medium", 50, 0), "defaults")
    equal(Lines(folder + "/one").add([1], [1]), {"result": [2]}, "a VM that was registered live")
    uuid = "3430f778-1111-2222-3333-444455556666"
    node.vm("register-vm", "--vm-uuid", uuid, "--pool", "B", "--priority", "high", "--vm-id", "7", "--socket", folder + "/seven")
    equal(node.shown("7")["uuid"], uuid, "by id")
    for words in (["--vm-name", "one"], ["--vm-uuid", uuid], ["--vm-name", "x", "--vm-id", "7"]):
        node.vm("register-vm", *words, status=1)
    for words in (["--vm-name", "x", "--pool", "C"], ["--vm-name", "x", "--priority", "urgent"], ["--vm-name", "x", "--weight", "0"],
                  ["--vm-name", "x", "--weight", "101"], ["--vm-name", "x", "--rate", "-1"], ["--vm-name", "../x"],
                  ["--vm-uuid", "no"], ["--vm-name", "x", "--vm-id", "0"], []):
        node.vm("register-vm", *words, status=2)
    for words in (["show-vm", "nobody"], ["remove-vm", "nobody"], ["quarantine-vm", "nobody"], ["set-weight", "nobody", "--weight", "5"]):
        node.vm(*words, status=1)
    equal([vm["vm_id"] for vm in json.loads(node.vm("list-vms", "--pool", "B", "--json"))["vms"]], [7], "filter by pool")
    equal([vm["vm_id"] for vm in json.loads(node.vm("list-vms", "--priority", "medium", "--json"))["vms"]], [1], "filter by class")

    client = Lines(folder + "/one")
    out = node.vm("set-pool", "one", "--pool", "B", answer="n\n")
    check("pool: A -> B" in out and "nothing was changed" in out, out)
    equal(node.shown("one")["pool"], "A", "pool after no")
    node.vm("set-pool", "one", "--pool", "B", answer="y\n")
    equal(node.shown("one")["pool"], "B", "pool after yes")
    node.vm("set-priority", "one", "--priority", "low", "--yes")
    node.vm("set-weight", "one", "--weight", "80")
    node.vm("set-weight", "one", "--weight", "101", status=2)
    node.vm("set-rate-limit", "one", "--rate", "2", "--queue-depth", "3")
    vm = next(vm for vm in node.metrics()["vms"] if vm["name"] == "one")
    equal((vm["pool"], vm["priority"], vm["weight"]), ("B", 0, 80), "live in the relay")
    answers = [client.add([1], [1]) for _ in range(8)]
    check({"code": 10, "message": "more requests than this VM's rate allows"} in [a.get("error") for a in answers], "rate: %s" % answers)
    node.vm("set-rate-limit", "one", "--rate", "0")
    equal([client.add([1], [1]) for _ in range(20)], [{"result": [2]}] * 20, "without a rate, on the same connection")
    check(re.search(r"pool B: 2 VMs \(1 high, 0 medium, 1 low\)", node.vm("status")), "status")
    equal({c["name"] for c in json.loads(node.vm("show-connections", "--json"))["connections"]}, {"one"}, "connections")
    node.vm("remove-vm", "7")
    wait(lambda: not os.path.exists(folder + "/seven"), "its socket to go")
    node.relay.stop()
    check("no relay runs" in subprocess.run([DIVVY, "vm", "set-weight", "one", "--weight", "33"], capture_output=True, text=True,
                                            env=node.environment, timeout=LIMIT_S, check=False).stderr, "without a relay")
    node.vm("show-metrics", status=1)
    node.relay.start()
    equal(next(vm for vm in node.metrics()["vms"] if vm["name"] == "one")["weight"], 33, "after the restart")
    node.relay.stop()


def memory_is_registered(program, folder):
    """A state of before VMs could share memory is taken; the file is made, and goes out of use without a restart."""
    state = sqlite3.connect(folder + "/state")
    state.executescript(OLD_VMS)
    state.execute("INSERT INTO vms (vm_id, vm_name, socket) VALUES (9, 'old', ?)", (folder + "/old",))
    state.commit()
    state.close()
    node = Node(program, folder)
    equal(Lines(folder + "/old").add([1], [2]), {"result": [3]}, "a VM of an older state")
    equal((node.shown("old")["shm"], node.shown("old")["shm_bytes"]), ("", 0), "its memory")
    node.vm("register-vm", "--vm-name", "one", "--socket", folder + "/one", "--shm", folder + "/memory", "--shm-size", "64KiB")
    found = os.stat(folder + "/memory")
    equal((found.st_size, found.st_mode & 0o777), (65536, 0o600), "the file's size and mode")
    equal((node.shown("one")["shm"], node.shown("one")["shm_bytes"]), (folder + "/memory", 65536), "what is shown")
    equal(Lines(folder + "/one").add([1], [1]), {"result": [2]}, "the socket beside it")
    node.relay.kill()
    node.relay.start()
    equal(Lines(folder + "/one").add([1], [1]), {"result": [2]}, "after a restart")
    check("none" in node.vm("update-vm", "one", "--shm", "none"), "the change is shown")
    equal((node.shown("one")["shm"], node.shown("one")["shm_bytes"]), ("", 0), "taken away")
    node.vm("register-vm", "--vm-name", "two", "--socket", folder + "/two", "--connects", "--qmp", folder + "/two.qmp")
    equal(node.shown("two")["qmp"], folder + "/two.qmp", "the monitor of its hypervisor")
    check("none" in node.vm("update-vm", "two", "--qmp", "none") and node.shown("two")["qmp"] == "", "the monitor taken away")
    for wrong in (("--shm", folder + "/m"), ("--socket", folder + "/x", "--qmp", folder + "/m"), ("--connects", "--qmp", folder + "/m"), ("--socket", folder + "/x", "--shm-size", "64KiB"),
                  ("--socket", folder + "/x", "--shm", folder + "/m", "--shm-size", "much"),
                  ("--socket", folder + "/x", "--shm", "m" * 200)):
        node.vm("register-vm", "--vm-name", "wrong", *wrong, status=2)
    node.relay.stop()


def quarantine_survives(program, folder):
    node = Node(program, folder, "--job-limit", "1", "--faults", "1", delay_s=2.2)
    node.vm("register-vm", "--vm-name", "one", "--socket", folder + "/one")
    equal(Lines(folder + "/one").add([1], [1])["error"]["code"], 4, "a late job")
    equal((node.shown("one")["quarantined"], node.shown("one")["error_count"]), (True, 1), "remembered")
    node.worker.delay_s = 0
    node.relay.kill()
    node.relay.start()
    client = Lines(folder + "/one")
    equal(client.add([1], [1])["error"]["code"], 11, "after the restart")
    node.vm("clear-quarantine", "one")
    equal(client.add([1], [1]), {"result": [2]}, "lifted, on the same connection")
    equal(node.shown("one")["error_count"], 0, "faults after lifting")
    node.vm("quarantine-vm", "one")
    equal(client.add([1], [1])["error"]["code"], 11, "by hand")
    node.relay.stop()


def metrics_add_up(program, folder):
    node = Node(program, folder)
    for name in ("one", "two"):
        node.vm("register-vm", "--vm-name", name, "--socket", folder + "/" + name)
        client = Lines(folder + "/" + name)
        for _ in range(10):
            client.add([1], [1])
    metrics = node.metrics()
    for key in ("jobs", "errors", "rejected", "used_ns"):
        equal(metrics[key], sum(vm[key] for vm in metrics["vms"]), "total of " + key)
    equal(metrics["jobs"], 20, "jobs")
    check(all(0 < vm["p50_us"] <= vm["p95_us"] <= vm["p99_us"] for vm in metrics["vms"]), "percentiles: %s" % metrics)
    text = node.vm("show-metrics", "--prometheus")
    names = set()
    for line in text.splitlines():
        check(re.fullmatch(r'# (HELP|TYPE) [a-z0-9_]+ .+|[a-z0-9_]+(\{vm_id="\d+",name="[\w.-]+"\})? [0-9.e+-]+', line), line)
        if line.startswith("# TYPE"):
            check(line.split()[2] not in names, "declared once: " + line)
            names.add(line.split()[2])
            check(line.endswith("counter") == line.split()[2].endswith("_total"), "counters end in _total: " + line)
        elif not line.startswith("#"):
            check(re.split(r"[{ ]", line)[0] in names, "declared first: " + line)
    check('vgpu_vm_jobs_total{vm_id="1",name="one"} 10' in text and "vgpu_jobs_total 20" in text, text)
    health = json.loads(node.vm("show-health", "--json"))
    check(health["gpus"] or "NVML" in health["gpu"], "health without NVML says so: %s" % health)
    node.worker.close()
    client.add([1], [1])
    equal(json.loads(node.vm("show-health", "--json"))["healthy"], False, "health without a worker")
    node.relay.stop()


def verbs_and_counters(program, folder):
    """Every verb of the design is there; counters never fall; connections tell who, how long and how much; a name in a message is no identity."""
    node = Node(program, folder)
    listed = set(re.findall(r"^  ([a-z-]+) ", node.vm("help"), re.MULTILINE))
    verbs = """scan-vms list-vms show-vm register-vm set-pool set-priority set-vm-id update-vm remove-vm list-pools show-pool status set-weight
        show-weights set-rate-limit show-rate-limits quarantine-vm clear-quarantine show-metrics show-health show-connections reload-config
        scan-gpus assign-gpu""".split()
    equal(set(verbs) - listed, set(), "verbs that help does not list")
    node.vm("no-such-verb", status=2)
    for name in ("one", "two"):
        node.vm("register-vm", "--vm-name", name, "--socket", folder + "/" + name)
    clients = {name: Lines(folder + "/" + name) for name in ("one", "two")}

    def counters():
        pairs = (line.rsplit(" ", 1) for line in node.vm("show-metrics", "--prometheus").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs if name.split("{")[0].endswith("_total")}

    before = counters()
    for step in range(6):
        clients["one"].send({"operation": "vector_add", "array_a": [1], "array_b": [2], "vm_id": 2, "pool": "B", "priority": 2})
        equal(clients["one"].receive()["result"], [3], "a request that claims to be another's")
        if step == 3:
            node.vm("quarantine-vm", "two")
            equal(clients["two"].add([1], [1])["error"]["code"], 11, "refused")
        if step == 4:
            node.vm("remove-vm", "two")
        now = counters()
        fallen = [name for name in before if name in now and now[name] < before[name]]
        equal(fallen, [], "counters that fell")
        equal(now["vgpu_jobs_total"], before["vgpu_jobs_total"] + 1, "all jobs")
        equal(now['vgpu_vm_jobs_total{vm_id="1",name="one"}'], step + 1, "jobs of who asked by the channel")
        before = now
    equal(before["vgpu_rejected_total"], 1, "refusals stay when their machine goes")
    line = json.loads(node.vm("show-connections", "--json"))["connections"]
    equal([(c["vm_id"], c["name"]) for c in line], [(1, "one")], "connections")
    check(line[0]["rx_bytes"] > 6 * 50 and line[0]["tx_bytes"] > 6 * 10 and line[0]["age_s"] >= 0, "bytes and age: %s" % line)
    node.relay.stop()


HOOK = """#!/bin/sh
# A VM is a file. What is asked is written down.
echo "$@" >> {0}/calls
case $1 in
running) test -e {0}/up-$2 ;;
stop) test -e {0}/deaf || rm -f {0}/up-$2 ;;
kill) test -e {0}/undead || rm -f {0}/up-$2 ;;
update) : ;;
start) test ! -e {0}/broken || {{ echo "no memory for $2" >&2; exit 3; }}; : > {0}/up-$2 ;;
esac
"""


def hook_around_changes(program, folder):
    node = Node(program, folder)
    node.vm("register-vm", "--vm-name", "one", "--socket", folder + "/one")
    with open(folder + "/hook", "w", encoding="ascii") as hook:
        hook.write(HOOK.format(folder))
    os.chmod(folder + "/hook", 0o777)
    for bad, status in ((folder + "/hook", 1), ("hook", 2), (folder + "/nothing", 1), (folder, 2)):
        node.vm("set-hook", bad, status=status)
    os.chmod(folder + "/hook", 0o700)
    node.vm("set-hook", folder + "/hook")

    def touch(name):
        open(folder + "/" + name, "w", encoding="ascii").close()

    def calls():
        with open(folder + "/calls", encoding="ascii") as lines:
            words = [line.split() for line in lines]
        os.unlink(folder + "/calls")
        return words

    node.vm("set-pool", "one", "--pool", "B", "--yes")
    equal([c[0] for c in calls()], ["running"], "a VM that does not run is left alone")
    touch("up-one")
    check("stopped" in node.vm("set-pool", "one", "--pool", "A", answer="n\n"), "told before")
    equal([c[0] for c in calls()], ["running"], "after no")
    check(os.path.exists(folder + "/up-one") and node.shown("one")["pool"] == "B", "no changes nothing")
    check("pool: B -> A" in node.vm("set-pool", "one", "--pool", "A", answer="y\n"), "old and new")
    done = calls()
    equal([c[0] for c in done], ["running", "stop", "running", "update", "start"], "stop, update, start")
    equal(done[-1], ["start", "one", "-", "1", "A", "medium", folder + "/one"], "the new values")
    touch("deaf")
    node.vm("set-priority", "one", "--priority", "high", "--yes")
    check("kill" in [c[0] for c in calls()], "one that does not listen is ended")
    touch("undead")
    node.vm("set-priority", "one", "--priority", "low", "--yes", status=1)
    check("start" not in [c[0] for c in calls()], "one that cannot be ended")
    equal(node.shown("one")["priority"], "high", "nothing was changed")
    os.unlink(folder + "/deaf")
    touch("broken")
    done = subprocess.run([DIVVY, "vm", "set-vm-id", "one", "--vm-id", "9", "--yes"], capture_output=True, text=True, env=node.environment,
                          timeout=LIMIT_S, check=False)
    check(done.returncode == 1 and "no memory for one" in done.stderr and "stopped" in done.stderr, done.stderr)
    equal(node.shown("one")["vm_id"], 9, "changed all the same, and said so")
    node.vm("set-hook", "none")
    os.unlink(folder + "/calls")
    node.vm("set-pool", "one", "--pool", "B", "--yes")
    check(not os.path.exists(folder + "/calls"), "no hook any more")
    node.relay.stop()


def machines_that_run(program, folder):
    node = Node(program, folder)
    uuid, token = "3430F778-1111-2222-3333-%012d" % os.getpid(), "divvy-test-%d" % os.getpid()
    node.vm("register-vm", "--vm-name", token + "-a", "--vm-uuid", uuid)
    nap = ["-c", "import sys; sys.stdin.read()"]
    words = [["-name", "guest=%s-x,debug-threads=on" % token, "-uuid", uuid], ["-name", token + "-b"], ["-name", "\033[2J" + token],
             ["-m", "512"]]
    children = [subprocess.Popen(["/usr/bin/qemu-system-x86_64"] + nap + more, executable=sys.executable, stdin=subprocess.PIPE)
                for more in words]
    try:
        def seen():
            return [vm for vm in json.loads(node.vm("scan-vms", "--json"))["vms"] if token in vm["name"]]

        wait(lambda: len(seen()) == 3, "the processes")
        found = {vm["name"]: vm for vm in seen()}
        equal((found[token + "-x"]["vm_id"], found[token + "-x"]["uuid"]), (1, uuid.lower()), "known by its UUID")
        equal(found[token + "-b"]["vm_id"], None, "not registered")
        check("\033" not in node.vm("scan-vms"), "no escape codes on a terminal")
        status = json.loads(node.vm("status", "--json"))
        equal(sorted(vm["name"] for vm in status["unregistered"] if token in vm["name"]), sorted([token + "-b", "?[2J".replace("[", "?") + token]),
              "unregistered in status")
    finally:
        for child in children:
            child.stdin.close()
            child.wait(LIMIT_S)
        node.relay.stop()


def gpus_of_this_host(program, folder):
    """Needs the simulated GPU. Hot and broken GPUs are in the unit tests of the rule."""
    node = Node(program, folder)
    node.environment.update(DIVVY_SIM_DIR=folder + "/sim")
    gpus = json.loads(node.vm("scan-gpus", "--gpu", "sim", "--json"))["gpus"]
    check(gpus and gpus[0]["gpu_id"] == 0 and "pool" not in gpus[0] and gpus[0]["needs_reset"] is False, "found: %s" % gpus)
    check(0 < gpus[0]["temperature_c"] < 95 and gpus[0]["uncorrected_errors"] == 0, "figures: %s" % gpus)
    node.vm("assign-gpu", "--gpu", "sim", "--gpu-id", "0", "--pool", "A", "--worker", folder + "/worker")
    node.vm("assign-gpu", "--gpu-id", "7", "--pool", "B", "--worker", "127.0.0.1:1")
    found = json.loads(node.vm("scan-gpus", "--gpu", "sim", "--json"))["gpus"]
    equal([(g["gpu_id"], g["pool"], g["max_vms"]) for g in found if "pool" in g], [(0, "A", 8), (7, "B", 8)], "assigned")
    equal(found[0]["uuid"], gpus[0]["uuid"], "its UUID")
    equal(json.loads(node.vm("show-health", "--gpu", "sim", "--json"))["gpus"][0]["needs_reset"], False, "health")
    node.relay.stop()


def hostile_administration(program, folder):
    node = Node(program, folder)
    for data in (b"x" * 16, struct.pack("<4I", 0x4D445644, 0x99, 0, 0), struct.pack("<4I", 0x4D445644, 0x13, 99, 0), b"short"):
        client = connect(folder + "/admin")
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        client.recv(4096)
        client.close()
    idle = [connect(folder + "/admin") for _ in range(14)]
    check("healthy" in node.vm("show-health"), "beside peers that say nothing")
    for client in idle:
        client.close()
    equal(os.stat(folder + "/admin").st_mode & 0o777, 0o600, "mode of the socket")
    equal(os.stat(folder + "/state").st_mode & 0o777, 0o600, "mode of the state")
    node.relay.stop()
    with open(folder + "/state", "wb") as state:
        state.write(b"this is no database" * 100)
    done = subprocess.run([program, "--worker", folder + "/worker", "--state", folder + "/state", "--admin=", "--lock",
                           folder + "/lock"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    equal(done.returncode, 1, "a broken state")
    check("state" in done.stderr, done.stderr)
    node.vm("list-vms", status=1)


if __name__ == "__main__":
    run([registered_and_live, memory_is_registered, quarantine_survives, metrics_add_up, verbs_and_counters, hook_around_changes, machines_that_run, gpus_of_this_host,
         hostile_administration])
