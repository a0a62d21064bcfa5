"""Output as fast as it goes, and no end."""
block = b"x" * 1000 + b"\n"
while True:
    os.write(1, block)
