#!/usr/bin/env python3
"""A client that holds device memory until the worker goes away: holder.py SOCKET MIBIBYTES."""
import socket
import struct
import sys

from frames import ALLOCATE, PING, PRIMARY, Peer

peer = Peer(sys.argv[1])
assert peer.call(PRIMARY, (0,))[0] == 0
for _ in range(int(sys.argv[2]) // 100):
    assert peer.call(ALLOCATE, (100 << 20,))[0] == 0
assert peer.call(PING, (), b"x")[2] == b"x"
# The listening process made the socket; who serves is told by the one that wrote last.
peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
peer.send(__import__("frames").frame(PING))
_, ancillary, _, _ = peer.socket.recvmsg(32, 1024)
pid = next(struct.unpack("iii", data)[0] for level, kind, data in ancillary if kind == socket.SCM_CREDENTIALS)
print(f"holds, served by {pid}", flush=True)
assert peer.is_closed()
