#!/usr/bin/env python3
"""Runs docs/RUNBOOK.md: runbook.py RUNBOOK BIN-FOLDER UNITS-FOLDER.

Its `sh` blocks run as they stand, one after the other in one shell, in a namespace where /run and /var/lib are empty; what a `text` block
behind one shows must have come out. Blocks marked `sh host` are only read: the shell must understand them, and what they name of divvy
must be there.
"""
import fnmatch
import os
import re
import signal
import subprocess
import sys
import tempfile

LIMIT_S = 120


def blocks_read(path):
    """[(info, text, first line)]"""
    found, info, lines, begin = [], None, [], 0
    with open(path, encoding="utf-8") as page:
        for number, line in enumerate(page, 1):
            if not line.startswith("```"):
                lines.append(line)
            elif info is None:
                info, lines, begin = line[3:].strip(), [], number
            else:
                found.append((info, "".join(lines), begin))
                info = None
    if info is not None:
        sys.exit("runbook: the block at line %d does not end" % begin)
    return found


def host_check(text, line, binaries, units):
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit("runbook: line %d: %s" % (line, done.stderr))
    for name in re.findall(r"\bdivvy[a-z-]*(?=\.service)", text):
        if not os.path.exists("%s/%s.service" % (units, name)):
            sys.exit("runbook: line %d: there is no unit %s" % (line, name))
    for name in re.findall(r"(?:^|[|&;] *)(divvy[a-z-]*) ", text, re.M):
        if not os.access("%s/%s" % (binaries, name), os.X_OK):
            sys.exit("runbook: line %d: there is no program %s" % (line, name))
    for name in re.findall(r"^(scripts/\S+|bench/\S+)", text, re.M):
        if not os.access(os.path.join(os.path.dirname(units), "..", name), os.X_OK):
            sys.exit("runbook: line %d: there is no %s" % (line, name))


def namespace():
    """How a shell gets a /run and a /var/lib of its own; none: skipped."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            if subprocess.run(words + ["mount", "-t", "tmpfs", "runbook", "/run"], capture_output=True, check=False).returncode == 0:
                return words
        except FileNotFoundError:
            break
    print("skipped: no namespace with an empty /run can be made")
    sys.exit(77)


def output_check(wanted, output, line):
    left = output.splitlines()
    for pattern in wanted.splitlines():
        pattern = re.sub(r"([\[\]])", r"[\1]", pattern).replace("\u2026", "*")
        while left and not fnmatch.fnmatchcase(left[0], pattern):
            left.pop(0)
        if not left:
            sys.exit("runbook: line %d: '%s' did not come out; this did:\n%s" % (line, pattern, output))
        left.pop(0)


def run(blocks, binaries, folder):
    script = "mount -t tmpfs runbook /run && mount -t tmpfs runbook /var/lib\n"
    for number, (_, text, line) in enumerate(blocks):
        # As if typed: one command after the other; the first that fails ends the block, and the test.
        script += "exec >%s/%d 2>&1\nset -e\n%sset +e\n" % (folder, number, text)
    script += "exec >%s/end\necho done\n" % folder
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DIVVY_", "TENSOR_FUSION_", "LD_"))}
    environment.update(PATH=binaries + ":" + os.environ["PATH"], HOME=folder, XDG_RUNTIME_DIR=folder, DIVVY_SIM_DIR=folder + "/sim", LC_ALL="C.UTF-8")
    shell = subprocess.Popen(namespace() + ["bash", "-c", script], env=environment, start_new_session=True)
    try:
        shell.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        try:
            os.killpg(shell.pid, signal.SIGKILL)  # what it left in the background
        except ProcessLookupError:
            pass
        shell.wait()


def outputs(blocks, folder):
    found = []
    for number, (_, text, line) in enumerate(blocks):
        path = "%s/%d" % (folder, number)
        if not os.path.exists(path):
            with open("%s/%d" % (folder, number - 1), encoding="utf-8", errors="replace") as out:
                sys.exit("runbook: the block at line %d did not end well or not in time:\n%s%s" % (blocks[number - 1][2], blocks[number - 1][1], out.read()))
        with open(path, encoding="utf-8", errors="replace") as out:
            found.append(out.read())
    if not os.path.exists(folder + "/end"):
        sys.exit("runbook: the block at line %d did not end well or not in time:\n%s" % (blocks[-1][2], found[-1]))
    return found


def main():
    page, binaries, units = sys.argv[1:]
    all_blocks = blocks_read(page)
    here = [block for block in all_blocks if block[0] == "sh"]
    for info, text, line in all_blocks:
        if info == "sh host":
            host_check(text, line, binaries, units)
        elif info not in ("sh", "text"):
            sys.exit("runbook: line %d: a block is 'sh', 'sh host' or 'text', not '%s'" % (line, info))
    with tempfile.TemporaryDirectory(prefix="divvy-runbook-") as folder:
        run(here, binaries, folder)
        found = dict(zip([line for _, _, line in here], outputs(here, folder)))
    last = None
    for info, text, line in all_blocks:
        if info == "text":
            output_check(text, found[last], line)
        last = line if info == "sh" else None
    print("runbook: %d blocks were run, %d were read" % (len(here), len([b for b in all_blocks if b[0] == "sh host"])))


if __name__ == "__main__":
    main()
