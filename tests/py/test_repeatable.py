"""Two runs with one seed and one time say the same, byte for byte, on each interpreter; without them they do not."""

import pathlib
import shutil

import pytest

import belljar

pytestmark = pytest.mark.core
TIME = "2020-01-31T12:00:00Z"
SAME = {"seed": 7, "start_time": TIME, "clock": "stands"}

PROGRAM = """
import datetime, os, random, secrets, tempfile, threading, time, uuid
print({"a", "b", "c", "dd"}, {b"x", b"y"}, frozenset("hello"), hash("x"), {datetime.date(2020, 1, n) for n in range(1, 9)})
print(random.random(), random.Random().random(), random.SystemRandom().random(), random.sample(range(99), 5))
print(os.urandom(8), os.getrandom(4), secrets.token_hex(8), secrets.choice("abcdef"), secrets.token_urlsafe())
print(uuid.uuid4(), uuid.uuid1(), uuid.uuid1(), uuid.getnode())
print(tempfile.mkdtemp(), tempfile.mktemp(), tempfile.NamedTemporaryFile().name)
print(time.time(), time.time_ns(), datetime.datetime.now(), time.clock_gettime(time.CLOCK_REALTIME), time.ctime(), time.localtime())
time.sleep(0.002)
print(datetime.datetime.now(datetime.timezone.utc), time.strftime("%c"))
thread = threading.Thread(target=lambda: print(random.random(), time.time(), os.urandom(4)))
thread.start()
thread.join()
try:
    import numpy
    print(numpy.random.rand(), numpy.random.default_rng().random(), numpy.random.RandomState().rand(), numpy.datetime64("now"))
except ImportError:
    pass
"""


def interpreters():
    """Those of this machine: the default one, and newer ones in PATH or where pyenv keeps them."""
    found = [None]
    for minor in (12, 13, 14):
        kept = sorted(pathlib.Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        path = shutil.which(f"python3.{minor}") or (str(kept[-1]) if kept else None)
        found += [path] if path else []
    return found


@pytest.mark.parametrize("python", interpreters())
def test_two_runs_say_the_same_on_every_interpreter(python):
    try:
        first = belljar.run(PROGRAM, python=python, **SAME)
    except belljar.StartError as error:
        if "Permission denied" in str(error):
            pytest.skip(f"the sandbox's user cannot reach {python}")
        raise
    assert first.ok, first.stderr
    belljar.run("1", python=python)  # another template in between
    again = belljar.run(PROGRAM, belljar.Policy(**SAME), python=python)
    assert first.stdout == again.stdout and "2020-01-31 12:00:00" in first.stdout
    other = belljar.run(PROGRAM, python=python, **{**SAME, "seed": 8})
    assert all(ours != others for ours, others in zip(first.stdout.splitlines()[:5], other.stdout.splitlines()[:5], strict=True))


def test_without_a_seed_and_a_time_they_do_not():
    first, second = (belljar.run(PROGRAM).stdout.splitlines() for _ in range(2))
    assert all(ours != others for ours, others in zip(first[1:6], second[1:6], strict=True))


def test_each_guest_of_a_template_starts_in_the_same_way():
    with belljar.Template(belljar.Policy(**SAME), preload=["random", "tempfile", "uuid"], parked=3) as template:
        assert len({template.run(PROGRAM).stdout for _ in range(4)}) == 1
        with template.sandbox() as session, template.sandbox() as other:
            assert session.run_code(PROGRAM).stdout == other.run_code(PROGRAM).stdout
            assert session.run_code(PROGRAM).stdout == other.run_code(PROGRAM).stdout


def test_under_a_language_policy_as_well():
    code = "import random, time\nprint(random.random(), {'a', 'b', 'c'}, time.time())"
    policy = belljar.Policy(feature=["everyday", "stdout"], **SAME)
    first = belljar.run(code, policy)
    assert first.ok and first.stdout == belljar.run(code, policy).stdout and first.stdout.endswith(" 1580472000.0\n")


def test_a_clock_advances_unless_it_is_to_stand():
    code = "import time; a = time.time(); time.sleep(0.01); b = time.time(); print(a < b, int(a) - 1580472000 < 60)"
    assert belljar.run(code, start_time=TIME).stdout == "True True\n"
    assert belljar.run(code, start_time=TIME, clock="advances").stdout == "True True\n"
    assert belljar.run(code, start_time=TIME, clock="stands").stdout == "False True\n"
    assert (
        belljar.run("import time; a = time.time(); time.sleep(0.01); print(a == time.time(), a > 1.7e9)", clock="stands").stdout
        == "True True\n"
    )
    # What waits goes by another clock, which goes on.
    waits = "import queue, time\ntry: queue.Queue().get(timeout=0.01)\nexcept queue.Empty: print(time.monotonic() > 0)"
    assert belljar.run(waits, clock="stands").stdout == "True\n"
    with pytest.raises(belljar.PolicyError, match='"advances" or "stands"'):
        belljar.Policy(clock="still")
