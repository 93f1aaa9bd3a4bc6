#!/usr/bin/env python3
"""A stand-in for divvyd on a unix socket: fake_divvyd.py SOCKET [MODE]. State in memory, no GPU, no checks of its own.

MODE says how it misbehaves: junk (no HTTP), html (HTTP, no JSON), silent (never answers), error (500 to everything),
large (an answer that never ends), hostile (escape sequences in every text), unready (503 from /readyz).
Every request is written to SOCKET.log, a line each: method, path, body.
"""
import http.server
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.parse

UUID = ["GPU-11111111-1111-1111-1111-111111111110", "GPU-11111111-1111-1111-1111-111111111111"]
path = sys.argv[1]
mode = sys.argv[2] if len(sys.argv) > 2 else ""
lock = threading.Condition()
tenants = {}
events = []
started = time.time()


def event(kind, tenant, text):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.250Z", time.gmtime())
    events.append({"number": len(events) + 1, "time": stamp, "kind": kind, "tenant": tenant, "text": text})
    lock.notify_all()


def device(spec, i):
    index = int(spec["gpu"]) if spec["gpu"].isdigit() else UUID.index(spec["gpu"])
    return {
        "uuid": UUID[index], "index": index, "memory_limit_bytes": spec.get("memory_limit_bytes"),
        "memory_used_bytes": (i + 1) << 30, "memory_peak_bytes": (i + 2) << 30, "refused": 0,
        "compute_percent": spec.get("compute_percent"), "soft": spec.get("soft", False),
        "weight": spec.get("weight", 500), "share_percent": 29.7, "busy_ns": 10**9, "waited_ns": 3400000000,
        "waiting": 1, "launches": 1000, "mode": "leased"}


def add(spec, state="running", processes=1):
    folder = os.path.dirname(path) + "/folder-" + spec["id"].replace("/", "+")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    tenants[spec["id"]] = {
        "id": spec["id"], "state": state, "qos": spec.get("qos", "medium"), "source": "run", "frozen": state == "frozen",
        "owner_uid": os.getuid(), "pod": None, "namespace": None, "container": None, "folder": folder,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 125)), "process_count": processes,
        "devices": [device(d, i) for i, d in enumerate(spec["devices"])]}
    event("tenant-created", spec["id"], "registered")
    return tenants[spec["id"]]


def dirty(value):
    if isinstance(value, str) and not value.startswith(("GPU-", "/", "running", "20")):
        return value + "\x1b[2J\x07"
    if isinstance(value, list):
        return [dirty(v) for v in value]
    if isinstance(value, dict):
        return {k: dirty(v) for k, v in value.items()}
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def send(self, status, value):
        body = b"" if value is None else json.dumps(dirty(value) if mode == "hostile" else value).encode()
        if mode == "html":
            body = b"<html>hello</html>"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status, text):
        self.send(status, {"error": text})

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        with open(path + ".log", "a") as log:
            log.write("%s %s %s\n" % (self.command, self.path, text))
        if mode == "silent":
            time.sleep(60)
        if mode == "error":
            return self.fail(500, "out of order")
        if mode == "large":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" " * (1 << 20))
            except OSError:
                return None
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        body = json.loads(text) if text else None
        with lock:
            return self.route(url.path, query, body)

    def route(self, where, query, body):
        if where == "/readyz":
            return self.send(503 if mode == "unready" else 200, {"status": "ready"})
        if where == "/api/v1/node":
            return self.send(200, {"name": "fakenode", "version": "9.9", "simulated": True, "ready": True,
                                   "pid": os.getpid(), "uptime_seconds": time.time() - started, "socket": path, "devices": len(UUID),
                                   "fail_policy": "open" if mode == "open" else "closed"})
        if where == "/api/v1/node/devices":
            return self.send(200, {"devices": [
                {"uuid": u, "index": i, "model": "Fake GPU", "simulated": True, "healthy": True,
                 "memory_bytes": 17000000000, "memory_used_bytes": 4 << 30, "memory_promised_bytes": 8 << 30,
                 "utilisation_percent": 87.5, "temperature_c": 62, "power_w": None, "tenants": len(tenants)}
                for i, u in enumerate(UUID)]})
        if where == "/api/v1/events":
            after, wait = int(query["after"][0]), float(query.get("wait", ["0"])[0])
            lock.wait_for(lambda: len(events) > after, timeout=wait)
            return self.send(200, {"events": [e for e in events if e["number"] > after][:100], "last": len(events)})
        if where == "/api/v1/tenants" and self.command == "GET":
            return self.send(200, {"tenants": list(tenants.values())})
        if where == "/api/v1/tenants" and self.command == "POST":
            if body["id"] in tenants:
                return self.fail(409, "the name '%s' is in use" % body["id"])
            if body["devices"][0].get("memory_limit_bytes", 0) > 17000000000 - (8 << 30):
                return self.fail(422, "only 8 GiB are left to promise")
            return self.send(201, add(body, processes=2 if body["id"] == "busy" else 0))
        match = re.fullmatch(r"/api/v1/tenants/([^/]+)(?:/(freeze|thaw|snapshot|resume))?", where)
        if not match:
            return self.fail(404, "no such path")
        name = urllib.parse.unquote(match[1])
        if name not in tenants:
            return self.fail(404, "there is no tenant '%s'" % name)
        if name == "foreign" and self.command != "GET":
            return self.fail(403, "tenant 'foreign' belongs to another user")
        return self.tenant(tenants[name], match[2], query, body)

    def tenant(self, tenant, verb, query, body):
        if self.command == "GET":
            return self.send(200, tenant)
        if self.command == "DELETE":
            if tenant["process_count"] and "force" not in query:
                return self.fail(409, "it has %d processes" % tenant["process_count"])
            del tenants[tenant["id"]]
            event("tenant-removed", tenant["id"], "removed")
            return self.send(204, None)
        if self.command == "PATCH":
            if body.get("compute_percent") == 99:
                return self.fail(422, "99 is more than there is")
            if "qos" in body:
                tenant["qos"] = body["qos"]
            for dev in tenant["devices"]:
                if body.get("gpu", dev["uuid"]) in (dev["uuid"], str(dev["index"])):
                    dev.update({k: v for k, v in body.items() if k not in ("gpu", "qos")})
            event("tenant-changed", tenant["id"], json.dumps(body))
        elif verb == "snapshot" and tenant["id"] == "web":
            return self.fail(501, "the driver cannot save device memory")
        else:
            tenant["state"] = {"freeze": "frozen", "thaw": "running", "snapshot": "saved", "resume": "running"}[verb]
            tenant["frozen"] = tenant["state"] == "frozen"
            event("tenant-" + tenant["state"], tenant["id"], verb)
        return self.send(200, tenant)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


if os.path.exists(path):
    os.unlink(path)
if mode == "junk":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        peer, _ = listener.accept()
        try:
            peer.recv(65536)
            peer.sendall(b"220 mail.example ESMTP\r\n")
        except OSError:
            pass
        peer.close()
with lock:
    if mode != "empty":
        add({"id": "train", "devices": [{"gpu": UUID[0], "memory_limit_bytes": 8 << 30, "compute_percent": 30}]})
        add({"id": "web", "qos": "high", "devices": [{"gpu": "0"}, {"gpu": "1", "compute_percent": 50, "soft": True}]})
        add({"id": "shop/backend-7d4b9c/main", "devices": [{"gpu": "1", "memory_limit_bytes": 3 << 30}]}, "idle", 0)
        add({"id": "foreign", "devices": [{"gpu": "1"}]}, "frozen", 2)
Server(path, Handler).serve_forever()
