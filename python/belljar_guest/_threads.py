"""Names the threads that run in the zygote beside its own: no process with threads can be forked."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from belljar_guest import native

if TYPE_CHECKING:
    Range = tuple[int, int, str]  # of addresses: from, to, and what is mapped there

TASKS = "/proc/self/task"
LOOKS, LOOK_S = 100, 0.005  # for those that are about to end
STACK_BYTES = 256 << 10  # of a thread's stack, read from its innermost frame on
COMMON = ("libc.", "libc-", "ld-", "libpthread", "libstdc++", "libgcc_s", "libm.", "libm-")  # every thread runs through them


def check() -> None:
    """Ends the zygote if there are others: nobody knows which import could be left out."""
    numbers = others()
    if numbers:
        native.fail(16, "single thread", "%s: no guest can be forked beside it; take what starts it out of what the interpreter imports"
                    % describe(numbers, []))  # fmt: skip


def others() -> list[str]:
    """The numbers of the other threads, once they had time to end."""
    for _ in range(LOOKS):
        if os.stat(TASKS).st_nlink <= 3:  # ".", the entry in its parent, and one task
            return []
        time.sleep(LOOK_S)
    own = os.readlink("/proc/self")  # as /proc counts, which may be another namespace's way
    return [number for number in os.listdir(TASKS) if number != own]


def describe(numbers: list[str], modules: list[str]) -> str:
    """Which threads they are; `modules` are those that came in with them."""
    words: dict[str, int] = {}
    for number in numbers:
        text = "%r of %s" % (name_of(number), library_of(number) or python_of(number, modules) or newest(modules))
        words[text] = words.get(text, 0) + 1
    parts = [text if count == 1 else "%s (%d of them)" % (text, count) for text, count in words.items()]
    return "the thread%s %s" % ("s" if len(numbers) > 1 else "", " and ".join(parts))


def name_of(number: str) -> str:
    """Its own name, or the process's."""
    try:
        with open("%s/%s/comm" % (TASKS, number), errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def library_of(number: str) -> str:
    """The shared object in whose code it is or waits: the first on its stack that is not everybody's. "" if that is none."""
    try:
        with open("%s/%s/syscall" % (TASKS, number)) as file:
            stack = int(file.read().split()[-2], 16)
        with open("/proc/self/maps") as file:
            ranges = [line.split(None, 5) for line in file]
        with open("/proc/self/mem", "rb") as memory:
            memory.seek(stack)
            end = next(end for start, end in (bounds(fields[0]) for fields in ranges) if start <= stack < end)
            words = memoryview(memory.read(min(end - stack, STACK_BYTES) & ~7)).cast("Q")
    except (OSError, ValueError, IndexError, StopIteration):
        return ""  # it runs just now, or has ended
    code: list[Range] = [(*bounds(fields[0]), fields[5].strip()) for fields in ranges if "x" in fields[1] and len(fields) > 5]
    for word in words:
        for start, end, path in code:
            if start <= word < end and not path.startswith("[") and not os.path.basename(path).startswith(COMMON):
                return "" if is_interpreter(path) else os.path.basename(path)
    return ""


def bounds(text: str) -> tuple[int, int]:
    start, _, end = text.partition("-")
    return int(start, 16), int(end, 16)


def is_interpreter(path: str) -> bool:
    return path == os.path.realpath(sys.executable) or os.path.basename(path).startswith("libpython")


def python_of(number: str, modules: list[str]) -> str:
    """Where a thread of Python's own was begun: its outermost frame that is not of threading, or what was imported last."""
    threading = sys.modules.get("threading")
    try:
        with open("%s/%s/status" % (TASKS, number)) as file:
            number = next(line for line in file if line.startswith("NSpid:")).split()[-1]
    except (OSError, StopIteration):
        return ""
    for identity, thread in getattr(threading, "_active", {}).items():
        frame = sys._current_frames().get(identity)
        if str(thread.native_id) != number:
            continue
        module = modules[-1] if modules else "Python"
        while frame is not None:
            if frame.f_globals.get("__name__") != "threading":
                module = frame.f_globals.get("__name__", "?")
            frame = frame.f_back
        return "%s (%s)" % (module, thread.name)
    return ""


def newest(modules: list[str]) -> str:
    """The shared object that came in last, as the likeliest."""
    for name in reversed(modules):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if ".so" in os.path.basename(file):
            return os.path.basename(file)
    return "an unknown library"
