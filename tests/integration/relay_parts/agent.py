"""The API for orchestrators of divvyd (/api/v1/vgpu) with a relay that runs, and `divvy vm' beside it."""
import http.client
import json
import os
import socket
import subprocess

from admin import Node
from play import LIMIT_S, Lines, Skipped, Worker, check, equal, run, wait

DIVVYD = os.environ["DIVVYD"]
UUID = "3430f778-1111-2222-3333-%012d"


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(self.path)


class Agent:
    """divvyd, and requests to it. On TCP with a token."""

    def __init__(self, folder, token=None):
        self.folder, self.token = folder, token
        self.socket, self.log_path = folder + "/divvyd.sock", folder + "/divvyd.log"
        words = ["--gpu", "sim", "--socket", self.socket, "--base", folder + "/tenants", "--shm-base", folder + "/shm", "--mig-locks",
                 folder + "/locks", "--relay-state", folder + "/state", "--relay-admin", folder + "/admin", "--vm-sockets", folder + "/vm"]
        if token:
            with open(folder + "/tokens", "w", encoding="ascii") as tokens:
                tokens.write(token + "\n")
            os.chmod(folder + "/tokens", 0o600)
            words += ["--listen", "127.0.0.1:0", "--token-file", folder + "/tokens"]
        environment = dict(os.environ, DIVVY_SIM_DIR=folder + "/sim", HOME=folder, XDG_CONFIG_HOME=folder, XDG_RUNTIME_DIR=folder)
        for name in ("DIVVY_SOCKET", "DIVVY_BASE", "DIVVY_CONFIG", "HYPERVISOR_PORT", "API_LISTEN_ADDR", "DIVVY_TENANT_DIR"):
            environment.pop(name, None)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([DIVVYD] + words, stdout=log, stderr=log, env=environment)
        wait(lambda: self.process.poll() is not None or self.is_up(), "divvyd to answer")
        check(self.process.poll() is None, "divvyd runs: " + self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_up(self):
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, connection=None, token=None):
        connection = connection or Unix(self.socket)
        headers = {"Authorization": "Bearer " + token} if token else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text)

    def tcp(self, method, path, token):
        words = self.log().split()
        port = next(int(words[i + 1]) for i, word in enumerate(words) if word == "port")
        return self.ask(method, path, None, http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S), token)

    def create(self, status=201, **wish):
        got, answer = self.ask("POST", "/api/v1/vgpu/assignments", wish)
        equal(got, status, "create %s: %s" % (wish, answer))
        return answer

    def destroy(self, key, removed):
        equal(self.ask("DELETE", "/api/v1/vgpu/assignments/" + key), (200, {"removed": removed}), "destroy " + key)

    def numbers(self):
        status, answer = self.ask("GET", "/api/v1/vgpu/capacity")
        equal(status, 200, "capacity")
        return tuple(answer[key] for key in ("total", "used", "free"))

    def stop(self):
        self.process.terminate()
        equal(self.process.wait(LIMIT_S), 0, "divvyd ends")


def create_and_destroy(program, folder):
    node, agent = Node(program, folder), Agent(folder)
    try:
        equal(agent.numbers(), (0, 0, 0), "before a GPU is assigned")
        check("no pool has room" in agent.create(409, name="x")["error"], "without a GPU")
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "A", "--max-vms", "3", "--worker", folder + "/worker")
        equal(agent.numbers(), (3, 0, 3), "one GPU")
        for i in range(3):
            answer = agent.create(name="vm%d" % i, uuid=UUID % i, priority="high", weight=10 + i)
            check(answer["live"], "the relay has it: %s" % answer)
            equal(agent.numbers(), (3, i + 1, 2 - i), "after creation %d" % i)
            equal(Lines(folder + "/vm/vm%d.sock" % i).add([i], [1]), {"result": [i + 1]}, "its first job")
        equal(agent.create(200, name="vm1", uuid=UUID % 1, priority="high")["assignment"]["vm_id"], 2, "said again")
        agent.create(409, name="vm1", uuid=UUID % 1, priority="low")
        agent.create(409, name="other", uuid=UUID % 1)
        check("full" in agent.create(409, name="vm3", pool="A")["error"], "over capacity")
        agent.create(409, name="vm3", pool="B")
        node.vm("register-vm", "--vm-name", "vm3", status=1)
        equal(agent.numbers(), (3, 3, 0), "refusals change nothing")
        one = agent.ask("GET", "/api/v1/vgpu/assignments/" + UUID % 2)[1]
        equal(one["stub"], ["divvy-vgpu-stub", "--relay", folder + "/vm/vm2.sock", "--vm-id", "3", "--pool", "A", "--priority", "high"],
              "what a stub is started with")
        shown = node.shown("vm2")
        equal([one[key] for key in ("vm_id", "uuid", "pool", "priority", "weight", "socket")],
              [shown[key] for key in ("vm_id", "uuid", "pool", "priority", "weight", "socket")], "API and command line")
        usage = {vm["name"]: vm["usage"] for vm in agent.ask("GET", "/api/v1/vgpu/usage")[1]["vms"]}
        equal([usage["vm%d" % i]["jobs"] for i in range(3)], [1, 1, 1], "usage")
        check(all(u["gpu_time_ns"] > 0 for u in usage.values()), "GPU time: %s" % usage)

        agent.destroy("vm0", True)
        agent.destroy("vm0", False)
        agent.destroy("2", False)  # a number is no name: it may be another's by now
        check(not os.path.exists(folder + "/vm/vm0.sock"), "its socket is gone")
        equal(agent.numbers(), (3, 2, 1), "after destroying")
        agent.stop()
        node.relay.kill()
        agent = Agent(folder)
        equal(agent.numbers(), (3, 2, 1), "after a restart of both")
        check(not agent.ask("GET", "/api/v1/vgpu/usage")[1]["live"], "no relay")
        check(not agent.create(name="late")["live"], "without a relay")
        node.relay.start()
        equal(Lines(folder + "/vm/late.sock").add([1], [1]), {"result": [2]}, "when the relay is there")
        equal(Lines(folder + "/vm/vm1.sock").add([2], [1]), {"result": [3]}, "one from before")
        for name in ("late", "vm1", UUID % 2):
            agent.destroy(name, True)
        equal(agent.numbers(), (3, 0, 3), "all released")
        equal(json.loads(node.vm("list-vms", "--json"))["vms"], [], "none on the command line")
    finally:
        agent.stop()
        node.relay.stop()


def stub_of_an_assignment(program, folder):
    """A machine that was made by the API is started as its assignment says: its device shows the pool and class, and works. QEMU is played."""
    if "DIVVY_FAKE_QEMU" not in os.environ:
        raise Skipped("no stub here")
    node, agent = Node(program, folder), Agent(folder)
    try:
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "B", "--worker", folder + "/worker")
        command = agent.create(name="web", vm_id=7, priority="high")["assignment"]["stub"]
        command[0] = os.path.join(os.environ["DIVVY_BIN"], command[0])
        done = subprocess.run(command + ["--", os.environ["DIVVY_FAKE_QEMU"], "-m", "64", "who,add"], capture_output=True, text=True, timeout=60,
                              check=False)
        check("who: VM 7 pool B priority 2\n" in done.stdout and "add: code 0 result 3" in done.stdout, "the device: %s%s" % (done.stdout, done.stderr))
        usage = agent.ask("GET", "/api/v1/vgpu/usage")[1]["vms"][0]["usage"]
        equal((usage["jobs"], usage["errors"]), (1, 0), "its job is counted")
        agent.destroy("web", True)
    finally:
        agent.stop()
        node.relay.stop()


def bad_requests(program, folder):
    node, agent = Node(program, folder), Agent(folder, token="a-token-for-this-test")
    try:
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "A", "--max-vms", "3", "--worker", folder + "/worker")
        for wish in ({}, {"name": ""}, {"name": "../x"}, {"name": "a" * 64}, {"name": "x", "pool": "C"}, {"name": "x", "pool": 1},
                     {"name": "x", "priority": "urgent"}, {"name": "x", "weight": 0}, {"name": "x", "weight": 101}, {"uuid": "no"},
                     {"name": "x", "max_jobs_per_sec": -1}, {"name": "x", "vm_id": 0}, {"name": "x", "socket": "here"}, {"name": "x", "more": 1}):
            agent.create(400, **wish)
        status, answer = agent.ask("POST", "/api/v1/vgpu/assignments", {"name": "x", "socket": "/nonexistent/folder/x.sock"})
        check(status >= 400 and "nonexistent" in answer["error"], "a socket that the relay cannot open: %s %s" % (status, answer))
        equal(agent.numbers(), (3, 0, 3), "nothing is left of them")
        equal(agent.tcp("GET", "/api/v1/vgpu/usage", None)[0], 401, "no token")
        equal(agent.tcp("GET", "/api/v1/vgpu/usage", "a-wrong-token-for-this")[0], 401, "a wrong token")
        equal(agent.tcp("GET", "/api/v1/vgpu/usage", "a-token-for-this-test")[0], 200, "the token")
        equal(agent.ask("GET", "/api/v1/vgpu/assignments/nobody")[0], 404, "nobody")
        node.relay.stop()
        os.unlink(folder + "/state")
        status, answer = agent.ask("GET", "/api/v1/vgpu/capacity")
        check(status == 503 and "no relay is set up" in answer["error"] and not os.path.exists(folder + "/state"), "no state: %s" % answer)
    finally:
        agent.stop()
        if node.relay.process.poll() is None:
            node.relay.stop()


def gpu_of_pool(program, folder):
    """GPU 0 in pool A, GPU 1 in pool B: VMs 1 to 7 and 8 to 20 run on their own GPU, and move live."""
    node = Node(program, folder)
    other = Worker(folder + "/worker1")
    try:
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "A", status=2)  # nobody said where its worker is
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "A", "--worker", folder + "/worker", "--max-vms", "7")
        node.vm("assign-gpu", "--gpu-id", "1", "--pool", "B", "--worker", folder + "/worker1", "--max-vms", "14")
        for bad in (("--gpu-id", "64", "--pool", "A"), ("--gpu-id", "0", "--pool", "C"), ("--gpu-id", "x", "--pool", "A"),
                    ("--gpu-id", "0"), ("--pool", "A"), ("--gpu-id", "0", "--pool", "A", "--max-vms", "257")):
            node.vm("assign-gpu", *bad, status=2)
        for i in range(1, 21):
            node.vm("register-vm", "--vm-name", "vm%d" % i, "--vm-id", str(i), "--pool", "A" if i < 8 else "B", "--socket",
                    "%s/s%d" % (folder, i))
        clients = {i: Lines("%s/s%d" % (folder, i)) for i in range(1, 21)}
        before = node.worker.jobs, other.jobs
        for i, client in clients.items():
            equal(client.add([i], [i]), {"result": [2 * i]}, "VM %d" % i)
        equal((node.worker.jobs - before[0], other.jobs - before[1]), (7, 13), "jobs of GPU 0 and GPU 1")
        status = json.loads(node.vm("status", "--json"))
        equal([(g["gpu_id"], g["pool"]) for g in status["gpus"]], [(0, "A"), (1, "B")], "GPUs in status")
        equal([(p["pool_id"], p["medium"], p["total"], p["free"]) for p in status["pools"]], [("A", 7, 7, 0), ("B", 13, 14, 1)], "pools")
        equal((status["vms"], status["unregistered"]), (20, []), "totals")
        node.vm("set-pool", "vm1", "--pool", "B", "--yes")
        before = other.jobs
        equal(clients[1].add([1], [1]), {"result": [2]}, "after the move")
        equal(other.jobs, before + 1, "on GPU 1 now")
        node.vm("set-pool", "vm2", "--pool", "B", "--yes", status=1)  # full
        node.vm("assign-gpu", "--gpu-id", "1", "--pool", "none")
        equal(clients[8].add([1], [1])["error"]["code"], 3, "a pool without a GPU")
        node.vm("assign-gpu", "--gpu-id", "0", "--pool", "B")  # the worker is known
        equal(clients[8].add([1], [1]), {"result": [2]}, "GPU 0 serves pool B now")
        equal(clients[2].add([1], [1])["error"]["code"], 3, "and pool A no more")
    finally:
        node.relay.stop()


if __name__ == "__main__":
    run([create_and_destroy, stub_of_an_assignment, bad_requests, gpu_of_pool])
