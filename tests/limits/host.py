"""One attack, from its host's side: a program of its own, so that nothing of one row is left for the next, and so that whatever
belljar changes in its host is seen.

    host.py JSON        {"how": …, "attack": file name, "policy": {…}, "namespaces": "refused" | "", …}

prints one JSON object: what sampler.py saw, the verdict, and what this host felt. test_table.py has the rows."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
ATTACKS = HERE / "attacks"
UID = 65534
SAY = (ATTACKS / "_say.py").read_text()
NATIVE = (ATTACKS / "_native.py").read_text()


def refuse_namespaces() -> None:
    """Refuses what containers refuse, to this process and all that it starts: unshare, setns, and clone with a namespace in it are
    EPERM, clone3 is ENOSYS. A container's own list is larger; this is the part by which belljar has to do without namespaces."""
    load, jump, answer = 0x20, 0x15, 0x06
    bits = 0x45  # BPF_JMP | BPF_JSET | BPF_K
    code = [
        (load, 0, 0, 0),  # the call's number
        (jump, 6, 0, 272), (jump, 5, 0, 308),  # unshare, setns
        (jump, 5, 0, 435),  # clone3
        (jump, 0, 2, 56),  # clone
        (load, 0, 0, 16),  # the low half of its first argument
        (bits, 1, 0, 0x7E020000),
        (answer, 0, 0, 0x7FFF0000),  # allowed
        (answer, 0, 0, 0x00050001),  # EPERM
        (answer, 0, 0, 0x00050026),  # ENOSYS
    ]  # fmt: skip
    array = b"".join(struct.pack("<HBBI", *row) for row in code)
    text = ctypes.create_string_buffer(array)
    program = struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.syscall(317, 1, 0, program) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    if libc.unshare(0x10000000) == 0:
        raise SystemExit("the namespaces are not refused")


class Sampler:
    """sampler.py, beside this process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-S", str(HERE / "sampler.py"), str(os.getpid())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self.line()

    def line(self) -> bytes:
        assert self.process.stdout
        return self.process.stdout.readline()

    def mark(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"m")
        self.process.stdin.flush()
        self.line()

    def result(self) -> dict[str, float]:
        assert self.process.stdin
        self.process.stdin.close()
        found: dict[str, float] = json.loads(self.line())
        self.process.wait()
        return found


class Heart:
    """Beats in a thread: how long no other thread of this host could run, and how much CPU this process had."""

    def __enter__(self) -> Heart:
        self.worst, self.stop = 0.0, False
        self.cpu = time.process_time()
        self.thread = threading.Thread(target=self.beat)
        self.thread.start()
        return self

    def beat(self) -> None:
        last = time.monotonic()
        while not self.stop:
            time.sleep(0.005)
            now = time.monotonic()
            self.worst, last = max(self.worst, now - last), now

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self.thread.join()
        self.cpu = time.process_time() - self.cpu


class Case:
    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.out: dict[str, Any] = {}
        self.grant = ""

    def text(self, **words: str) -> str:
        source = (ATTACKS / self.row["attack"]).read_text()
        lines = "".join(f"{name} = {value!r}\n" for name, value in words.items())
        if self.row.get("bare"):
            return source  # its first line comes before anything else does
        return NATIVE + f"GRANT = {self.grant!r}\n" + lines + source

    def sections(self) -> list[tuple[str, str]]:
        """[(what to do, code)]: an attack that has more than one run has lines "# ==== what"."""
        first, *others = self.text().split("# ==== ")
        return [("next run", first), *((head, body) for head, _, body in (other.partition("\n") for other in others))]

    def policy(self) -> Any:
        options = dict(self.row["policy"])
        if self.grant:
            options["read"] = [self.grant]
        return belljar.Policy(**options)

    @contextlib.contextmanager
    def template(self):
        """A template with the sampler on."""
        watcher = Sampler()
        with belljar.Template(self.policy(), preload=self.row.get("preload", ())) as template:
            self.out["namespaces"] = template.layers["namespaces"][:3]
            template.run("import ctypes, threading, socket, struct")  # what is lazy has been
            time.sleep(0.1)
            self.pool = len(living())
            watcher.mark()
            self.start = time.monotonic()
            yield template
            self.out["wall"] = time.monotonic() - self.start
        self.out.update(watcher.result())

    def note(self, execution: Any) -> None:
        self.out.setdefault("verdicts", []).append(execution.verdict)
        if execution.verdict not in ("ok", "timeout", "cpu"):
            self.out["error"] = (execution.error.name + ": " + execution.error.value)[:200] if execution.error else ""
        self.out["said"] = (self.out.get("said", "") + execution.stdout)[:300]

    # ---- How a row is run

    def run(self) -> None:
        with self.template() as template:
            self.note(template.run(self.text()))

    def collect(self) -> None:
        """What a run left is read, as a caller would."""
        with self.template() as template:
            execution = template.run(self.text())
            self.note(execution)
            size = 0
            try:
                for name in list(execution.files):
                    size += len(execution.files[name])
                kept = dict(execution.files)
                self.out["collected_mib"] = sum(map(len, kept.values())) / 2**20
            except belljar.SandboxError as error:
                self.out["error"] = str(error)[:200]

    def session(self) -> None:
        with self.template() as template, contextlib.ExitStack() as stack:
            box = template.sandbox()
            stack.callback(box.close)
            try:
                for what, code in self.sections():
                    word, _, number = what.partition(" ")
                    if word == "next":
                        self.note(box.run_code(code))
                    elif word == "idle":
                        time.sleep(float(number))
                        self.count_left("left_idle")
                    elif word == "branch":
                        twin = box.fork()
                        stack.callback(twin.close)
                        self.note(twin.run_code(NATIVE + code))
                    elif word == "close":
                        stack.close()
                        time.sleep(0.3)
                        self.count_left("left")
            except belljar.SandboxError as error:
                self.out["ended"] = str(error)[:200]
                self.out.setdefault("verdicts", []).append(type(error).__name__)
                stack.close()
                time.sleep(0.3)
                self.count_left("left")

    def count_left(self, name: str) -> None:
        """Guests beyond those of the pool, which may be a moment late."""
        deadline = time.monotonic() + 1
        while (left := len(living()) - self.pool) > 0 and name == "left" and time.monotonic() < deadline:
            time.sleep(0.02)
        self.out[name] = max(0, left)

    def value(self) -> None:
        """What a guest sends arrives, and its caller looks at it."""
        calls = {"tasks": 0, "most": 0}

        slow = slow_of(calls)
        with contextlib.suppress(ImportError):
            import pandas  # noqa: F401 - what a host has already costs it nothing new
        with self.template() as template, Heart() as heart:
            box = template.sandbox(files={"say.py": SAY})
            box.expose(slow, "slow")
            try:
                if self.row.get("loop"):
                    self.in_a_loop(template, slow)
                else:
                    execution = box.run_code(self.text())
                    self.note(execution)
                    for part in ("value", "text", "results", "violations"):
                        try:
                            got = getattr(execution, part)
                            self.out.setdefault("got", []).append(f"{part}: {type(got).__name__}")
                        except belljar.SandboxError as error:
                            self.out.setdefault("got", []).append(f"{part}: {str(error)[:80]}")
                    del execution
            except belljar.SandboxError as error:
                self.out.setdefault("verdicts", []).append(type(error).__name__)
                self.out["error"] = str(error)[:200]
            time.sleep(0.05)
            box.close()
        self.out["host_cpu"] = heart.cpu
        self.out["host_stall"] = heart.worst
        self.out["tasks"] = calls["most"]

    def in_a_loop(self, template: Any, slow: Any) -> None:
        import asyncio

        async def main() -> None:
            async with belljar.AsyncSandbox(template=template, files={"say.py": SAY}) as box:
                await box.expose(slow, "slow")
                before = len(asyncio.all_tasks())
                self.note(await box.run_code(self.text()))
                await asyncio.sleep(0.3)
                self.out["tasks_after"] = len(asyncio.all_tasks()) - before

        asyncio.run(main())

    def victim(self) -> None:
        """Another session asks one cheap thing, beside attackers and without them, in turns."""
        with self.template() as template, contextlib.ExitStack() as stack:
            victim = template.sandbox()
            stack.callback(victim.close)
            victim.run_code("import os; open('/work/own', 'w').close()")
            attackers = [template.sandbox() for _ in range(self.row.get("attackers", 2))]
            for box in attackers:
                stack.callback(box.close)
                self.note(box.run_code(self.text() + "\nready()"))
            quiet, loud = [], []

            def attack(box: Any, seconds: float) -> None:
                try:
                    self.out["last"] = box.run_code(
                        f"end = time.monotonic() + {seconds}\nwhile time.monotonic() < end: ask()"
                    ).verdict
                except belljar.SandboxError as error:
                    self.out["last"] = str(error)[:100]

            def sample(times: list[float], seconds: float, most: int) -> None:
                end = time.monotonic() + seconds
                while len(times) < most and (time.monotonic() < end or not times):
                    began = time.perf_counter()
                    victim.run_code("os.stat('/work/own')")
                    times.append(time.perf_counter() - began)

            # The interpreter's work is two busy processes' beside the victim in either case: only the supervisor's is compared.
            spinners = [template.sandbox() for _ in attackers]
            for box in spinners:
                stack.callback(box.close)
                box.run_code("import time")
            for turn in range(self.row.get("turns", 2)):
                for times, boxes in ((quiet, spinners), (loud, attackers)):

                    def work(box: Any, mine: bool = times is quiet) -> None:
                        if mine:
                            box.run_code("end = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass")
                        else:
                            attack(box, 0.5)

                    threads = [threading.Thread(target=work, args=(box,)) for box in boxes]
                    for thread in threads:
                        thread.start()
                    time.sleep(0.05)
                    if self.row.get("hangs") and times is loud:
                        threading.Timer(5, self.release).start()  # who waits until then has waited for 5 s
                    sample(times, 0.4, (turn + 1) * 400)
                    for thread in threads:
                        thread.join()
                    if len(loud) and max(loud) > 5:
                        break
            self.out["quiet_ms"], self.out["loud_ms"] = (1000 * statistics.median(times) for times in (quiet, loud))
            self.out["loud_worst_ms"] = 1000 * max(loud)
            # The mean beside the median: one call that waits for seconds is many that wait.
            means = [1000 * statistics.mean(times) for times in (quiet, loud)]
            self.out["times"] = max(self.out["loud_ms"] / max(self.out["quiet_ms"], 0.5), means[1] / max(means[0], 1.0))
            self.out["count"] = [len(quiet), len(loud)]

    def release(self) -> None:
        """What hangs may go on."""
        if self.fuse is not None:
            self.fuse.release()

    fuse: Any = None

    def hanging(self) -> None:
        import hanging_fuse as fuse

        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            os.mkdir(folder + "/slow")
            self.grant = folder
            with fuse.Hanging(folder + "/slow") as self.fuse:
                self.victim()

    def granted(self) -> None:
        """A victim beside attackers, with a grant of FIFOs and of links that lead nowhere."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            for n in range(20):
                os.mkfifo(f"{folder}/fifo{n}", 0o644)
                os.symlink("nowhere/" * 100, f"{folder}/dangling{n}")
                if os.geteuid() == 0:
                    os.chown(f"{folder}/fifo{n}", UID, UID)
            self.grant = folder
            self.victim()

    def fifo(self) -> None:
        """A writer of the host's waits for somebody to read; a guest with a read grant is not somebody."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            os.mkfifo(folder + "/fifo0", 0o644)
            os.chmod(folder + "/fifo0", 0o644)
            self.grant = folder
            found: list[bool] = []
            is_over = False

            def write() -> None:
                fd = os.open(folder + "/fifo0", os.O_WRONLY)  # waits for a reader, however short it is one
                found.append(not is_over)
                os.close(fd)

            thread = threading.Thread(target=write)
            with self.template() as template:
                thread.start()
                self.note(template.run(self.text()))
                is_over = True
                os.close(os.open(folder + "/fifo0", os.O_RDONLY | os.O_NONBLOCK))
                thread.join()
            self.out["reached"] = int(found[0])

    def scratch_granted(self) -> None:
        """Another template's guest has files, where it says; the attacker is granted the folder above."""
        reached = 0
        for place in ("/dev/shm", "/tmp", "/var/tmp"):
            if not os.access(place, os.W_OK):
                continue
            with belljar.Template(belljar.Policy(scratch_dir=place)) as owner:
                box = owner.sandbox()
                box.run_code("open('/work/mine', 'w').write('of the victim ' * 10)")
                self.grant = ""
                try:
                    with belljar.Template(belljar.Policy(write=[place], timeout=10)) as template:
                        self.grant = place
                        execution = template.run(self.text())
                        self.note(execution)
                        reached += "REACHED" in execution.stdout
                except belljar.SandboxError as error:
                    self.out["error"] = str(error)[:200]  # such a grant is refused altogether: held as well
                box.close()
        self.out["reached"] = reached

    def command(self) -> None:
        """belljar run, and somebody who does not read what it says."""
        limit = self.row["policy"]["timeout"]
        words = [shutil.which("belljar") or "belljar", "run", "--timeout", str(limit), *self.row["words"], "-c", self.text()]
        sampler_ = Sampler()
        sampler_.mark()
        reader, writer = os.pipe()
        began = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, pass_fds=(writer,))
        os.close(writer)
        try:
            self.out["over"] = self.lives_on(limit)
        finally:
            self.out["wall"] = time.monotonic() - began
            os.close(reader)
            time.sleep(0.1)
            process.kill()
            process.wait()
            self.out.update(sampler_.result())

    def lives_on(self, limit: float) -> float:
        """For how long beyond its limit the first guest that is seen lives (at most 4 s)."""
        began = time.monotonic()
        while not (found := living()) and time.monotonic() < began + 10:
            time.sleep(0.01)
        began = time.monotonic()
        while found and found[0] in living() and time.monotonic() < began + limit + 4:
            time.sleep(0.02)
        return max(0.0, time.monotonic() - began - limit)

    def slow_callback(self) -> None:
        limit = self.row["policy"]["timeout"]
        with self.template() as template:
            over: list[float] = []
            time.sleep(0.3)  # the guest of the run before has gone
            watcher = threading.Thread(target=lambda: over.append(self.lives_on(limit)))

            def slow(_: object) -> None:
                time.sleep(3)

            watcher.start()
            try:
                if self.row.get("shows"):
                    box = template.sandbox()
                    self.note(box.run_code(self.text(), on_result=slow))
                else:
                    self.note(template.run(self.text(), on_stdout=slow))
            except belljar.SandboxError as error:
                self.out["error"] = str(error)[:200]
            watcher.join()
            self.out["over"] = over[0]

    def stopped(self) -> None:
        """The supervisor stands still: who waits for it has a clock of its own."""
        limit = self.row["policy"]["timeout"]
        with self.template() as template:
            supervisor = sampler.supervisors(os.getpid())[0]
            done = threading.Event()

            def run() -> None:
                try:
                    if self.row.get("session"):
                        box = template.sandbox()
                        self.note(box.run_code(self.text()))
                    else:
                        self.note(template.run(self.text()))
                except belljar.SandboxError as error:
                    self.out.setdefault("verdicts", []).append(type(error).__name__)
                    self.out["error"] = str(error)[:200]
                done.set()

            thread = threading.Thread(target=run)
            began = time.monotonic()
            thread.start()
            time.sleep(0.2)
            try:
                os.kill(supervisor, signal.SIGSTOP)
            except PermissionError:
                self.out["skip"] = "the supervisor belongs to another user than this test"
            done.wait(limit + 4)
            self.out["over"] = max(0.0, time.monotonic() - began - limit)
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.kill(supervisor, signal.SIGCONT)
            thread.join(10)

    def make(self) -> None:
        """One guest that cannot be made fails alone: sessions that are there go on, and there is room again."""
        way = self.row["way"]
        if way == "descriptors":
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.row["number"], self.row["number"]))
        if way == "processes":  # for whoever the guests run as: what runs already, the template, and some
            user = UID if os.geteuid() == 0 else os.geteuid()
            used = sum(len(tasks(pid)) for pid in sampler_pids() if uid_of(pid) == user)
            resource.setrlimit(resource.RLIMIT_NPROC, (used + 60, used + 60))
        policy = self.policy()
        refusals: list[str] = []
        with belljar.Template(policy) as template:
            boxes = [template.sandbox() for _ in range(8)]
            for n, box in enumerate(boxes):
                box.run_code(f"x = {n}")
            extra: list[Any] = []
            if way == "descriptors":
                while len(extra) < 400:
                    try:
                        box = template.sandbox()
                        extra.append(box)
                        box.run_code("1")
                    except (belljar.SandboxError, OSError) as error:
                        refusals.append(str(error)[:150])
                        break
            elif way == "processes":
                extra.append(template.sandbox())
                self.note(extra[0].run_code("import threading, time\nthreading.stack_size(1 << 17)\ntry:\n  for _ in range(300): "
                                            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
                                            "except RuntimeError as error: print(error)"))  # fmt: skip
                for _ in range(12):
                    try:
                        box = template.sandbox()
                        extra.append(box)
                        box.run_code("1")
                    except belljar.SandboxError as error:
                        refusals.append(str(error)[:150])
            elif way == "killed":
                stop = threading.Event()
                killed: list[int] = []
                supervisor = sampler.supervisors(os.getpid())[0]
                old = set(sampler.guests(supervisor))

                def kill() -> None:
                    while not stop.is_set():
                        for pid in set(sampler.guests(supervisor)) - old - set(killed):
                            with contextlib.suppress(OSError):
                                os.kill(pid, signal.SIGKILL)
                                killed.append(pid)

                hunter = threading.Thread(target=kill)
                hunter.start()
                for _ in range(12):
                    try:
                        box = template.sandbox()
                        extra.append(box)
                        box.run_code("1")
                    except belljar.SandboxError as error:
                        refusals.append(str(error)[:150])
                stop.set()
                hunter.join()
                self.out["killed"] = len(killed)
            elif way == "fork":
                try:
                    extra.append(boxes[0].fork())
                except belljar.SandboxError as error:
                    refusals.append(str(error)[:150])
            for box in extra:
                box.close()
            lost = 0
            for n, box in enumerate(boxes):
                try:
                    lost += box["x"] != n
                except belljar.SandboxError as error:
                    lost += 1
                    self.out["error"] = str(error)[:200]
            self.out["lost"] = lost
            self.out["refused"] = refusals[:1]
            time.sleep(0.2)
            try:
                again = template.sandbox()
                self.out["again"] = again.run_code("6*7").text
                again.close()
            except belljar.SandboxError as error:
                self.out["again"] = str(error)[:150]
                self.out["lost"] += 1
            for box in boxes:
                box.close()


def living() -> list[int]:
    """The guests that have not ended, oldest first."""
    return [pid for supervisor in sampler.supervisors(os.getpid()) for pid in sampler.guests(supervisor) if sampler.is_alive(pid)]


def slow_of(calls: dict[str, int]) -> Any:
    async def slow() -> None:
        import asyncio

        calls["tasks"] += 1
        calls["most"] = max(calls["most"], calls["tasks"])
        try:
            await asyncio.sleep(30)
        finally:
            calls["tasks"] -= 1

    return slow


def sampler_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def uid_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    if chosen.get("namespaces") == "refused":
        refuse_namespaces()
    import belljar
    import sampler

    case = Case(chosen)
    getattr(case, chosen["how"])()
    print(json.dumps(case.out))
