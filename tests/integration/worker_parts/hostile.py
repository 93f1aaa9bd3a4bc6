#!/usr/bin/env python3
"""Clients that break the protocol in every way: hostile.py SOCKET PORT. A good client must not notice."""
import random
import struct
import sys

from frames import ALLOCATE, CONTEXT_SYNC, HELLO, LAUNCH, PING, PRIMARY, Peer, frame, hello, pack, unpack

path = sys.argv[1]
seed = random.randrange(1 << 32)
print(f"seed {seed}")
chance = random.Random(seed)
good = Peer(path)
assert good.call(PRIMARY, (0,))[0] == 0

# What ends the connection.
for bad in (
    frame(PING, magic=b"DVF2"),
    frame(PING, flags=16),
    frame(PING, data=pack(b"not agreed"), flags=8),
    frame(PING, flags=1),
    frame(PING, flags=2),
    frame(PING, status=5),
    frame(PING, reserved=1),
    frame(PING, checksum=1),
    frame(PING, data=b"abc", flags=4, checksum=1),
    frame(PING, length=1 << 31),
    frame(PING, length=2 << 20),
):
    peer = Peer(path)
    peer.send(bad)
    assert peer.is_closed(), bad

# What is answered with an error and goes on.
peer = Peer(path)
assert peer.call(0x7777)[0] == 801
assert peer.call(0xFF, (1, 2))[0] == 801
assert peer.call(HELLO, (0x10000, 32, 4096, 0))[0] == 10002
assert peer.call(ALLOCATE, ())[0] == 10001
assert peer.call(ALLOCATE, (1, 2))[0] == 10001
assert peer.call(ALLOCATE, (1,))[0] == 201
assert peer.call(PRIMARY, (99,))[0] == 101
assert peer.call(PRIMARY, (0,))[0] == 0
assert peer.call(0x23, (12345,))[0] == 201
assert peer.call(0x41)[0] == 10002
assert peer.call(0x40 + 2, (1,))[0] == 400
assert peer.call(PING, (), b"y" * 4096)[2] == b"y" * 4096

# Errors of one-way requests are kept, the first only, and told once.
peer.send(frame(LAUNCH, (777, 1, 1, 1, 1, 1, 1, 0, 0), number=41))
peer.send(frame(LAUNCH, (1,), number=42))
assert peer.call(PING)[0] == 0
status, flags, payload = peer.call(CONTEXT_SYNC)
assert (status, flags & 2, struct.unpack("<Q", payload)[0]) == (400, 2, 41)
assert peer.call(CONTEXT_SYNC)[0] == 0
peer.send(frame(LAUNCH, (1,), number=43))
status, flags, payload = peer.call(CONTEXT_SYNC)
assert (status, struct.unpack("<Q", payload)[0]) == (10001, 43)

# Packed bytes: those that are right come back, packed where that is shorter; those that are not end the connection.
def packing():
    peer = Peer(path, shake=False)
    peer.send(hello(features=2))
    status, _, _, payload = peer.answer()
    assert (status, struct.unpack_from("<4Q", payload)[3]) == (0, 2)
    return peer


peer = packing()
for text in (b"", b"abc", b"q" * 5000, bytes(chance.randrange(256) for _ in range(5000)), b"ab" * 300 + b"c" * 70000):
    peer.send(frame(PING, data=pack(text), flags=8))
    status, flags, _, payload = peer.answer()
    assert status == 0 and (unpack(payload) if flags & 8 else payload) == text
    assert bool(flags & 8) == (len(text) > 255 and len(set(text)) < 100)
peer.send(frame(CONTEXT_SYNC, data=pack(b"x"), flags=8))
assert peer.answer()[0] == 10001


def repeated(count):
    rest = count - 1 - 4 - 15
    return struct.pack("<I", count) + b"\x1fa\1\0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + b"\0"


peer = packing()
peer.send(frame(PING, data=repeated(1 << 20), flags=8))
status, flags, _, payload = peer.answer()
assert status == 0 and flags & 8 and unpack(payload) == b"a" * (1 << 20)
for bad in (b"", b"\0\0\0", struct.pack("<I", 5) + b"\x50hell", struct.pack("<I", 1 << 31) + b"\x50hello", repeated((1 << 20) + 1)):
    peer = packing()
    peer.send(frame(PING, data=bad, flags=8))
    assert peer.is_closed(), bad[:8]

# Attributes of launches: more than there are, more than may be, of nothing.
peer = Peer(path)
assert peer.call(PRIMARY, (0,))[0] == 0
for words, data, wanted in (
    ((777, 1, 1, 1, 1, 1, 1, 0, 0, 1), b"", 1),
    ((777, 1, 1, 1, 1, 1, 1, 0, 0, 17), bytes(17 * 72), 1),
    ((777, 1, 1, 1, 1, 1, 1, 0, 0, 1 << 63), bytes(72), 1),
    ((777, 1, 1, 1, 1, 1, 1, 0, 0, 1), bytes(72), 400),
    ((777, 1), b"", 10001),
):
    peer.send(frame(0x51, words, data))
    assert peer.call(CONTEXT_SYNC)[0] == wanted, words

# Handshakes that cannot be.
for words in ((0x20000, 32, 4096, 0), (0x10000, 64, 4096, 0), (0x10000, 32, 16, 0)):
    peer = Peer(path, shake=False)
    peer.send(frame(HELLO, words))
    assert peer.answer()[0] == 10003
    assert peer.is_closed()
peer = Peer(path, shake=False)
peer.send(frame(PING))
assert peer.answer()[0] == 10002

# A frame that never ends, noise, and bytes of a good conversation that were changed.
peer = Peer(path)
peer.send(frame(PING, length=1000))
peer.socket.close()
for _ in range(20):
    data = bytearray(hello() + frame(PRIMARY, (0,)) + frame(ALLOCATE, (4096,)) + frame(PING, data=b"z" * 50))
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    peer = Peer(path, shake=False)
    try:
        peer.send(bytes(data))
    except OSError:
        pass
    peer.socket.close()

assert good.call(ALLOCATE, (4096,))[0] == 0
assert good.call(CONTEXT_SYNC)[0] == 0
print("hostile clients: nobody noticed")
