"""`divvy cloudstack' with an imitated management server, divvyd and a relay: machines get vGPUs and give them back."""
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fakes", "cloudstack"))

from admin import Node
from agent import Agent
from management import KEY, SECRET, Management
from play import LIMIT_S, Lines, check, equal, run, wait

DIVVY = os.environ["DIVVY"]


class Site:
    """All of it, with a GPU for `room` machines in each pool."""

    def __init__(self, program, folder, room=4):
        self.folder, self.cloud = folder, Management()
        self.node, self.agent = Node(program, folder), Agent(folder)
        for gpu, pool in enumerate("AB"):
            self.node.vm("assign-gpu", "--gpu-id", str(gpu), "--pool", pool, "--max-vms", str(room), "--worker", folder + "/worker")
        self.config = {"url": self.cloud.url, "credentials": folder + "/keys", "host": "kvm-7", "socket": folder + "/vm/{uuid}.sock",
                       "page_size": 3, "job_pause_ms": 10, "interval_s": 1, "rules": [
                           {"offering": "GPU big", "pool": "A", "priority": "high", "weight": 80}, {"vgpu": "divvy-small", "pool": "B"}]}
        os.makedirs(folder + "/vm", exist_ok=True)
        self.credentials(KEY, SECRET)

    def credentials(self, key, secret, mode=0o600):
        with open(self.folder + "/keys", "w", encoding="ascii") as keys:
            keys.write(key + "\n" + secret + "\n")
        os.chmod(self.folder + "/keys", mode)

    def command(self, words, **changes):
        with open(self.folder + "/cloud.json", "w", encoding="utf-8") as file:
            json.dump({**self.config, **changes}, file)
        return [DIVVY, "cloudstack", "--config", self.folder + "/cloud.json"] + list(words)

    def environment(self):
        return dict(os.environ, DIVVY_SOCKET=self.agent.socket)

    def run(self, *words, status=0, **changes):
        done = subprocess.run(self.command(words, **changes), capture_output=True, text=True, timeout=60, check=False, env=self.environment())
        equal(done.returncode, status, "status of %s: %s%s" % (words, done.stdout, done.stderr))
        check(SECRET not in done.stdout + done.stderr, "the secret is not told")
        return done.stdout if status == 0 else done.stdout + done.stderr

    def follow(self, **changes):
        return json.loads(self.run("follow", "--once", "--json", **changes))

    def call(self, command, **parameters):
        return json.loads(self.run("call", command, *("%s=%s" % pair for pair in parameters.items())))

    def assigned(self):
        return sorted(vm["uuid"] for vm in self.agent.ask("GET", "/api/v1/vgpu/assignments")[1]["assignments"] if vm["uuid"])

    def end(self):
        self.cloud.close()
        self.agent.stop()
        self.node.relay.stop()


def life_of_machines(program, folder):
    site = Site(program, folder)
    try:
        # Deployed by name with everything that an encoding can get wrong.
        vm = site.call("deployVirtualMachine", serviceofferingid="GPU big", zoneid="1", templateid="2",
                       name="a b+c*d~e&f=g/h%41")["virtualmachine"]
        equal((vm["state"], vm["name"]), ("Running", "a b+c*d~e&f=g/h%41"), "deployed, after its job")
        small = site.cloud.add("small", "whatever", vgpu="divvy-small")
        by_profile = site.cloud.add("profile", "whatever", vgpuprofilename="divvy-small")
        others = [site.cloud.add("plain-%d" % i, "Small Instance") for i in range(7)] + [
            site.cloud.add("elsewhere", "GPU big", hostname="kvm-8"), site.cloud.add("off", "GPU big", "Stopped")]
        told = json.loads(site.run("follow", "--dry-run", "--json"))
        equal((told["vms"], told["assigned"], site.assigned()), (12, 3, []), "a dry run does nothing")
        done = site.follow()
        equal((done["vms"], done["assigned"], done["released"], done["failed"]), (12, 3, 0, 0), "a round")
        equal(site.assigned(), sorted([vm["id"], small["id"], by_profile["id"]]), "who has one")
        one = site.agent.ask("GET", "/api/v1/vgpu/assignments/" + vm["id"])[1]
        equal((one["name"], one["pool"], one["priority"], one["weight"]), ("cs-" + vm["id"], "A", "high", 80), "by its rule")
        equal(site.agent.ask("GET", "/api/v1/vgpu/assignments/" + small["id"])[1]["pool"], "B", "by its type of vGPU")
        equal(Lines("%s/vm/%s.sock" % (folder, vm["id"])).add([1, 2], [3, 4]), {"result": [4, 6]}, "its first job, without a step by hand")
        equal((site.follow()["assigned"], len(site.assigned())), (0, 3), "a second round changes nothing")

        site.agent.create(name="by-hand", uuid="3430f778-1111-2222-3333-444455556666")
        site.call("stopVirtualMachine", id=vm["id"])
        site.call("destroyVirtualMachine", id=small["id"], expunge="true")
        site.cloud.vms[by_profile["id"]]["hostname"] = "kvm-8"
        done = site.follow()
        equal((done["assigned"], done["released"]), (0, 3), "stopped, expunged, moved away")
        equal(site.assigned(), ["3430f778-1111-2222-3333-444455556666"], "what is not CloudStack's stays")
        check(not os.path.exists("%s/vm/%s.sock" % (folder, vm["id"])), "its socket is gone")
        site.call("startVirtualMachine", id=vm["id"])
        equal(site.follow()["assigned"], 1, "started again")
        for state in ("Stopping", "Migrating", "Unknown", "SomethingNew"):
            site.cloud.vms[vm["id"]]["state"] = state
            done = site.follow()
            equal((done["assigned"], done["released"]), (0, 0), state)
        del site.cloud.vms[vm["id"]]
        equal(site.follow()["released"], 1, "one that is gone altogether")
        rows = json.loads(site.run("vms", "--json"))["vms"]
        equal({row["name"] for row in rows if row["wants"] == "vGPU"}, set(), "nobody wants one now")
        check(all(other["name"] in {row["name"] for row in rows} for other in others), "all are listed")
    finally:
        site.end()


def room_and_tags(program, folder):
    site = Site(program, folder, room=2)
    try:
        vms = [site.cloud.add("vm%d" % i, "GPU big") for i in range(3)]
        host = site.cloud.hosts["kvm-7"]
        out = site.run("follow", "--once", status=1)
        check("full" in out and "not assigned vm2" in out, "no room: " + out)
        equal(len(site.assigned()), 2, "as many as there is room for")
        vms[0]["state"] = "Stopped"
        site.follow(host_tag="vgpu")
        check(vms[2]["id"] in site.assigned(), "the third has it when the first stops")
        equal(host["hosttags"], "ssd,fast,vgpu", "room in pool B: the host is tagged")
        for i in range(2):
            site.cloud.add("s%d" % i, "x", vgpu="divvy-small")
        site.follow(host_tag="vgpu")
        equal(host["hosttags"], "ssd,fast", "full")
        count = site.cloud.calls.count("updateHost")
        site.follow(host_tag="vgpu")
        equal(site.cloud.calls.count("updateHost"), count, "no change, no call")
    finally:
        site.end()


def servers_that_err(program, folder):
    site = Site(program, folder)
    try:
        vms = [site.cloud.add("vm%d" % i, "GPU big") for i in range(4)]
        site.follow()
        before = site.assigned()
        equal(len(before), 4, "assigned")

        def listing(answer):
            site.cloud.fault = lambda command, parameters: answer if command == "listVirtualMachines" and "id" not in parameters else None

        empty = {"listvirtualmachinesresponse": {}}
        wrong = [(200, ""), (200, "<html>"), (200, "[]"), (200, "{}"), (200, '{"other": {}}'), (500, "oops"), (503, json.dumps(empty)),
                 (200, '{"listvirtualmachinesresponse": []}'), (200, '{"listvirtualmachinesresponse": {"count": 4}}'),
                 (200, '{"listvirtualmachinesresponse": {"count": -1, "virtualmachine": []}}'),
                 (200, '{"listvirtualmachinesresponse": {"count": 1, "virtualmachine": [7]}}'),
                 (200, '{"listvirtualmachinesresponse": {"count": 1, "virtualmachine": [{"id": "../x", "state": "Running"}]}}'),
                 (200, '{"listvirtualmachinesresponse": {"count": 9, "virtualmachine": []}}'),
                 (200, '{"listvirtualmachinesresponse": {"count": 1, "virtualmachine": [{"id": "%s"}]}}' % vms[0]["id"]),
                 (200, "{" * 100000), (530, '{"listvirtualmachinesresponse": {"errorcode": 530, "errortext": "internal"}}')]
        for answer in wrong:
            listing(answer)
            site.run("follow", "--once", status=1)
            equal(site.assigned(), before, "nothing happens after %s" % (answer,))
        listing((200, json.dumps(empty)))
        site.follow()
        equal(site.assigned(), before, "an empty list alone releases nobody who is there when asked about")
        listing(5.0)
        check("no answer" in site.run("follow", "--once", status=1, timeout_ms=300), "a slow one")
        site.cloud.fault = None
        site.cloud.page_limit = 2  # smaller pages than were asked for
        equal(site.follow()["vms"], 4, "smaller pages")

        site.credentials(KEY, "another")
        check("401" in site.run("follow", "--once", status=1), "a wrong secret")
        site.credentials(KEY, SECRET)
        check("431" in site.run("call", "startVirtualMachine", "id=none", status=1), "a wrong parameter")
        check("432" in site.run("call", "noSuchCommand", status=1), "a wrong command")
        check("No suitable host" in site.run("call", "migrateVirtualMachine", status=1), "a job that fails")
        site.cloud.job_rounds = 1000000
        check("not over" in site.run("call", "stopVirtualMachine", "id=" + vms[0]["id"], status=1, job_limit_ms=1000), "a job without end")
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            check("no answer" in site.run("vms", status=1, url="http://127.0.0.1:%d/client/api" % nobody.getsockname()[1]), "nobody there")
    finally:
        site.end()


def bad_configuration(program, folder):
    site = Site(program, folder)
    try:
        rule = site.config["rules"][0]
        for changes in ({"url": 7}, {"url": "ftp://x"}, {"url": "http://x/?a=b"}, {"more": 1}, {"rules": []}, {"rules": [{}]}, {"rules": {}},
                        {"rules": [{**rule, "vgpu": "x"}]}, {"rules": [{**rule, "pool": "C"}]}, {"rules": [{**rule, "weight": 101}]},
                        {"rules": [{**rule, "priority": "urgent"}]}, {"interval_s": 0}, {"page_size": "1"}, {"connects": 1}, {"socket": "x"},
                        {"credentials": "keys"}, {"host": "", "host_tag": "x"}, {"host_tag": "a,b"}):
            site.run("vms", status=2, **changes)
        for words in ([], ["nothing"], ["vms", "more"], ["call"], ["call", "listZones", "zone"]):
            site.run(*words, status=2)
        site.credentials(KEY, SECRET, 0o644)
        check("chmod 600" in site.run("vms", status=1), "credentials that others can read")
        site.credentials(KEY, "")
        site.run("vms", status=2)
        site.run("vms", status=1, credentials="/nonexistent/keys")
    finally:
        site.end()


def follows_for_long(program, folder):
    site = Site(program, folder)
    vm = site.cloud.add("vm", "GPU big")
    child = subprocess.Popen(site.command(["follow"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=site.environment())
    try:
        wait(lambda: site.assigned() == [vm["id"]], "the vGPU")
        port = site.cloud.server.server_address[1]
        vms = site.cloud.vms
        site.cloud.close()
        site.cloud = Management(port=port)  # a server that was restarted
        site.cloud.vms = vms
        vm["state"] = "Stopped"
        wait(lambda: site.assigned() == [], "its release")
        child.send_signal(signal.SIGTERM)
        equal(child.wait(LIMIT_S), 0, "ends by SIGTERM")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        site.end()


if __name__ == "__main__":
    run([life_of_machines, room_and_tags, servers_that_err, bad_configuration, follows_for_long])
