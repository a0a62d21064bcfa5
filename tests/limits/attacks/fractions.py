"""Fractions of long numbers: each is brought to its lowest terms by the square of its digits."""
exec(open("/work/say.py").read())
big = lambda k: b"\xc2" + head(2, 8000) + bytes([k]) + b"\xfd" * 7999
answer(head(4, 300) + b"".join(b"\xd8\x1e" + head(4, 2) + big(3 + n % 90) + big(2 + n % 90) for n in range(300)))
time.sleep(5)
