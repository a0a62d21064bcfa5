"""A file system that answers for "fast", never for "hang", and never whether somebody may read "asked": python3 fuse_fs.py DIRECTORY mounts it there, says so, and serves until killed."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, ACCESS, INTERRUPT, BATCH_FORGET = (
    1,
    2,
    3,
    14,
    15,
    17,
    18,
    25,
    26,
    34,
    36,
    42,
)
TEXT = b"hello"
HANGS = 3  # the node of "hang"
ASKED = 4  # and that of "asked"
CHANGES = {b"fast": 2, b"hang": HANGS, b"asked": ASKED}


def attributes(node: int) -> bytes:
    mode, size = (0o40755, 0) if node == 1 else (0o100644, len(TEXT))
    return struct.pack("<6Q3I7I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def reply(opcode: int, node: int, rest: bytes) -> tuple[int, bytes] | None:
    """errno and bytes, or None: never."""
    if opcode == INIT:
        return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 4096, 0, 8, 8, 4096, 1, 1, 0, 0, *[0] * 7)
    if opcode == LOOKUP:
        name = rest.rstrip(b"\0")
        if name == b"hang":
            return None
        if name not in CHANGES:
            return 2, b""
        return 0, struct.pack("<4Q2I", CHANGES[name], 0, 0, 0, 0, 0) + attributes(CHANGES[name])
    if opcode == GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + attributes(node)
    if opcode == STATFS:
        return 0, struct.pack("<5Q4I6I", 100, 100, 100, 100, 100, 4096, 255, 4096, 0, *[0] * 6)
    if opcode == OPEN:
        return 0, struct.pack("<QII", 0, 0, 0)
    if opcode == READ:
        offset = struct.unpack_from("<Q", rest, 8)[0]
        return 0, TEXT[offset:]
    if opcode == ACCESS and node == ASKED:
        return None
    return (0, b"") if opcode in (RELEASE, FLUSH) else (38, b"")


def main(directory: str) -> None:
    fd = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"belljar-test", directory.encode(), b"fuse", 0, options) < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    print("mounted", flush=True)
    while True:
        request = os.read(fd, 1 << 17)
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (FORGET, INTERRUPT, BATCH_FORGET):
            continue
        answer = reply(opcode, node, request[40:])
        if answer is not None:
            os.write(fd, struct.pack("<IiQ", 16 + len(answer[1]), -answer[0], unique) + answer[1])


if __name__ == "__main__":
    main(sys.argv[1])
