"""A tree of two references in each list, as a key of the wrapped form."""
exec(open("/work/say.py").read())
def shared(value): return b"\xd8\x1c" + value
def again(n): return b"\xd8\x1d" + head(0, n)
parts = [shared(thing(b"tuple", b"\x01", b"\x02"))] + [shared(thing(b"tuple", again(n), again(n))) for n in range(34)]
first = wrap(head(4, 35) + b"".join(parts))
pairs = head(4, 2) + b"\x04" + head(4, 2) + head(4, 2) + wrap(b"\x00") + first + head(4, 2) + wrap(again(34)) + wrap(b"\x00")
ask(head(4, 4) + head(4, 0) + text(b"slow") + head(4, 2) + b"\x02" + head(4, 1) + pairs + wrap(b"\xa0"))
time.sleep(5)
