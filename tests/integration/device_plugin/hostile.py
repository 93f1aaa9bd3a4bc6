"""What no kubelet sends: bytes on the plugin's socket that are not gRPC, or not its end of it."""

import os
import socket
import struct
import time

import grpc

import api

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def frame(kind, flags, stream, body):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + body


def text(value):
    """A length of 7 bits, or 127 and what it is longer than that."""
    size = len(value)
    return (bytes([size]) if size < 127 else bytes([127, size - 127])) + value


def header(name, value):
    """A literal that goes into no table."""
    return b"\0" + text(name) + text(value)


def headers(path, method=b"POST", content=b"application/grpc", more=b""):
    return (header(b":method", method) + header(b":scheme", b"http") + header(b":path", path) + header(b":authority", b"x") +
            header(b"content-type", content) + header(b"te", b"trailers") + more)


OPTIONS = b"/v1beta1.DevicePlugin/GetDevicePluginOptions"
WATCH = b"/v1beta1.DevicePlugin/ListAndWatch"
START = 0x4
END = 0x1
EMPTY = frame(0, END, 1, b"\0\0\0\0\0")


def resets():
    whole = b""
    for stream in range(1, 4001, 2):
        whole += frame(1, START | END, stream, headers(OPTIONS)) + frame(3, 0, stream, struct.pack(">I", 8))
    return whole


INPUTS = {
    "nothing": b"",
    "http/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 5000,
    "half a preface": PREFACE[:11],
    "a frame too long": PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * 70000,
    "an answer for a request": PREFACE + SETTINGS + frame(1, START | END, 2, headers(OPTIONS)),
    "headers that are none": PREFACE + SETTINGS + frame(1, START | END, 1, b"\xff\xff\xff\xff\xff\xff"),
    "get": PREFACE + SETTINGS + frame(1, START | END, 1, headers(OPTIONS, method=b"GET")),
    "json": PREFACE + SETTINGS + frame(1, START, 1, headers(OPTIONS, content=b"application/json")) + EMPTY,
    "no message": PREFACE + SETTINGS + frame(1, START | END, 1, headers(OPTIONS)),
    "half a message": PREFACE + SETTINGS + frame(1, START, 1, headers(OPTIONS)) + frame(0, END, 1, b"\0\0\0\0\x09abc"),
    "two messages": PREFACE + SETTINGS + frame(1, START, 1, headers(OPTIONS)) + frame(0, END, 1, b"\0\0\0\0\0" * 2),
    "compressed": PREFACE + SETTINGS + frame(1, START, 1, headers(OPTIONS)) + frame(0, END, 1, b"\1\0\0\0\0"),
    "a huge message": PREFACE + SETTINGS + frame(1, START, 1, headers(OPTIONS)) + frame(0, 0, 1, b"\0\xff\xff\xff\xff" + b"x" * 1000),
    "a long path": PREFACE + SETTINGS + frame(1, START, 1, headers(b"/" + b"a" * 200)) + EMPTY,
    "calls without end": PREFACE + SETTINGS + b"".join(frame(1, START, stream, headers(OPTIONS)) for stream in range(1, 601, 2)),
    "calls taken back": PREFACE + SETTINGS + resets(),
    "pings": PREFACE + SETTINGS + frame(6, 0, 0, b"12345678") * 5000,
    "settings": PREFACE + SETTINGS * 5000,
    "watches": PREFACE + SETTINGS + b"".join(
        frame(1, START, stream, headers(WATCH)) + frame(0, END, stream, b"\0\0\0\0\0") for stream in range(1, 401, 2)),
}


def send(path, whole, takes=True):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        try:
            client.sendall(whole)
            client.shutdown(socket.SHUT_WR)
            while takes and client.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass


def expect(code, call, what):
    try:
        call()
    except grpc.RpcError as error:
        if error.code() != code:
            raise SystemExit(f"FAIL: {what}: {error.code()} {error.details()}") from None
        if not error.details():
            raise SystemExit(f"FAIL: {what}: no words") from None
        return error.details()
    raise SystemExit(f"FAIL: {what} was taken")


def requests(client, ids):
    """Well-formed gRPC with requests that make no sense; each has a code and words."""
    code = grpc.StatusCode
    wrong = code.INVALID_ARGUMENT
    allocate = "/v1beta1.DevicePlugin/Allocate"
    expect(wrong, lambda: client.raw(allocate, b"\xff" * 40), "bytes that are no message")
    expect(wrong, lambda: client.raw(allocate, b"\x0a\x7f"), "a message cut off")
    expect(wrong, lambda: client.raw(allocate), "Allocate for nobody")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{}]), "Allocate of nothing")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{"devices_ids": ["../../etc"]}]), "a path for an id")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{"devices_ids": [ids[0], ids[0]]}]), "one id twice")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{"devices_ids": [ids[0] + "0"]}]), "a slot too high")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{"devices_ids": ids[:1]}] * 65), "too many containers")
    expect(wrong, lambda: client.call("Allocate", container_requests=[{"devices_ids": [f"{ids[0]}{n}" for n in range(5000)]}]),
           "too many ids")
    for size in (-1, 1 << 30, 5):
        expect(wrong, lambda size=size: client.call("GetPreferredAllocation", container_requests=[
            {"available_deviceIDs": ids[:2], "must_include_deviceIDs": [], "allocation_size": size}]), f"a preference of {size}")
    expect(wrong, lambda: client.call("GetPreferredAllocation", container_requests=[
        {"available_deviceIDs": ids[:2], "must_include_deviceIDs": ids[3:4], "allocation_size": 1}]), "one that is not available")
    expect(wrong, lambda: client.call("PreStartContainer", devices_ids=["x"]), "a start without a slot")
    expect(code.UNIMPLEMENTED, lambda: client.raw("/v1beta1.DevicePlugin/Nothing"), "a method that is none")
    expect(code.UNIMPLEMENTED, lambda: client.raw("/v1beta1.Registration/Register"), "another's method")
    for size in (126, 127, 200):
        expect(code.UNIMPLEMENTED, lambda size=size: client.raw("/" + "a" * size), f"a method's name of {size + 1} bytes")
    expect(code.RESOURCE_EXHAUSTED, lambda: client.raw(allocate, b"x" * (3 << 20)), "three MiB")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def play(path, pid, ids):
    client = api.Client(path)
    before = client.call("GetDevicePluginOptions")
    requests(client, ids)
    count = descriptors(pid)
    for whole in INPUTS.values():
        send(path, whole)
        send(path, whole, takes=False)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for one in silent:
        one.connect(path)
    for one in silent:
        one.close()
    if client.call("GetDevicePluginOptions") != before:
        raise SystemExit("FAIL: the plugin has changed its mind")
    end = time.monotonic() + 20
    while descriptors(pid) > count:
        if time.monotonic() > end:
            raise SystemExit(f"FAIL: {descriptors(pid)} descriptors are open, {count} were")
        time.sleep(0.05)
    client.close()
