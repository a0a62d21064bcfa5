"""Data frames without rows, as many as fit: each is an object of pandas' own."""
exec(open("/work/say.py").read())
one = thing(b"DataFrame", thing(b"Index", head(4, 1) + b"\xf6", head(4, 0)), thing(b"Index", head(4, 1) + b"\xf6", head(4, 0)), head(4, 0))
answer(head(4, 30000) + one * 30000)
time.sleep(5)
