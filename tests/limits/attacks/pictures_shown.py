"""Pictures as large as a message may be, one after the other: each is kept, as base64."""
exec(open("/work/say.py").read())
picture = bytes(30 * 1024 * 1024)
for n in range(1, 12):
    ask(head(4, 2) + head(4, 0) + head(4, 1) + head(4, 2) + head(2, 9) + b"image/png" + head(2, len(picture)) + picture, n, 3)
time.sleep(1)
