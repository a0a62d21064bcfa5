"""What says why it is not there: modules, scripts' own files, environments, grants at the start."""

import ctypes.util
import os
import pathlib
import subprocess
import sys

import pytest

import belljar

pytestmark = pytest.mark.core
BELLJAR = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "belljar")
ADDED = "packages are added by "


@pytest.fixture(scope="module")
def template():
    with belljar.Template(belljar.Policy()) as made:
        yield made


@pytest.fixture
def folder():
    # not below pytest's folders: those are closed to the user who runs the sandbox when root starts it
    import tempfile

    with tempfile.TemporaryDirectory(prefix="belljar-test-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def command(*arguments, **more):
    return subprocess.run([BELLJAR, "run", *map(str, arguments)], capture_output=True, text=True, timeout=60, **more)


# ---- Modules -------------------------------------------------------------------------------------------------------

MISSING = [
    ("jsno", "json"), ("colections", "collections"), ("asynci", "asyncio"), ("tempfiles", "tempfile"), ("no_such_thing_at_all", "nothing"),
]  # fmt: skip


@pytest.mark.parametrize("name, near", MISSING)
def test_a_missing_module_is_named_with_what_is_near(template, name, near):
    error = template.run(f"import {name}").error
    assert error.name == "ModuleNotFoundError"
    assert error.value.startswith(f"No module named '{name}'; installed and near: {near}") and ADDED in error.value


def test_a_missing_module_is_what_it_was_to_a_program(template):
    code = """
import importlib, importlib.util
try: import jsno.x
except ImportError as e: print(type(e).__name__, e.name, e.msg == str(e), e.args == (e.msg,))
for name in ('jsno', 'json.none'):
    try: importlib.import_module(name)
    except ModuleNotFoundError as e: print(e.name, 'near: json' in str(e))
print(importlib.util.find_spec('jsno'))
"""
    assert template.run(code).stdout == "ModuleNotFoundError jsno True True\njsno True\njson.none False\nNone\n"


def test_a_module_beside_the_script_is_explained(folder):
    (folder / "job.py").write_text("import neighbour")
    (folder / "neighbour.py").write_text("")
    done = command("--no-script-dir", folder / "job.py")
    assert done.returncode == 1 and "No module named 'neighbour'; installed and near: " in done.stderr
    assert "it is in the script's folder" in done.stderr and done.stderr.count(f"--read {folder}") == 1
    assert command("--no-script-dir", "--read", folder, folder / "job.py").returncode == 0
    (folder / "job.py").write_text("import no_neighbour")
    assert "--read" not in command("--no-script-dir", folder / "job.py").stderr


# ---- The script ----------------------------------------------------------------------------------------------------

SELF = """import os, sys, threading
print(__file__, os.path.isabs(__file__), open(__file__).read().startswith('import os'), os.path.samefile(__file__, sys.argv[0]))
def fails(): raise ValueError('x')
thread = threading.Thread(target=fails)
thread.start(), thread.join()
"""


@pytest.mark.parametrize("how", ["absolute", "relative", "granted"])
def test_a_script_reads_itself_where_it_says_and_threads_show_its_lines(folder, how):
    (folder / "job.py").write_text(SELF)
    grant = ("--no-script-dir", *(("--read", folder) if how == "granted" else ()))
    done = command(*grant, "job.py" if how == "relative" else folder / "job.py", cwd=folder)
    place, said = folder if how == "granted" else "/work", "/work" if how == "relative" else folder
    assert (done.stdout, done.returncode) == (f"{place}/job.py True True True\n", 0), done.stderr
    assert f'File "{said}/job.py", line 3, in fails\n    def fails(): raise ValueError' in done.stderr


def test_the_programs_own_streams_have_their_names():
    code = """
import os
print(open('/dev/stdin').read(), open('/dev/fd/0').read(), open('/proc/self/fd/0').read(), sep='|')
for n, name in enumerate(('/dev/stdout', '/dev/fd/1', '/proc/self/fd/1', '/dev/stderr')):
    with open(name, 'w') as file: file.write('%d\\n' % n)
try: open('/dev/fd/77')
except OSError as e: print(type(e).__name__)
"""
    done = subprocess.run([BELLJAR, "run", "-c", code], input="in", capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("in||\n0\n1\n2\nFileNotFoundError\n", "3\n")


# ---- Starts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["read", "write"])
@pytest.mark.parametrize("place", ["/tmp", "/var/tmp"])
def test_a_grant_of_a_place_of_the_scratch_is_an_error_and_one_below_is_not(key, place, folder):
    with pytest.raises(belljar.SandboxError, match=f"{place} is a place of the guest's own files"):
        belljar.run("1", belljar.Policy(**{key: [place]}))
    assert belljar.run("1", belljar.Policy(read=[str(folder)])).verdict == "ok"


def test_a_folder_that_cannot_be_written_is_named_with_who_cannot(folder):
    folder.chmod(0o555)
    if os.access(folder, os.W_OK) and os.getuid() != 0:
        pytest.skip("every folder can be written here")
    with pytest.raises(
        belljar.SandboxError, match=f"{folder}: Permission denied for user {os.getuid() or 65534}, who runs the sandbox"
    ):
        belljar.run("1", belljar.Policy(write=[str(folder)]))


@pytest.mark.parametrize("path", ["/proc", "/proc/cpuinfo", "/proc/self/maps"])
def test_a_grant_of_procfs_is_an_error_that_says_what_else(path):
    with pytest.raises(belljar.SandboxError, match=f"{path}: files of procfs tell of all processes, and are not handed out"):
        belljar.run("1", belljar.Policy(read=[path]))
    assert belljar.run("open('/proc/cpuinfo').read()").ok


def test_a_write_grant_on_a_read_only_file_system_is_an_error(folder):
    mounts = [line.split() for line in open("/proc/mounts")]
    found = [
        row[1]
        for row in mounts
        if "ro" in row[3].split(",") and row[2] not in ("proc", "sysfs", "cgroup2") and row[1] != "/" and os.access(row[1], os.R_OK)
    ]
    if not found and subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], capture_output=True).returncode == 0:
        found = [str(folder)]
    if not found:
        pytest.skip("no file system is mounted read-only here")
    try:
        with pytest.raises(belljar.SandboxError, match="Read-only file system: nobody can write there|Permission denied"):
            belljar.run("1", belljar.Policy(write=[found[0]]))
    finally:
        if found[0] == str(folder):
            subprocess.run(["umount", folder])


@pytest.fixture
def environment(folder):
    made = folder / "env"
    done = subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("python -m venv does not work here")
    return made


def starts(python):
    with belljar.Template(belljar.Policy(), python=str(python), parked=1) as made:  # belljar.run() keeps its own
        return made.run("import sys; print(sys.prefix)")


def test_an_environment_is_used_unless_it_is_of_another_python_or_gone(environment):
    python, config = environment / "bin" / "python3", environment / "pyvenv.cfg"
    if os.getuid() == 0 and os.path.realpath(python).startswith("/root/"):
        pytest.skip("this interpreter is closed to the user who runs the sandbox")
    assert starts(python).stdout == f"{environment}\n"
    text = config.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("version")]
    config.write_text("\n".join([*lines, "version = 3.4.1", ""]))
    with pytest.raises(belljar.SandboxError, match=f"{environment} was made for Python 3.4, and its interpreter is Python 3"):
        starts(python)
    config.write_text(text)
    (environment / "lib" / f"python3.{sys.version_info[1]}").rename(environment / "lib" / "python3.4")
    with pytest.raises(belljar.SandboxError, match="site-packages is not there"):
        starts(python)
    with pytest.raises(belljar.SandboxError, match="No such file or directory"):
        starts(environment / "gone" / "bin" / "python3")


# ---- Noise ---------------------------------------------------------------------------------------------------------

QUIET = {
    "numpy": "import numpy; numpy.linalg.svd(numpy.eye(3)); numpy.save('/tmp/a', numpy.eye(3))",
    "pandas": "import pandas; pandas.DataFrame({'a': [1]}).to_csv('/tmp/a.csv'); pandas.read_csv('/tmp/a.csv'); pandas.Timestamp.now('Europe/Berlin')",
    "ctypes": "import ctypes.util; ctypes.util.find_library('c')",
    "libcap": "import ctypes; assert ctypes.CDLL(None).prctl(23, 0, 0, 0, 0) == -1",
    "pwd": "import pwd\ntry: pwd.getpwuid(4711)\nexcept KeyError: pass",
    "readline": "import readline",
    "termios": "import errno, termios\nfor call in (termios.tcflush, termios.tcflow, termios.tcsendbreak, lambda fd, _: termios.tcdrain(fd)):\n"
               "    try: call(0, 0)\n    except termios.error as error: assert error.args[0] == errno.ENOTTY",
    "ssl": "import ssl; ssl.create_default_context()",
    "socket": "import socket\ntry: socket.socket(socket.AF_INET6)\nexcept OSError: pass\nsocket.gethostname(), socket.getfqdn()",
    "platform": "import platform; platform.platform(), platform.processor()",
    "files": "import os\nfor name in ('/etc/inputrc', '/nowhere/x', '/usr/lib/libnone.so', '/home/other/libnone.so.1'):\n"
             "    try: open(name)\n    except FileNotFoundError: pass\nos.path.exists('/etc/shadow')",
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_what_libraries_look_for_is_no_violation(template, name):
    execution = template.run(QUIET[name])
    if execution.error is not None and execution.error.name == "ModuleNotFoundError":
        pytest.skip(f"{name} is not installed")
    assert (execution.verdict, execution.violations, execution.refused) == ("ok", [], 0)
    if name == "files":
        assert execution.probes >= 4


def test_libraries_are_found_by_name_as_outside(template):
    names = ["c", "m", "z", "c++", "sqlite3", "stdc++", "m.so", "no such library", ""]
    execution = template.run(f"import ctypes.util, sys; [ctypes.util.find_library(name) for name in {names}]")
    if execution.error is not None and execution.error.name == "ModuleNotFoundError":
        pytest.skip("ctypes is not installed")
    assert execution.value == [ctypes.util._findSoname_ldconfig(name) for name in names] and execution.violations == []


def test_what_a_program_is_refused_is_a_violation_though_it_goes_on(template):
    execution = template.run("try: open('/etc/shadow')\nexcept PermissionError: pass")
    assert [one.target for one in execution.violations] == ["/etc/shadow"] and execution.verdict == "ok"
