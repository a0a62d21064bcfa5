"""A dict with keys of one hash, as an argument of a host function that there is not."""
exec(open("/work/say.py").read())
step = (1 << 61) - 1
pairs = b"".join(whole(n * step) + b"\x00" for n in range(1, 30001))
ask(head(4, 4) + head(4, 0) + text(b"slow") + head(4, 1) + head(5, 30000) + pairs + b"\xa0")
time.sleep(8)
