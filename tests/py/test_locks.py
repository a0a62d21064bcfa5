"""Locks on files are the kernel's: between guests, between a guest and the host, and within one guest."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

import pytest

from belljar import Policy, Template

core = pytest.mark.core
ROUNDS = 40


@pytest.fixture(scope="module")
def shared():
    """A folder of the host that anybody may write to, whoever runs the guests."""
    place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="belljar-locks-", dir=place)
    os.chmod(folder, 0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def template(shared):
    with Template(Policy(write=[shared], timeout=60), parked=2) as template:
        yield template


LOCKS = {
    "flock": "fcntl.flock(file, fcntl.LOCK_EX)",
    "POSIX": "fcntl.lockf(file, fcntl.LOCK_EX)",
    "POSIX, a range": "fcntl.lockf(file, fcntl.LOCK_EX, 1, 7)",
    "of the open file": "fcntl.fcntl(file, fcntl.F_OFD_SETLKW, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))",
}
COUNT = """
import fcntl, struct, time
fcntl.F_OFD_SETLKW = getattr(fcntl, "F_OFD_SETLKW", 38)
for _ in range({rounds}):
    with open({path!r}, "r+") as file:
        {lock}
        number = int(file.read()); time.sleep(0.001); file.seek(0); file.write(str(number + 1)); file.flush()
"""


def all_at_once(template, code, host):
    """Runs it in two guests and in a plain interpreter. What the guests made of it, and the host."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(template.run(code))) for _ in range(2)]
    plain = subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out, _ = plain.communicate()
    assert [ex.error for ex in results] == [None, None] and plain.returncode == 0
    return [ex.stdout for ex in results], out


@core
@pytest.mark.parametrize("kind", LOCKS)
def test_no_increment_is_lost_under_a_lock(template, shared, kind):
    path = f"{shared}/{kind}"
    with open(path, "w") as file:
        file.write("0")
    os.chmod(path, 0o666)
    code = COUNT.format(rounds=ROUNDS, path=path, lock=LOCKS[kind])
    all_at_once(template, code, code)
    with open(path) as file:
        assert file.read() == str(3 * ROUNDS)


WRITER = """
import sqlite3, time
data = sqlite3.connect({path!r}, timeout=60, isolation_level=None)
rows, end = 0, time.time() + 1
while time.time() < end:
    data.execute("begin immediate"); data.execute("insert into rows values (1)"); data.execute("commit"); rows += 1
print(rows)
"""


@core
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_keeps_every_row_that_three_writers_committed(template, shared, mode):
    path = f"{shared}/{mode}.db"
    with sqlite3.connect(path) as data:
        data.execute(f"pragma journal_mode={mode}")
        data.execute("create table rows (row)")
    data.close()
    for name in os.listdir(shared):
        os.chmod(f"{shared}/{name}", 0o666)
    code = WRITER.format(path=path)
    # In WAL mode each of them makes files that the others write to, whoever they are.
    guests, host = all_at_once(template, code, "import os; os.umask(0)\n" + code) if os.geteuid() or mode == "delete" else (
        all_guests(template, code), "0")  # fmt: skip
    data = sqlite3.connect(path)
    assert data.execute("select count(*) from rows").fetchone()[0] == sum(map(int, [*guests, host])) > 0
    assert data.execute("pragma integrity_check").fetchone() == ("ok",)
    data.close()


def all_guests(template, code):
    results = []
    threads = [threading.Thread(target=lambda: results.append(template.run(code))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ex.error for ex in results] == [None] * 3
    return [ex.stdout for ex in results]


WITHIN = """
import fcntl, struct
one, two = open({0!r}, "w+"), open({0!r}, "r+")
def take(file, how):
    try:
        how(file)
    except OSError as error:
        return type(error).__name__
    return "taken"
def ofd(file): fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
def flock(file): fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
def lockf(file): fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print(take(one, flock), take(two, flock), take(one, ofd), take(two, ofd))
one.close(); two.close()
one, two = open({0!r}, "w+"), open({0!r}, "r+")
print(take(one, lockf), take(two, lockf), take(two, flock))
print(struct.unpack("hhqqi4x", fcntl.fcntl(two, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 5, 1, 0)))[0] == fcntl.F_UNLCK)
print(take(open("/dev/null"), flock), take(open({0!r}), lockf))
"""


@core
@pytest.mark.parametrize("where", ["scratch", "a grant"])
def test_within_a_guest_locks_conflict_as_in_a_process(template, shared, where):
    path = "/tmp/one" if where == "scratch" else f"{shared}/one"
    plain = f"{shared}/plain"
    done = subprocess.run([sys.executable, "-c", WITHIN.format(plain)], capture_output=True, text=True, check=True)
    assert "BlockingIOError" in done.stdout
    assert template.run(WITHIN.format(path)).stdout == done.stdout


@core
def test_who_waits_for_a_lock_makes_nobody_else_wait_and_ends_with_its_limit(template, shared):
    path = f"{shared}/waited for"
    waits = (
        f"import fcntl\nfile = open({path!r}, 'w')\nprint('waits', flush=True)\nfcntl.lockf(file, fcntl.LOCK_EX)\nprint('has it')"
    )
    with open(path, "w") as file:
        os.chmod(path, 0o666)
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX)
        late = threading.Thread(target=lambda: ended.append(template.run(waits, timeout=2)))
        ended = []
        late.start()
        assert template.run("print(1)").stdout == "1\n"  # the supervisor serves others
        late.join()
        assert (ended[0].verdict, ended[0].stdout) == ("timeout", "waits\n")
    assert template.run(waits).stdout == "waits\nhas it\n"


MANY = """
import fcntl, struct
file = open("/tmp/many", "w")
def lock(number, kind):
    if ofd: fcntl.fcntl(file, 37, struct.pack("hhqqi4x", kind, 0, 2 * number, 1, 0))
    else: fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, 2 * number, 1, 0))
for ofd in (False, True):
    for _ in range(10000): lock(0, fcntl.F_WRLCK); lock(0, fcntl.F_UNLCK)
    try:
        for number in range(30000): lock(number, fcntl.F_WRLCK)
        print("all")
    except OSError as error:
        print(error.errno, number > 4000)
    for n in range(number - 4000): lock(n, fcntl.F_UNLCK)
    lock(1 << 20, fcntl.F_WRLCK)
    file.close(); file = open("/tmp/many", "w")
print("done")
"""


@core
def test_a_guest_holds_so_many_record_locks_and_gives_them_back(template):
    ex = template.run(MANY)
    assert (ex.stdout, ex.error) == ("37 True\n37 True\ndone\n", None)
