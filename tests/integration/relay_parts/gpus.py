"""One simulated machine with two GPUs, a worker for each, a pool for each: machines run on their pool's GPU and on no other."""
import json
import os
import subprocess

from admin import Node
from play import Lines, check, equal, run, wait
from real import BIN, Counter, RealWorker


class GpuWorker(RealWorker):
    """A worker of one GPU of a machine that has two."""

    def __init__(self, folder, index):
        self.path, self.name = "%s/gpu%d" % (folder, index), "gpu%d" % index
        self.log_path = self.path + ".log"
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=folder, DIVVY_SIM_DIR=folder + "/sim", DIVVY_SIM_DEVICES="2",
                                LD_LIBRARY_PATH=os.path.dirname(BIN) + "/lib/simgpu")  # as the driver of this machine
        self.gpu = str(index)
        self.start()

    def launches(self):
        """How much each device has been given to do, by the devices' own records."""
        done = subprocess.run([BIN + "/divvy-sim", "show", "--json"], env=self.environment, capture_output=True, text=True, timeout=20, check=True)
        return [device["launches"] for device in json.loads(done.stdout)["devices"]]


def each_on_its_own(program, folder):
    os.environ.update(DIVVY_SIM_DIR=folder + "/sim", DIVVY_SIM_DEVICES="2")
    workers = [GpuWorker(folder, index) for index in range(2)]
    node = Node(program, folder)
    node.relay.stop()
    at = node.relay.options.index("--worker")
    del node.relay.options[at:at + 2]  # GPUs of the state alone
    node.relay.start()
    try:
        for index, pool in enumerate("AB"):
            node.vm("assign-gpu", "--gpu", "sim", "--gpu-id", str(index), "--pool", pool, "--max-vms", "20", "--worker", workers[index].path)
        gpus = json.loads(node.vm("scan-gpus", "--gpu", "sim", "--json"))["gpus"]
        equal([(g["gpu_id"], g["pool"], g["worker"]) for g in gpus], [(i, "AB"[i], workers[i].path) for i in range(2)], "scanned and assigned")
        check(gpus[0]["uuid"] != gpus[1]["uuid"], "two GPUs: %s" % gpus)
        for i in range(1, 21):
            node.vm("register-vm", "--vm-name", "vm%d" % i, "--pool", "A" if i < 8 else "B", "--socket", "%s/s%d" % (folder, i))
        for mine, other, machines in ((0, 1, range(1, 8)), (1, 0, range(8, 21))):
            before = workers[0].launches()
            for i in machines:
                equal(Lines("%s/s%d" % (folder, i)).add([i], [1]), {"result": [i + 1]}, "machine %d" % i)
            after = workers[0].launches()
            check(after[mine] > before[mine] and after[other] == before[other], "GPU %d alone worked: %s, %s" % (mine, before, after))
        counter = Counter(folder + "/s1")
        counter.send(10)
        equal(counter.counted(), 10, "launches through frames")
        before = workers[0].launches()
        node.vm("set-pool", "vm1", "--pool", "B", "--yes")
        equal(counter.counted(), None, "frames to the GPU of the old pool end")
        before = workers[0].launches()
        counter = Counter(folder + "/s1")
        counter.send(5)
        equal(counter.counted(), 5, "launches on the other GPU")
        after = workers[0].launches()
        check(after[1] > before[1] and after[0] == before[0], "on GPU 1 now: %s, %s" % (before, after))
        counter.close()
        wait(lambda: not json.loads(node.vm("show-connections", "--json"))["connections"], "the connections to end")
    finally:
        node.relay.stop()
        for worker in workers:
            worker.stop()


if __name__ == "__main__":
    run([each_on_its_own])
