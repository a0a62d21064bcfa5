"""Requests to the supervisor from every thread when the time is over: the end must not queue behind them."""
def ask():
    while True: libc.access(b"/work/none", 0)
for _ in range(30): native_thread(ask)
while True: libc.access(b"/", 0)
