"""A set and a dict of equal hashes as a plain value."""
exec(open("/work/say.py").read())
step = (1 << 61) - 1
answer(head(5, 20000) + b"".join(whole(n * step) + b"\x00" for n in range(1, 20001)))
time.sleep(5)
