"""Nothing but CPU."""
while True:
    pass
