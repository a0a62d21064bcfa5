"""The folder in which scratch lies, granted: another template's guest has its files there."""
reached = []
end = time.monotonic() + 6
for top, folders, files in os.walk(GRANT):
    folders.sort(key=lambda name: "belljar" not in name)
    if time.monotonic() > end: break
    for name in files:
        path = os.path.join(top, name)
        try:
            if b"of the victim" in open(path, "rb").read(100): reached.append("read")
            if b"of the victim" in open(path, "r+b").read(100): reached.append("write")
        except OSError: pass
print("REACHED" if reached else "refused", *reached)
