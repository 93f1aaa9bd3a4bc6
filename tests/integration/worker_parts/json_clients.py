#!/usr/bin/env python3
"""Clients of a worker's JSON dialect: json_clients.py PORT SOCKET. Every answer must be right, whatever others do."""
import json
import random
import socket
import sys
import threading

port, path = int(sys.argv[1]), sys.argv[2]
seed = random.randrange(1 << 32)
print(f"seed {seed}")
chance = random.Random(seed)


def connect(kind):
    s = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect(path if kind == "unix" else ("127.0.0.1", port))
    return s


def read_line(s):
    data = b""
    while not data.endswith(b"\n"):
        part = s.recv(65536)
        if not part:
            break
        data += part
    return json.loads(data)


def ask(text, kind="tcp", piece=0, half_close=False):
    with connect(kind) as s:
        data = text.encode() if isinstance(text, str) else text
        for i in range(0, len(data), piece or len(data)):
            s.sendall(data[i : i + (piece or len(data))])
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return read_line(s)


def request(a, b, **more):
    return json.dumps({"operation": "vector_add", "array_a": a, "array_b": b, **more})


def is_error(answer, code):
    assert answer["error"]["code"] == code and "\n" not in answer["error"]["message"], answer


for kind in ("tcp", "unix"):
    assert ask(request([1, 2, 3], [4, 5, 6]), kind) == {"result": [5, 7, 9]}
    assert ask(request([1, 2, 3], [4, 5, 6]), kind, half_close=True) == {"result": [5, 7, 9]}
    assert ask(" \n" + request([1], [2]), kind, piece=1) == {"result": [3]}
    assert ask(request([1.5, -2], [0.25, 2.0], id=["x"]), kind) == {"result": [1.75, 0.0], "id": ["x"]}
    big = [chance.randrange(-(1 << 62), 1 << 62) for _ in range(30000)]
    other = [chance.randrange(-(1 << 62), 1 << 62) for _ in range(30000)]
    assert ask(request(big, other), kind, piece=4096) == {"result": [x + y for x, y in zip(big, other)]}
    is_error(ask(request([1], [1, 2]), kind), 1)
    is_error(ask(request([], []), kind), 9)
    is_error(ask(request([(1 << 63) - 1], [1]), kind), 1)
    is_error(ask(request([1e308], [1e308]), kind), 1)
    is_error(ask(request([1], ["2"]), kind), 1)
    is_error(ask('{"operation": "format_disk"}', kind), 8)
    is_error(ask('{"operation": 7}', kind), 1)
    is_error(ask('{"a":1,"a":2}', kind), 1)
    is_error(ask("{]", kind, half_close=True), 1)
    is_error(ask('{"array_a": [1', kind, half_close=True), 1)
    is_error(ask("GET / HTTP/1.1\r\n\r\n", kind), 1)
    is_error(ask('{"a":' + "[" * 100, kind), 1)
    is_error(ask(b'{"\xff\xfe":1}', kind), 1)

# Many requests on a connection, in order, sent as one.
with connect("tcp") as s:
    s.sendall("\n".join(request([i], [i], id=i) for i in range(50)).encode() + b"\n")
    stream = s.makefile()
    for i in range(50):
        assert json.loads(stream.readline()) == {"result": [2 * i], "id": i}

failures = []


def client(number):
    own = random.Random(seed + number)
    try:
        for _ in range(20):
            a = [own.randrange(1000) for _ in range(own.randrange(1, 50))]
            b = [own.randrange(1000) for _ in a]
            answer = ask(request(a, b, id=number), own.choice(("tcp", "unix")))
            assert answer == {"result": [x + y for x, y in zip(a, b)], "id": number}, answer
    except Exception as failure:  # noqa: BLE001 - told by the main thread
        failures.append(f"client {number}: {failure!r}")


threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit("\n".join(failures))
print("json clients: all answers right")
