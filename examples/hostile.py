"""Tries the obvious things and shows what it got: for `belljar run` only, as it kills what it can."""

import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading

if os.path.exists("/bin/sh"):  # there is none in the jar
    sys.exit("this script means it: run it as `belljar run examples/hostile.py`")


def attempt(title, do, note=""):
    """One row: what was tried and what came of it."""
    try:
        got = f"GOT {do()!r} {note}"
    except BaseException as problem:  # MemoryError, KeyboardInterrupt and the like as well
        message = str(problem).partition("; remedy: ")
        got = f"{type(problem).__name__}{': ' if message[0] else ''}{message[0]}{')' if message[1] else ''}"
    print(f"{title:34} {got.strip().splitlines()[0]}", flush=True)


def read(path):
    with open(path, "rb") as file:
        return file.read(60)


def write(path):
    with open(path, "wb") as file:
        return file.write(b"gotcha")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        return sock.connect(address)


def linked(target):
    os.symlink(target, "innocent.txt")
    try:
        return read("innocent.txt")
    finally:
        os.unlink("innocent.txt")


# Files
attempt("read the password file", lambda: read("/etc/shadow"))
attempt("list the user's home", lambda: os.listdir("/root") + os.listdir("/home"))
attempt("climb out with ..", lambda: read("../../../../../../etc/hostname"), "(the jar's own name)")
attempt("climb out through /proc/self/root", lambda: read("/proc/self/root/etc/shadow"))
attempt("follow a link of its own making", lambda: linked("/etc/shadow"))
attempt("read the environment of others", lambda: read("/proc/1/environ"))
attempt("overwrite a system program", lambda: write("/usr/bin/python3"))
attempt("plant a start-up file", lambda: write(os.path.expanduser("~/../.bashrc")))
attempt("open a disk", lambda: read("/dev/sda"))

# Network
attempt("connect to a server", lambda: connect(socket.AF_INET, ("192.0.2.1", 80)))
attempt("ask a name server", lambda: socket.getaddrinfo("example.org", 80))
attempt("talk to the container engine", lambda: connect(socket.AF_UNIX, "/var/run/docker.sock"))

# Processes
attempt("start a shell", lambda: subprocess.run(["/bin/sh", "-c", "id"], capture_output=True).stdout)
attempt("fork", os.fork)
attempt("become another program", lambda: os.execv("/bin/sh", ["sh"]))
attempt("kill its parent", lambda: os.kill(os.getppid(), signal.SIGKILL))
attempt("kill everything", lambda: os.kill(-1, signal.SIGKILL))

attempt("become root", lambda: os.setuid(0))
attempt("raise its own limits", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)))
attempt("make memory executable", lambda: mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_EXEC | mmap.PROT_WRITE))

# Resources
attempt("take 100 GB of memory", lambda: len(bytearray(10**11)))
attempt("start 10,000 threads", lambda: [threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range(10_000)])
attempt("write to the descriptors it finds", lambda: [os.write(fd, b"") for fd in range(5, 64)])

print(f"\nand yet, an ordinary program: {sum(n * n for n in range(10))} by Python {sys.version_info.major}, "
      f"{len(os.listdir('.'))} files in {os.getcwd()}")
sys.stdout.flush()
os._exit(0)  # the threads that were started still wait
