"""Refusals with long names, as many as there is time for: each wants to be a record in the host."""
for n in range(60000):
    libc.open(b"/etc/" + b"%d" % n + b"x" * 3000, 0)
