"""Shows results one after the other, to a host whose callback is slow."""
import struct
def ask(n):
    body = b"\x82\x80\x81\x82\x4atext/plain\x41x"
    data = struct.pack("<II", 12 + len(body), 65) + struct.pack("<III", n, 3, len(body)) + body
    os.write(3, data)
for n in range(1, 5): ask(n)
while True: pass
