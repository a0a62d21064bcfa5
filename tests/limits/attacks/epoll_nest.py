"""Event queues of event queues, each watching all others that it may: the kernel walks them at each change."""
import select
try:
    queues = [select.epoll() for _ in range(200)]
    for depth in range(4):
        for outer in range(depth * 50, depth * 50 + 50):
            for inner in range(depth * 50 + 50, min(200, depth * 50 + 100)):
                try:
                    queues[outer].register(queues[inner].fileno(), select.EPOLLIN)
                except OSError:
                    pass
except OSError as problem:
    print("refused", problem)
r, w = os.pipe()
for queue in queues[150:]:
    try: queue.register(r, select.EPOLLIN)
    except OSError: pass
end = time.monotonic() + 1
while time.monotonic() < end:
    os.write(w, b"x"); os.read(r, 1)
