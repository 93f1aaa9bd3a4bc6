#!/usr/bin/env python3
"""
The device plugin of a divvyd that follows a cluster:  cluster.py DIVVYD DIVVY-SIM
The kubelet starts a container before the API server has told of its pod; then the folder is the pod's user's, the annotations change what its
slots give, and the tenant goes with the pod.
"""

import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fakes", "kube"))
import device_plugin as base  # pylint: disable=wrong-import-position
import api  # pylint: disable=wrong-import-position
from apiserver import ApiServer, pod  # pylint: disable=wrong-import-position

USER = 4242


def play(machine, server):
    kubelet = machine.kubelet
    kubelet.pods_start()
    kubelet.start()
    machine.start("--backend", "kubernetes", "--kubeconfig", str(machine.folder / "kubeconfig"), "--node", "node-a")
    base.registered(machine, 1)
    client = machine.client()
    _, ids = base.play_list(client)
    base.until(lambda: "in step" in machine.log(), "the cluster is followed")
    kubelet.hold("web-0", "main", ids[:2])
    waiting = client.methods["PreStartContainer"].future(api.plugin["PreStartContainerRequest"](devices_ids=ids[:2]), timeout=60)
    time.sleep(0.5)
    base.check(not waiting.done(), "a start waits for the API server's word")
    thing = pod("web-0", namespace="prod", annotations={"divvy.io/vram-limit": "64Mi"}, securityContext={"runAsUser": USER})
    thing["spec"]["containers"][0]["resources"] = {"limits": {"divvy.io/gpu": "2"}}
    server.set(thing)
    waiting.result()
    folder = machine.folder / "tenants" / "prod+web-0"
    base.check((machine.folder / "slots" / ids[0].replace("::", "-")).resolve() == folder.resolve(), "the link leads to its tenant")
    base.check(folder.stat().st_uid == (USER if os.geteuid() == 0 else os.geteuid()), f"the folder is of user {folder.stat().st_uid}")
    base.until(lambda: machine.limits("prod%2Fweb-0")[0]["memory_limit_bytes"] == 64 << 20, "the annotation changes the memory")
    base.check(machine.limits("prod%2Fweb-0")[0]["compute_percent"] == 50, "the slots give the time")
    server.delete("web-0", "prod")
    kubelet.held = []
    base.until(lambda: base.tenants(machine) == [], "the tenant goes with the pod")
    client.close()
    machine.stop()


def main():
    if os.geteuid() != 0:
        print("skip: only root gives folders to others")
        raise SystemExit(77)
    if not shutil.which("openssl"):
        print("skip: openssl is not installed")
        raise SystemExit(77)
    machine = base.Machine(sys.argv[1], sys.argv[2])
    place = machine.folder / "server"
    place.mkdir()
    server = ApiServer(str(place))
    server.kubeconfig(str(machine.folder / "kubeconfig"))
    base.whole(machine, lambda: play(machine, server))


if __name__ == "__main__":
    main()
