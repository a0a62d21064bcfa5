"""Zones by their names, each looked for among the host's files."""
exec(open("/work/say.py").read())
answer(head(4, 900) + b"".join(thing(b"ZoneInfo", text(b"No/Such%d" % n), b"\xf6") for n in range(900)))
time.sleep(3)
