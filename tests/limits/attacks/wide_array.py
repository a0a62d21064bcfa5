"""An array of texts is as wide as its widest: one long text and a thousand empty ones, eight times in one value."""
exec(open("/work/say.py").read())
one = thing(b"ndarray", text(b"U"), head(4, 1) + head(0, 1000), head(4, 1000) + text(b"w" * 65000) + text(b"") * 999)
answer(head(4, 8) + one * 8)
time.sleep(5)
