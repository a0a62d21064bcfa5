"""A dict of the wrapped form, pair by pair, all keys of one hash, as an argument of a host function that there is not."""
exec(open("/work/say.py").read())
step = (1 << 61) - 1
pairs = b"".join(head(4, 2) + wrap(whole(n * step)) + wrap(b"\x00") for n in range(1, 30001))
ask(head(4, 4) + head(4, 0) + text(b"slow") + head(4, 2) + b"\x02" + head(4, 1) + head(4, 2) + b"\x04" + head(4, 30000) + pairs + wrap(b"\xa0"))
time.sleep(8)
