"""Keywords in number, each a new name that is kept."""
exec(open("/work/say.py").read())
names = b"".join(text(b"k%d" % n) + b"\x00" for n in range(200000))
for n in range(1, 6):
    ask(head(4, 4) + head(4, 0) + text(b"slow") + head(4, 0) + head(5, 200000) + names, n)
time.sleep(3)
