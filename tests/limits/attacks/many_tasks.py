"""Calls of an async function whose answers nobody waits for."""
exec(open("/work/say.py").read())
message = head(4, 4) + head(4, 0) + text(b"slow") + head(4, 0) + b"\xa0"
batch = b""
for n in range(1, 100001):
    batch += call(message, n)
    if n % 1000 == 0: send(batch); batch = b""
time.sleep(0.5)
