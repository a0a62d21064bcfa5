"""A tree of two references in each tuple, as a key."""
exec(open("/work/say.py").read())
def shared(value): return b"\xd8\x1c" + value
def again(n): return b"\xd8\x1d" + head(0, n)
parts = [shared(thing(b"tuple", b"\x01", b"\x02"))] + [shared(thing(b"tuple", again(n), again(n))) for n in range(34)]
tree = head(4, 35) + b"".join(parts)
ask(head(4, 4) + head(4, 0) + text(b"slow") + head(4, 2) + tree + head(5, 1) + again(34) + b"\x00" + b"\xa0")
time.sleep(5)
