"""Enough of the framed protocol for tests, from docs/PROTOCOL.md and not from the code."""
import socket
import struct

HELLO, PING, PRIMARY, CONTEXT_SYNC, ALLOCATE, LAUNCH = 0x01, 0x02, 0x21, 0x24, 0x30, 0x50
HEADER = struct.Struct("<4sHHIiQII")


def frame(op, words=(), data=b"", number=1, magic=b"DVF1", flags=0, length=None, status=0, checksum=0, reserved=0):
    payload = struct.pack(f"<{len(words)}Q", *words) + data
    return HEADER.pack(magic, op, flags, len(payload) if length is None else length, status, number, checksum, reserved) + payload


def hello(version=0x10000, header=32, payload=1 << 20, features=0):
    return frame(HELLO, (version, header, payload, features))


def pack(data):
    """The simplest of packed bytes: one block of the LZ4 format, with literals alone."""
    rest = len(data) - 15
    if rest < 0:
        return struct.pack("<I", len(data)) + bytes([len(data) << 4]) + data
    return struct.pack("<I", len(data)) + b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data


def unpack(packed):
    """Packed bytes, read as the description of the LZ4 block format has it."""
    (length,), at, data = struct.unpack_from("<I", packed), 4, bytearray()

    def more(count):
        nonlocal at
        while count >= 15:
            byte = packed[at]
            at += 1
            count += byte
            if byte < 255:
                break
        return count

    while True:
        token = packed[at]
        at += 1
        literals = more(token >> 4)
        data += packed[at : at + literals]
        at += literals
        if at == len(packed):
            assert len(data) == length
            return bytes(data)
        offset = packed[at] | packed[at + 1] << 8
        at += 2
        for _ in range(more(token & 15) + 4):
            data.append(data[-offset])


class Peer:
    def __init__(self, path, shake=True):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(path)
        if shake:
            self.socket.sendall(hello())
            assert self.answer()[0] == 0

    def send(self, data):
        self.socket.sendall(data)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def answer(self):
        """status, flags, id, payload"""
        magic, _, flags, length, status, number, _, _ = HEADER.unpack(self.exactly(32))
        assert magic == b"DVF1" and flags & 1
        return status, flags, number, self.exactly(length)

    def call(self, op, words=(), data=b"", number=1):
        self.send(frame(op, words, data, number))
        status, flags, back, payload = self.answer()
        assert back == number
        return status, flags, payload

    def is_closed(self):
        try:
            while True:
                self.answer()
        except (ConnectionError, OSError):
            return True
