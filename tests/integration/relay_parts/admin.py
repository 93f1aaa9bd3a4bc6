"""`divvy vm' with a relay that runs, and without: what is registered, live changes, quarantine, metrics, hostile administration."""
import json
import os
import re
import socket
import struct
import subprocess


from play import LIMIT_S, Lines, Relay, Worker, check, connect, equal, run, wait

DIVVY = os.environ["DIVVY"]


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
    check("no NVML" in node.vm("show-health"), "health without NVML says so")
    node.worker.close()
    client.add([1], [1])
    equal(json.loads(node.vm("show-health", "--json"))["healthy"], False, "health without a worker")
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
    run([registered_and_live, quarantine_survives, metrics_add_up, hostile_administration])
