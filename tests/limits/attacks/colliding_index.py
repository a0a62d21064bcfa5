"""Rows of a pandas index whose tuples all have one hash."""
exec(open("/work/say.py").read())
step = (1 << 61) - 1
rows = b"".join(thing(b"tuple", whole(n * step)) for n in range(1, 12001))
answer(thing(b"Index", head(4, 1) + b"\xf6", head(4, 12000) + rows))
time.sleep(5)
