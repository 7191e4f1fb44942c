"""A long road to a server on this machine: what comes is passed on after half of the time of a round trip.

    road.py PORT MILLISECONDS     prints its own port

It holds up each piece by itself, as a network does, and not its sender.
"""
import queue
import socket
import sys
import threading
import time

HALF = float(sys.argv[2]) / 2000


def send(pieces, to):
    while True:
        due, data = pieces.get()
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            if not data:
                return to.shutdown(socket.SHUT_WR)
            to.sendall(data)
        except OSError:
            return


def carry(one, to):
    pieces = queue.Queue()
    threading.Thread(target=send, args=(pieces, to), daemon=True).start()
    data = True
    while data:
        try:
            data = one.recv(1 << 16)
        except OSError:
            data = b""
        pieces.put((time.monotonic() + HALF, data))


with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
    print(door.getsockname()[1], flush=True)
    while True:
        near, _ = door.accept()
        far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        for end in near, far:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for one, to in ((near, far), (far, near)):
            threading.Thread(target=carry, args=(one, to), daemon=True).start()
