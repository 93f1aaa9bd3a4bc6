#!/usr/bin/env python3
"""promtool check metrics on what the server says; and what it does not look at: each metric of the table is there."""

import shutil
import subprocess
import sys

import server


def main():
    with server.FakeServer(sys.argv[1], tenants=3) as fake:
        status, headers, text = server.ask(server.UnixConnection(fake.socket), "GET", "/metrics")
    if status != 200 or not headers["Content-Type"].startswith("text/plain; version=0.0.4"):
        print(status, headers["Content-Type"])
        return 1
    names = subprocess.run([sys.argv[1], "--metrics"], capture_output=True, text=True, check=True).stdout.split()
    missing = [name for name in names if f"\n# TYPE {name} " not in text]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if missing or len(lines) != len({line.rsplit(" ", 1)[0] for line in lines}):
        print("missing or twice:", missing)
        return 1
    tool = shutil.which("promtool")
    if not tool:
        print("no promtool here")
        return 77
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    print(checked.stdout + checked.stderr)
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main())
