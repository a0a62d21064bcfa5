"""Between two looks: open files first, then all threads write at once."""
files = [open(f"/work/f{n}", "wb", 0) for n in range(60)]
block = bytes(4 * MIB)
go = threading.Event()
def pour(own):
    go.wait()
    for file in own:
        try: file.write(block)
        except OSError: pass
for n in range(4): native_thread(lambda n=n: pour(files[n::4]))
time.sleep(0.1)
go.set()
time.sleep(0.6)
