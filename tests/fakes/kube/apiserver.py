#!/usr/bin/env python3
"""An imitation of a Kubernetes API server, as far as divvyd talks to one: pods are listed in pages and watched over TLS, with resource
versions, bookmarks and 410 Gone; tokens are reviewed; events are taken. And it misbehaves on request: it closes streams, forgets versions,
hangs, lies, floods, answers with errors.

In a test: server = ApiServer(folder); server.set(pod("a")); ... As a program it takes the same calls as lines of JSON, a list
[name, argument...], on standard input and answers a line to each: that is the door for tests in other languages.
"""
import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

HISTORY = 2000  # events that can be watched from; older versions are gone


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def make_authority(folder, name):
    """A CA of its own: name.crt and name.key."""
    path = os.path.join(folder, name)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out", path + ".crt",
            "-days", "2", "-subj", "/CN=" + name)
    return path


def make_certificate(folder, name, authority, subject, server=True, days="2"):
    """A certificate of that CA: name.crt and name.key."""
    path = os.path.join(folder, name)
    with open(path + ".ext", "w", encoding="ascii") as file:
        file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n" if server else "extendedKeyUsage=clientAuth\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out", path + ".csr", "-subj", subject)
    openssl("x509", "-req", "-in", path + ".csr", "-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial", "-days", days,
            "-out", path + ".crt", "-extfile", path + ".ext")
    return path


def pod(name, namespace="default", uid=None, node="node-a", annotations=None, labels=None, **spec):
    """A pod as the API server has it, with what real ones carry about besides."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or "%08x-1111-4222-8333-%012x" % (hash(name) & 0xffffffff, time.monotonic_ns() & 0xffffffffffff),
            "creationTimestamp": "2026-11-28T10:00:00Z",
            "labels": labels or {},
            "annotations": annotations or {},
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}}],
        },
        "spec": dict({"nodeName": node, "containers": [{"name": "main", "image": "x", "resources": {}}]}, **spec),
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


class ApiServer:
    def __init__(self, folder, port=0):
        self.folder = folder
        self.lock = threading.Condition()
        self.pods = {}
        self.version = 1000
        self.log = []  # (version, type, object)
        self.oldest = 1000
        self.snapshots = {}
        self.events = []
        self.reviews = {}  # token: status of its TokenReview
        self.reviewed = []  # tokens, as often as they were asked about
        self.tokens = {"secret-of-the-daemon": "system:serviceaccount:divvy:divvyd"}
        self.streams = set()
        self.connections = set()
        self.bad_answers = 0
        self.generation = 0  # streams of older ones end
        self.fault = None  # what is done instead of answering
        self.requests = []
        self.authority = make_authority(folder, "ca")
        make_certificate(folder, "server", self.authority, "/CN=kube-apiserver")
        make_certificate(folder, "client", self.authority, "/O=system:nodes/CN=divvyd", server=False)
        self.start(port)

    # --- the control door ---------------------------------------------------------------------------------------------------

    def start(self, port=0, certificate="server"):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                outer.answer(self)

            do_POST = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def finish_request(self, request, address):
                # here and not in accept: a client that does not shake hands holds up nobody else
                request.settimeout(20)
                try:
                    request = context.wrap_socket(request, server_side=True)
                    request.settimeout(None)
                    request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    outer.connections.add(request)
                    self.RequestHandlerClass(request, address, self)
                except (OSError, ssl.SSLError, ValueError):
                    pass
                finally:
                    outer.connections.discard(request)

            def handle_error(self, request, address):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.folder, certificate + ".crt"), os.path.join(self.folder, certificate + ".key"))
        context.load_verify_locations(self.authority + ".crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        self.httpd = Server(("127.0.0.1", port), Handler)
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self.port

    def stop(self):
        """Nobody answers any more."""
        self.close_streams()
        self.httpd.shutdown()
        self.httpd.server_close()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def kubeconfig(self, path, user="token", **changes):
        """A kubeconfig for this server: user is token, tokenfile or certificate."""
        authority = base64.b64encode(open(self.authority + ".crt", "rb").read()).decode()
        users = {
            "token": "    token: secret-of-the-daemon\n",
            "tokenfile": "    tokenFile: token\n",
            "certificate": "    client-certificate: %s/client.crt\n    client-key-data: %s\n"
            % (self.folder, base64.b64encode(open(os.path.join(self.folder, "client.key"), "rb").read()).decode()),
        }
        text = (
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: %s\n    server: https://127.0.0.1:%d\n"
            "  name: test\ncontexts:\n- context:\n    cluster: test\n    user: divvyd\n  name: test\ncurrent-context: test\n"
            "preferences: {}\nusers:\n- name: divvyd\n  user:\n%s" % (changes.get("authority", authority), self.port, users[user])
        )
        with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(text)
        return path

    def change(self, kind, thing):
        with self.lock:
            self.version += 1
            thing = json.loads(json.dumps(thing))
            thing["metadata"]["resourceVersion"] = str(self.version)
            key = (thing["metadata"]["namespace"], thing["metadata"]["name"])
            if kind == "DELETED":
                self.pods.pop(key, None)
            else:
                kind = "MODIFIED" if key in self.pods else "ADDED"
                self.pods[key] = thing
            self.log.append((self.version, kind, thing))
            if len(self.log) > HISTORY:
                self.oldest = self.log[-HISTORY - 1][0]
                del self.log[:-HISTORY]
            self.lock.notify_all()
            return self.version

    def set(self, thing):
        return self.change("SET", thing)

    def delete(self, name, namespace="default"):
        with self.lock:
            thing = self.pods.get((namespace, name))
        return self.change("DELETED", thing) if thing else 0

    def forget(self):
        """Older versions are gone: streams end with 410, and so do pages of lists."""
        with self.lock:
            self.oldest = self.version
            self.log.clear()
            self.snapshots.clear()
            self.version += 1
            self.generation += 1
            self.lock.notify_all()

    def bookmark(self):
        with self.lock:
            self.version += 1
            self.log.append((self.version, "BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}}))
            self.lock.notify_all()

    def say(self, kind, thing):
        """An event as it stands, true or not."""
        with self.lock:
            self.version += 1
            self.log.append((self.version, kind, thing))
            self.lock.notify_all()

    def close_streams(self):
        with self.lock:
            self.generation += 1
            self.lock.notify_all()

    def misbehave(self, fault):
        """None; a number: every answer has this status; hang, garbage, flood, nested, halflist, notalist."""
        with self.lock:
            self.fault = fault
            self.generation += 1
            self.lock.notify_all()

    def review(self, token, status):
        self.reviews[token] = status

    def wait_streams(self, count=1, limit=20):
        until = time.monotonic() + limit
        with self.lock:
            while len(self.streams) < count and time.monotonic() < until:
                self.lock.wait(0.05)
            return len(self.streams)

    # --- answers -------------------------------------------------------------------------------------------------------------

    @staticmethod
    def send(handler, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def refuse(self, handler, status, message):
        reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired"}.get(status, "InternalError")
        self.send(handler, status, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                                    "reason": reason, "code": status})

    def user_of(self, handler):
        certificate = handler.connection.getpeercert()
        if certificate:
            return dict(part[0] for part in certificate["subject"]).get("commonName")
        return self.tokens.get(handler.headers.get("Authorization", "").removeprefix("Bearer "))

    def answer(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with self.lock:
            self.requests.append((handler.command, handler.path))
            del self.requests[:-1000]
            fault, generation = self.fault, self.generation
        user = self.user_of(handler)
        if user is None:
            self.refuse(handler, 401, "Unauthorized")
        elif isinstance(fault, int):
            self.bad_answers += 1
            self.refuse(handler, fault, 'pods is forbidden: User "%s" cannot list resource "pods"' % user if fault == 403 else "told to fail")
        elif fault:
            self.misbehave_now(handler, fault, generation)
        elif url.path == "/api/v1/pods" and query.get("watch") in ("1", "true"):
            self.watch(handler, query, generation)
        elif url.path == "/api/v1/pods":
            self.list(handler, query)
        elif url.path.endswith("/events") and handler.command == "POST":
            with self.lock:
                self.events.append(json.loads(body))
                self.lock.notify_all()
            self.send(handler, 201, body)
        elif url.path == "/apis/authentication.k8s.io/v1/tokenreviews" and handler.command == "POST":
            self.token_review(handler, json.loads(body))
        else:
            self.refuse(handler, 404, "the server could not find the requested resource")

    def wait_generation(self, generation):
        with self.lock:
            while self.generation == generation:
                self.lock.wait(0.5)

    def misbehave_now(self, handler, fault, generation):
        handler.close_connection = True
        self.bad_answers += 1
        if fault == "hang":
            self.wait_generation(generation)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        handler.end_headers()
        start = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":['
        if fault == "garbage":
            handler.wfile.write(b"<html>\x00\xff not json" * 50)
        elif fault == "halflist":
            handler.wfile.write(start + b'{"metadata":{"name":"x"')
        elif fault == "notalist":
            handler.wfile.write(b'{"kind":"Status","message":"\\u001b[31mred"}')
        elif fault == "nested":
            handler.wfile.write(start + b"[" * 100000)
        elif fault == "flood":  # one object without end
            handler.wfile.write(start + b'{"metadata":{"annotations":{"a":"')
            for _ in range(4096):
                handler.wfile.write(b"x" * 65536)

    @staticmethod
    def fits(thing, query):
        for part in query.get("fieldSelector", "").split(","):
            if part.startswith("spec.nodeName=") and thing["spec"].get("nodeName") != part.removeprefix("spec.nodeName="):
                return False
        for part in filter(None, query.get("labelSelector", "").split(",")):
            key, _, value = part.partition("=")
            if thing["metadata"].get("labels", {}).get(key) != value:
                return False
        return True

    def list(self, handler, query):
        limit = int(query.get("limit") or 0)
        with self.lock:
            if "continue" in query:
                snapshot = self.snapshots.get(query["continue"])
                if snapshot is None:
                    self.refuse(handler, 410, "The provided continue parameter is too old")
                    return
                version, things = snapshot
            else:
                version = self.version
                things = [thing for _, thing in sorted(self.pods.items()) if self.fits(thing, query)]
            metadata = {"resourceVersion": str(version)}
            if limit and len(things) > limit:
                metadata["continue"] = base64.b64encode(b"%d:%d" % (version, len(self.snapshots))).decode()
                metadata["remainingItemCount"] = len(things) - limit
                self.snapshots[metadata["continue"]] = (version, things[limit:])
                things = things[:limit]
        # as the real one, items of a list have no kind of their own
        things = [{key: value for key, value in thing.items() if key not in ("kind", "apiVersion")} for thing in things]
        self.send(handler, 200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": things})

    def watch(self, handler, query, generation):
        version = int(query.get("resourceVersion") or 0)
        ends = time.monotonic() + float(query.get("timeoutSeconds") or 300)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        me = object()

        def write(kind, thing):
            line = json.dumps({"type": kind, "object": thing}).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

        with self.lock:
            self.streams.add(me)
            self.lock.notify_all()
        try:
            while time.monotonic() < ends:
                with self.lock:
                    if version < self.oldest:
                        news, gone = [], True
                    else:
                        news, gone = [entry for entry in self.log if entry[0] > version], False
                    if not news and not gone:
                        if self.generation != generation:
                            break
                        self.lock.wait(0.5)
                        continue
                if gone:
                    write("ERROR", {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
                                    "message": "too old resource version: %d (%d)" % (version, self.oldest)})
                    break
                for number, kind, thing in news:
                    version = number
                    if kind in ("BOOKMARK", "ERROR", "LIE") or "spec" not in thing or self.fits(thing, query):
                        write("ADDED" if kind == "LIE" else kind, thing)
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            handler.close_connection = True
        finally:
            with self.lock:
                self.streams.discard(me)
                self.lock.notify_all()

    def token_review(self, handler, review):
        with self.lock:
            self.reviewed.append(review["spec"]["token"])
        status = self.reviews.get(review["spec"]["token"], {"authenticated": False, "error": "invalid bearer token"})
        audiences = review["spec"].get("audiences")
        if status.get("authenticated") and audiences and not set(audiences) & set(status.get("audiences", [])):
            status = {"authenticated": False, "error": "token audiences do not fit"}
        self.send(handler, 201, {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": review["spec"],
                                 "status": status})


def identity(namespace, name, uid, account="default"):
    """The status of a good pod's token."""
    return {"authenticated": True, "audiences": ["https://kubernetes.default.svc"],
            "user": {"username": "system:serviceaccount:%s:%s" % (namespace, account), "uid": "5", "groups": ["system:serviceaccounts"],
                     "extra": {"authentication.kubernetes.io/pod-name": [name], "authentication.kubernetes.io/pod-uid": [uid]}}}


def main():
    server = ApiServer(sys.argv[1])
    calls = {name: getattr(server, name) for name in ("set", "delete", "forget", "bookmark", "close_streams", "misbehave", "kubeconfig", "wait_streams")}
    calls["pod"] = lambda name, annotations=None: server.set(pod(name, annotations=annotations))
    calls["count"] = lambda: len(server.pods)
    print(json.dumps(server.port), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(calls[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
