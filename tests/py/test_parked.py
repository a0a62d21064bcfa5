"""Parked guests: which of them are warmed, what warming leaves for a program to see, and that they share no random numbers."""

import os
import pathlib
import re
import subprocess
import tempfile
import time
import warnings

import pytest

import belljar
import looking
from belljar import Policy, Template

pytestmark = pytest.mark.core
WARMED_MOST = 16  # include/belljar.h
PYTHON = "/usr/bin/python3"
COMMAND = pathlib.Path(os.environ["BELLJAR_BUILD"]) / "belljar"


def children(pid):
    """Of one process, oldest first."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append((int(fields[19]), int(entry.name), int(fields[7])))
    return sorted(found)


def faults_of_guests(count):
    """Page faults of each parked guest of the only template of this process: what it has touched, and so what it has of its own."""
    supervisor = looking.supervisors()[-1]
    end = time.monotonic() + 30
    while True:
        first = [faults for _, _, faults in children(supervisor)][-count:]
        time.sleep(0.3)
        again = [faults for _, _, faults in children(supervisor)][-count:]
        if (first == again and len(again) == count and min(again) > 10) or time.monotonic() > end:
            return sorted(again)


@pytest.mark.parametrize("spare", [0, 3])
def test_a_pool_warms_so_many_and_keeps_the_rest_cold(spare):
    with Template(Policy(), parked=WARMED_MOST + spare) as template:
        for _ in range(2):
            faults = faults_of_guests(WARMED_MOST + spare)
            middle = (faults[0] + faults[-1]) // 2
            cold = [number for number in faults if number < middle] if faults[-1] > 2 * faults[0] else []
            assert len(cold) == spare, faults
            taken = [template.sandbox() for _ in range(2)]  # the pool is filled again with the kind that is missing
            assert [sandbox.run_code("1+1").value for sandbox in taken] == [2, 2]
            for sandbox in taken:
                sandbox.close()


def test_spares_run_as_others_do():
    with Template(Policy(), parked=WARMED_MOST + 2) as template:
        faults_of_guests(WARMED_MOST + 2)
        sandboxes = [template.sandbox() for _ in range(WARMED_MOST + 4)]
        assert {sandbox.run_code("sum(range(4))").value for sandbox in sandboxes} == {6}
        for sandbox in sandboxes:
            sandbox.close()


SEEN = """
import builtins, gc, linecache, sys
print(sorted(dir(builtins)), sorted(linecache.cache), sys.argv, sys.path, sorted(globals()), gc.isenabled(), gc.garbage)
print(sorted(c.__qualname__ for c in object.__subclasses__() if c.__module__ in ("__main__", "builtins")), gc.collect())
print(sys.stdout.name, sys.stderr.name, sys.stdout.line_buffering, "__main__" in sys.modules, "json" in sys.modules)
"""


@pytest.mark.parametrize("preload", [[], ["json", "re"]])
def test_a_program_sees_nothing_of_the_warm_text(preload):
    seen = []
    for options in ({}, {"warm": ""}):
        with Template(Policy(**options), preload=[*preload, "traceback"]) as template:
            seen.append(template.run(SEEN).stdout)
            assert (
                template.run("def f(): pass\nd = 1\n'f' in globals(), 'd' in globals(), 'k' in globals()").text
                == "(True, True, False)"
            )
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("text", "is_there"), [(None, False), ("open('/tmp/{name}', 'w').close()", True)])
def test_a_warm_text_of_the_callers_is_run_in_guests_only(tmp_path, text, is_there):
    """In the zygote, which runs ours as well, it would write to the host's /tmp."""
    name = f"belljar-warm-{os.getpid()}-{tmp_path.name}"
    with Template(Policy(warm=text and text.format(name=name))) as template:
        assert template.run(f"__import__('os').path.exists('/tmp/{name}')").value is is_there
    assert not os.path.exists(f"/tmp/{name}")


def test_what_a_policy_starts_with_is_each_guests_own(tmp_path):
    """The time and the links of the first run are not used up by a rehearsal."""
    tmp_path.chmod(0o755)
    (tmp_path / "data.txt").write_text("here")
    (tmp_path / "data.txt").chmod(0o644)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    policy = Policy(read=[str(tmp_path)], links=str(tmp_path), start_time="2020-01-31T12:00:00Z", seed=3, cwd="/work")
    with Template(policy) as template:
        says = [
            template.run("import time, random; print(time.gmtime()[:4], open('data.txt').read(), random.random())")
            for _ in range(2)
        ]
    assert says[0].stdout.startswith("(2020, 1, 31, 12) here"), says[0].stderr
    assert says[0].stdout == says[1].stdout


DRAWS = """
import random, uuid
import numpy
[random.random(), numpy.random.rand(), numpy.random.randn(), numpy.random.randint(1 << 60), int(numpy.random.get_state()[1][5]),
 numpy.random.mtrand._rand._bit_generator.random_raw(), numpy.random.default_rng().random(), numpy.random.RandomState().rand()]
"""


@pytest.mark.parametrize(("options", "is_same"), [({}, False), ({"warm": ""}, False), ({"seed": 5}, True)])
def test_no_generator_draws_the_same_in_two_guests_unless_there_is_a_seed(options, is_same):
    pytest.importorskip("numpy")
    with Template(Policy(**options), preload=["numpy"], parked=2) as template:
        drawn = [template.run(DRAWS) for _ in range(3)]
    assert all(draw.ok for draw in drawn), drawn[0].stderr
    for values in zip(*(draw.value for draw in drawn), strict=True):
        assert len(set(values)) == (1 if is_same else 3), values


@pytest.mark.parametrize("preload", [[], ["random"]])
def test_a_warm_text_that_seeds_or_draws_leaves_each_guest_its_own_numbers(preload):
    text = "import random; random.seed(7); random.random()"
    draws = []
    for seed in (None, 5):
        with Template(Policy(warm=text, seed=seed), preload=preload, parked=2) as template:
            draws.append([template.run("import random; random.random()").value for _ in range(3)])
    assert [len(set(drawn)) for drawn in draws] == [3, 1], draws


@pytest.mark.parametrize("end", ["os._exit(0)", "os._exit(3)", "os.close(3)"])
def test_code_that_a_guest_never_read_has_not_ended_well(end):
    with Template(Policy(warm="import os; " + end), parked=1) as template:
        run = template.run("print('ran')")
    assert (run.verdict, run.stdout) == ("crashed", ""), run
    assert "before it had read this code" in run.error.value and "warm=" in run.error.value


RAISES = [
    ("1/0", "raised ZeroDivisionError: division by zero"),
    ("raise KeyError", "raised KeyError"),
    ("no Python at all", "raised SyntaxError: invalid syntax"),
    ("import sys; sys.exit(3)", "ended by sys.exit(3)"),
]


@pytest.mark.parametrize("options", [{}, {"feature": ["stdout"]}], ids=["open", "language"])
@pytest.mark.parametrize(("text", "told"), RAISES, ids=[told.split(":")[0] for _, told in RAISES])
def test_what_a_warm_text_raises_is_told_at_a_guests_first_run(text, told, options):
    with Template(Policy(warm=text, **options), parked=1) as template:
        with pytest.warns(RuntimeWarning, match="the text of warm= " + re.escape(told)):
            run = template.run("print('ran')")
        assert (run.verdict, run.stdout) == ("ok", "ran\n"), run
        assert run.stderr.startswith("belljar: the text of warm= " + told) and run.stderr.count("\n") == 1, run.stderr
        with warnings.catch_warnings():  # it is warned of once
            warnings.simplefilter("error")
            template.run("1")


def test_what_a_warm_text_raises_is_told_at_a_sessions_first_run():
    with Template(Policy(warm="1 / 0"), parked=1) as template, template.sandbox() as sandbox:
        with pytest.warns(RuntimeWarning, match="the text of warm= raised ZeroDivisionError"):
            assert sandbox.run_code("6 * 7").value == 42
        assert sandbox.run_code("6 * 7").stderr == ""


def test_a_warm_text_that_ends_well_is_not_spoken_of():
    with Template(Policy(warm="import sys; print('out'); print('err', file=sys.stderr)"), parked=1) as template:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run = template.run("print('ran')")
    assert (run.verdict, run.stdout, run.stderr) == ("ok", "ran\n", ""), run


@pytest.mark.parametrize("text", ["while True: pass", "import time; time.sleep(60)"])
def test_a_warm_text_without_an_end_is_named_when_time_is_up(text):
    with Template(Policy(warm=text, timeout=0.3), parked=1) as template:
        run = template.run("print('ran')")
    assert (run.verdict, run.stdout) == ("timeout", ""), run
    assert "the text of warm= had not come to its end" in run.error.value


def test_a_program_without_an_end_is_not_taken_for_a_warm_text():
    with Template(Policy(warm="import json", timeout=0.3), parked=1) as template:
        run = template.run("while True: pass")
    assert run.verdict == "timeout" and "warm" not in run.error.value, run.error


def test_code_that_was_read_may_leave_at_once():
    with Template(Policy(), parked=1) as template:
        assert template.run("import os; os._exit(0)").verdict == "ok"
        assert template.run("import os; os._exit(3)").error.value == "3"


STORM = """
import faulthandler, signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
faulthandler.register(signal.SIGALRM, file=open("/dev/null", "w"), chain=True)  # which raises it again
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)  # far longer than the handler takes, or it comes on top of itself
"""


def test_a_signal_while_a_guest_locks_itself_down_waits():
    """Its handler makes a call that nobody would answer yet. Of a run of one guest, which inherits the timer of a preloaded module."""
    with tempfile.TemporaryDirectory(prefix="belljar-probe-") as top:
        os.chmod(top, 0o755)
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", top + "/env"], check=True)
        folder = next(pathlib.Path(top, "env/lib").glob("python3.*/site-packages"))
        (folder / "storm.py").write_text(STORM)
        command = [COMMAND, "run", "--python", top + "/env/bin/python", "--preload", "storm", "-c", "print('through')"]
        for _ in range(20):
            run = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert run.stdout == "through\n", run
