"""A small XenStore for hosts without Xen: the wire protocol on a unix socket, for the relay, the tools of Debian and tests."""
import socket
import struct
import sys
import threading

DIRECTORY, READ, GET_PERMS, WATCH, UNWATCH, START, END, WRITE, MKDIR, RM, EVENT, ERROR = 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 15, 16


class Store:
    """`domain`: relative paths belong to it, as of a guest's /dev/xen/xenbus."""

    def __init__(self, path, domain=1):
        self.nodes, self.watches, self.domain = {}, [], domain
        self.lock = threading.RLock()
        self.most = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def absolute(self, path):
        return path if path.startswith("/") else "/local/domain/%d/%s" % (self.domain, path)

    def serve(self, connection):
        stream = connection.makefile("rb")
        while True:
            header = stream.read(16)
            if len(header) < 16:
                break
            kind, request, transaction, length = struct.unpack("<4I", header)
            payload = stream.read(length)
            with self.lock:
                try:
                    answer = self.act(connection, kind, payload)
                except KeyError:
                    kind, answer = ERROR, b"ENOENT\0"
                except ValueError:
                    kind, answer = ERROR, b"EINVAL\0"
                connection.sendall(struct.pack("<4I", kind, request, transaction, len(answer)) + answer)
                if kind == WATCH:
                    self.event(connection, *self.watches[-1][1:])
                if kind in (WRITE, RM, MKDIR):
                    self.changed(self.absolute(payload.split(b"\0")[0].decode()))
        with self.lock:
            self.watches = [watch for watch in self.watches if watch[0] is not connection]

    def event(self, connection, path, token):
        payload = path.encode() + b"\0" + token + b"\0"
        connection.sendall(struct.pack("<4I", EVENT, 0, 0, len(payload)) + payload)

    def changed(self, path):
        for connection, prefix, token in list(self.watches):
            if path == prefix or path.startswith(prefix + "/"):
                try:
                    self.event(connection, path, token)
                except OSError:
                    pass

    def act(self, connection, kind, payload):
        words = payload.split(b"\0")
        path = self.absolute(words[0].decode())
        if kind == READ:
            return self.nodes[path]
        if kind == WRITE:
            value = payload.split(b"\0", 1)[1]
            if len(value) > 2000:
                raise ValueError
            self.nodes[path] = value
            self.most = max(self.most, len(self.nodes))
        elif kind == MKDIR:
            self.nodes.setdefault(path, b"")
        elif kind == RM:
            for node in [node for node in self.nodes if node == path or node.startswith(path + "/")]:
                del self.nodes[node]
        elif kind == DIRECTORY:
            prefix = path.rstrip("/") + "/"
            names = sorted({node[len(prefix):].split("/")[0] for node in self.nodes if node.startswith(prefix)})
            return b"".join(name.encode() + b"\0" for name in names)
        elif kind == GET_PERMS:
            return b"n0\0"
        elif kind == WATCH:
            self.watches.append((connection, path, words[1]))
        elif kind == UNWATCH:
            self.watches = [w for w in self.watches if w != (connection, path, words[1])]
        elif kind == START:
            return b"1\0"
        elif kind != END:
            raise ValueError
        return b"OK\0"


if __name__ == "__main__":
    Store(sys.argv[1])
    threading.Event().wait()
