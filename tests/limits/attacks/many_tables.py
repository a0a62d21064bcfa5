"""Data frames without rows, as many as fit: each is an object of pandas' own."""
exec(open("/work/say.py").read())
index = thing(b"Index", head(4, 1) + b"\xf6", thing(b"range", b"\x00", b"\x00", b"\x01"))
one = thing(b"DataFrame", index, index)
answer(head(4, 5000) + one * 5000)
time.sleep(5)
