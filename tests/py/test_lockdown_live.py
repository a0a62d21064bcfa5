"""The lockdown of live processes, seen from outside and proved by doing: the supervisor is made to try what it was not
granted, and a guest's filters are read back from the kernel and counted."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile

import belljar
import looking
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "escapes" / "inject.c"
BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
EACCES, EPERM, ENOENT = 13, 1, 2
X86_64, I386, X32_BIT = 0xC000003E, 0x40000003, 0x40000000
ALLOW, NOTIFY, TRAP, KILL = 0x7FFF0000, 0x7FC00000, 0x00030000, 0x80000000


@pytest.fixture(scope="module")
def inject(tmp_path_factory):
    """inject(pid, …): the words that it printed."""
    if os.geteuid() != 0:
        pytest.skip("an undumpable process can be traced by root only")
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("inject") / "inject"
    subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", program], check=True)

    def run(pid, *words):
        done = subprocess.run([program, str(pid), *map(str, words)], capture_output=True, text=True, timeout=20)
        if "attach" in done.stderr or "filters: " in done.stderr and "Operation not permitted" in done.stderr:
            pytest.skip(f"no tracing here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


class Trusted:
    """A template whose supervisor is made to do things. It may die of it."""

    def __init__(self, inject, **options):
        before = set(looking.supervisors())
        self.template = belljar.Template(belljar.Policy(**options))
        (self.pid,) = set(looking.supervisors()) - before
        self.inject = inject

    def call(self, number, *arguments):
        """The result, or "killed 31"."""
        answer = self.inject(self.pid, "call", number, *arguments).strip()
        return answer if answer.startswith("killed") else int(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.template.close()


@pytest.fixture
def trusted(inject):
    with Trusted(inject) as made:
        yield made


@pytest.fixture
def place():
    """A world-readable file that nobody granted, beside one that is."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="belljar-probe-"))
    top.chmod(0o755)
    for name in ("granted", "secret"):
        (top / name).mkdir(mode=0o755)
        (top / name / "file").write_text(name)
        (top / name / "file").chmod(0o644)
    (top / "own").mkdir()
    (top / "own" / "file").write_text("own")
    if os.geteuid() == 0:
        os.chown(top / "own", 65534, 65534)
        os.chown(top / "own" / "file", 65534, 65534)
    yield top
    shutil.rmtree(top)


# ---- The supervisor: files -----------------------------------------------------------------------------------------


def test_the_supervisor_opens_what_was_granted_and_nothing_beside_it(inject, place):
    with Trusted(inject, read=[str(place / "granted")]) as trusted:
        assert trusted.call(257, -100, f"@{place}/granted/file", os.O_RDONLY) >= 0
        for path in (place / "secret" / "file", "/etc/passwd", "/etc/hostname", "/etc/shadow", "/proc/self/environ", "/root",
                     f"{place}/granted/../secret/file"):  # fmt: skip
            assert trusted.call(257, -100, f"@{path}", os.O_RDONLY) in (-EACCES, -ENOENT), path
        assert trusted.template.run("6*7").text == "42"


def test_the_supervisor_writes_nothing_that_was_granted_for_reading(inject, place):
    """The file belongs to the user that it runs as: nothing but Landlock stands there."""
    with Trusted(inject, read=[str(place / "own")]) as trusted:
        file = f"@{place}/own/file"
        assert trusted.call(257, -100, file, os.O_RDONLY) >= 0
        assert trusted.call(257, -100, file, os.O_WRONLY) == -EACCES
        assert trusted.call(257, -100, f"@{place}/own/new", os.O_WRONLY | os.O_CREAT, 0o600) == -EACCES
        assert trusted.call(263, -100, file, 0) == -EACCES  # unlinkat
        assert trusted.call(316, -100, file, -100, f"@{place}/own/other", 0) < 0  # renameat2
        assert (place / "own" / "file").read_text() == "own"
    with Trusted(inject, write=[str(place / "own")]) as trusted:
        assert trusted.call(257, -100, f"@{place}/own/new", os.O_WRONLY | os.O_CREAT, 0o600) >= 0


def test_the_descriptors_that_the_supervisor_holds_lead_nowhere_else(trusted):
    """The ruleset holds the parents of granted files, too: /etc for /etc/timezone."""
    held = {}
    for fd in os.listdir(f"/proc/{trusted.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it is at work: some come and go
            held[int(fd)] = os.readlink(f"/proc/{trusted.pid}/fd/{fd}")
    tried = 0
    for fd, path in held.items():
        if path == "/":
            opened = trusted.call(257, fd, "@etc/passwd", os.O_RDONLY)
            if opened >= 0:  # the image for listings: names in memory, without content
                found = os.stat(f"/proc/{trusted.pid}/fd/{opened}")
                assert found.st_size == 0 and found.st_dev != os.stat("/etc/passwd").st_dev, (fd, path)
                continue
            assert opened in (-EACCES, -ENOENT), (fd, path)
        if path == "/etc":
            tried += 1
            assert trusted.call(257, fd, "@passwd", os.O_RDONLY) == -EACCES, (fd, path)
        if os.path.isdir(path):
            assert trusted.call(257, fd, "@" + "../" * 8 + "etc/passwd", os.O_RDONLY) in (-EACCES, -ENOENT), (fd, path)
    assert tried, "no parent directory is held any more: find another proof"


# ---- The supervisor: other processes ---------------------------------------------------------------------------------


@pytest.fixture
def neighbour(trusted):
    """A process outside, of the same user as the supervisor."""
    uid = int(looking.status(trusted.pid)["Uid"].split()[0])
    process = subprocess.Popen(["sleep", "60"], user=uid, group=uid, extra_groups=[], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


# How one process could signal another that it was given no pidfd of.
SIGNALS = [
    ("kill", lambda pid: (62, pid, 0)),
    ("tkill", lambda pid: (200, pid, 0)),
    ("tgkill", lambda pid: (234, pid, pid, 9)),
    ("rt_sigqueueinfo", lambda pid: (129, pid, 9, 0)),
    ("rt_tgsigqueueinfo", lambda pid: (297, pid, pid, 9, 0)),
    ("pidfd_open", lambda pid: (434, pid, 0)),
    ("/proc/<pid> as a pidfd", lambda pid: (257, -100, f"@/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)),
    ("F_SETOWN: SIGIO", lambda pid: (72, 0, 8, pid)),
    ("F_SETOWN_EX", lambda pid: (72, 0, 15, "@\x02")),
    ("F_SETSIG", lambda pid: (72, 0, 10, 9)),
    ("FIOSETOWN", lambda pid: (16, 0, 0x8901, "@\x02")),
    ("timer_create", lambda pid: (222, 0, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call"), SIGNALS, ids=[row[0] for row in SIGNALS])
def test_the_supervisor_signals_nobody_whose_pidfd_it_was_not_given(name, call, trusted, neighbour):
    assert trusted.call(*call(neighbour)) in (f"killed {signal.SIGSYS:d}", -EACCES, -EPERM, -ENOENT)


def test_the_supervisor_signals_its_guests(trusted):
    box = trusted.template.sandbox()
    box.run_code("1")
    held = [int(fd) for fd in os.listdir(f"/proc/{trusted.pid}/fd") if "pidfd" in os.readlink(f"/proc/{trusted.pid}/fd/{fd}")]
    assert held
    assert all(trusted.call(424, fd, 0, 0, 0) == 0 for fd in held)
    assert box.run_code("6*7").text == "42"


def test_the_supervisor_changes_no_limits_of_others(trusted, neighbour):
    before = pathlib.Path(f"/proc/{neighbour}/limits").read_text()
    trusted.call(302, neighbour, 7, "@\x10", 0)
    assert pathlib.Path(f"/proc/{neighbour}/limits").read_text() == before


def test_the_supervisor_sees_into_no_other_process(trusted, neighbour):
    for name in ("mem", "environ", "maps"):
        assert trusted.call(257, -100, f"@/proc/{neighbour}/{name}", os.O_RDONLY) in (-EACCES, -EPERM, -ENOENT)


# ---- The supervisor: calls outside its list --------------------------------------------------------------------------

OUTSIDE = [
    ("socket, INET", 41, (2, 1, 0)), ("socket, UNIX", 41, (1, 1, 0)), ("connect", 42, (3, 0, 0)), ("bind", 49, (3, 0, 0)),
    ("socketpair, INET", 53, (2, 1, 0, 0)), ("execve", 59, ("@/bin/true", 0, 0)), ("execveat", 322, (-100, "@/bin/true", 0, 0, 0)),
    ("fork", 57, ()), ("clone, a process", 56, (17, 0, 0, 0, 0)), ("clone3", 435, (0, 0)), ("ptrace", 101, (0, 0, 0, 0)),
    ("process_vm_readv", 310, (1, 0, 0, 0, 0, 0)), ("process_vm_writev", 311, (1, 0, 0, 0, 0, 0)), ("pidfd_getfd", 438, (0, 0, 0)),
    ("unshare", 272, (0x10000000,)), ("setns", 308, (0, 0)), ("mount", 165, (0, 0, 0, 0, 0)), ("umount2", 166, (0, 0)),
    ("open_tree", 428, (-100, 0, 1)), ("move_mount", 429, (-1, 0, -1, 0, 0)), ("pivot_root", 155, (0, 0)), ("chroot", 161, (0,)),
    ("bpf", 321, (0, 0, 0)), ("perf_event_open", 298, (0, 0, 0, 0, 0)), ("userfaultfd", 323, (0,)), ("io_uring_setup", 425, (1, 0)),
    ("keyctl", 250, (0, 0, 0, 0, 0)), ("setuid", 105, (0,)), ("setresuid", 117, (0, 0, 0)), ("capset", 126, (0, 0)),
    ("prctl", 157, (4, 1, 0, 0, 0)), ("seccomp", 317, (0, 0, 0)), ("landlock_restrict_self", 446, (-1, 0)),
    ("mmap, executable", 9, (0, 4096, 5, 0x22, -1, 0)), ("mmap, writable and executable", 9, (0, 4096, 7, 0x22, -1, 0)),
    ("mprotect, executable", 10, (0, 4096, 4)), ("open_by_handle_at", 304, (-1, 0, 0)), ("mknodat", 259, (-100, 0, 0, 0)),
    ("ioctl, TIOCSTI", 16, (0, 0x5412, 0)), ("ioctl, FIONBIO", 16, (0, 0x5421, 0)), ("shmget", 29, (0, 4096, 0o600)),
    ("personality", 135, (0,)), ("x32 getpid", X32_BIT | 39, ()), ("a number of the future", 1000, ()),
    ("getpid", 39, ()), ("dup", 32, (0,)), ("mprotect, readable", 10, (0, 4096, 1)), ("inotify_init1", 294, (0,)), ("timerfd_create", 283, (1, 0)),
]  # fmt: skip


def test_inside_its_list_the_supervisor_lives_on(trusted):
    assert trusted.call(107) >= 0  # geteuid
    assert trusted.call(9, 0, 4096, 3, 0x22, -1, 0) > 0
    assert trusted.template.run("6*7").text == "42"


@pytest.mark.parametrize(("name", "number", "arguments"), OUTSIDE, ids=[row[0] for row in OUTSIDE])
def test_outside_its_list_the_supervisor_dies_and_its_guests_with_it(trusted, name, number, arguments):
    below = looking.descendants(trusted.pid)
    assert trusted.call(number, *arguments) == f"killed {signal.SIGSYS:d}"

    def is_dead(pid):
        found = looking.stat_of(pid)
        return found is None or found[1] in "ZX"

    left = [
        pid for pid in below if looking.name_of(pid) != "belljar-init" and not looking.wait_until(lambda pid=pid: is_dead(pid), 1)
    ]
    assert not left, [(pid, looking.name_of(pid)) for pid in left]
    with pytest.raises(belljar.SandboxError):
        for _ in range(3):
            assert trusted.template.run("1").verdict in ("infra_error", "crashed", "ok")


# ---- What /proc says of the three -------------------------------------------------------------------------------------


@pytest.mark.core
def test_supervisor_zygote_and_guest_have_no_privileges_left():
    with belljar.Template() as template:
        supervisor = looking.supervisors()[-1]
        box = template.sandbox()
        box.run_code("1")
        guest = next(
            pid for pid in looking.living(supervisor) if looking.inner_pid(pid) == int(box.run_code("import os; os.getpid()").text)
        )
        for pid in (supervisor, *looking.living(supervisor)):
            if looking.name_of(pid) == "belljar-init":  # waits; runs no code of anybody's
                continue
            status = looking.status(pid)
            if pid not in (supervisor, guest) and int(status["CapEff"], 16):
                # The zygote mounts its guests' scratch: in its own user namespace, or not at all.
                if os.geteuid() == 0:
                    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
                continue
            for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(status[kind], 16) == 0, (looking.name_of(pid), kind, status[kind])
            assert status["NoNewPrivs"] == "1"
            # A root without capabilities (a stock container's) cannot become anybody else, and stays what it is.
            if os.geteuid() != 0 or int(looking.status(os.getpid())["CapEff"], 16) != 0:
                assert "0" not in status["Uid"].split(), status["Uid"]
            assert status["Groups"] in ("", "65534") or os.geteuid() != 0
        for pid in (supervisor, guest):
            assert looking.status(pid)["Seccomp"] == "2"
        filters = looking.status(guest).get("Seccomp_filters")
        mine = looking.status(os.getpid()).get("Seccomp_filters")
        assert filters is None or mine is None or int(filters) - int(mine) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may trace every process")
def test_an_ordinary_user_cannot_look_into_guest_and_supervisor():
    with belljar.Template() as template:
        supervisor = looking.supervisors()[-1]
        template.sandbox().run_code("1")
        for pid in (supervisor, *looking.living(supervisor)):
            if looking.status(pid)["Seccomp"] == "0":
                continue
            with pytest.raises(PermissionError):
                open(f"/proc/{pid}/mem", "rb").read(1)  # noqa: SIM115


# ---- The guest's filters, read back from the kernel -------------------------------------------------------------------


def decode(line):
    return [struct.unpack("<HBBI", bytes.fromhex(line[at : at + 16])[::-1]) for at in range(0, len(line), 16)]


def reachable(program, number, architecture, arguments=()):
    """Every action that a filter can come to for this number, whatever the arguments that are not given: loads of these are
    unknown, and where a jump depends on one both ways are taken."""
    given = {16 + 8 * at + 4 * half: argument >> 32 * half & 0xFFFFFFFF for at, argument in enumerate(arguments) for half in (0, 1)}
    actions, seen, ways = set(), set(), [(0, None, None)]
    while ways:
        at, accumulator, index = ways.pop()
        if (at, accumulator, index) in seen:
            continue
        seen.add((at, accumulator, index))
        code, yes, no, value = program[at]
        kind = code & 7
        if code == 0x20:  # ld [value]
            known = {0: number, 4: architecture, **given}
            ways.append((at + 1, known.get(value), index))
        elif kind == 6:
            assert code == 0x06, f"return of the accumulator at {at}"
            actions.add(value & 0xFFFF0000)
        elif kind == 5 and code & 0xF0 == 0:
            ways.append((at + 1 + value, accumulator, index))
        elif kind == 5:
            assert not code & 8, "jump by the index register"
            tests = {
                0x10: lambda a: a == value,
                0x20: lambda a: a > value,
                0x30: lambda a: a >= value,
                0x40: lambda a: a & value != 0,
            }
            if accumulator is None:
                ways += [(at + 1 + yes, None, index), (at + 1 + no, None, index)]
            else:
                ways.append((at + 1 + (yes if tests[code & 0xF0](accumulator) else no), accumulator, index))
        elif kind == 4:
            assert code == 0x54, hex(code)  # and
            ways.append((at + 1, None if accumulator is None else accumulator & value, index))
        else:
            raise AssertionError(f"instruction {code:#x} at {at}")
    return actions


def lowest(filters, number, architecture=X86_64):
    """The most permissive action that all filters together can come to: the kernel takes the strictest of them."""
    order = [0x80000000, 0x00000000, TRAP, 0x00050000, NOTIFY, 0x7FF00000, 0x7FFC0000, ALLOW]
    return order[min(max(order.index(action) for action in reachable(program, number, architecture)) for program in filters)]


@pytest.fixture(scope="module")
def filters(inject):
    """The filters of a live guest: get(profile=…)."""

    def get(**options):
        with belljar.Template(belljar.Policy(**options)) as template:
            supervisor = looking.supervisors()[-1]
            box = template.sandbox()
            box.run_code("1")
            guest = max(looking.living(supervisor), key=looking.inner_pid)
            programs = [decode(line) for line in inject(guest, "filters").split()]
            assert box.run_code("6*7").text == "42"
            return programs

    return get


def explained():
    """profile: [native, continued, served, refused], as `belljar explain` says."""
    text = subprocess.run([BUILD / "belljar", "explain"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^(this policy|compute|full|full without jit) +(\d+) +(\d+) +(\d+) +(\d+)$", text, re.M)
    return {name: [int(count) for count in counts] for name, *counts in rows}


def test_explain_counts_every_number_once_and_the_continued_by_themselves():
    assert {sum(counts) for counts in explained().values()} == {472}
    text = subprocess.run([BUILD / "belljar", "explain", "--json"], capture_output=True, text=True, check=True).stdout
    found = json.loads(text)
    continued = {row["name"] for row in found["syscalls"] if row["action"] == "continued"}
    assert continued == {
        "gettid", "alarm", "sigaltstack", "dup", "dup3", "shutdown", "kill", "tkill", "tgkill", "clone", "mprotect",
        "flock", "fcntl", "msync", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
        "pause", "getitimer", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend", "getrlimit", "prlimit64",
        "getpriority", "setpriority", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
        "sched_get_priority_max", "sched_get_priority_min", "getsockopt", "clock_gettime",
    }  # fmt: skip
    native = {row["name"] for row in found["syscalls"] if row["action"] == "native"}
    assert found["profiles"]["this policy"]["continued"] == len(continued - native)


@pytest.mark.parametrize(("profile", "most"), [("compute", 20), ("full", 40)])
def test_the_live_guest_reaches_no_more_native_calls_than_promised(filters, report, profile, most):
    programs = filters(profile=profile)
    assert len(programs) >= 2, "the filter and the seal"
    native = [number for number in range(1024) if lowest(programs, number) == ALLOW]
    notified = [number for number in range(1024) if lowest(programs, number) == NOTIFY]
    report("live guest", f"profile {profile}: {len(native)} native calls and the 2 that cannot be filtered, {len(notified)} numbers for the supervisor to "
           f"answer or refuse; {' + '.join(str(len(program)) for program in programs)} instructions; native: {native}")  # fmt: skip
    assert len(native) + 2 <= most
    assert len(native) == explained()[profile][0]
    assert not {46, 317} & set(native), "sendmsg and seccomp are sealed"


def test_other_architectures_reach_nothing(filters):
    programs = filters()
    for number in range(1024):
        assert lowest(programs, number | X32_BIT) == KILL
        assert lowest(programs, number, I386) == KILL
    for architecture in (0, 0xC00000B7, 0x40000028, 0xC000003F, 0x8000003E):
        assert lowest(programs, 0, architecture) == KILL


def test_numbers_that_nobody_knows_reach_nothing(filters):
    programs = filters()
    for number in (*range(472, 2048), 0x0FFFFFFF, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        assert lowest(programs, number) not in (ALLOW, NOTIFY, TRAP), number


def test_the_supervisors_own_filter_kills_by_default(inject, trusted):
    (program,) = [decode(line) for line in inject(trusted.pid, "filters").split()]
    allowed = [number for number in range(1024) if ALLOW in reachable(program, number, X86_64)]
    for number in set(range(1024)) - set(allowed):
        assert reachable(program, number, X86_64) == {KILL}, number
    forbidden = {41, 42, 43, 49, 50, 57, 58, 59, 101, 165, 272, 308, 310, 311, 317, 321, 322, 425, 435, 438}
    assert not forbidden & set(allowed)
    # A worker is a copy of the supervisor in the same jail: no thread, no namespace, nothing shared.
    fork, clone, prctl = 0x1000 | signal.SIGCHLD, 56, 157
    assert reachable(program, clone, X86_64, [fork]) == {ALLOW}
    for bit in set(range(64)) - {12}:
        assert reachable(program, clone, X86_64, [fork ^ 1 << bit]) == {KILL}, bit
    assert reachable(program, prctl, X86_64, [1, signal.SIGKILL]) == {ALLOW}
    for option in set(range(128)) - {1}:
        assert reachable(program, prctl, X86_64, [option]) == {KILL}, option


def test_the_zygote_has_a_network_of_its_own_or_none():
    with belljar.Template() as template:
        supervisor = looking.supervisors()[-1]
        if "namespaces" not in template.layers or not template.layers["namespaces"].startswith("on"):
            pytest.skip("no namespaces here")
        for pid in looking.living(supervisor):
            try:
                assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
                assert os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
            except PermissionError:
                pytest.skip("another user's processes")
