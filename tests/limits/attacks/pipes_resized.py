"""Pipes made small, as many as there may be, and made large again once they were counted; filled before and after. Says how much
of the kernel's memory they hold at the same time, a page as a page."""
import fcntl
SET, GET = 1031, 1032
def fill(w):
    os.set_blocking(w, False)
    got = 0
    try:
        while got < 64 * MIB:
            got += os.write(w, bytes(4096))
    except OSError:
        pass
    return got
total, kept = 0, []
while len(kept) < 2000:
    try:
        r, w = os.pipe()
    except OSError:
        break
    fcntl.fcntl(w, SET, 4096)
    total += fill(w)
    if len(kept) % 3 == 0:
        os.close(r) # nobody reads it any more: its buffers stay as long as w
    kept.append((r, w))
for n, (r, w) in enumerate(kept):
    for end in (w, r):
        for size in (65536, 65537, 65536 | 1 << 33, 1 << 31, 1 << 20): # the last that is taken stays
            try:
                fcntl.fcntl(end, SET, size)
            except (OSError, OverflowError):
                pass
    if n % 3:
        total += fill(w)
        if n % 3 == 1:
            os.close(w)
while len(kept) < 4000:
    try:
        r, w = os.pipe()
    except OSError:
        break
    total += fill(w); kept.append((r, w))
print("HELD", total, "pipes", len(kept), "room", fcntl.fcntl(kept[2][1], GET))
time.sleep(0.2)
