"""k21: surviving the end of the run. The test looks from outside: within a second of the deadline no task is left."""

import signal
import threading
import time


@probe("double fork and setsid leave an orphan")
def orphan():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(2)
        os._exit(0)
    return ESCAPE, "an orphan"


def holds(title):
    """Prints INFO first; then never ends by itself."""
    def add(function):
        @probe(title)
        def one():
            say(INFO, "holds on")
            function()
            return INFO, ""

    return add


def ignore_all():
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))
    except OSError:
        pass


@holds("all signals ignored and blocked, busy")
def stubborn():
    ignore_all()
    while True:
        pass


@holds("all signals ignored and blocked, asleep")
def sleeping():
    ignore_all()
    time.sleep(1000)


@holds("the main thread exits, another goes on")
def leader():
    def go_on():
        while True:
            pass
    threading.Thread(target=go_on, daemon=True).start()
    syscall(60, 0)


@holds("stops itself")
def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)


@holds("stops itself again and again")
def stopped_again():
    def stop():
        while True:
            os.kill(os.getpid(), signal.SIGSTOP)
    threading.Thread(target=stop, daemon=True).start()
    stop()


@holds("blocks in a read that never returns")
def blocked():
    read, _ = os.pipe()
    os.read(read, 1)


@holds("all descriptors closed, busy")
def closed():
    os.closerange(0, 64)
    while True:
        pass


@holds("a handler that handles what the time limit sends, and goes on")
def handler():
    for number in (10, 12, 14, 15, 24):
        signal.signal(number, lambda *_: None)
    while True:
        pass


@holds("32 threads that spin")
def threads():
    def spin():
        while True:
            pass
    for _ in range(30):
        threading.Thread(target=spin, daemon=True).start()
    spin()


@holds("a storm of brokered calls from 8 threads")
def storm():
    def ask():
        while True:
            open_path("/none")
    for _ in range(8):
        threading.Thread(target=ask, daemon=True).start()
    ask()


@holds("swallows every exception")
def swallow():
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass


@holds("an exit handler that never ends")
def at_exit():
    import atexit

    atexit.register(time.sleep, 1000)
    sys.exit()
