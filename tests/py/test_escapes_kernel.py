"""The kernel-level catalogue, tests/escapes/kernel: every probe in a guest of its own, with the strength of native code, and
as a positive control the same probe without a sandbox, as an ordinary user, where a good part has to get through."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import belljar
import looking
import pytest

HERE = pathlib.Path(__file__).resolve().parents[1] / "escapes" / "kernel"
SHARED = (HERE / "probe.py").read_text()
CLASSES = {path.stem.partition("_")[0]: path for path in sorted(HERE.glob("k[0-9][0-9]_*.py"))}
UID = 65534
MODULES = ["ctypes", "struct", "socket", "signal", "threading", "mmap", "resource", "stat", "subprocess", "multiprocessing",
           "multiprocessing.shared_memory", "uuid", "fcntl", "atexit"]  # fmt: skip

# What a guest does reach, and why that is so: SECURITY.md has the same list.
KNOWN = {
    ("k08", "uretprobe (335)"): "the kernel asks no filter about it; it checks that the caller is a uprobe's trampoline",
    ("k08", "uprobe (336)"): "as uretprobe",
    **{
        ("k08", title): "for the guest, with its own memory: reads and writes what it could read and write one by one"
        for title in ("readv(-1)", "writev(-1)", "preadv2(-1)")
    },
    ("k08", "sched_rr_get_interval"): "of itself",
    **{
        ("k10", title): "locks are the kernel's; how many record locks a guest holds is looked at"
        for title in (
            "fcntl(-1, F_OFD_SETLKW): the kernel would say EBADF",
            "fcntl(-1, F_SETLK)",
            "fcntl(-1, F_SETLKW)",
            "flock(-1)",
            "a lock that another descriptor feels",
        )
    },
    **{("k11", title): "waits for its own signals" for title in ("rt_sigtimedwait", "rt_sigsuspend(bad)", "rt_sigpending(bad)")},
    **{("k12", title): "returns who it is, as to everybody whom it refuses" for title in ("setfsuid(0)", "setfsgid(0)")},
    **{
        ("k14", title): "the guest's own handler: sendto or writev of a message without descriptors"
        for title in ("sendmsg(3): could carry descriptors", "sendmsg(-1)")
    },
    ("k18", "setpriority(+1)"): "nicer to others, for good",
    ("k08", "futex WAKE without PRIVATE"): "pthread_join waits by a shared futex; no page is shared writably with anybody",
}
# Where dying by another signal than SIGSYS is the right end: the processor itself says no.
DIES = {("k01", "vsyscall getcpu"), ("k01", "sysenter getpid"), ("k01", "far call into 32-bit code")}


def load(name, context):
    """The class as a list of titles: its text makes a table and does nothing else."""
    namespace = dict(context)
    exec(compile(SHARED + CLASSES[name].read_text(), str(CLASSES[name]), "exec"), namespace)
    return [title for title, _ in namespace["PROBES"]], namespace.get("JIT", False)


def text_of(context, name):
    return "".join(f"{key} = {value!r}\n" for key, value in context.items()) + SHARED + CLASSES[name].read_text()


@pytest.fixture(scope="module")
def place():
    """A secret that everybody may read, and a directory that belongs to the user whom guests run as; none is granted."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="belljar-probe-"))
    top.chmod(0o755)
    secret = top / "secret" / "file"
    secret.parent.mkdir(mode=0o755)
    secret.write_text("belljar secret " + secrets.token_hex(16))
    secret.chmod(0o644)
    outside = top / "outside"
    outside.mkdir()
    for name in ("file", "victim-file"):
        (outside / name).write_text("outside")
    (outside / "link").symlink_to("file")
    (outside / "empty").mkdir()
    os.mkfifo(outside / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(outside / "socket"))
    listener.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0belljar-probe-host")
    abstract.listen()
    (top / "control").mkdir()
    if os.geteuid() == 0:
        for path in (outside, *outside.iterdir(), top / "control"):
            os.chown(path, UID, UID, follow_symlinks=False)
    yield {"secret": str(secret), "secret_inode": secret.stat().st_ino, "outside": str(outside / "file"), "top": top}
    listener.close()
    abstract.close()
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module")
def control(place):
    """What each probe comes to without any sandbox: {class: [(verdict, detail), …]}."""
    context = {"control": True, "rw": str(place["top"] / "control"), "mb": 24,
               **{key: place[key] for key in ("secret", "secret_inode", "outside")}}  # fmt: skip
    # k16 is about the channel, which only a guest has; its host is this process.
    request = {"uid": UID, "context": context, "shared": SHARED,
               "classes": {name: path.read_text() for name, path in CLASSES.items() if name != "k16"}}  # fmt: skip
    done = subprocess.run([sys.executable, "-I", str(HERE / "plain.py")], input=json.dumps(request), capture_output=True,
                          text=True, timeout=500, env={**os.environ, "PROBE_SECRET": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


class Jar:
    """A template with a second guest for a victim."""

    def __init__(self, place, **options):
        before = set(looking.supervisors())
        self.template = belljar.Template(belljar.Policy(timeout=8, memory="128M", scratch="8M", scratch_files=150, **options),
                                         preload=MODULES)  # fmt: skip
        (self.supervisor,) = set(looking.supervisors()) - before
        self.victim_box = self.template.sandbox()
        self.victim_box.run_code("import os; state = 1")
        if options.get("profile") != "compute":
            self.victim_box.run_code("for p in ('/tmp', '/work'): open(p + '/meet-of-the-victim', 'w').close()")
        below = looking.living(self.supervisor)
        self.victim = next(pid for pid in below if looking.inner_pid(pid) == self.inner(self.victim_box))
        zygotes = [pid for pid in below if looking.status(pid).get("Seccomp") == "0"]
        self.context = {
            "control": False, "host": os.getpid(), "victim": looking.inner_pid(self.victim),
            "zygote": looking.inner_pid(zygotes[-1]) if zygotes else 2, "supervisor": self.supervisor, "rw": "/work", "mb": 256,
            **{key: place[key] for key in ("secret", "secret_inode", "outside")},
        }  # fmt: skip

    def inner(self, box):
        return int(box.run_code("os.getpid()").text)

    def run(self, name, index, **more):
        """(verdict, detail, execution or None)."""
        source = text_of(self.context, name) + f"\nrun_probe({index})\n"
        try:
            execution = self.template.run(source, **more)
        except belljar.SandboxError as error:
            return "ENDED", f"SandboxError: {error}", None
        said = execution.stdout.rpartition("@@")[2].strip() if "@@" in execution.stdout else ""
        if said:
            verdict, _, detail = said.partition(" ")
            return verdict, detail[:200], execution
        ended = f"{execution.verdict}: {execution.error.value if execution.error else ''}"[:200]
        killed = execution.verdict in ("violation", "memory", "output", "cpu")
        return "HELD" if killed else "DIED" if execution.verdict == "crashed" else "NOTHING", ended, execution

    def close(self):
        alive = int(self.victim_box.run_code("state").text)
        self.victim_box.close()
        self.template.close()
        return alive


@pytest.fixture(scope="module")
def jars(place):
    made = {}

    def get(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = Jar(place, **options)
        return made[key]

    yield get
    for jar in made.values():
        assert jar.close() == 1, "the victim is not what it was"


def judge(name, title, verdict):
    """Whether a probe may end so."""
    if (name, title) in KNOWN:
        return verdict in ("HELD", "REACHED", "DIED")
    if (name, title) in DIES:
        return verdict in ("HELD", "DIED")
    return verdict in ("HELD", "INFO")


@pytest.mark.core
@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("k16", "k21")])
def test_every_probe_is_held(name, jars, place, report):
    titles, jit = load(name, jars().context)
    jar = jars(jit=jit)  # without: what becomes executable is looked at, too
    count, wrong, slow = collections.Counter(), [], []
    for index, title in enumerate(titles):
        start = time.monotonic()
        verdict, detail, _ = jar.run(name, index)
        if os.environ.get("BELLJAR_PROBES"):
            print(f"{name} {title}: {verdict} {detail}")
        if time.monotonic() - start > 6:
            slow.append(title)
        known = (name, title) in KNOWN and verdict != "HELD"
        count["known" if known else "held" if verdict in ("HELD", "DIED") else verdict.lower()] += 1
        if not judge(name, title, verdict):
            wrong.append(f"{title}: {verdict} {detail}")
    report("kernel catalogue, in the jar", f"{CLASSES[name].stem:24} {len(titles):4} probes  " +
           "  ".join(f"{number} {word}" for word, number in sorted(count.items())))  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert not slow, slow


@pytest.mark.slow
@pytest.mark.core
def test_every_probe_is_held_in_the_profile_compute(jars, report):
    """Fewer calls are native there: nothing may open up that the full profile shuts."""
    wrong, total = [], 0
    jar = jars(profile="compute")
    for name in CLASSES:
        if name in ("k01", "k16", "k17", "k21"):
            continue
        titles, _ = load(name, jar.context)
        for index, title in enumerate(titles):
            total += 1
            verdict, detail, _ = jar.run(name, index)
            if not judge(name, title, verdict) and not (verdict == "NOTHING" and detail.startswith("error")):
                wrong.append(f"{name} {title}: {verdict} {detail}")
    report("kernel catalogue, in the jar", f"{'profile compute':24} {total:4} probes")
    assert not wrong, "\n".join(wrong)


@pytest.mark.core
def test_messages_of_native_code_end_that_guest_alone(jars, report):
    """k16: the host stays as it is: no crash, no growth, no hang; the next guest answers at once."""
    jar = jars()
    titles, _ = load("k16", jar.context)
    jar.template.run("1")
    before = looking.resident_kb(os.getpid())
    fds = looking.descriptors(os.getpid())
    wrong, ends = [], collections.Counter()
    for index, title in enumerate(titles):
        start = time.monotonic()
        verdict, detail, execution = jar.run("k16", index, timeout=1.5)
        took = time.monotonic() - start
        ends[execution.verdict if execution else "SandboxError"] += 1
        if execution is not None:
            for read in (lambda: execution.text, lambda: execution.value, lambda: execution.results, lambda: execution.error):
                try:
                    read()
                except belljar.SandboxError:
                    pass  # "the guest's value cannot be read"
        if os.environ.get("BELLJAR_PROBES"):
            print(f"k16 {title}: {verdict} {detail} {execution} {took:.2f}")
        if took > 4:
            wrong.append(f"{title}: {took:.1f} s")
        del execution
        answer = jar.template.run("6*7")
        if answer.text != "42":
            wrong.append(f"{title}: the next guest said {answer}")
    grown = looking.resident_kb(os.getpid()) - before
    report(
        "kernel catalogue, in the jar", f"{'k16_channel':24} {len(titles):4} probes  ends: {dict(ends)}, host grew by {grown} KiB"
    )
    assert not wrong, "\n".join(wrong)
    assert grown < 16 << 10
    assert fds is None or looking.descriptors(os.getpid()) <= fds + 24


@pytest.mark.core
def test_nothing_survives_the_end_of_a_run(jars, report):
    """k21: whatever the guest did, a second after its deadline no task of it is left."""
    jar = jars()
    titles, _ = load("k21", jar.context)
    slowest, wrong = 0.0, []
    for index, title in enumerate(titles):
        start = time.monotonic()
        verdict, detail, execution = jar.run("k21", index, timeout=0.5)
        if verdict not in ("INFO", "HELD"):
            wrong.append(f"{title}: {verdict} {detail}")
        if execution is not None:
            execution.usage  # noqa: B018
        took = time.monotonic() - start
        slowest = max(slowest, took - 0.5)
        # An init where there are namespaces, the zygote, the victim, one parked guest; zombies count as well.
        if not looking.wait_until(lambda: len(looking.children(jar.supervisor)) <= 4, 1):
            left = [(pid, looking.name_of(pid), looking.stat_of(pid)) for pid in looking.children(jar.supervisor)]
            wrong.append(f"{title}: a process is left: {left}")
        if took > 1.6:
            wrong.append(f"{title}: ended {took:.2f} s after the start, limit 0.5 s")
        if os.environ.get("BELLJAR_PROBES"):
            print(f"k21 {title}: {verdict} {detail} {execution} {took:.2f}")
    report(
        "kernel catalogue, in the jar",
        f"{'k21_persistence':24} {len(titles):4} probes  slowest end {slowest * 1000:.0f} ms after the limit",
    )
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_the_probes_see_something(control, jars, report):
    """The positive control: without a sandbox a good part is reached or escapes, or the catalogue proves nothing."""
    total, positive, judged = 0, 0, collections.Counter()
    for name, rows in control.items():
        titles, _ = load(name, jars().context)
        assert abs(len(rows) - len(titles)) <= 6, name  # a few depend on who runs them
        got = [verdict for verdict, _ in rows]
        total += len(got)
        positive += sum(verdict in ("REACHED", "ESCAPE", "DIED") for verdict in got)
        judged.update(got)
        if os.environ.get("BELLJAR_PROBES"):
            for title, (verdict, detail) in zip(titles, rows, strict=False):
                print(f"control {name} {title}: {verdict} {detail}")
    every = sum(len(load(name, jars().context)[0]) for name in CLASSES)
    report("kernel catalogue, in the jar", f"{every} probes, {len(KNOWN)} known; {positive} of the {total} that can be run plainly "
           f"get through without a sandbox ({dict(judged)})")  # fmt: skip
    assert every >= 250
    assert "CONTROL" not in judged, [row for rows in control.values() for row in rows if row[0] == "CONTROL"]
    if "Seccomp:\t0" in pathlib.Path("/proc/self/status").read_text():
        assert positive >= total // 2
