"""Signals that nobody takes, and a timer that fires as fast as the kernel lets it."""
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
for number in range(34, 65):
    for _ in range(200):
        try:
            os.kill(os.getpid(), number)
        except OSError:
            break
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
while True:
    pass
