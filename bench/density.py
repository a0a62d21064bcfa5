"""What parked guests take: their own memory, the kernel's for them, many of them at once, and newer interpreters."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from frame import ENVIRONMENT, HERE, PYTHON, TREE, Bench, Section, Side, Unavailable, read_rows, run_alone, run_section, write_json
from parts import PlainFork, expect, modules_of

from belljar import Policy, Template

sys.path.append(str(TREE / "tests"))
import stage  # noqa: E402

# name, what the policy has, what is preloaded, the target in MB of private memory and page tables
KINDS: list[tuple[str, str | None, list[str], float]] = [
    ("cold", "", [], 0.35),
    ("warmed", None, [], 1.2),
    ("numpy warmed", None, ["numpy"], 1.8),
]
FDS_OF_A_GUEST = 8  # a few more than its supervisor holds for it
PARKED_MOST = 2500
PARK_SECONDS = 60
VERSIONS = ("3.12", "3.13")
INSIDE = "BELLJAR_BENCH_INSIDE"  # set for the program that measures the newer interpreters


# ---- Which processes are guests, and what they have -----------------------------------------------------------


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(child) for task in tasks for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return []


def guests() -> list[int]:
    """All guests of this process. A supervisor's children are an init, the zygote and the guests, made in that order; the first two are
    the first in the guests' process namespace."""
    found = []
    for supervisor in children(os.getpid()):
        for pid in children(supervisor):
            with contextlib.suppress(OSError, StopIteration):
                lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                inner = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
                if len(inner) > 1 and int(inner[-1]) > 2:
                    found.append(pid)
    return found


def own_memory(pid: int) -> tuple[int, int]:
    """Private memory and page tables of a process, in kB."""
    try:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        raise Unavailable("only root may look at a guest's memory (/proc/PID/smaps_rollup)") from None
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return _kb(rollup, "Private_Dirty:"), _kb(status, "VmPTE:")


def _kb(text: str, name: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


# Of /proc/meminfo: what the kernel holds for processes (slab, stacks, per-CPU counters, page tables), and all that is no longer free.
KERNEL = ("Slab:", "KernelStack:", "Percpu:", "PageTables:")


def machine_memory() -> tuple[int, int]:
    """What the kernel has taken, and what is taken at all, in kB."""
    text = pathlib.Path("/proc/meminfo").read_text()
    return sum(_kb(text, name) for name in KERNEL), _kb(text, "MemTotal:") - _kb(text, "MemAvailable:")


def wait_for(count: int) -> int:
    """Waits until so many guests are there and have done with their warming up; gives how many there are if no more come."""
    begun, last, since = time.monotonic(), -1, time.monotonic()
    while time.monotonic() - begun < PARK_SECONDS:
        found = len(guests())
        if found != last:
            last, since = found, time.monotonic()
        if time.monotonic() - since > (0.5 if found >= count else 3):
            break
        time.sleep(0.05 if count < 100 else 0.25)
    return last


def median_memory(pids: list[int]) -> tuple[float, float]:
    pairs = [own_memory(pid) for pid in pids]
    if not pairs:
        raise Unavailable("no guest was found: /proc/PID/status shows no namespaces of processes")
    return statistics.median(pair[0] for pair in pairs) / 1024, statistics.median(pair[1] for pair in pairs) / 1024


def parked_memory(preload: list[str], warm: str | None, python: str = PYTHON) -> tuple[float, float]:
    """Private memory and page tables of a guest that is parked, in MB."""
    policy = Policy(timeout=60) if warm is None else Policy(timeout=60, warm=warm)
    before = set(guests())
    with Template(policy, preload=preload, python=python, parked=8):
        wait_for(len(before) + 8)
        return median_memory([pid for pid in guests() if pid not in before])


def idle_python(modules: list[str]) -> float:
    """Memory of a Python that has imported them and waits."""
    code = f"import {', '.join(['sys', *modules])}\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([PYTHON, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        private, tables = own_memory(process.pid)
        process.stdin.close()
    return (private + tables) / 1024


def plain_fork(modules: list[str]) -> float:
    """Memory of a parked and warmed child of a plain Python."""
    with PlainFork(modules) as plain:
        plain.park()
        private, tables = own_memory(children(plain.process.pid)[-1])
        plain.run("1")
    return (private + tables) / 1024


def parked(bench: Bench) -> None:
    """Memory of a parked guest: what is private to it (private dirty memory of `smaps_rollup`) and its page tables (`VmPTE`). `cold` has
    done nothing yet, `warmed` has run the warm-up. Against a parked and warmed child of a plain Python with the same modules, and against
    a whole Python that has imported the module and waits."""
    for name, warm, preload, target in KINDS:
        with bench.attempt(f"private memory and page tables, {name}"):
            with Template(Policy(), preload=preload) as template:
                modules = modules_of(template)
            parts: list[tuple[float, float]] = []

            def ours() -> float:
                parts.append(parked_memory(preload, warm))  # noqa: B023
                return sum(parts[-1])  # noqa: B023

            guest = Side("a parked guest", ours, turns=1, unit="MB")
            floor = Side("a parked plain fork", lambda: plain_fork(modules), turns=1, unit="MB", kind="floor")  # noqa: B023
            idle = Side("python3 -I, waiting", lambda: idle_python(preload), turns=1, unit="MB", kind="baseline")  # noqa: B023
            bench.alternate([guest, floor, idle], rounds=3, seconds=12)
            if guest.reason or not guest.all:
                bench.not_run(f"private memory and page tables, {name}", guest.reason or "no turn", target=target)
                continue
            private, tables = (statistics.median(part) for part in zip(*parts, strict=True))
            bench.value(f"private memory and page tables, {name}", guest.p50, "MB", of="a parked guest", target=target, spread=guest.all,
                        detail=f"private {private:.2f} MB, page tables {tables:.2f} MB")  # fmt: skip
            if warm is None:
                bench.row(f"memory, {name}", guest, floor)
            bench.row(f"memory, {name}", guest, idle)


# ---- Many ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def crowd(count: int, warm: str | None = None, preload: tuple[str, ...] = (), used: bool = False) -> Iterator[Template]:
    """A number of live guests, of as few templates as there can be: a supervisor has descriptors for each of them. Those that are parked have
    theirs on the way to the host, which the kernel bounds for the supervisors' user: beyond PARKED_MOST they are taken by sessions that
    run nothing. `used`: all but a few belong to sessions, and each has run `1+1`. Gives the first template, which has parked ones.
    """
    each = _descriptors() // FDS_OF_A_GUEST - 64
    policy = Policy(timeout=60) if warm is None else Policy(timeout=60, warm=warm)
    parked = 4 if used else min(count, PARKED_MOST)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Template(policy, preload=preload, parked=min(each, parked)))
        wait_for(min(each, parked))
        if parked > each:
            stack.enter_context(Template(policy, preload=preload, parked=parked - each))
        left = count - parked
        while left > 0:
            template = stack.enter_context(Template(policy, preload=preload, parked=4))
            for _ in range(min(each, left)):
                sandbox = stack.enter_context(template.sandbox())
                if used and sandbox.run_code("1+1").value != 2:
                    raise RuntimeError("a session has the wrong result")
                if warm is None:
                    time.sleep(0.0035)  # a pool that is emptied faster than that does not warm what it forks
            left -= each
        wait_for(count)
        yield first


def _descriptors() -> int:
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20)


def room_for(count: int, mb: float) -> None:
    """Raises Unavailable if so many guests of so many MB do not fit, with their processes."""
    free = _kb(pathlib.Path("/proc/meminfo").read_text(), "MemAvailable:") / 1024
    if free < count * mb * 1.2:
        raise Unavailable(f"{count:,} guests of {mb:.1f} MB do not fit into the {free:,.0f} MB that are free")
    numbers = int(pathlib.Path("/proc/sys/kernel/pid_max").read_text())
    if max(count - PARKED_MOST, 0) * 5 + 1000 > _descriptors() or min(count, PARKED_MOST) * 5 > _descriptors():
        raise Unavailable(f"{count:,} guests need more descriptors (RLIMIT_NOFILE is {_descriptors():,})")
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if min(numbers, numbers if most < 0 else most) < count + 1000:
        raise Unavailable(f"{count:,} guests need more numbers for processes (kernel.pid_max is {numbers}, RLIMIT_NPROC {most})")


USED = "each has run 1+1"
# name, what the policy has for warming, how many
CROWDS: list[tuple[str, str | None, int]] = [
    ("cold", "", 1000),
    (USED, None, 1000),
    ("first ones warmed", None, 1000),
    ("cold", "", 5000),
    ("first ones warmed", None, 5000),
]


def many(bench: Bench) -> None:
    """Many guests at once. `cold` and `first ones warmed`: up to 2,500 are parked, of which the pool warms the first few or, in the first
    case, none; the others are sessions that have run nothing. `each has run 1+1`: they are sessions that have. The kernel's memory for each
    is what `Slab`, `KernelStack`, `Percpu` and `PageTables` of /proc/meminfo have grown by, all of it what `MemAvailable` has shrunk by,
    which other programs of the machine change as well. The run is `1+1` in a fresh guest with a host that sleeps 8 ms, against the same with
    4 live guests, before and after."""
    for name, warm, count in CROWDS:
        used = name == USED
        title = f"{count:,} live guests, {name}"
        if bench.quick and (name, count) != (USED, 1000):
            bench.not_run(title, "--quick takes one crowd")
            continue
        with bench.attempt(title):
            room_for(count, 2.5 if used else 0.8)
            few, crowded = Side("4 live guests"), Side(f"{count:,} live guests")
            few.rounds.append(_runs_with(4, warm))
            kernel, taken = machine_memory()
            begun = time.monotonic()
            with crowd(count, warm, used=used) as template:
                there = guests()
                seconds = time.monotonic() - begun
                if len(there) < count:
                    raise Unavailable(f"only {len(there):,} of {count:,} came in {seconds:.0f} s, and no more for 3 s")
                kernel, taken = (after - before for after, before in zip(machine_memory(), (kernel, taken), strict=True))
                private, tables = median_memory(there[:: max(count // 100, 1)])
                bench.value(f"{title}: the kernel's memory for each", kernel / count / 1024, "MB", of="a guest", at=count, series=name,
                            detail=f"page tables are {tables:.2f} MB of it")  # fmt: skip
                bench.value(f"{title}: all memory for each", taken / count / 1024, "MB", of="a guest", at=count, series=name,
                            detail=f"private {private:.2f} MB; there after {seconds:.0f} s")  # fmt: skip
                crowded.rounds.append(_runs(template))
            few.rounds.append(_runs_with(4, warm))
            crowded.rounds.append(crowded.rounds[0])
            bench.row(f"{title}: 1+1", crowded, few, state="host sleeping 8 ms", at=count, series=name)


def _runs(template: Template, code: str = "1+1", text: str = "2", count: int = 40) -> list[float]:
    times = []
    for number in range(count + 3):
        time.sleep(0.008)
        start = time.perf_counter()
        expect(template, code, text)
        if number >= 3:
            times.append(time.perf_counter() - start)
    return times


def _runs_with(count: int, warm: str | None) -> list[float]:
    with crowd(count, warm) as template:
        return _runs(template)


# ---- Newer interpreters -----------------------------------------------------------------------------------------


def newer_pythons() -> dict[str, str]:
    """Version -> path of the CPythons after Debian's that $BELLJAR_PYTHONS names, PATH has, or pyenv, where the tests find theirs."""
    found: dict[str, str] = {}
    named = [path for path in os.environ.get("BELLJAR_PYTHONS", "").split(":") if path]
    in_path = [path for path in (shutil.which("python3.12"), shutil.which("python3.13")) if path]
    for path in [*named, *in_path, *stage.newer_pythons()]:
        command = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode == 0 and done.stdout.strip() in VERSIONS:
            found.setdefault(done.stdout.strip(), path)
    return found


def elsewhere(bench: Bench, pythons: list[str]) -> bool:
    """The section in a program of its own, where everybody reaches these interpreters (tests/stage.py has how): a home is often closed to the
    user that belljar becomes when root starts it. False if there is no need, or it is that program."""
    closed = [path for path in pythons if not all(parent.stat().st_mode & stat.S_IXOTH for parent in pathlib.Path(path).parents)]
    if os.geteuid() != 0 or not closed or INSIDE in os.environ:
        return False
    hidden = pathlib.Path(*pathlib.Path(closed[0]).parts[:2])  # all of it but the interpreters
    if TREE.is_relative_to(hidden) or pathlib.Path(sys.executable).is_relative_to(hidden):
        raise Unavailable("the interpreters are in a home that is closed to the user of the guests, and so is this tree")
    with tempfile.TemporaryDirectory(prefix="belljar-bench-", dir="/var/tmp") as folder:
        command = [sys.executable, str(HERE / "density.py"), folder, *(["--quick"] if bench.quick else [])]
        done = subprocess.run(stage.opened(closed, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, INSIDE: "1", "BELLJAR_PYTHONS": ":".join(pythons)}, timeout=120)  # fmt: skip
        made = pathlib.Path(folder, "interpreters.json")
        if not made.exists():
            raise Unavailable(
                f"a program in a mount namespace, where the interpreters can be reached: {done.stdout.strip()[-160:]}"
            )
        bench.take(read_rows(json.loads(made.read_text())))
    return True


def interpreters(bench: Bench) -> None:
    """A parked guest and a run with newer interpreters, whose constants are immortal: looking at one writes nothing, so fewer pages become a guest's own."""
    found = newer_pythons()
    try:
        if elsewhere(bench, list(found.values())):
            return
    except (Unavailable, OSError, subprocess.SubprocessError) as error:
        for version in VERSIONS:
            for name in (f"memory, warmed, CPython {version}", f"1+1, CPython {version}"):
                bench.not_run(name, error, theirs="Debian's Python")
        return
    for version in VERSIONS:
        names = f"memory, warmed, CPython {version}", f"1+1, CPython {version}"
        if version not in found:
            for name in names:
                bench.not_run(
                    name, f"there is no CPython {version} (BELLJAR_PYTHONS names one, or pyenv has it)", theirs="Debian's Python"
                )
            continue
        with bench.attempt(names[0]):
            path = found[version]
            Template(Policy(), python=path).close()  # whether it can be used at all

            def memory(python: str) -> Callable[[], float]:
                return lambda: sum(parked_memory([], None, python))

            newer, debian = (Side(side, memory(python), turns=1, unit="MB", kind="baseline")
                             for side, python in ((f"CPython {version}", path), ("Debian's Python", PYTHON)))  # fmt: skip
            bench.alternate([newer, debian], rounds=3, seconds=10)
            bench.row(names[0], newer, debian)
        if bench.rows[-1].reason:
            bench.not_run(names[1], "as the row before this", theirs="Debian's Python")
            continue
        with bench.attempt(names[1]), Template(Policy(), python=path) as new, Template(Policy(), python=PYTHON) as old:
            sides = [Side(name, lambda of=of: expect(of, "1+1", "2"), lambda: time.sleep(0.008), kind="baseline")
                     for name, of in ((f"CPython {version}", new), ("Debian's Python", old))]  # fmt: skip
            bench.alternate(sides, rounds=20, seconds=6)
            bench.row(names[1], *sides, state="host sleeping 8 ms")


SECTIONS = [
    Section("density", "Memory of a parked guest", parked),
    Section("many", "Many guests at once", many),
    Section("interpreters", "Newer interpreters", interpreters),
]

if __name__ == "__main__":
    if INSIDE in os.environ:
        write_json(run_section(SECTIONS[-1], Bench("--quick" in sys.argv, patience=True)), pathlib.Path(sys.argv[1]))
    else:
        run_alone(SECTIONS)
