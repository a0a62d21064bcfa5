"""Results shown by the thousand, each with as many forms as there may be."""
exec(open("/work/say.py").read())
forms = b"".join(head(4, 2) + head(2, 10) + b"x/%08d" % n + head(2, 4) + b"text" for n in range(30))
def drain():
    while os.read(3, 65536): pass
native_thread(drain)  # the answers
for n in range(1, 20001):
    send(call(head(4, 2) + head(4, 0) + head(4, 30) + forms, n, 3))
time.sleep(1)
