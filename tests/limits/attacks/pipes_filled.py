"""Pipes and pairs of sockets filled to the brim, one byte a packet where that costs the kernel most. Says how much it got
rid of, in what the kernel accounts for it: a page for a pipe's buffer, 768 bytes for a packet."""
import fcntl, socket
total, pipes, pairs = 0, 0, 0
kept = []
while True:
    try:
        r, w = os.pipe()
    except OSError:
        break
    kept.append((r, w)); pipes += 1
    os.set_blocking(w, False)
    try:
        while True:
            total += -(-os.write(w, bytes(65536)) // 4096) * 4096
    except OSError:
        pass
    if total > 200 * MIB:
        break
for r, w in kept[-40:]:
    os.close(r); os.close(w)
while pairs < 4000:
    try:
        a, b = socket.socketpair()
    except OSError:
        break
    kept.append((a, b)); pairs += 1
    for end in (a, b):
        end.setblocking(False)
        try:
            while True:
                end.send(b"x"); total += 768
        except OSError:
            pass
print("HELD", total, "pipes", pipes, "pairs", pairs)
time.sleep(0.2)
