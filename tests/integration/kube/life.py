#!/usr/bin/env python3
"""The workflow of a pod, from its scheduling to its end, with divvy's limiter in its processes: life.py BIN LIB TESTS.

The kubelet's part (cgroups, processes, tokens) is played here, the API server's by tests/fakes/kube.
"""
import os
import signal
import subprocess
import sys
import time

from node import ApiServer, Cgroups, Node, expect, failures, finish, identity, jwt, pod, until

BIN, LIB, TESTS = sys.argv[1:4]
UIDS = {"anna": "aaaaaaaa-1111-4222-8333-444444444444", "ben": "bbbbbbbb-1111-4222-8333-444444444444"}


class Life:
    def __init__(self, node, server, cgroups):
        self.node, self.server, self.cgroups = node, server, cgroups

    def token(self, name, uid=None):
        uid = uid or UIDS[name]
        token = jwt("default", name, uid, extra=uid)
        self.server.review(token, identity("default", name, uid))
        path = os.path.join(self.node.folder, "token-" + name)
        with open(path, "w", encoding="ascii") as file:
            file.write(token)
        return token, path

    def run(self, name, container, scenario="kernels-1ms", limiter=True):
        """Steps 3 and 4: the container starts its application, with the limiter before it."""
        cgroup = self.cgroups.make(UIDS[name], container, systemd=name == "ben")
        environment = {"LD_LIBRARY_PATH": LIB + "/simgpu"}
        if limiter:
            environment.update(LD_PRELOAD=LIB + "/libcuda_limiter.so", HYPERVISOR_IP="127.0.0.1", HYPERVISOR_PORT=str(self.node.port), POD_NAME=name,
                               POD_NAMESPACE="default", CONTAINER_NAME=container, DIVVY_POD_TOKEN=self.token(name)[1])
        return self.node.run(cgroup, [TESTS + "/compute_load", scenario], **environment)

    def busy_s(self, *processes):
        text = subprocess.run([BIN + "/divvy-sim", "show"], env=self.node.environment, capture_output=True, text=True, check=False).stdout
        pids = {str(process.pid) for process in processes}
        return sum(float(words[-2]) for words in map(str.split, text.splitlines()) if words and words[0] in pids)

    def shares(self, *groups):
        before, since = [self.busy_s(*group) for group in groups], time.monotonic()
        time.sleep(2)
        passed = time.monotonic() - since
        return [100 * (self.busy_s(*group) - start) / passed for group, start in zip(groups, before)]

    def holds(self, anna, ben):
        """Nobody gets more than their share. That they get as much as that, a busy host may prevent: both compute, anna more than ben."""
        shares = []
        for _ in range(10):
            shares = self.shares(anna, ben)
            print("  shares of GPU time: anna %.0f %%, ben %.0f %%" % tuple(shares), flush=True)
            if shares[0] > 65 or shares[1] > 35:
                return False
            if shares[0] > shares[1] > 5:
                return True
        return False

    def first_steps(self):
        self.server.set(pod("anna", uid=UIDS["anna"], annotations={"tensor-fusion.ai/vram-limit": "8Gi", "tensor-fusion.ai/compute-percent-limit": "60"},
                            labels={"tensor-fusion.ai/component": "worker", "tensor-fusion.ai/workload": "training"}))
        self.server.set(pod("ben", uid=UIDS["ben"], annotations={"divvy.io/vram-limit": "4Gi", "divvy.io/compute-percent-limit": "30", "divvy.io/qos": "High"}))
        tenants = until(lambda: len(self.node.tenants()) == 2 and self.node.tenants()) or {}
        expect("1, 2: both pods were scheduled to the node, and divvyd has heard of them", set(tenants) == {"default/anna", "default/ben"}, tenants)
        device = tenants["default/anna"]["devices"][0]
        expect("   with what they ask for, before they have a process",
               device["memory_limit_bytes"] == 8 << 30 and device["compute_percent"] == 60 and tenants["default/ben"]["qos"] == "high"
               and tenants["default/anna"]["process_count"] == 0 and tenants["default/anna"]["labels"]["tensor-fusion.ai/workload"] == "training", tenants)

    def run_steps(self):
        anna = [self.run("anna", "main")]
        ben = [self.run("ben", "main")]
        expect("3, 4, 5: the limiter registers its process with divvyd, which knows its pod",
               until(lambda: self.node.process_pids("default/anna") == [anna[0].pid] and self.node.process_pids("default/ben") == [ben[0].pid]))
        expect("6 to 11: they compute, each at its share beside the other", self.holds(anna, ben))
        anna.append(self.run("anna", "side-car"))
        expect("   a process of another container of the pod is the same tenant's",
               until(lambda: sorted(self.node.process_pids("default/anna")) == sorted(one.pid for one in anna)))
        expect("   and they have the pod's share together", self.holds(anna, ben))
        bare = self.run("ben", "bare", limiter=False)
        expect("   one without the limiter is seen on the GPU, and known by its cgroup", until(lambda: bare.pid in self.node.process_pids("default/ben")))
        bare.kill()
        bare.wait()
        expect("   until it is gone", until(lambda: bare.pid not in self.node.process_pids("default/ben")))
        return anna, ben

    def restart_step(self, anna, ben):
        self.node.stop(signal.SIGKILL)
        self.node.start()
        expect("   divvyd is killed and started anew: the same pods, the same processes",
               until(lambda: sorted(self.node.process_pids("default/anna")) == sorted(one.pid for one in anna)
                     and self.node.process_pids("default/ben") == [ben[0].pid]), (self.node.tenants(), self.node.states()))

    def change_step(self):
        changed = pod("ben", uid=UIDS["ben"], annotations={"divvy.io/vram-limit": "5Gi", "divvy.io/compute-percent-limit": "20"})
        self.server.set(changed)
        expect("   annotations change while it runs, and its limits with them", until(
            lambda: (lambda device: device["memory_limit_bytes"] == 5 << 30 and device["compute_percent"] == 20)(self.node.tenants()["default/ben"]["devices"][0])))
        changed["metadata"]["annotations"]["divvy.io/vram-limit"] = "5 Gi"
        self.server.set(changed)
        expect("   what is malformed is refused, and it keeps what it had", until(lambda: self.node.states()["default/ben"]["state"] == "refused")
               and self.node.tenants()["default/ben"]["devices"][0]["memory_limit_bytes"] == 5 << 30)
        expect("   the pod is told by an event", until(lambda: any(
            event["involvedObject"]["uid"] == UIDS["ben"] and event["reason"] == "GPUShareRefused" and "5 Gi" in event["message"] for event in self.server.events)))

    def trust_step(self):
        good = jwt("default", "ben", UIDS["ben"], extra="of nobody else")  # the limiter's own is asked about by the limiter as well
        self.server.review(good, identity("default", "ben", UIDS["ben"]))
        ask = lambda token: self.node.ask("/api/v1/process?container_name=main&container_pid=1", token, "POST")  # noqa: E731
        forged = self.node.ask("/api/v1/pod", jwt("default", "ben", UIDS["ben"], extra="forged"))
        expect("   a forged token is refused", forged[0] == 401 and "does not know the token" in forged[1]["error"], forged)
        late = self.node.ask("/api/v1/pod", jwt("default", "ben", UIDS["ben"], expires=-60))
        expect("   an expired one too, without asking anybody", late[0] == 401 and "expired" in late[1]["error"], late)
        expect("   without any there is nothing", self.node.ask("/api/v1/pod?container_name=main")[0] == 401)
        answers = [self.node.ask("/api/v1/pod", good) for _ in range(20)]
        expect("   a good one is answered, and reviewed once", all(status == 200 and body["data"]["pod_name"] == "ben" for status, body in answers)
               and self.server.reviewed.count(good) == 1, (answers[0], self.server.reviewed.count(good)))
        other = jwt("default", "anna", "aaaaaaaa-0000-4222-8333-444444444444", extra="older")
        self.server.review(other, identity("default", "anna", "aaaaaaaa-0000-4222-8333-444444444444"))
        expect("   one of another pod that had this name is refused", self.node.ask("/api/v1/pod", other)[0] == 403)
        stranger = ask(good)  # no process of ben's cgroup has that pid
        expect("   with ben's token no process is registered that is not ben's",
               stranger[0] == 200 and not stranger[1]["success"] and len(self.node.process_pids("default/ben")) == 1, stranger)

    def last_step(self, anna, ben):
        folder = self.node.tenants()["default/anna"]["folder"]
        before = self.node.process_pids("default/ben")
        self.server.delete("anna")
        expect("12: the pod is deleted, its tenant goes at once", until(lambda: "default/anna" not in self.node.tenants()))
        for process in anna:
            process.kill()
            process.wait()
        expect("   and its folder", not os.path.exists(folder))
        gone = self.node.ask("/api/v1/pod", self.token("anna")[0])
        expect("   nobody is taken for the pod any more", gone[0] == 200 and not gone[1]["success"], gone)
        expect("   the other goes on", self.node.process_pids("default/ben") == before and self.shares(ben)[0] > 2)
        self.server.set(pod("anna", uid="cccccccc-1111-4222-8333-444444444444", annotations={"divvy.io/vram-limit": "1Gi"}))
        expect("   a new pod of that name begins anew", until(lambda: "default/anna" in self.node.tenants())
               and self.node.ask("/api/v1/pod", self.token("anna")[0])[0] == 403)
        finished = pod("ben", uid=UIDS["ben"], annotations={"divvy.io/vram-limit": "4Gi"})
        finished["status"]["phase"] = "Succeeded"
        self.server.set(finished)
        expect("   one that has succeeded has no tenant", until(lambda: set(self.node.tenants()) == {"default/anna"}))


def main():
    cgroups = Cgroups()
    if not cgroups.root:
        print("no cgroups can be made here (a writable cgroup2 or freezer hierarchy is needed)")
        sys.exit(77)
    node = Node(BIN)
    server = ApiServer(node.folder)
    try:
        server.kubeconfig(node.kubeconfig)
        node.start()
        life = Life(node, server, cgroups)
        life.first_steps()
        if not failures:
            anna, ben = life.run_steps()
            life.restart_step(anna, ben)
            life.change_step()
            life.trust_step()
            life.last_step(anna, ben)
        expect("no secret is in the log", "secret-of-the-daemon" not in node.read_log() and "signature" not in node.read_log())
    finally:
        node.done()
        cgroups.done()
    finish()


main()
