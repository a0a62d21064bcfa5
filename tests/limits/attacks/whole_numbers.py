"""Numbers of a million digits, which cost by their square as soon as somebody prints or divides them."""
exec(open("/work/say.py").read())
big = b"\xc2" + head(2, 400000) + b"\xff" * 400000
answer(head(4, 20) + big * 20)
time.sleep(3)
