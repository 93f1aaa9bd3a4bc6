#!/usr/bin/env python3
"""A socket before a worker's that changes one bit of every answer longer than a thousand bytes: flip.py SOCKET OWN-SOCKET"""
import socket
import sys
import threading


def pump(source, sink, flips):
    while data := source.recv(1 << 16):
        if flips and len(data) > 1000:
            data = data[:-10] + bytes([data[-10] ^ 4]) + data[-9:]
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


own = socket.socket(socket.AF_UNIX)
own.bind(sys.argv[2])
own.listen()
print("ready", flush=True)
while True:
    client, _ = own.accept()
    worker = socket.socket(socket.AF_UNIX)
    worker.connect(sys.argv[1])
    threading.Thread(target=pump, args=(client, worker, False), daemon=True).start()
    threading.Thread(target=pump, args=(worker, client, True), daemon=True).start()
