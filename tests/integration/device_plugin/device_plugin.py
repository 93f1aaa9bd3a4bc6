#!/usr/bin/env python3
"""
The device plugin of a real divvyd, against a kubelet that is not ours (grpcio):  device_plugin.py DIVVYD DIVVY-SIM
Registration, the list, preferences, Allocate, the start of containers by PodResources, lost devices, a kubelet that restarts, and
messages that no kubelet sends.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

try:
    import grpc

    import api
    import hostile
except ImportError as missing:
    print(f"skip: {missing} (package python3-grpcio)")
    raise SystemExit(77) from None

DEVICES, SLOTS = 2, 4


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def until(truth, what, seconds=30):
    end = time.monotonic() + seconds
    while True:
        value = truth()
        if value:
            return value
        check(time.monotonic() < end, what)
        time.sleep(0.02)


def folder_gone(folder):
    """Removed with what is in it, though somebody may put something in meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Kubelet:
    """Its side: takes registrations, and tells who holds what."""

    def __init__(self, folder):
        self.folder, self.pods_socket = folder / "plugins", folder / "pods.sock"
        self.folder.mkdir()
        self.registrations, self.refuse, self.held, self.silent = [], 0, [], threading.Event()
        self.server, self.pods = None, None

    def start(self):
        self.server = api.serve(self.folder / "kubelet.sock", "v1beta1.Registration", "Register", api.plugin["RegisterRequest"],
                                api.plugin["Empty"], self.register, futures.ThreadPoolExecutor(2))

    def stop(self):
        self.server.stop(0).wait()
        (self.folder / "kubelet.sock").unlink(missing_ok=True)

    def pods_start(self):
        self.pods = api.serve(self.pods_socket, "v1.PodResourcesLister", "List", api.pods["ListPodResourcesRequest"],
                              api.pods["ListPodResourcesResponse"], self.list, futures.ThreadPoolExecutor(2))

    def pods_stop(self):
        self.pods.stop(0).wait()
        self.pods_socket.unlink(missing_ok=True)

    def register(self, request, context):
        self.registrations.append(request)
        if self.refuse > 0:
            self.refuse -= 1
            context.abort(grpc.StatusCode.INTERNAL, "not today: 100 % \u00fc")
        return api.plugin["Empty"]()

    def list(self, request, context):
        del request, context
        return api.pods["ListPodResourcesResponse"](pod_resources=self.held)

    def hold(self, pod, container, ids, resource="divvy.io/gpu"):
        self.held = [*self.held, {"name": pod, "namespace": "prod", "containers": [
            {"name": container, "devices": [{"resource_name": resource, "device_ids": ids}], "cpu_ids": [1, 2]}]}]


class Watch(threading.Thread):
    """ListAndWatch: the newest list."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.lists, self.ended = client, [], False
        self.call = client.watch(api.plugin["Empty"](), wait_for_ready=True)
        self.start()

    def run(self):
        try:
            for answer in self.call:
                self.lists.append(answer)
        except grpc.RpcError:
            pass
        self.ended = True

    def health(self):
        return {device.ID: device.health for device in self.lists[-1].devices} if self.lists else {}


class Machine:
    def __init__(self, program, simulator):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="divvy-plugin-", dir="/tmp"))
        self.program, self.simulator, self.child = program, simulator, None
        self.kubelet = Kubelet(self.folder)
        self.devices = self.folder / "dev"
        self.devices.mkdir()
        for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
            (self.devices / name).touch()
        self.environment = {**os.environ, "DIVVY_SIM_DIR": str(self.folder / "sim"), "DIVVY_SIM_DEVICES": str(DEVICES),
                            "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        for name in ("DIVVY_SOCKET", "DIVVY_BASE", "DIVVY_CONFIG", "DIVVY_TENANT_DIR", "HYPERVISOR_PORT", "API_LISTEN_ADDR",
                     "DEVICE_PLUGIN_PATH", "DEVICE_PLUGIN_RESOURCE_NAME", "NVIDIA_DEV_ROOT"):
            self.environment.pop(name, None)

    def words(self):
        return ["--gpu", "sim", "--socket", self.folder / "socket", "--base", self.folder / "tenants", "--shm-base",
                self.folder / "shm", "--sample-interval", "100ms", "--device-plugin", "--device-plugin-slots", SLOTS,
                "--device-plugin-dir", self.kubelet.folder, "--pod-resources", self.kubelet.pods_socket, "--device-root",
                self.devices, "--device-plugin-library", "/opt/limiter", "--device-plugin-preload", self.folder / "preload"]

    def start(self, *more):
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen([self.program, *map(str, self.words()), *more], env=self.environment, stderr=log)

    def stop(self, number=signal.SIGTERM):
        self.child.send_signal(number)
        status = self.child.wait(60)
        check(status == (0 if number == signal.SIGTERM else -number), f"divvyd ended with {status}")
        self.child = None

    def end(self):
        if self.child:
            self.child.kill()
            self.child.wait()
        for server in (self.kubelet.pods, self.kubelet.server):
            if server:
                server.stop(0).wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def client(self):
        until(lambda: (self.kubelet.folder / "divvy.sock").exists(), "the plugin has a socket")
        return api.Client(self.kubelet.folder / "divvy.sock")

    def limits(self, tenant):
        """What the daemon says of a tenant's devices."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "socket"))
            connection.sendall(f"GET /api/v1/tenants/{tenant} HTTP/1.0\r\nHost: divvyd\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])["devices"]

    def lose(self, device):
        """The device falls off the bus."""
        subprocess.run([self.simulator, "fault", "lose", str(device)], check=True, env=self.environment)


def whole(machine, play):
    """The test from its beginning to its end: the daemon's log where it fails, and nothing is left."""
    try:
        play()
        print("ok")
    except SystemExit:
        print(machine.log()[-6000:], file=sys.stderr)
        raise
    finally:
        machine.end()


def registered(machine, count, resource="divvy.io/gpu"):
    kubelet = machine.kubelet
    until(lambda: len(kubelet.registrations) >= count, f"registration {count}")
    request = kubelet.registrations[-1]
    check((request.version, request.endpoint, request.resource_name) == ("v1beta1", "divvy.sock", resource), f"{request}")
    check(request.options.pre_start_required and request.options.get_preferred_allocation_available, "its options")


def prefer(client, available, size, must=()):
    answer = client.call("GetPreferredAllocation", container_requests=[
        {"available_deviceIDs": available, "must_include_deviceIDs": must, "allocation_size": size}])
    return list(answer.container_responses[0].deviceIDs)


def play_list(client):
    watch = Watch(client)
    until(lambda: len(watch.health()) == DEVICES * SLOTS, "the list has all slots")
    check(set(watch.health().values()) == {"Healthy"}, "all are healthy")
    ids = list(watch.health())
    uuids = sorted({name.split("::")[0] for name in ids})
    check(ids == [f"{device}::{n}" for device in dict.fromkeys(name.split("::")[0] for name in ids) for n in range(SLOTS)], f"{ids}")
    check(len(uuids) == DEVICES and max(map(len, ids)) < 64, "their names")
    return watch, ids


def play_prefer(client, ids):
    first, second = ids[:SLOTS], ids[SLOTS:]
    check(prefer(client, ids, 2) == first[:2], "pack: one device")
    check(prefer(client, first + second[1:], 1) == second[1:2], "pack: the device in use")
    check(prefer(client, first + second[2:], 3) == first[:3], "pack: the device that can take all")
    check(prefer(client, ids, 2, must=second[3:]) == [second[0], second[3]], "pack: beside what must be")
    check(len(set(prefer(client, ids, DEVICES * SLOTS))) == DEVICES * SLOTS, "all of them")


def play_allocate(machine, client, ids):
    answer = client.call("Allocate", container_requests=[{"devices_ids": [ids[1]]}, {"devices_ids": [ids[SLOTS], ids[2]]}])
    check(len(answer.container_responses) == 2, "an answer for each container")
    one, two = answer.container_responses
    uuids = [ids[0].split("::")[0], ids[SLOTS].split("::")[0]]
    check(dict(one.envs) == {"NVIDIA_VISIBLE_DEVICES": uuids[0], "LD_PRELOAD": "/usr/lib/divvy/libcuda_limiter.so",
                             "DIVVY_TENANT_DIR": "/run/divvy/tenant"}, f"environment {dict(one.envs)}")
    check(two.envs["NVIDIA_VISIBLE_DEVICES"] == ",".join(uuids), "both devices by index")
    mounts = {mount.container_path: (mount.host_path, mount.read_only) for mount in one.mounts}
    check(mounts == {"/usr/lib/divvy": ("/opt/limiter", True),
                     "/run/divvy/tenant": (f"{machine.folder}/slots/{uuids[0]}-1", False)}, f"mounts {mounts}")
    nodes = [(node.container_path, node.host_path, node.permissions) for node in one.devices]
    check(nodes == [(f"/dev/{name}", f"{machine.devices}/{name}", "rw") for name in ("nvidia0", "nvidiactl", "nvidia-uvm")],
          f"only its own device files: {nodes}")
    check([node.container_path for node in two.devices] == [f"/dev/{name}" for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")],
          "those of both devices")
    (machine.folder / "preload").touch()
    more = client.call("Allocate", container_requests=[{"devices_ids": [ids[1]]}]).container_responses[0]
    check({mount.container_path: (mount.host_path, mount.read_only) for mount in more.mounts} ==
          {**mounts, "/etc/ld.so.preload": (f"{machine.folder}/preload", True)}, "the file for the loader, where it is there")
    check(not one.annotations and not one.cdi_devices, "and nothing else")
    return machine.folder / "slots" / f"{uuids[0]}-1"


def tenants(machine):
    folder = machine.folder / "tenants"
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def play_start(machine, client, ids, link):
    kubelet = machine.kubelet
    kubelet.hold("other", "main", ["0"], resource="nvidia.com/gpu")
    # Whose the slots are, the kubelet tells a little later: the start waits.
    waiting = client.methods["PreStartContainer"].future(api.plugin["PreStartContainerRequest"](devices_ids=[ids[1]]), timeout=60)
    time.sleep(0.5)
    check(not waiting.done() and not link.exists(), "a start whose owner is not known waits")
    kubelet.hold("web-0", "main", [ids[1]])
    waiting.result()
    check(link.is_symlink() and link.resolve() == (machine.folder / "tenants" / "prod+web-0").resolve(), "the link leads to the tenant")
    check((link / "control").exists(), "with its control page")
    client.call("PreStartContainer", devices_ids=[ids[1]])  # the container has started anew
    # Both containers of a pod are one tenant, with what all its slots are worth.
    kubelet.hold("db-0", "main", [ids[SLOTS], ids[2]])
    kubelet.hold("odd-0", "main", [ids[0] + "9"])
    client.call("PreStartContainer", devices_ids=[ids[2], ids[SLOTS]])
    check(tenants(machine) == ["prod+db-0", "prod+web-0"], f"{tenants(machine)}")
    check("1 container in the kubelet's list has slots" in machine.log(), "a slot that cannot be is told")


def play_namesake(machine, client, ids):
    """A pod goes, and one of its name comes with more slots, before anybody has tidied up."""
    kubelet = machine.kubelet
    before = machine.limits("prod%2Fweb-0")
    kubelet.held = [pod for pod in kubelet.held if pod["name"] != "web-0"]
    kubelet.hold("web-0", "main", [ids[0], ids[3]])
    client.call("PreStartContainer", devices_ids=[ids[0], ids[3]])
    after = machine.limits("prod%2Fweb-0")
    check(after[0]["memory_limit_bytes"] == 2 * before[0]["memory_limit_bytes"], f"{before} {after}")


def play_unknown(machine, client, ids):
    """Nobody can say whose container it is."""
    machine.kubelet.pods_stop()
    words = hostile.expect(grpc.StatusCode.UNAVAILABLE, lambda: client.call("PreStartContainer", timeout=60, devices_ids=[ids[3]]),
                           "a start of nobody's container")
    check("who holds which devices is not known" in words and "pods.sock" in words, words)
    hostile.expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: client.call("PreStartContainer", timeout=1, devices_ids=[ids[3]]), "an end in time")
    machine.kubelet.pods_start()


def play_lost(machine, client, watch, ids):
    machine.lose(1)
    until(lambda: [watch.health()[name] for name in ids] == ["Healthy"] * SLOTS + ["Unhealthy"] * SLOTS, "the lost device is told")
    hostile.expect(grpc.StatusCode.FAILED_PRECONDITION,
                   lambda: client.call("Allocate", container_requests=[{"devices_ids": [ids[SLOTS + 1]]}]), "a lost device")


def play_restart(machine, client, watch):
    """The kubelet starts anew: without and with an emptied folder, and with a refusal first."""
    kubelet = machine.kubelet
    count = len(kubelet.registrations)
    kubelet.stop()
    until(lambda: "the kubelet is gone" in machine.log(), "the end of the kubelet is seen")
    kubelet.refuse = 1
    kubelet.start()
    registered(machine, count + 2)
    check("not today: 100 %" in machine.log(), "a refusal is told")
    count = len(kubelet.registrations)
    kubelet.stop()
    (kubelet.folder / "divvy.sock").unlink()
    kubelet.start()
    until(lambda: (kubelet.folder / "divvy.sock").exists(), "a socket anew")
    registered(machine, count + 1)
    until(lambda: watch.ended, "the old watch has ended")
    client.close()
    fresh = machine.client()
    again = Watch(fresh)
    until(lambda: len(again.health()) == DEVICES * SLOTS, "the list for the new kubelet")
    # The folder itself goes and comes.
    kubelet.stop()
    count = len(kubelet.registrations)
    until(lambda: folder_gone(kubelet.folder), "the folder is gone")
    time.sleep(0.3)
    kubelet.folder.mkdir()
    kubelet.start()
    registered(machine, count + 1)
    fresh.close()


def play_daemon(machine, ids):
    """The daemon is killed and comes back: the link stays, its socket is taken over, slots that nobody holds any more are given up."""
    kubelet = machine.kubelet
    count = len(kubelet.registrations)
    machine.stop(signal.SIGKILL)
    kubelet.held = [pod for pod in kubelet.held if pod["name"] != "web-0"]
    machine.start("--device-plugin-policy", "spread")
    registered(machine, count + 1)
    client = machine.client()
    until(lambda: len(client.call("GetDevicePluginOptions").ListFields()) == 2, "it serves")
    watch = Watch(client)
    until(lambda: len(watch.health()) == DEVICES * SLOTS, "the list")
    check(prefer(client, ids, 2) == [ids[0], ids[SLOTS]], "spread: two devices")
    check(prefer(client, ids[1:], 1) == [ids[SLOTS]], "spread: the device used least")
    until(lambda: tenants(machine) == ["prod+db-0"], "the tenant of a pod that is gone goes", 50)
    check((machine.folder / "slots" / ids[2].replace("::", "-")).exists(), "the other one's link stays")
    check(not (machine.folder / "slots" / ids[1].replace("::", "-")).is_symlink(), "its link goes as well")
    client.close()


def play_all(machine):
    machine.start()
    until(lambda: "not registered with the kubelet" in machine.log(), "a missing kubelet is told")
    machine.kubelet.pods_start()
    machine.kubelet.start()
    registered(machine, 1)
    client = machine.client()
    check(client.call("GetDevicePluginOptions") == machine.kubelet.registrations[0].options, "options as registered")
    watch, ids = play_list(client)
    play_prefer(client, ids)
    link = play_allocate(machine, client, ids)
    play_start(machine, client, ids, link)
    play_namesake(machine, client, ids)
    play_unknown(machine, client, ids)
    hostile.play(str(machine.kubelet.folder / "divvy.sock"), machine.child.pid, ids)
    play_restart(machine, client, watch)
    play_daemon(machine, ids)
    last = Watch(machine.client())
    until(lambda: len(last.health()) == DEVICES * SLOTS, "the list again")
    play_lost(machine, last.client, last, ids)
    machine.stop()
    check(not (machine.kubelet.folder / "divvy.sock").exists(), "the socket goes with the daemon")


def main():
    machine = Machine(sys.argv[1], sys.argv[2])
    whole(machine, lambda: play_all(machine))


if __name__ == "__main__":
    main()
