"""Asks for what is refused, without end: each is a record in the audit."""
while True:
    try: open("/etc/shadow")
    except OSError: pass
