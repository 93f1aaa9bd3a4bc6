"""A small XenStore for hosts without Xen: the wire protocol on a unix socket, for the relay, the tools of Debian and tests."""
import socket
import struct
import sys
import threading

DIRECTORY, READ, GET_PERMS, WATCH, UNWATCH, START, END, WRITE, MKDIR, RM, EVENT, ERROR = 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 15, 16


class Store:
    """`domain`: relative paths belong to it, as of a guest's /dev/xen/xenbus. `conflicts`: so many transactions are refused."""

    def __init__(self, path, domain=1):
        self.nodes, self.watches = {}, []
        self.transactions, self.started, self.conflicts = {}, 0, 0
        self.lock = threading.RLock()
        self.most, self.committed = 0, []
        self.listen(path, domain)

    def listen(self, path, domain):
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(16)
        threading.Thread(target=self.accept, args=(server, domain), daemon=True).start()

    def accept(self, server, domain):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self.serve, args=(connection, domain), daemon=True).start()

    def serve(self, connection, domain):
        def absolute(path):
            return path if path.startswith("/") else "/local/domain/%d/%s" % (domain, path)

        stream = connection.makefile("rb")
        try:
            self.answer_all(connection, stream, absolute)
        except OSError:
            pass  # killed
        with self.lock:
            self.transactions = {number: view for number, view in self.transactions.items() if view.connection is not connection}
            self.watches = [watch for watch in self.watches if watch[0] is not connection]

    def answer_all(self, connection, stream, absolute):
        while True:
            header = stream.read(16)
            if len(header) < 16:
                break
            kind, request, transaction, length = struct.unpack("<4I", header)
            payload = stream.read(length)
            with self.lock:
                try:
                    answer = self.act(connection, kind, payload, transaction, absolute)
                except Conflict:
                    kind, answer = ERROR, b"EAGAIN\0"
                except KeyError:
                    kind, answer = ERROR, b"ENOENT\0"
                except ValueError:
                    kind, answer = ERROR, b"EINVAL\0"
                connection.sendall(struct.pack("<4I", kind, request, transaction, len(answer)) + answer)
                if kind == WATCH:
                    self.event(connection, *self.watches[-1][1:])
                if kind in (WRITE, RM, MKDIR) and not transaction:
                    self.changed(absolute(payload.split(b"\0")[0].decode()))
                for path in self.committed:
                    self.changed(path)
                self.committed = []

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

    def act(self, connection, kind, payload, transaction, absolute):
        words = payload.split(b"\0")
        path = absolute(words[0].decode())
        if kind == END:
            view = self.transactions.pop(transaction)
            if words[0] == b"T":
                self.commit(view)
            return b"OK\0"
        view = self.transactions[transaction] if transaction else None
        nodes = view.nodes if view else self.nodes
        if view:
            view.paths.append(path)
        if kind == READ:
            return nodes[path]
        if kind in (WRITE, MKDIR, RM):
            self.change(nodes, kind, path, payload.split(b"\0", 1)[1])
            if view:
                view.changes.append((kind, path, payload.split(b"\0", 1)[1]))
            self.most = max(self.most, len(self.nodes))
        elif kind == DIRECTORY:
            prefix = path.rstrip("/") + "/"
            names = sorted({node[len(prefix):].split("/")[0] for node in nodes if node.startswith(prefix)})
            return b"".join(name.encode() + b"\0" for name in names)
        elif kind == GET_PERMS:
            return b"n0\0"
        elif kind == WATCH:
            self.watches.append((connection, path, words[1]))
        elif kind == UNWATCH:
            self.watches = [w for w in self.watches if w != (connection, path, words[1])]
        elif kind == START:
            self.started += 1
            self.transactions[self.started] = View(connection, self.nodes)
            return b"%d\0" % self.started
        else:
            raise ValueError
        return b"OK\0"

    def change(self, nodes, kind, path, value):
        if kind == RM:
            for node in [node for node in nodes if node == path or node.startswith(path + "/")]:
                del nodes[node]
            return
        if len(value) > 2000:
            raise ValueError
        parent = path.rpartition("/")[0]
        while kind == WRITE and parent and parent not in nodes and "/gpu/" in parent:
            nodes[parent] = b""
            parent = parent.rpartition("/")[0]
        if kind == WRITE or path not in nodes:
            nodes[path] = value if kind == WRITE else b""

    def remove(self, domain):
        """As when a domain is destroyed."""
        with self.lock:
            self.change(self.nodes, RM, "/local/domain/%d" % domain, b"")
            self.changed("/local/domain/%d" % domain)

    def commit(self, view):
        """Refused when somebody else changed what the transaction looked at."""
        if any(self.nodes.get(path) != view.before.get(path) for path in view.paths) or self.conflicts > 0:
            self.conflicts = max(0, self.conflicts - 1)
            raise Conflict
        for kind, path, value in view.changes:
            self.change(self.nodes, kind, path, value)
            self.committed.append(path)


class View:
    """A transaction: the nodes as it sees them."""

    def __init__(self, connection, nodes):
        self.connection, self.before, self.nodes, self.paths, self.changes = connection, dict(nodes), dict(nodes), [], []


class Conflict(Exception):
    pass


if __name__ == "__main__":
    Store(sys.argv[1])
    threading.Event().wait()
