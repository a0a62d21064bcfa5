"""Not an attack: how a guest speaks on its channel by itself. Handed to the others as /work/say.py."""
import os, struct
def head(major, n):
    for code, size, top in ((24, 1, 1 << 8), (25, 2, 1 << 16), (26, 4, 1 << 32), (27, 8, 1 << 64)):
        if n < 24: return bytes([major << 5 | n])
        if n < top: return bytes([major << 5 | code]) + n.to_bytes(size, "big")
def text(s): return head(3, len(s)) + s
def whole(n): return head(0, n) if n < 1 << 64 else b"\xc2" + head(2, (n.bit_length() + 7) // 8) + n.to_bytes((n.bit_length() + 7) // 8, "big")
def thing(name, *parts): return b"\xd8\x1b" + head(4, 1 + len(parts)) + text(name) + b"".join(parts)
def send(data):
    view = memoryview(data)
    while view: view = view[os.write(3, view):]
def frame(kind, payload): return struct.pack("<II", len(payload), kind) + payload
def call(cbor, number=1, kind=1): return frame(65, struct.pack("<III", number, kind, len(cbor)) + cbor)
def ask(cbor, number=1, kind=1): send(call(cbor, number, kind))
def answer(cbor):
    fields = b"".join(struct.pack("<I", len(f)) + f for f in (b"", b"", b"", b"", cbor))
    send(frame(64, struct.pack("<III", 0, 0, 0) + fields + struct.pack("<I", 0)))
