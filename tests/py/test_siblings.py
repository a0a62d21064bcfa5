"""Compiled modules of a package that are read with the first of them (guest/package.c): fewer calls, and never anything else than what an
import would have read."""

from __future__ import annotations

import compileall
import os
import pathlib
import shutil
import subprocess
import tempfile

import belljar
import pytest

pytestmark = pytest.mark.core
MODULES = 40
# More modules than are read one by one before any is guessed.
FIRST = "import colorsys, cmd, sched, fileinput, filecmp, getopt, calendar, csv, configparser, zipapp, cgi\n"


def install(folder: pathlib.Path, modules: dict[str, str]) -> None:
    """A package of them, compiled, all of which anybody may read."""
    for name, text in {"__init__": "", **modules}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    compileall.compile_dir(folder, quiet=1)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def compiled(folder: pathlib.Path, name: str) -> pathlib.Path:
    return next((folder / "__pycache__").glob(f"{name}.*.pyc"))


def replace(folder: pathlib.Path, name: str, text: str) -> None:
    """The new files take the old ones' names, as an installer has it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        install(pathlib.Path(new), {name: text})
        os.replace(compiled(pathlib.Path(new), name), compiled(folder, name))
        os.replace(pathlib.Path(new, f"{name}.py"), folder / f"{name}.py")


def numbered(count: int) -> dict[str, str]:
    return {f"part_{number}": f"value = {number}" for number in range(count)}


def write_numbers(folder: pathlib.Path) -> None:
    """Files with their numbers in them, MODULES in all."""
    folder.chmod(0o755)
    for number in range(MODULES):
        (folder / f"{number:03}.txt").write_text(str(number))
        (folder / f"{number:03}.txt").chmod(0o644)


def test_the_modules_of_a_package_are_read_together(packages, report):
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    code = (
        FIRST
        + f"""
import importlib, random
numbers = list(range({MODULES}))
random.Random(1).shuffle(numbers)
for number in numbers:
    assert importlib.import_module(f"wide.part_{{number}}").value == number
"""
    )
    with belljar.Template(belljar.Policy(python=python)) as template:
        nothing = template.run(FIRST).usage.served
        run = template.run(code)
    assert run.verdict == "ok", run
    report("siblings", f"calls for {MODULES} modules of a package: {run.usage.served - nothing}")
    assert run.usage.served - nothing < MODULES / 2


def test_a_guest_that_imports_little_guesses_nothing(packages):
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    with belljar.Template(belljar.Policy(python=python)) as template:
        nothing = template.run("").usage.served
        one = template.run("import wide").usage.served
        four = template.run("import wide.part_1, wide.part_2, wide.part_3, wide.part_4").usage.served
    assert four - one == 4, (nothing, one, four)


def test_modules_that_are_in_no_package_are_read_one_by_one(packages):
    """Of what is in a folder of the path most is not wanted."""
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    for path in (*(folder / "wide").glob("part*.py"), *(folder / "wide/__pycache__").glob("part*.pyc")):
        (folder / path.relative_to(folder / "wide")).parent.mkdir(exist_ok=True)
        path.rename(folder / path.relative_to(folder / "wide"))
    (folder / "__pycache__").chmod(0o755)
    code = FIRST + "import " + ", ".join(f"part_{number}" for number in range(MODULES))
    with belljar.Template(belljar.Policy(python=python)) as template:
        nothing = template.run(FIRST).usage.served
        run = template.run(code)
    assert run.verdict == "ok", run
    assert run.usage.served - nothing >= MODULES


def test_files_that_wait_to_be_read_do_not_keep_modules_from_being_read_together(packages, tmp_path):
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    write_numbers(tmp_path)
    files = FIRST + f"for number in range(12): open('{tmp_path}/%03d.txt' % number).close()\n"
    code = files + "import " + ", ".join(f"wide.part_{number}" for number in range(MODULES))
    with belljar.Template(belljar.Policy(python=python, read=[str(tmp_path)])) as template:
        nothing = template.run(files).usage.served
        run = template.run(code)
    assert run.verdict == "ok", run
    assert run.usage.served - nothing < MODULES / 2 + 8


def test_what_an_installer_replaces_is_read_again(packages):
    folder, python = packages
    install(folder / "wide", numbered(4))

    def change(name: str) -> None:
        replace(folder / "wide", name, "value = 'changed'")

    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.expose(change)
        run = session.run_code(FIRST + "import wide.part_1; change('part_2')\nimport wide.part_2, wide.part_3; print(wide.part_2.value, wide.part_3.value)")  # fmt: skip
        assert run.stdout == "changed 3\n", run


@pytest.mark.parametrize("between", ["", "import importlib; importlib.invalidate_caches()"], ids=["a run", "who asks"])
def test_what_is_written_into_a_file_that_was_read_ahead_is_there_in_the_next_run_and_for_who_asks(packages, between):
    """What is written into a file is told by nobody (files/watch.h)."""
    folder, python = packages
    install(folder / "wide", {"part_1": "value = 1", "part_2": "value = 2", "other_2": "value = 'changed'"})
    source = (folder / "wide/part_2.py").stat()
    changed = bytearray(compiled(folder / "wide", "other_2").read_bytes())
    changed[8:16] = compiled(folder / "wide", "part_2").read_bytes()[8:16]  # time and size of the source

    def change() -> None:
        with open(compiled(folder / "wide", "part_2"), "r+b") as file:
            file.write(changed)
            file.truncate()
        assert (folder / "wide/part_2.py").stat().st_mtime_ns == source.st_mtime_ns

    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.expose(change)
        first = FIRST + "import wide.part_1; change()"
        if between:
            run = session.run_code(f"{first}; {between}; import wide.part_2; print(wide.part_2.value)")
        else:
            assert session.run_code(first).verdict == "ok"
            run = session.run_code("import wide.part_2; print(wide.part_2.value)")
        assert run.stdout == "changed\n", run


def test_what_cannot_be_read_ahead_is_read_as_ever_and_is_on_no_record(packages):
    folder, python = packages
    wide = folder / "wide"
    install(wide, {**numbered(9), "part_8": "value = 'eight'"})
    tag = compiled(wide, "part_1").name.removeprefix("part_1")
    compiled(wide, "part_1").unlink()
    compiled(wide, "part_2").chmod(0)
    compiled(wide, "part_3").write_bytes(b"")
    compiled(wide, "part_4").write_bytes(b"no module")
    os.rename(compiled(wide, "part_5"), wide / "moved")
    (wide / "__pycache__" / f"part_5{tag}").symlink_to(wide / "moved")
    os.link(compiled(wide, "part_6"), wide / "second")
    os.mkfifo(wide / "__pycache__" / f"part_1{tag}")
    (wide / "part_7.py").unlink()
    (wide / "part_7.py").symlink_to("part_8.py")
    code = FIRST + "import importlib, wide\nprint([importlib.import_module(f'wide.part_{n}').value for n in range(9)])"
    with belljar.Template(belljar.Policy(python=python)) as template:
        run = template.run(code)
    assert run.stdout == "[0, 1, 2, 3, 4, 5, 6, 'eight', 'eight']\n", run
    # The program's own: it imports that one.
    assert [violation.target for violation in run.violations] == [str(wide / "__pycache__" / f"part_1{tag}")]


def test_a_hook_of_the_program_is_told_of_each_module(packages):
    folder, python = packages
    install(folder / "wide", numbered(9))
    code = (
        FIRST
        + """
import os, sys
seen = []
sys.addaudithook(lambda event, args: event == "open" and seen.append(args))
import wide.part_1, wide.part_2, wide.part_3
assert len({args[1:] for args in seen}) == 1, seen
print([os.path.basename(args[0]).split(".")[0] for args in seen if args[0].endswith(".pyc")], seen[0][1:] == ("r", os.O_RDONLY | os.O_CLOEXEC))
"""
    )
    run = belljar.run(code, policy=belljar.Policy(python=python))
    assert run.stdout == "['__init__', 'part_1', 'part_2', 'part_3'] True\n", run


def test_threads_import_at_the_same_time(packages):
    folder, python = packages
    for name in ("one", "two", "three"):
        install(folder / name, numbered(MODULES))
    code = (
        FIRST
        + f"""
import importlib, threading
wrong = []
def go(name, step):
    for number in range(0, {MODULES}, step):
        value = importlib.import_module(f"{{name}}.part_{{number}}").value
        if value != number: wrong.append((name, number, value))
threads = [threading.Thread(target=go, args=(name, step)) for name in ("one", "two", "three") for step in (1, 3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong)
"""
    )
    run = belljar.run(code, policy=belljar.Policy(python=python, timeout=60))
    assert run.stdout == "[]\n", run


def test_a_loader_reads_what_it_is_asked_for(packages):
    folder, python = packages
    install(folder / "wide", numbered(9))
    (folder / "wide/text.txt").write_text("a text")
    (folder / "wide/text.txt").chmod(0o644)
    code = FIRST + """
import os, pkgutil, wide.part_1
loader = wide.part_1.__loader__
for name in ("part_1", "part_2", "part_1"):
    path = wide.part_1.__cached__.replace("part_1", name)
    with open(path, "rb") as file: assert loader.get_data(path) == file.read()
for path in ("/nowhere/__pycache__/a.b.pyc", "/nowhere/__pycache__/a.pyc", "__pycache__/a.b.pyc", "/__pycache__/.pyc", wide.__path__[0] + "/__pycache__/missing.cpython-311.pyc", wide.__path__[0] + "/__pycache__/..pyc", wide.__path__[0] + "/__pycache__/part_1.", "/" + "x" * 5000 + "/__pycache__/a.b.pyc"):
    try: loader.get_data(path)
    except OSError as error: assert error.filename == path
    else: assert False, path
print(pkgutil.get_data("wide", "text.txt"))
"""  # fmt: skip
    run = belljar.run(code, policy=belljar.Policy(python=python))
    assert run.stdout == "b'a text'\n", run


def test_a_program_that_reads_files_in_order_imports_as_well(packages, tmp_path):
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    write_numbers(tmp_path)
    code = (
        FIRST
        + f"""
import importlib, os
for number, name in enumerate(sorted(os.listdir({str(tmp_path)!r}))):
    with open({str(tmp_path)!r} + "/" + name) as file: assert file.read() == str(number)
    assert importlib.import_module(f"wide.part_{{number}}").value == number
"""
    )
    run = belljar.run(code, policy=belljar.Policy(python=python, read=[str(tmp_path)]))
    assert run.verdict == "ok", run


def test_a_session_at_rest_keeps_no_module_that_it_has_not_imported(packages):
    """Here 15 modules of 200 kB are read ahead."""
    folder, python = packages
    install(folder / "wide", {f"part_{number}": f"value = {os.urandom(100_000).hex()!r}" for number in range(15)})
    code = FIRST + "import wide, wide.part_1, wide.part_2"
    size = "import gc; gc.collect(); int(open('/proc/self/statm').read().split()[1]) * 4096"
    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.run_code(FIRST)
        before = session.run_code(size).value
        during = session.run_code(f"{code}\n{size}").value
        after = session.run_code(size).value
    assert during - before > 1_500_000, (before, during, after)
    assert during - after > 1_000_000, (before, during, after)


def test_the_modules_of_a_package_with_a_long_path_are_read_together(packages):
    """Their paths have less room in the page than it has bytes."""
    folder, python = packages
    outer = "outer_" + "x" * 60
    install(folder / outer, {})
    install(folder / outer / "wide", numbered(4 * MODULES))
    code = FIRST + "import " + ", ".join(f"{outer}.wide.part_{number}" for number in range(4 * MODULES))
    with belljar.Template(belljar.Policy(python=python)) as template:
        nothing = template.run(FIRST).usage.served
        run = template.run(code)
    assert run.verdict == "ok", run
    assert run.usage.served - nothing < MODULES


def test_a_path_with_a_nul_is_no_path(packages):
    folder, python = packages
    install(folder / "wide", numbered(9))
    code = FIRST + """
import wide.part_1
try: wide.part_1.__loader__.get_data(wide.part_1.__cached__ + chr(0) + "x")
except ValueError as error: print(error)
print(len(wide.part_1.__loader__.get_data(wide.part_1.__cached__)) > 0)
"""  # fmt: skip
    run = belljar.run(code, policy=belljar.Policy(python=python))
    assert run.stdout == "embedded null byte\nTrue\n", run


def test_a_traceback_of_what_cannot_be_read_has_the_frames_that_it_has_elsewhere(packages):
    folder, python = packages
    install(folder / "wide", numbered(2))
    code = """
import traceback, pkgutil
try: pkgutil.get_data("wide", "missing.txt")
except OSError as error: print([frame.name for frame in traceback.extract_tb(error.__traceback__)])
"""
    plain = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "get_data" in plain
    run = belljar.run(code, policy=belljar.Policy(python=python))
    assert run.stdout == plain, run


@pytest.mark.parametrize("descriptors", [64, 250, 300])
def test_a_guest_with_few_descriptors_keeps_them_for_itself(packages, descriptors):
    """One with more spends two, and has modules read together."""
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    code = """
import os
def most():
    found = []
    try:
        while True: found.append(os.open("/dev/null", os.O_RDONLY))
    except OSError: pass
    for number in found: os.close(number)
    return len(found)
before = most()
"""
    code += FIRST + "import " + ", ".join(f"wide.part_{number}" for number in range(MODULES)) + "; print(before - most())"
    run = belljar.run(code, policy=belljar.Policy(python=python, descriptors=descriptors))
    assert run.verdict == "ok" and int(run.stdout) <= (0 if descriptors <= 250 else 2), run


def test_an_empty_file_that_was_read_ahead_is_forgotten_after_a_run(packages):
    folder, python = packages
    install(folder / "hollow", numbered(9))
    install(folder / "wide", numbered(9))
    for number in range(2, 9):
        compiled(folder / "hollow", f"part_{number}").write_bytes(b"")
    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.run_code(FIRST + "import hollow.part_1")
        compiled(folder / "hollow", "part_5").write_bytes(b"filled")
        run = session.run_code(
            "import wide, hollow; print(hollow.__loader__.get_data(hollow.__cached__.replace('__init__', 'part_5')))"
        )
    assert run.stdout == "b'filled'\n", run


def test_a_thread_with_a_small_stack_imports_as_deep_as_without_it(packages):
    folder, python = packages
    install(folder / "wide", numbered(MODULES))
    plain = """
import io
def get_data(self, path):
    with io.open_code(path) as file: return file.read()
import importlib.machinery
importlib.machinery.SourceFileLoader.get_data = get_data
"""
    code = """
import threading, wide
threading.stack_size(32768)
def nest(depth):
    if depth: return list(map(nest, [depth - 1]))
    import wide.part_1
thread = threading.Thread(target=nest, args=(DEPTH,))
thread.start(), thread.join()
"""

    def deepest(template: belljar.Template, begin: str) -> int:
        fits, fails = 0, 256
        while fails - fits > 1:
            middle = (fits + fails) // 2
            run = template.run(FIRST + begin + code.replace("DEPTH", str(middle)))
            assert run.verdict in ("ok", "crashed"), run
            fits, fails = (middle, fails) if run.verdict == "ok" else (fits, middle)
        return fits

    with belljar.Template(belljar.Policy(python=python)) as template:
        ours, theirs = deepest(template, ""), deepest(template, plain)
    assert ours >= theirs - 2, (ours, theirs)


def test_a_program_that_wants_one_module_of_each_package_is_soon_guessed_no_more(packages):
    """Of eight modules one is wanted: each is read by itself then."""
    folder, python = packages
    install(folder / "wide", numbered(8))
    for number in range(100):
        shutil.copytree(folder / "wide", folder / f"wide_{number}")
    code = FIRST + "import importlib\nfor number in range(COUNT): importlib.import_module(f'wide_{number}.part_{number % 8}')"
    with belljar.Template(belljar.Policy(python=python)) as template:
        nothing, few, many = (template.run(code.replace("COUNT", str(count))) for count in (0, 8, 100))
    assert many.verdict == "ok", many
    assert few.usage.served - nothing.usage.served < 2.5 * 8
    assert many.usage.served - few.usage.served > 2.5 * 92
