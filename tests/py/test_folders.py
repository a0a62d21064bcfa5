"""What importlib remembers of the folders that Python's own modules come from: nothing that a guest could have changed, and nothing that
its host has changed is missed by the next run."""

from __future__ import annotations

import compileall
import json

import belljar
import pytest

pytestmark = pytest.mark.core


def served(code: str, **options: object) -> int:
    run = belljar.run(code, policy=belljar.Policy(**options))  # type: ignore[arg-type]
    assert run.verdict == "ok", run
    return run.usage.served


IMPORTS = "import decimal, email.message, html.parser, http.client, json, statistics, tomllib, xml.dom.minidom, zipfile"


def test_an_import_asks_once_what_stands_in_a_folder_of_the_runtime(tmp_path, report):
    tmp_path.chmod(0o777)
    remembered = served(IMPORTS)
    asked = served(IMPORTS, write=[str(tmp_path)])
    report("import", f"calls for twelve modules: {remembered}, with a folder that may be written to {asked}")
    assert remembered < 0.8 * asked


def test_what_a_guest_writes_is_found(tmp_path):
    code = """
import sys, os, importlib
os.mkdir("/tmp/lib"); sys.path.insert(0, "/tmp/lib")
for number in range(20):
    name = f"made_{number}"
    try: __import__(name)
    except ImportError: pass
    else: print("there already")
    with open(f"/tmp/lib/{name}.py", "w") as file: file.write(f"value = {number}")
    importlib.invalidate_caches()  # as the manual has it, for modules made while the program runs
    assert __import__(name).value == number
with open("/tmp/lib/made_0.py", "w") as file: file.write("value = 'another'")
print(importlib.reload(sys.modules["made_0"]).value)
"""
    assert belljar.run(code).stdout == "another\n"


# Ways in which the time of /work changes. Each is over before the clock of file times goes on.
WORK = {
    "make": "open('made', 'w').close()",
    "make by another name": "os.close(os.open('/tmp/../work/./made', os.O_CREAT | os.O_RDWR))",
    "make as another folder": "os.chdir('/tmp'); open('/work/made', 'w').close()",
    "make a folder": "os.mkdir('made')",
    "remove": "os.remove('there')",
    "remove a folder": "os.rmdir('folder')",
    "rename": "os.rename('there', 'made')",
    "rename out of it": "os.rename('there', '/tmp/made')",
    "rename into it": "os.rename('/tmp/there', 'made')",
    "link": "os.link('there', 'made')",
    "symlink": "os.symlink('there', 'made')",
    "utime": "os.utime('/work', (1, 2))",
    "utime by a descriptor": "fd = os.open('/work', os.O_RDONLY); os.utime(fd, (1, 2)); os.close(fd)",
    "mode": "os.chmod('/work', 0o700)",
    "a thread": "thread = threading.Thread(target=lambda: open('made', 'w').close()); thread.start(); thread.join()",
    "native code": "assert ctypes.CDLL(None).mkdir(b'/work/made', 0o700) == 0",
    "extracted": "zipfile.ZipFile(archive).extract('made', '/work')",
}


@pytest.mark.parametrize("change", WORK)
def test_what_a_guest_changes_in_its_own_folder_is_known_at_once(change):
    code = f"""
import ctypes, io, os, threading, time, zipfile, importlib._bootstrap_external as importer
archive = io.BytesIO()
zipfile.ZipFile(archive, "w").writestr("made", "")
open("there", "w").close(); open("/tmp/there", "w").close(); os.mkdir("folder")
for _ in range(3): before = importer._path_stat("/work")
assert before == os.stat("/work")
time.sleep(0.02)
{WORK[change]}
after = os.stat("/work")
assert after.st_ctime_ns != before.st_ctime_ns
assert importer._path_stat("/work") == after == importer._path_stat("/work"), (before, after)
"""
    run = belljar.run(code)
    assert run.verdict == "ok", run


def test_what_another_thread_changes_while_it_is_asked_for_is_known():
    """Here the thread that asks does what the other does, after the answer and before it has that."""
    code = """
import os, time, types, importlib._bootstrap_external as importer
def stat(path):
    found = os.stat(path)
    if importer._os is slow:
        importer._os = os
        time.sleep(0.02)
        open("made.py", "w").close()
        importer._path_stat("/work")
    return found
slow = types.SimpleNamespace(stat=stat)
open("first", "w").close()
importer._os = slow
before = importer._path_stat("/work")
assert importer._os is os
assert importer._path_stat("/work") == os.stat("/work") != before
import made
"""
    run = belljar.run(code)
    assert run.verdict == "ok", run


def test_an_import_does_not_ask_for_a_guests_own_folder_again():
    nothing = served("")
    assert (
        served("import importlib._bootstrap_external as importer\nfor _ in range(1000): importer._path_stat('/work')") - nothing
        < 20
    )
    assert served("import os\nfor _ in range(1000): os.stat('/work')") - nothing >= 1000


def test_what_the_host_puts_there_is_found():
    with belljar.Sandbox() as session:
        for number in range(20):
            run = session.run_code(f"try: import made_{number}\nexcept ImportError: print('none')")
            assert run.stdout == "none\n"
            session.files[f"made_{number}.py"] = f"value = {number}"
            run = session.run_code(f"import made_{number}; print(made_{number}.value)")
            assert run.stdout == f"{number}\n", run


def test_a_guest_that_may_write_to_a_package_sees_what_it_writes(packages):
    folder, python = packages
    folder.chmod(0o777)
    (folder / "known.py").write_text("value = 1")
    (folder / "known.py").chmod(0o666)
    compileall.compile_dir(folder, quiet=1)  # which is taken as long as the source's time and size are those it was made from
    code = f"""
import importlib, known
before = known.value
with open({str(folder / "known.py")!r}, "w") as file: file.write("value = 'changed'")
print(before, importlib.reload(known).value)
"""
    with belljar.Template(belljar.Policy(python=python, write=[str(folder)])) as template:
        assert template.run(code).stdout == "1 changed\n"


def test_what_the_host_installs_is_there_in_the_next_run_and_for_who_asks(packages):
    folder, python = packages

    def install(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)
        (folder / f"{name}.py").chmod(0o644)

    install("old", "value = 1")
    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.expose(install)
        run = session.run_code("import old\ntry: import new\nexcept ImportError: print('not there', old.value)")
        assert run.stdout == "not there 1\n"
        install("new", "value = 2")
        install("old", "value = 'changed'")
        run = session.run_code("import new, importlib; print(new.value, importlib.reload(old).value)")
        assert run.stdout == "2 changed\n", run
        run = session.run_code("install('later', 'value = 3'); importlib.invalidate_caches(); import later; print(later.value)")
        assert run.stdout == "3\n", run
        run = session.run_code(
            """
import time
try: import last
except ImportError: install("last", "value = 4")
time.sleep(1.1)
import last
print(last.value)
"""
        )
        assert run.stdout == "4\n", run


@pytest.mark.parametrize("around", [{}, {"cwd": "/work"}], ids=["plain", "other"])
def test_a_package_whose_beginning_the_host_installs_has_it_in_the_next_run(packages, around):
    folder, python = packages
    (folder / "later").mkdir()
    (folder / "later").chmod(0o755)
    look = "import sys\nsys.modules.pop('later', None)\nimport later\nlater.__file__ is not None"
    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        assert session.run_code(look, **around).value is False
        (folder / "later/__init__.py").write_text("")
        (folder / "later/__init__.py").chmod(0o644)
        assert session.run_code(look, **around).value is True


def test_a_package_is_listed_and_not_asked_for_each_kind_of_beginning(packages, tmp_path):
    folder, python = packages
    for path, mode in (("wide/inner", 0o755), ("shut", 0o311)):
        (folder / path).mkdir(parents=True)
        (folder / path / "__init__.py").write_text("")
    (folder / "wide/__init__.py").write_text("")
    (folder / "wide/part.py").write_text("value = 1")
    (folder / "shut/part.py").write_text("value = 2")
    (folder / "shut").chmod(0o311)  # to be searched, and not to be read
    code = """
import sys, wide.inner, wide.part, shut
try: import wide.later
except ImportError as error: print(error)
print(wide.part.value)
"""
    audit = tmp_path / "audit.jsonl"
    with belljar.Template(belljar.Policy(python=python, audit=str(audit))) as template:
        assert template.run(code).stdout == "No module named 'wide.later'\n1\n"
    asked_sources = [
        f"{folder}/wide/__init__.py",
        f"{folder}/wide/inner/__init__.py",
        f"{folder}/wide/part.py",
    ]  # read: there is no .pyc
    asked = [target for line in audit.read_text().splitlines() if f"{folder}/" in (target := json.loads(line)["target"])]
    assert [path for path in asked if path.startswith(f"{folder}/wide") and path.endswith(".so")] == []
    assert len([path for path in asked if path == f"{folder}/wide"]) == 1, asked  # its list, with its stat and those of its files
    assert [path for path in asked if path.startswith(f"{folder}/wide/") and path.endswith(".py")] == asked_sources, asked


def test_what_was_compiled_is_not_taken_for_a_source_that_changed_after_its_folder_was_listed(packages):
    folder, python = packages
    for name in ("other", "kept", "changed", "linked"):
        (folder / f"{name}.py").write_text("value = 1")
    (folder / "space").mkdir()
    (folder / "space/part.py").write_text("value = 1")
    compileall.compile_dir(folder, quiet=1)
    (folder / "target.txt").write_text("value = 'behind a link'")
    (folder / "linked.py").unlink()
    (folder / "linked.py").symlink_to("target.txt")

    def change(name: str) -> None:
        (folder / f"{name}.py").write_text("value = 'changed'")

    with belljar.Sandbox(belljar.Policy(python=python)) as session:
        session.expose(change)
        assert session.run_code("import other, linked; print(other.value, linked.value)").stdout == "1 behind a link\n"
        change("changed")
        run = session.run_code(
            "import kept, changed, space.part; print(kept.value, changed.value, space.part.value, space.__file__)"
        )
        assert run.stdout == "1 changed 1 None\n", run
        run = session.run_code(
            """
import importlib
change("kept"); change("space/part")
importlib.invalidate_caches()
print(importlib.reload(kept).value, importlib.reload(space.part).value, importlib.reload(changed).value)
"""
        )
        assert run.stdout == "changed changed changed\n", run


STEPPED = """
import bdb, sys
open("/work/stepped.py", "w").write("x = 1\\n")
sys.path.insert(0, "/work")
sys.meta_path[:] = [item for item in sys.meta_path if item.__module__.startswith("_frozen_importlib")]
seen = []
class Debugger(bdb.Bdb):
    def user_call(self, frame, _): seen.append((frame.f_globals.get("__name__"), frame.f_code.co_name))
    def user_line(self, frame): self.set_step()
def program():
    import stepped
    import colorsys
debugger = Debugger(skip=["importlib*", "zipimport", "encodings.*", "codecs"])
debugger.runcall(program)
sorted(set(name for name, _ in seen))
"""


def test_a_debugger_that_passes_importlib_over_sees_no_frame_of_ours():
    """What it steps into is what is imported."""
    run = belljar.run(STEPPED)
    assert run.value == ["colorsys", "stepped"], run
