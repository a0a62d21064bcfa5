"""A file system that does not answer, spoken by hand to /dev/fuse: in its folder "quick" is a file that can be opened but not
read, and every other name is looked up without end. Needs a root that may mount."""

from __future__ import annotations

import ctypes
import os
import struct
import threading

HEAD = struct.Struct("<IIQQIIII")
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, INTERRUPT, BATCH_FORGET = (
    1,
    2,
    3,
    14,
    15,
    18,
    25,
    26,
    27,
    36,
    42,
)
STATFS = 17
DIRECTORY, FILE = 0o40755, 0o100644
EIO, ENOSYS = 5, 38
libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """What this machine lacks for it; "" if nothing."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "a root with /dev/fuse is needed"
    status = open("/proc/self/status").read()
    if not int(status.partition("CapEff:")[2].split()[0], 16) & 1 << 21:
        return "this root may not mount"
    return ""


def attributes(node: int, mode: int, size: int) -> bytes:
    return struct.pack("<6Q10I", node, size, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class Hanging:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> Hanging:
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"hanging", self.folder.encode(), b"fuse", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.held: list[int] = []
        self.is_over = False
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self) -> None:
        while not self.is_over:
            try:
                request = os.read(self.fd, 1 << 17)
            except OSError:
                return
            _, kind, unique, node, *_ = HEAD.unpack_from(request)
            name = request[HEAD.size :].rstrip(b"\0")
            if kind == INIT:
                self.answer(unique, struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 8, 8, 65536, 1, 0, 0, *[0] * 8))
            elif kind == GETATTR:
                self.answer(unique, struct.pack("<QII", 3600, 0, 0) + self.about(node))
            elif kind == LOOKUP and name == b"quick":
                self.answer(unique, struct.pack("<4Q2I", 2, 1, 3600, 3600, 0, 0) + self.about(2))
            elif kind in (OPEN, OPENDIR):
                self.answer(unique, struct.pack("<QII", 1, 0, 0))
            elif kind == STATFS:
                self.answer(unique, struct.pack("<5Q10I", 100, 50, 50, 10, 10, 4096, 255, 4096, *[0] * 7))
            elif kind in (LOOKUP, READ):
                self.held.append(unique)
            elif kind in (FLUSH, RELEASE):
                self.answer(unique, b"")
            elif kind not in (FORGET, INTERRUPT, BATCH_FORGET):
                self.answer(unique, b"", ENOSYS)

    @staticmethod
    def about(node: int) -> bytes:
        return attributes(node, DIRECTORY, 4096) if node == 1 else attributes(node, FILE, 1 << 20)

    def answer(self, unique: int, data: bytes, error: int = 0) -> None:
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except OSError:
            pass

    def release(self) -> None:
        """All that waits is answered with an error, and from now on everything fails."""
        if not self.is_over:
            self.is_over = True
            libc.umount2(self.folder.encode(), 2 | 1)  # MNT_DETACH, MNT_FORCE: aborts what waits
            for unique in self.held:
                self.answer(unique, b"", EIO)

    def __exit__(self, *_: object) -> None:
        self.release()
        os.close(self.fd)
