"""The peers without a sandbox: a Python that has imported the same modules, forks, runs one snippet, and is gone.

    plain_fork.py park MODULES           answers each byte on stdin's socket with the socket of a parked, warmed child
    plain_fork.py loop MODULES SECONDS   forks, runs and reaps as fast as it can; prints how many

Run by bench.py with `python3 -I`. MODULES are separated by commas."""

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import time


def answer(code: bytes) -> bytes:
    """What the guest's runner does with a message, without anything around it."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    return repr(eval(compile(code, "<code>", "eval"), namespace)).encode()


def park() -> None:
    control = socket.socket(fileno=0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while control.recv(1):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.fork() == 0:
            control.close()
            theirs.close()
            answer(b"1 + 1")  # its pages are private already
            ours.sendall(b"!")
            ours.sendall(answer(ours.recv(65536)))
            os._exit(0)
        ours.close()
        socket.send_fds(control, [b"+"], [theirs.fileno()])
        theirs.close()


def loop(seconds: float) -> None:
    count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, answer(b"1+1"))
            os._exit(0)
        os.close(writer)
        assert os.read(reader, 64) == b"2"
        os.close(reader)
        os.waitpid(child, 0)
        count += 1
    print(count)


for name in sys.argv[2].split(","):
    with contextlib.suppress(Exception):  # belljar's own modules are not here
        importlib.import_module(name)
gc.collect()
gc.freeze()
if sys.argv[1] == "park":
    park()
else:
    loop(float(sys.argv[3]))
