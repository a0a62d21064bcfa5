"""The supervisor's own list of calls (lockdown/supervisor_calls.c) has no row without a use.

A supervisor is traced from its lockdown on while a broad workload runs: its program is replaced by tests/c/trace_calls.c, which starts
the real one and counts its calls by the rows of the list. A row that is never used fails, unless the table marks it as rare (RARE), with
its reason: a fallback of an older kernel, a layer that is not on here, libc's last words."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

BUILD = pathlib.Path(os.environ["BELLJAR_BUILD"])
HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "python"

FILES = """
import os, tempfile, time
for place in ("/tmp", "/work"):
    os.chdir(place)
    os.makedirs("a/b/c")
    with open("a/f", "w") as file:
        file.write("x" * 100000)
    os.symlink("f", "a/s"); os.link("a/f", "a/h"); os.rename("a/h", "a/g"); os.rename("a/g", "a/f")
    assert os.readlink("a/s") == "f" and os.access("a/s", os.R_OK) and os.stat("a/s").st_size == 100000
    os.truncate("a/f", 10); os.utime("a/f", (1, 2))
    end = time.process_time() + 0.15 # the supervisor looks, and holds the file no more
    while time.process_time() < end: pass
    os.chmod("a/f", 0o000); os.unlink("a/f")
    for i in range(200):
        open(f"a/b/{i}", "a").close()
    assert len(os.listdir("a/b")) == 201 and len(list(os.walk("a"))) == 3
    os.rmdir("a/b/c")
    os.statvfs("."); os.umask(0o77); os.getcwd()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"1"); file.flush()
open("/etc/hostname").read(); open("/dev/null", "w").write("x"); os.listdir("/"); os.listdir("/etc")
for refused in ("/etc/shadow", "/proc/1/mem", "/root/x"):
    try:
        open(refused)
    except OSError:
        pass
"""
OWN = """
import asyncio, fcntl, os, resource, signal, socket, sys, threading, time
os.nice(1), os.getpid(), os.getuid(), os.getresuid(), os.uname(), os.sched_getaffinity(0), os.times(), resource.getrusage(resource.RUSAGE_SELF)
resource.getrlimit(resource.RLIMIT_NOFILE), time.clock_getres(time.CLOCK_MONOTONIC)
a, b = socket.socketpair(); a.sendall(b"x"); assert b.recv(1) == b"x"; a.getsockname(); a.close(); b.close()
r, w = os.pipe(); os.write(w, b"x"); os.close(r); os.close(w)
os.eventfd(1) if hasattr(os, "eventfd") else None
asyncio.run(asyncio.sleep(0.01))
threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1)
import array; end = time.process_time() + 0.3; kept = []
while time.process_time() < end:
    kept.append(bytearray(100000)); del kept[:-50]
"""
LOOPBACK = """
import socket
for host in ("127.0.0.1", "::1"):
    server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET); server.setblocking(False)
    clients = [socket.socket(server.family) for _ in range(4)]
    server.listen(0)
    for client in clients: client.settimeout(0.01); client.connect_ex(server.getsockname()[:2])
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagram.sendto(b"x", ("127.0.0.1", 9))
"""
WORKLOAD = """
import os, sys, time, belljar
FILES, OWN, LOOPBACK, out = sys.argv[1:5]
os.makedirs(out, exist_ok=True)
os.chmod(out, 0o777)
def ok(execution):
    assert execution.verdict in ("ok", "violation") and execution.error is None, execution
    return execution
policy = belljar.Policy(threads=8, write=[out], read=["/dev", "/usr/share"], timeout=60)
with belljar.Template(policy, parked=3) as template:
    ok(template.run(FILES)); ok(template.run(OWN))
    ok(template.run(f"import os; os.chdir({out!r}); open('n', 'w').write('1'); os.rename('n', 'm'); os.truncate('m', 0); os.chmod('m', 0o640); os.unlink('m')"))
    ok(template.run(f"import os; os.mkdir({out!r} + '/d'); os.chdir({out!r} + '/d'); open('n', 'w').close()\\n"
                    "for _ in range(9): os.stat('n')\\nopen('n', 'w').write('1'); assert os.stat('n').st_size == 1; time = __import__('time').sleep(0.05)"))
    ok(template.run(f"import os; os.mkdir({out!r} + '/o'); os.chdir({out!r} + '/o')\\n"
                    "for n in [*range(20)] * 2: open(str(n), 'a+' if not os.path.exists('19') else 'r').close()"))
    ok(template.run("import os\\nfor n in ('pts', 'mqueue', 'shm'):\\n  try: os.stat('/dev/' + n)\\n  except OSError: pass"))
    template.run("while True: pass", timeout=0.3)
    template.run("x = bytearray(10**10)"); template.run("import os; os.abort()"); template.run("1/0")
    many = [template.sandbox() for _ in range(40)]
    [sandbox.run_code("1") for sandbox in many]
    [sandbox.close() for sandbox in many]
    with template.sandbox() as sandbox:
        sandbox.run_code("x = 1; f = open('/tmp/kept', 'w'); f.write('1'); f.flush()")
        try:
            for branch in sandbox.fork(2):
                branch.run_code("x, open('/tmp/kept').read()"); branch.close()
        except belljar.SandboxError as error:
            print(error)
        sandbox.run_code("open('/tmp/big', 'wb').write(b'x' * 30_000_000)")
        try:
            import numpy
            sandbox["array"] = numpy.arange(1_000_000.0)
            sandbox.run_code("float(array.sum())")
        except ImportError:
            pass
with belljar.Template(policy, on_operation=lambda *_: None) as template: # audit
    ok(template.run(FILES))
try:
    with belljar.Template(belljar.Policy(network=["self"], timeout=20)) as template:
        ok(template.run(LOOPBACK))
except belljar.SandboxError as error:
    print(error)
if sys.argv[5:]:
    with belljar.Template(belljar.Policy(read=[sys.argv[5]], timeout=20)) as template:
        template.run(f"import os; print(open({sys.argv[5]!r} + '/fast').read(), os.listdir({sys.argv[5]!r}))")
print("done")
"""


def counts(folder: pathlib.Path) -> tuple[dict[int, list[str]], set[str]]:
    """By row: its name, how often it was used, "rare"; and what was made that no row permits."""
    rows: dict[int, list[str]] = {}
    killed = set()
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            words = line.split()
            if words[0] == "killed":
                killed.add(words[1])
                continue
            row = rows.setdefault(int(words[0]), [words[1], "0", *words[3:]])
            row[1] = str(int(row[1]) + int(words[2]))
    return rows, killed


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[dict[int, list[str]], set[str]]:
    if not (BUILD / "trace_calls").exists():
        pytest.skip("the build directory has no trace_calls: it is an installed copy")
    if not any((BUILD / name).exists() for name in ("libbelljar.so.0",)):
        pytest.skip("no build tree")
    top = tmp_path_factory.mktemp("traced")
    for path in (top, *top.parents):
        if path.is_relative_to("/tmp") and path != pathlib.Path("/tmp") and path.owner() == pathlib.Path.home().owner():
            path.chmod(0o755)
    build = top / "build"
    build.mkdir()
    (build / "calls").mkdir(mode=0o777)
    (build / "calls").chmod(0o777)
    for pattern in ("libbelljar.so*", "_belljar*.so", "belljar_guest*.so", "belljar_guest.bundle"):
        for path in BUILD.glob(pattern):
            if path.is_file():
                shutil.copy(path, build / path.name)
    shutil.copy(BUILD / "belljar-supervisor", build / "belljar-supervisor.real")
    shutil.copy(BUILD / "trace_calls", build / "belljar-supervisor")
    environment = dict(os.environ, PYTHONPATH=f"{PACKAGE}:{build}", BELLJAR_BUILD=str(build))
    workload = [sys.executable, "-c", WORKLOAD, FILES, OWN, LOOPBACK]
    settings = [("whole", []), ("plain", [sys.executable, str(HERE / "without_namespaces.py")])]
    for name, before in settings:
        out = f"/var/tmp/belljar-calls-{os.getpid()}-{name}"
        done = subprocess.run([*before, *workload, out], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=200)  # fmt: skip
        shutil.rmtree(out, ignore_errors=True)
        if "125" in done.stdout and "done" not in done.stdout:
            pytest.skip(f"nothing can be traced here (ptrace): {done.stdout[-300:]}")
        assert done.stdout.endswith("done\n"), done.stdout[-3000:]
    time.sleep(1)  # the tracers write when their supervisors have ended
    return counts(build / "calls")


@pytest.mark.timeout(450)
def test_every_row_is_used_or_says_why_it_is_rare(measured, record_property) -> None:
    rows, killed = measured
    assert killed == set(), f"a supervisor made calls that it may not make: {sorted(killed)}"
    unused = [f"{row} {name}" for row, (name, count, *rare) in sorted(rows.items()) if count == "0" and not rare]
    assert unused == []
    used = sum(count != "0" for _, count, *_ in rows.values())
    assert 45 <= used <= len(rows)
    assert sum(bool(rare) for _, _, *rare in rows.values()) <= 10


def test_the_measure_sees_what_is_used(measured) -> None:
    rows, _ = measured
    assert {name for name, count, *_ in rows.values() if int(count) > 50} >= {
        "recvmsg",
        "openat2",
        "pread64",
        "ioctl",
        "epoll_wait",
    }
