"""Dates of a zone each: every name is looked up among the host's files."""
exec(open("/work/say.py").read())
answer(head(4, 50000) + b"".join(b"\xc0" + text(b"2024-01-01T00:00:00.%06dZ" % (n % 1000000)) for n in range(50000)))
time.sleep(3)
