"""Client, relay and worker as they are built, on the simulated GPU: JSON, frames, two machines at once, a worker that is killed."""
import os
import signal
import subprocess
import threading

from play import LIMIT_S, Lines, Relay, check, equal, run, wait

BIN = os.environ["DIVVY_BIN"]


class RealWorker:
    def __init__(self, folder):
        self.path = folder + "/worker"
        self.log = open(folder + "/worker.log", "ab")
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder, DIVVY_SIM_DIR=folder + "/sim")
        self.process = subprocess.Popen([BIN + "/divvy-worker", "--socket", self.path, "--gpu", "sim", "--no-daemon"],
                                        stdout=self.log, stderr=self.log, env=environment)
        wait(lambda: os.path.exists(self.path) or self.process.poll() is not None, "the worker")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(LIMIT_S)
        self.log.close()


def client(socket_path, *words):
    return subprocess.run([BIN + "/divvy-client", "-w", "unix:" + socket_path] + list(words), capture_output=True, text=True,
                          timeout=60, check=False)


def end_to_end(program, folder):
    worker = RealWorker(folder)
    relay = Relay(program, folder, "--worker", folder + "/worker", "--vm", "A=" + folder + "/a", "--vm", "B=" + folder + "/b")
    try:
        equal(Lines(folder + "/a").add([1, 2, 3], [4, 5, 6]), {"result": [5, 7, 9]}, "JSON through both")
        done = client(folder + "/a", "vector-add", "1,2,3", "4,5,6")
        check(done.returncode == 0 and "[5, 7, 9]" in done.stdout, "divvy-client vector-add: %s%s" % (done.stdout, done.stderr))
        done = client(folder + "/a", "saxpy", "5000")
        equal(done.returncode, 0, "divvy-client saxpy through frames: %s%s" % (done.stdout, done.stderr))
        done = client(folder + "/b", "bandwidth", "8MiB")
        equal(done.returncode, 0, "divvy-client bandwidth: %s%s" % (done.stdout, done.stderr))
        faults = []

        def many(path, base):
            try:
                vm = Lines(path)
                for i in range(100):
                    equal(vm.add([base, i], [i, 1], id=i), {"result": [base + i, i + 1], "id": i}, "answer")
            except Exception as fault:
                faults.append(fault)

        threads = [threading.Thread(target=many, args=(folder + path, base)) for path, base in (("/a", 100000), ("/b", 900000))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        check(not faults, "two machines at once: %s" % faults)
        worker.end(signal.SIGKILL)
        vm = Lines(folder + "/a")
        # The process that served this machine goes with its parent, but not at the same moment.
        wait(lambda: vm.add([1], [1]).get("error", {}).get("code") == 3, "error 3 without a worker")
        check(client(folder + "/a", "saxpy", "100").returncode == 1, "frames without a worker")
        worker = RealWorker(folder)
        wait(lambda: "result" in vm.add([2], [2]), "the new worker")
        equal(client(folder + "/b", "vector-add", "7", "8").returncode, 0, "divvy-client with the new worker")
        relay.stop()
    finally:
        if relay.process.poll() is None:
            relay.kill()
        if worker.process.poll() is None:
            worker.end()


if __name__ == "__main__":
    run([end_to_end])
