"""What is left behind: nothing. After 1,000 runs, after the host died, after the supervisor died."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import belljar
import looking
import pytest

core = pytest.mark.core
pytestmark = pytest.mark.alone

MIX = [
    "6*7",
    "print('x' * 1000)",
    "open('f', 'w').write('x' * 10000); open('/tmp/g', 'w').close()",
    "import os; os.fork()",
    "import ctypes; ctypes.string_at(0)",
    "1/0",
    "import os; os._exit(3)",
    "import socket; a, b = socket.socketpair(); import os; r, w = os.pipe()",
    "import threading, time\nfor _ in range(4): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)",
    "import os\nos.mkdir('d')\nfor n in range(20): open(f'd/{n}', 'w').close()",
    "import os; os.write(3, b'\\xff' * 100); import time; time.sleep(9)",
    "x = bytearray(10**11)",
    "import os\nfor n in range(200):\n  try: os.dup(0)\n  except OSError: pass",
    "open('/etc/shadow')",
    "import os; os.closerange(0, 99)",
    "import os; os.symlink('/', 'l'); os.kill(os.getpid(), 9)",
    "import mmap; f = open('m', 'w+b'); f.truncate(1 << 20); m = mmap.mmap(f.fileno(), 1 << 20); m[0] = 1",
    "import asyncio; asyncio.run(asyncio.sleep(0))",
    "import sys; sys.exit('no')",
]


def traces():
    """Files by which a guest, a template or a test of ours could be known, in the places where scratch may lie."""
    found = set()
    for place in ("/dev/shm", "/tmp", "/var/tmp"):
        with contextlib.suppress(OSError):
            found |= {f"{place}/{name}" for name in os.listdir(place) if name.startswith("belljar-") and "probe" not in name
                      and f"-{os.getpid()}-" in name}  # fmt: skip
    return found


def shared_memory():
    """Segments and unlinked shared memory that processes of ours map: System V's, memfds."""
    try:
        return len(pathlib.Path("/proc/sysvipc/shm").read_text().splitlines())
    except OSError:
        return 0


@pytest.mark.slow
@core
def test_a_thousand_runs_leave_nothing_behind(report):
    before = {"files": traces(), "shm": shared_memory(), "children": set(looking.children(os.getpid())),
              "zombies": set(looking.zombies(os.getpid()))}  # fmt: skip
    with belljar.Template(belljar.Policy(timeout=5, memory="256M"), parked=2) as template:
        (supervisor,) = [pid for pid in looking.supervisors() if pid not in before["children"]]
        for code in MIX * 2:  # what is allocated once is allocated now
            template.run(code).usage  # noqa: B018
        time.sleep(0.3)
        processes = len(looking.children(supervisor))
        mine, theirs = looking.descriptors(os.getpid()), looking.descriptors(supervisor)
        resident, my_resident = looking.resident_kb(supervisor), looking.resident_kb(os.getpid())
        scratch = traces()
        start = time.monotonic()
        verdicts = {}
        for number in range(1000):
            execution = template.run(MIX[number % len(MIX)])
            verdicts[execution.verdict] = verdicts.get(execution.verdict, 0) + 1
        seconds = time.monotonic() - start
        execution.usage  # noqa: B018
        del execution
        assert template.run("6*7").text == "42"
        assert looking.wait_until(lambda: len(looking.children(supervisor)) <= processes, 1), looking.children(supervisor)
        looking.wait_until(lambda: not looking.zombies(os.getpid()), 1)
        # In a container this process inherits what commands left that other tests killed: only what came since counts.
        zombies = set(looking.zombies(os.getpid())) - before["zombies"]
        grown = looking.resident_kb(supervisor) - resident
        my_grown = looking.resident_kb(os.getpid()) - my_resident
        report("leaks", f"1,000 runs in {seconds:.1f} s: {verdicts}; supervisor grew by {grown} KiB, host by {my_grown} KiB; "
               f"processes below the supervisor: {processes} before, {len(looking.children(supervisor))} after")  # fmt: skip
        assert not zombies
        # A template keeps the last few executions' scratch for its caller: their number is bounded, not zero.
        assert mine is None or looking.descriptors(os.getpid()) <= mine + 4
        assert theirs is None or looking.descriptors(supervisor) <= theirs + 4
        assert grown < 4 << 10
        assert my_grown < 8 << 10
        assert len(traces() - scratch) <= 20
    assert looking.wait_until(lambda: not looking.stat_of(supervisor), 1)
    assert set(looking.children(os.getpid())) <= before["children"]
    assert traces() <= before["files"]
    assert shared_memory() == before["shm"]


@core
def test_sessions_leave_nothing_behind():
    with belljar.Template() as template:
        (supervisor,) = looking.supervisors()[-1:]
        boxes = [template.sandbox() for _ in range(5)]
        for box in boxes:
            box.run_code("open('f', 'w').write('x'); x = 1")
        assert len(looking.living(supervisor)) >= 5
        for box in boxes:
            box.close()
        assert looking.wait_until(lambda: len(looking.children(supervisor)) <= 4, 1)


@core
def test_many_guests_can_be_parked():
    """The kernel counts descriptors on their way per user, against the limit of whoever sends: parked guests are such."""
    with belljar.Template(belljar.Policy(memory="64M"), parked=100) as template:
        (supervisor,) = looking.supervisors()[-1:]
        assert looking.wait_until(lambda: len(looking.living(supervisor)) >= 100, 10)
        boxes = [template.sandbox() for _ in range(100)]
        assert {box.run_code("6*7").text for box in boxes} == {"42"}
        for box in boxes:
            box.close()


@core
def test_a_template_that_cannot_start_leaves_nothing_behind():
    before, fds = set(looking.children(os.getpid())), looking.descriptors(os.getpid())
    for options in ({"preload": ["no_such_module"]}, {"python": "/bin/true"}, {"python": "/nowhere"}):
        with pytest.raises(belljar.SandboxError):
            belljar.Template(belljar.Policy(**options))
    assert looking.wait_until(lambda: set(looking.children(os.getpid())) <= before, 1)
    assert looking.descriptors(os.getpid()) == fds
    assert not traces()


def is_dead(pid):
    """Gone, or a zombie that the machine's init has inherited and will reap when it likes."""
    found = looking.stat_of(pid)
    return found is None or found[1] in "ZX"


HOST = """
import belljar, os, sys, time
template = belljar.Template(belljar.Policy(timeout=0), parked=2)
box = template.sandbox()
box.run_code("open('/tmp/left', 'w').write('x')")
print("ready", flush=True)
template.run("import signal\\nfor n in range(1, 32):\\n  try: signal.signal(n, signal.SIG_IGN)\\n  except OSError: pass\\nwhile True: pass")
"""


def start_host():
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True)
    assert host.stdout.readline() == "ready\n"
    time.sleep(0.3)
    return host, looking.descendants(host.pid)


@core
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_when_the_host_dies_everything_below_it_dies_within_a_second(number):
    host, below = start_host()
    assert len(below) >= 4
    host.send_signal(number)
    host.wait()
    host.stdout.close()
    left = [pid for pid in below if not looking.wait_until(lambda pid=pid: is_dead(pid), 1)]
    assert not left, [(pid, looking.name_of(pid), looking.stat_of(pid)) for pid in left]
    remains = [f"{place}/{name}" for place in ("/dev/shm", "/tmp", "/var/tmp") if os.path.isdir(place)
               for name in os.listdir(place) if name.startswith("belljar-") and f"-{host.pid}-" in name]  # fmt: skip
    # Nobody is left who could delete scratch on disk at that moment: the next supervisor does it.
    if remains:
        with belljar.Template() as template:
            template.run("open('f', 'w').close()")
        assert not [path for path in remains if os.path.exists(path)]


@core
def test_when_the_host_stops_its_guests_keep_their_limits():
    host = subprocess.Popen([sys.executable, "-c", HOST.replace("timeout=0", "timeout=1")], stdout=subprocess.PIPE, text=True)
    try:
        assert host.stdout.readline() == "ready\n"
        time.sleep(0.3)
        (supervisor,) = [pid for pid in looking.children(host.pid) if looking.name_of(pid).startswith("belljar-super")]
        busy = max(looking.living(supervisor), key=lambda pid: looking.status(pid).get("voluntary_ctxt_switches", "0"))
        before = set(looking.living(supervisor))
        host.send_signal(signal.SIGSTOP)
        assert looking.wait_until(lambda: before - set(looking.living(supervisor)), 3), busy
    finally:
        host.kill()
        host.wait()
        host.stdout.close()


@core
def test_when_the_supervisor_dies_its_guests_die_and_the_host_gets_one_clear_error():
    template = belljar.Template(belljar.Policy(timeout=5), parked=2)
    (supervisor,) = looking.supervisors()[-1:]
    box = template.sandbox()
    box.run_code("x = 1")
    below = looking.descendants(supervisor)
    try:
        os.kill(supervisor, signal.SIGKILL)
    except PermissionError:
        template.close()
        pytest.skip("the supervisor belongs to another user than this test")
    # The namespace's init ends last: when the machine's init, who inherits the zombies, has reaped them.
    left = [
        pid
        for pid in below
        if not looking.wait_until(lambda pid=pid: is_dead(pid), 1 if looking.name_of(pid) != "belljar-init" else 20)
    ]
    assert not left, [(pid, looking.name_of(pid)) for pid in left]
    start = time.monotonic()
    with pytest.raises(belljar.SandboxError) as caught:
        for _ in range(4):  # what was parked may be tried first
            execution = template.run("6*7")
            assert execution.verdict in ("ok", "infra_error", "crashed"), execution
    assert str(caught.value)
    assert time.monotonic() - start < 3
    with contextlib.suppress(belljar.SandboxError):
        execution = box.run_code("x")
        assert execution.verdict in ("infra_error", "crashed")
    template.close()
    with belljar.Template() as another:
        assert another.run("6*7").text == "42"


@core
def test_when_the_supervisor_dies_during_a_run_the_run_ends():
    with belljar.Template(belljar.Policy(timeout=10)) as template:
        (supervisor,) = looking.supervisors()[-1:]
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {supervisor}"])
        start = time.monotonic()
        try:
            execution = template.run("while True: pass")
            if execution.verdict == "timeout":
                pytest.skip("the supervisor belongs to another user than this test")
            assert execution.verdict == "infra_error"
        except belljar.SandboxError as error:
            assert str(error)
        assert time.monotonic() - start < 4
        killer.wait()
    assert belljar.run("6*7").text == "42"


@core
def test_when_the_zygote_dies_it_is_said():
    with belljar.Template(belljar.Policy(timeout=5)) as template:
        (supervisor,) = looking.supervisors()[-1:]
        template.run("1").usage  # noqa: B018
        zygotes = [
            pid
            for pid in looking.living(supervisor)
            if looking.name_of(pid) != "belljar-init" and looking.status(pid)["Seccomp"] == "0"
        ]
        if not zygotes:
            pytest.skip("inside a filter of the container's the zygote cannot be told from its guests")
        try:
            os.kill(zygotes[0], signal.SIGKILL)
        except PermissionError:
            pytest.skip("the zygote belongs to another user than this test")
        with pytest.raises(belljar.SandboxError) as caught:
            for _ in range(4):
                assert template.run("6*7").verdict in ("ok", "infra_error")
        assert str(caught.value)
    assert looking.wait_until(lambda: looking.stat_of(supervisor) is None, 1)
