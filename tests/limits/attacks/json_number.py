"""Shown JSON: one number of a million digits, or as many nested lists."""
exec(open("/work/say.py").read())
for n, body in enumerate((b"9" * 4000000, b"[" * 900000 + b"]" * 900000), 1):
    ask(head(4, 2) + head(4, 0) + head(4, 1) + head(4, 2) + head(2, 16) + b"application/json" + head(2, len(body)) + body, n, 3)
time.sleep(2)
