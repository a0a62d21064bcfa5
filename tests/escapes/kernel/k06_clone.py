"""k06: new tasks. Expected: only pthread_create's clone passes; clone3 is ENOSYS; bombs stop at the limit."""

import signal
import threading
import time


def task(title, flags, number=56, goal=ESCAPE):
    @probe(title)
    def one():
        arguments = (flags, 0, 0, 0, 0) if number == 56 else ()
        result, error = syscall(number, *arguments)
        if result == 0:
            os._exit(0)
        return judge(result, error, goal)


task("fork", 0, 57)
for title, flags in (
    ("clone(SIGCHLD)", 17),
    ("clone(0): no exit signal", 0),
    ("clone(CLONE_PARENT): a child of the supervisor", 0x8000 | 17),
    ("clone(CLONE_UNTRACED)", 0x800000 | 17),
    ("clone(CLONE_FILES)", 0x400 | 17),
    ("clone(CLONE_FS)", 0x200 | 17),
    ("clone(CLONE_SYSVSEM)", 0x40000 | 17),
    ("clone(CLONE_IO)", 0x80000000 | 17),
    ("clone(CLONE_NEWUSER)", 0x10000000 | 17),
    ("clone(CLONE_NEWUSER|CLONE_NEWPID)", 0x30000000 | 17),
    ("clone(CLONE_NEWUSER|CLONE_NEWNS)", 0x10020000 | 17),
    ("clone(CLONE_NEWUSER|CLONE_NEWNET)", 0x50000000 | 17),
    ("clone(CLONE_NEWNET)", 0x40000000 | 17),
    ("clone(CLONE_NEWIPC)", 0x08000000 | 17),
    ("clone(CLONE_NEWUTS)", 0x04000000 | 17),
    ("clone(CLONE_NEWCGROUP)", 0x02000000 | 17),
    ("clone(flags above 32: CLONE_CLEAR_SIGHAND)", 1 << 32 | 17),
    ("clone(flags above 32: CLONE_INTO_CGROUP)", 1 << 33 | 17),
    ("clone: SIGKILL as the exit signal", 9),
):
    task(title, flags)

table([
    ("clone3(bad pointer)", 435, (BAD, 88)),
    ("clone3(size 0)", 435, (0, 0)),
    ("clone3(NEWUSER), in memory", 435, ((ctypes.c_ulong * 11)(0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 0)),
    ("clone(a thread that shares no signals), bad stack", 56, (0x10000 | 0x100, 0, 0, 0, 0)),
    ("clone(pthread's flags and CLONE_NEWUSER)", 56, (0x3D0F00 | 0x10000000, 0, 0, 0, 0)),
    ("clone(pthread's flags and CLONE_VFORK)", 56, (0x3D0F00 | 0x4000, 0, 0, 0, 0)),
    ("clone(pthread's flags above 32 bits)", 56, (0x3D0F00 | 1 << 34, 0, 0, 0, 0)),
    ("set_tid_address", 218, (BAD,)),
    ("setpgid(0, host)", 109, (0, host), ESCAPE, ESRCH),
    ("setpgid(0, 0)", 109, (0, 0), REACHED),
    ("setsid", 112, (), REACHED),
    ("wait4(-1): the zygote's children", 61, (-1, 0, 1, 0), ESCAPE, ECHILD),
    ("wait4(-1, __WALL)", 61, (-1, BAD, 0x40000001, 0), ESCAPE, ECHILD),
    ("waitid(P_PIDFD, -1)", 247, (3, -1, 0, 4, 0), REACHED, ECHILD),
])


@probe("vfork")
def vfork():
    # A child of a real vfork would run on this stack: only where it is refused does this return twice for sure.
    if control:
        return ESCAPE, "not tried"
    return judge(*syscall(58), ESCAPE)


@probe("fork bomb of 64")
def fork_bomb():
    born = 0
    for _ in range(64):
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            time.sleep(0.2)
            os._exit(0)
        born += 1
    return (ESCAPE, f"{born} children") if born else (HELD, "none")


@probe("threads until it is refused (200)")
def thread_bomb():
    stop, count = threading.Event(), 0
    try:
        for _ in range(200):
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        return HELD, f"{count} threads"
    finally:
        stop.set()
    return ESCAPE, f"{count} threads"


@probe("os.forkpty")
def forkpty():
    pid, _ = os.forkpty()
    if pid == 0:
        os._exit(0)
    return ESCAPE, "a child"


@probe("multiprocessing")
def multi():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
    process.start()
    return ESCAPE, "a process"
