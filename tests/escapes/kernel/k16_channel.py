"""k16: violations of the protocol on the value channel. The host treats the first malformed message as the end of this
guest and of nothing else: the test looks from outside (no crash, no growth, the next guest answers at once)."""

import struct
import time

CHANNEL = 3


def send(*parts):
    for part in parts:
        while part:
            sent = os.write(CHANNEL, part)
            part = part[sent:]


def frame(kind, payload=b"", length=None):
    return struct.pack("<II", len(payload) if length is None else length, kind) + payload


def result(outcome=0, status=0, flags=0, name=b"", value=b"", traceback=b"", text=b"", cbor=b"", displays=0, tail=b""):
    packed = struct.pack("<III", outcome, status, flags)
    for field in (name, value, traceback, text, cbor):
        packed += struct.pack("<I", len(field)) + field
    return frame(64, packed + struct.pack("<I", displays) + tail)


def message(title, *parts, then=None):
    @probe(title)
    def one():
        if control:
            return INFO, "no channel"
        try:
            send(*(part() if callable(part) else part for part in parts))
            if then:
                then()
        except OSError as problem:
            return INFO, str(problem)
        time.sleep(0.05)
        return INFO, "sent"


message("64 KiB of zero bytes", lambda: bytes(1 << 16))
message("64 KiB of 0xff", lambda: b"\xff" * (1 << 16))
message("length 0xffffffff, no body", frame(64, length=0xFFFFFFFF))
message("length 0x7fffffff, one byte", frame(64, b"x", 0x7FFFFFFF))
message("length 64 MiB + 1", frame(64, length=(64 << 20) + 1))
message("length 64 MiB, nothing comes", frame(64, length=64 << 20), then=lambda: time.sleep(0.3))
message("length 0", frame(64))
message("an unknown type", frame(1000, b"x"))
message("type 0", frame(0))
message("type 0xffffffff", frame(0xFFFFFFFF, b"x" * 100))
message("the host's own message back: run", frame(1, b"\0" * 64))
message("the host's own message back: branch", frame(2))
message("the host's own message back: reply", frame(3, struct.pack("<III", 0, 0, 0)))
message("a call that nobody offered", frame(65, struct.pack("<III", 1, 1, 0)))
message("a call with rubbish", frame(65, b"\xff" * 100))
message("a call of 0 bytes", frame(65))
message("half a header, then silence", b"\x01\x02\x03", then=lambda: time.sleep(0.3))
message("half a message, then silence", frame(64, b"abc", 100), then=lambda: time.sleep(0.3))
message("one byte a write (slow loris)", *[bytes([b]) for b in frame(64, bytes(60))])
message("a result that promises more fields than come", frame(64, struct.pack("<IIII", 0, 0, 0, 1000)))
message("a result whose field is 4 GiB long", frame(64, struct.pack("<IIII", 0, 0, 0, 0xFFFFFFFF)))
message("a result with 2^32-1 displays", result(displays=0xFFFFFFFF))
message("a result with a display of 2^32-1 forms", result(displays=1, tail=struct.pack("<I", 0xFFFFFFFF)))
message("a result with a million empty displays", lambda: result(displays=1, tail=struct.pack("<I", 1_000_000) + bytes(8_000_000)))
message("a result with rubbish after it", result(tail=b"rubbish"))
message("a result with an unknown outcome", result(outcome=77))
message("a result with unknown flags", result(flags=0xFFFFFFFF))
message("a result with status 0x80000000", result(outcome=2, status=0x80000000))
message("a forged success: it may say so, it is its own result", result(text=b"'forged'"))
message("two results", result(text=b"1"), result(text=b"2"))
message("2000 results", *[result(text=b"1")] * 2000)
message("an error name that is no text", result(outcome=1, name=b"\xff\xfe", value=b"\xed\xa0\x80", traceback=b"\0\0"))
message("an error name of 1 MiB", lambda: result(outcome=1, name=b"x" * (1 << 20)))
message("a text of 32 MiB", lambda: result(text=b"x" * (32 << 20)))
for title, cbor in (
    ("65,535 nested arrays", b"\x81" * 65535 + b"\x00"),
    ("an array of 2^64-1", b"\x9b" + b"\xff" * 8),
    ("bytes of 2^63", b"\x5b\x80" + bytes(7)),
    ("a map of 2^32", b"\xba\xff\xff\xff\xff"),
    ("an endless string", b"\x7f\x61a"),
    ("text that is no UTF-8", b"\x62\xff\xfe"),
    ("a bignum of 60 KiB", b"\xc2\x59\xf0\x00" + b"\xff" * 61440),
    ("reserved information 28", b"\x1c"),
    ("reserved information 31", b"\x1f"),
    ("a cycle by tags 28 and 29", b"\xd8\x1c\x81\xd8\x1d\x00"),
    ("an unknown tag", b"\xda\xff\xff\xff\xff\x00"),
    ("a lone break", b"\xff"),
    ("two values", b"\x00\x00"),
    ("a surrogate", b"\x63\xed\xa0\x80"),
    ("a map with an array as its key", b"\xa1\x80\x00"),
    ("a half float", b"\xf9\x7e\x00"),
    ("a simple value 255", b"\xf8\xff"),
    ("nothing but a tag", b"\xc1"),
):
    message(f"the value is CBOR with {title}", result(text=b"x", cbor=cbor))


@probe("flood: 20,000 small messages")
def flood():
    if not control:
        send(frame(65, b"\0" * 12) * 20000)
    return INFO, "sent"


@probe("flood of a result that never ends")
def endless():
    while not control:
        os.write(CHANNEL, b"\0" * 65536)
    return INFO, ""


@probe("reads what the host will send")
def steal():
    if not control:
        syscall(45, CHANNEL, ctypes.create_string_buffer(4096), 4096, 0x40, 0, 0)
    return INFO, ""


@probe("shutdown of the channel")
def shut():
    if not control:
        syscall(48, CHANNEL, 2)
        time.sleep(0.1)
    return INFO, ""


@probe("closes the channel and spins")
def close_and_spin():
    if not control:
        os.close(CHANNEL)
        while True:
            pass
    return INFO, ""


@probe("two threads write interleaved halves")
def interleaved():
    import threading

    if not control:
        def halves():
            for _ in range(200):
                for byte in result(text=b"1"):
                    os.write(CHANNEL, bytes([byte]))
        other = threading.Thread(target=halves, daemon=True)
        other.start()
        halves()
    return INFO, ""


@probe("rubbish on the crash pipe")
def crash_pipe():
    if not control:
        for _ in range(15):  # what the pipe holds
            os.write(4, b'Fatal Python error\nFile "\xff\x00' + b"A" * 4000)
        os.kill(os.getpid(), 11)
    return INFO, ""
