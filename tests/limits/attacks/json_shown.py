"""Shown JSON: short text, many elements."""
exec(open("/work/say.py").read())
body = b"[" + b"{}," * 4000000 + b"{}]"
ask(head(4, 2) + head(4, 0) + head(4, 1) + head(4, 2) + head(2, 16) + b"application/json" + head(2, len(body)) + body, 1, 3)
time.sleep(3)
