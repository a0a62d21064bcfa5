"""Cheap questions from all threads at once, without a pause."""
def ready():
    for _ in range(30): native_thread(lambda: [libc.access(b"/work/none", 0) for _ in range(100000)])
def ask():
    libc.access(b"/work/none", 0)
