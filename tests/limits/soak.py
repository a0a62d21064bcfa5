"""A soak: hostile guests and honest ones on one template, from several threads, for as long as it is told.

    tests/limits/soak.py [--minutes 20]

prints the honest guests' latency alone and beside the hostile ones (median and p99, by kind of job), every verdict by kind, and at
the end what is left: processes, descriptors, threads, shared memory, scratch, zombies. Exits with 1 if an honest job ended other
than ok, had a wrong answer, or if anything is left.

The policy's memory and threads are small and its time is short, as for a service that runs what strangers send."""

from __future__ import annotations

import argparse
import collections
import gc
import itertools
import os
import pathlib
import random
import statistics
import sys
import threading
import time

import belljar

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "py")]

import looking  # noqa: E402
import sampler  # noqa: E402

NATIVE = (HERE / "attacks" / "_native.py").read_text()
SAY = (HERE / "attacks" / "_say.py").read_text()
POLICY = {"timeout": 20, "memory": "128M", "scratch": "8M", "scratch_files": 500, "threads": 8, "parked": 2}

# Programs of attacks/ that a stranger may send. Those that need a grant or a special host are test_table.py's alone.
HOSTILE = (
    "tables_by_reading", "tables_by_huge_pages", "many_small_maps", "read_only_pages", "first_thread_gone", "memory_burst",
    "many_stacks", "copies_of_a_file", "pipes_filled", "epoll_nest", "signals_queued", "stops_itself", "deleted_open_files",
    "renamed_over_files", "mapped_deleted_files", "removed_folders", "fast_writers", "long_links", "busy", "refused_busy", "pours",
    "mailbox_full", "deep_links_once", "first_thread_gone_small", "refusals",
)  # fmt: skip
SESSIONS = ("idle_spins", "idle_threads", "idle_memory", "idle_scratch", "idle_output", "idle_calls")
ASKING = ("deep_links", "dot_chains", "long_path", "many_links", "many_askers", "full_scratch", "wide_folder", "space_locked")
SENDING = ("wide_array", "colliding_pairs", "colliding_set", "json_shown", "whole_numbers", "many_tasks")


class Count:
    """Verdicts and latencies, from all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.verdicts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.times: collections.defaultdict[str, list[float]] = collections.defaultdict(list)
        self.wrong: list[str] = []

    def add(self, kind: str, verdict: str, seconds: float | None = None) -> None:
        with self.lock:
            self.verdicts[kind, verdict] += 1
            if seconds is not None:
                self.times[kind].append(seconds)

    def fault(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text[:300])


# ---- Honest guests


def one_shot(template: belljar.Template, n: int) -> str:
    execution = template.run(f"sum(i * i for i in range({n % 1000 + 1000}))")
    want = sum(i * i for i in range(n % 1000 + 1000))
    return execution.verdict if execution.verdict != "ok" or execution.value == want else f"wrong: {execution.value}"


def files(template: belljar.Template, n: int) -> str:
    code = f"import json, os\nos.makedirs('d/e', exist_ok=True)\njson.dump(list(range({n % 50})), open('d/e/f', 'w'))\n" \
           "os.rename('d/e/f', 'd/g')\nprint(len(json.load(open('d/g'))), sorted(os.listdir('d')))"  # fmt: skip
    execution = template.run(code)
    want = f"{n % 50} ['e', 'g']\n"
    if execution.verdict != "ok" or execution.stdout != want:
        return execution.verdict if execution.verdict != "ok" else f"wrong: {execution.stdout!r}"
    return "ok" if execution.files["d/g"].startswith(b"[") else "wrong: files"


def threads(template: belljar.Template, n: int) -> str:
    code = f"import threading\nout = []\nts = [threading.Thread(target=out.append, args=(i,)) for i in range({n % 6 + 1})]\n" \
           "[t.start() for t in ts]; [t.join() for t in ts]\nsorted(out)"  # fmt: skip
    execution = template.run(code)
    return execution.verdict if execution.verdict != "ok" or execution.value == list(range(n % 6 + 1)) else "wrong"


class Session:
    """A session with state and a host function, renewed now and then."""

    def __init__(self) -> None:
        self.box: belljar.Sandbox | None = None
        self.total = 0
        self.left = 0

    def __call__(self, template: belljar.Template, n: int) -> str:
        if self.box is None or self.left == 0:
            self.close()
            self.box, self.total, self.left = template.sandbox(files={"start.txt": "0"}), 0, 40
            self.box.expose(lambda number: number + 1, "after")
            self.box.run_code("total = int(open('start.txt').read())")
        self.left -= 1
        self.total += n + 1
        execution = self.box.run_code(f"total += after({n}); open('log', 'a').write('.'); total")
        return (
            execution.verdict
            if execution.verdict != "ok" or execution.value == self.total
            else f"wrong: {execution.value} not {self.total}"
        )

    def close(self) -> None:
        if self.box is not None:
            self.box.close()
            self.box = None


def honest(template: belljar.Template, count: Count, stop: threading.Event, name: str, seed: int) -> None:
    session = Session()
    jobs = {"one-shot": one_shot, "files": files, "threads": threads, "session": session}
    choose = random.Random(seed)
    while not stop.is_set():
        kind = choose.choice(("one-shot", "one-shot", "files", "threads", "session", "session", "session"))
        began = time.perf_counter()
        try:
            verdict = jobs[kind](template, choose.randrange(1000))
        except belljar.SandboxError as error:
            verdict = f"{type(error).__name__}: {error}"
            session.close() if kind == "session" else None
        count.add(f"{name}, {kind}", verdict[:80], time.perf_counter() - began)
        if verdict != "ok":
            count.fault(f"{name}, {kind}: {verdict}")
        time.sleep(choose.random() * 0.01)
    session.close()


# ---- Hostile guests


def attack_text(name: str) -> str:
    return NATIVE + "GRANT = '/none'\n" + (HERE / "attacks" / f"{name}.py").read_text()


def hostile(template: belljar.Template, count: Count, stop: threading.Event, seed: int) -> None:
    choose = random.Random(seed)
    rounds = [*HOSTILE, *SESSIONS, *ASKING, *SENDING]
    choose.shuffle(rounds)
    for name in itertools.cycle(rounds):
        if stop.is_set():
            return
        try:
            count.add(f"hostile, {name}", attack(template, name, stop))
        except belljar.SandboxError as error:
            count.add(f"hostile, {name}", type(error).__name__)


def attack(template: belljar.Template, name: str, stop: threading.Event) -> str:
    if name in HOSTILE:
        return template.run(attack_text(name), timeout=1.5).verdict
    with template.sandbox(files={"say.py": SAY}) as box:
        if name in SESSIONS:
            verdict = box.run_code(attack_text(name).partition("# ==== ")[0], timeout=1.5).verdict
            stop.wait(1)
            return f"{verdict}, then {box.run_code('1', timeout=1).verdict}"
        if name in ASKING:
            box.run_code(attack_text(name) + "\nready()", timeout=5)
            return box.run_code("end = time.monotonic() + 1\nwhile time.monotonic() < end: ask()", timeout=2).verdict

        async def slow() -> None:
            import asyncio

            await asyncio.sleep(1)

        box.expose(slow, "slow")
        execution = box.run_code(attack_text(name), timeout=1.5)
        execution.value, execution.results  # noqa: B018
        return execution.verdict


# ---- What is left


def shared_memory() -> set[str]:
    return {f"{place}/{name}" for place in ("/dev/shm", "/tmp", "/var/tmp") if os.path.isdir(place)
            for name in os.listdir(place) if name.startswith("belljar") and f"-{os.getpid()}-" in name}  # fmt: skip


def state() -> dict[str, object]:
    me = os.getpid()
    below = looking.descendants(me)
    supervisors = sampler.supervisors(me)
    return {"processes": len(below), "zombies": len(looking.zombies(me)), "descriptors": looking.descriptors(me),
            "threads": threading.active_count(), "scratch": len(shared_memory()),
            "supervisor's descriptors": [looking.descriptors(pid) for pid in supervisors]}  # fmt: skip


def summary(title: str, count: Count, wanted: str) -> None:
    print(f"\n{title:28} {'jobs':>7} {'p50 ms':>9} {'p99 ms':>9} {'worst ms':>9}")
    for kind in sorted(kind for kind in count.times if kind.startswith(wanted)):
        times = sorted(count.times[kind])
        print(f"{kind.partition(', ')[2]:28} {len(times):7} {1000 * statistics.median(times):9.2f} "
              f"{1000 * times[int(len(times) * 0.99)]:9.2f} {1000 * times[-1]:9.2f}")  # fmt: skip


def phase(template: belljar.Template, count: Count, name: str, seconds: float, attackers: int) -> None:
    stop = threading.Event()
    workers = [threading.Thread(target=honest, args=(template, count, stop, name, n)) for n in range(2)]
    workers += [threading.Thread(target=hostile, args=(template, count, stop, n)) for n in range(attackers)]
    for worker in workers:
        worker.start()
    stop.wait(seconds)
    stop.set()
    for worker in workers:
        worker.join(60)
        if worker.is_alive():
            count.fault(f"{name}: a thread of the host hangs")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--attackers", type=int, default=2)
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    count = Count()
    options = dict(POLICY)
    parked = options.pop("parked")
    belljar.run("1")  # what the host makes once (its shared template, a loop's thread) is no leak
    with belljar.Sandbox() as box:

        async def nothing() -> None:
            pass

        box.expose(nothing, "nothing")
        box.run_code("nothing()")
    gc.collect()
    time.sleep(0.5)
    start = state()
    with belljar.Template(belljar.Policy(**options), parked=parked) as template:
        phase(template, count, "alone", min(seconds / 5, 120), 0)
        gc.collect()
        time.sleep(0.5)
        before = state()
        phase(template, count, "mixed", seconds, arguments.attackers)
        phase(template, count, "after", min(seconds / 10, 30), 0)
        gc.collect()
        time.sleep(1)
        after = state()
    gc.collect()
    deadline = time.monotonic() + 10
    while (end := state()) != start and time.monotonic() < deadline:
        time.sleep(0.2)
    for title in ("alone", "mixed", "after"):
        summary(f"honest jobs, {title}", count, title)
    print()
    for (kind, verdict), number in sorted(count.verdicts.items()):
        print(f"{kind:42} {verdict:42} {number:7}")
    print(f"\n{'':26} {'at first':>14} {'before mixing':>14} {'after it':>14} {'at the end':>14}")
    for key in start:
        print(f"{key:26} {start[key]!s:>14} {before[key]!s:>14} {after[key]!s:>14} {end[key]!s:>14}")
    left = [key for key in start if end[key] != start[key]]
    # While the template lives it keeps the last executions' scratch and its parked guests: a few, not one for each run.
    for key in ("processes", "descriptors", "threads"):
        if isinstance(after[key], int) and isinstance(before[key], int) and after[key] > before[key] + 24:
            left.append(f"{key} while the template lived")
    for fault in count.wrong[:20]:
        print("WRONG:", fault)
    print("left:", ", ".join(left) if left else "nothing")
    return 1 if count.wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
