"""A program's own descriptors by name: /dev/stdin, /dev/fd/N, /proc/self/fd and its listing; and the script, which is where it says."""

import os
import pathlib
import subprocess
import tempfile

import pytest

import belljar

pytestmark = pytest.mark.core
BELLJAR = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "belljar")


@pytest.fixture(scope="module")
def template():
    with belljar.Template(belljar.Policy()) as made:
        yield made


BEGIN = "import os, pathlib, glob, sys\nf = open('/tmp/x', 'w+'); f.write('hello'); f.flush(); n = f.fileno(); r, w = os.pipe()\n"
ROWS = [
    ("open('/dev/stdin').read()", "given"),
    ("open('/proc/self/fd/0').read()", "given"),
    ("os.listdir('/proc/self/fd') == os.listdir('/dev/fd/') == os.listdir(path='/dev/fd')", True),
    ("{str(n), str(r), str(w), '0', '1', '2'} <= set(os.listdir('/proc/self/fd'))", True),
    ("(os.close(r), str(r) in os.listdir('/proc/self/fd'))[1]", False),
    ("[entry.name for entry in os.scandir('/proc/self/fd')] == os.listdir('/proc/self/fd')", True),
    ("sorted(p.name for p in pathlib.Path('/dev/fd').iterdir()) == sorted(os.listdir('/dev/fd'))", True),
    ("'/proc/self/fd/%d' % n in glob.glob('/proc/self/fd/*')", True),
    ("next(e for e in os.scandir('/dev/fd') if e.name == str(n)).stat().st_size", 5),
    ("os.readlink('/proc/self/fd/%d' % n)", "/tmp/x"),
    ("os.readlink('/dev/fd/%d' % n)", "/tmp/x"),
    ("os.readlink('/proc/self/fd/%d' % os.open('/tmp', os.O_RDONLY))", "/tmp"),
    ("os.readlink('/proc/self/fd/%d' % os.open(os.__file__, os.O_RDONLY)) == os.path.realpath(os.__file__)", True),
    ("os.readlink('/proc/self/fd/%d' % r).startswith('pipe:[')", True),
    ("__import__('ctypes').CDLL(None).readlink(b'/proc/self/fd/%d' % r, bytes(8), 0)", -1),
    ("os.readlink('/dev/stdin').startswith('pipe:[')", True),
    (
        "os.readlink('/proc/self/fd/%d' % os.dup2(os.open('/etc/passwd', os.O_RDONLY), n)).startswith('file:[')",
        True,
    ),  # another by now
    ("os.readlink('/proc/self/fd/999')", FileNotFoundError),
    ("open('/dev/fd/999')", FileNotFoundError),
    ("(os.rename('/tmp/x', '/tmp/y'), os.readlink('/proc/self/fd/%d' % n))[1].startswith('file:[')", True),
    ("os.fstat(os.open('/dev/fd/%d' % n, os.O_RDONLY)).st_size", 5),
    (
        "[os.path.isdir(p) for p in ('/dev/fd', '/proc/self/fd', '/proc/%d/fd' % os.getpid(), '/dev/stdin')]",
        [True, True, True, False],
    ),
    ("os.access('/dev/fd', os.R_OK), os.access('/dev/fd', os.W_OK)", (True, False)),
    ("os.listdir('/proc/%d/fd' % os.getpid()) == os.listdir('/dev/fd')", True),
    ("os.listdir('/proc/thread-self/fd') == os.listdir('/dev/fd') == [os.fsdecode(name) for name in os.listdir(b'/dev/fd')]", True),
    ("[(type(e.name) is bytes, e.path == b'/dev/fd/' + e.name) for e in os.scandir(b'/dev/fd')][0]", (True, True)),
    ("os.open('/dev/fd', os.O_RDONLY)", FileNotFoundError),  # native code does not see it empty
    # A file is opened anew: with a position and a mode of its own.
    ("open('/dev/fd/%d' % n).read(), open('/proc/self/fd/%d' % n).read(), f.tell()", ("hello", "hello", 5)),
    ("(open('/dev/fd/%d' % n, 'a').write('!'), open('/tmp/x').read(), f.tell())[1:]", ("hello!", 5)),
    ("(open('/proc/self/fd/%d' % os.open('/tmp/x', os.O_RDONLY), 'w').write('new'), open('/tmp/x').read())[1]", "new"),
    ("open('/dev/fd/%d' % os.open(os.__file__, os.O_RDONLY), 'r+')", PermissionError),
    ("(d := os.open('/tmp', os.O_RDONLY), [os.listdir('/dev/fd/%d' % d) for _ in range(2)])[1]", [["x"], ["x"]]),
    # What has no name is copied, if that is the same.
    ("(os.write(w, b'q'), open('/dev/fd/%d' % r, 'rb', 0).read(1))[1]", b"q"),
    ("open('/dev/fd/%d' % r, 'wb')", PermissionError),
    ("(f.seek(0), open('/dev/fd/%d' % os.dup(n)).read())[1]", "hello"),
    ("open('/dev/fd/%d' % os.dup(n)).read()", FileNotFoundError),
    ("open('/dev/fd/%d' % os.dup(os.open('/tmp/x', os.O_RDONLY)), 'r+')", PermissionError),
    # By whatever way a path leads there.
    ("(os.symlink('/dev/stdin', '/tmp/l'), open('/tmp/l').read(), os.path.islink('/tmp/l'))[1:]", ("given", True)),
    ("(os.symlink('/dev', '/tmp/d'), open('/tmp/d/fd/../stdin').read())[1]", "given"),
    ("(os.chdir('/dev'), open('fd/0').read(), os.path.isdir('fd'))[1:]", ("given", True)),
    ("(os.symlink('/dev/stdin', '/tmp/l'), os.remove('/tmp/l'), os.listdir('/tmp'))[2]", ["x"]),
    ("os.listdir('/tmp')", ["x"]),
    ("[entry.name for entry in os.scandir('/tmp')]", ["x"]),
    ("os.listdir(b'/tmp')", [b"x"]),
    ("os.listdir('/root')", PermissionError),
    ("os.listdir('/proc/1/fd')", PermissionError),
]


@pytest.mark.parametrize(("code", "expected"), ROWS)
def test_descriptors_by_name(template, code, expected):
    ex = template.run(BEGIN + code, stdin="given")
    if isinstance(expected, type):
        assert ex.error is not None and ex.error.name == expected.__name__, ex
        assert "_descriptors" not in ex.error.traceback
    else:
        assert ex.ok and ex.value == expected, ex.error


# By path and by a folder's descriptor, whatever thread asks: the main one, another, a signal's handler, asyncio's own and its helpers.
FOLDERS = """
import errno, shutil, time
d, dev, proc = os.open('/tmp', os.O_RDONLY), os.open('/dev', os.O_RDONLY), os.open('/proc/self', os.O_RDONLY)
def read(path, **more):
    with open(os.open(path, os.O_RDONLY, **more), 'rb', 0) as file: return file.read(9)
def fails(call, *arguments, **more):
    try: return call(*arguments, **more)
    except OSError as e: return errno.errorcode[e.errno]
"""
BY_FOLDER = [
    ("read('fd/%d' % n, dir_fd=dev), read('fd/%d' % n, dir_fd=proc), read('/dev/fd/%d' % n, dir_fd=d)", (b"hello",) * 3),
    ("os.stat('fd/%d' % n, dir_fd=proc).st_size, os.stat('/dev/fd/%d' % n, dir_fd=d).st_size", (5, 5)),
    ("os.path.islink('/dev/fd/%d' % n), os.stat('fd/%d' % r, dir_fd=proc, follow_symlinks=False).st_mode >> 12", (True, 0o12)),
    ("os.path.realpath('/proc/self/fd/%d' % n), os.path.samefile('/dev/fd/%d' % n, '/tmp/x')", ("/tmp/x", True)),
    ("os.readlink('fd/%d' % n, dir_fd=proc), os.readlink('/proc/self/fd/%d' % n, dir_fd=d)", ("/tmp/x", "/tmp/x")),
    ("os.access('fd/%d' % n, os.R_OK, dir_fd=proc), os.access('/dev/fd/%d' % n, os.R_OK, effective_ids=True)", (True, True)),
    ("os.access('fd/999', os.F_OK, dir_fd=dev)", False),
    ("[fails(call, 'fd/999', dir_fd=proc) for call in (read, os.stat, os.readlink)]", ["ENOENT"] * 3),
    ("os.listdir('/dev/fd/%d' % d), [e.name for e in os.scandir('/proc/self/fd/%d' % d)]", (["x"], ["x"])),
    ("fails(os.listdir, '/dev/fd/%d' % n), fails(os.listdir, '/dev/fd/999')", ("ENOTDIR", "ENOENT")),
    ("[os.listdir('/proc/self/fd/%d%s' % (d, end)) for end in ('/', '/.')]", [["x"], ["x"]]),
    ("read('/proc/self/fd/%d/x' % d), os.stat('/dev/fd/%d/x' % d).st_size, os.path.isdir('/dev/fd/%d/' % d)", (b"hello", 5, True)),
    ("(open('/dev/fd/%d/new' % d, 'w').close(), os.rename('/dev/fd/%d/new' % d, '/tmp/y'), os.remove('/proc/self/fd/%d/y' % d), os.listdir(d))[3]", ["x"]),
    ("fails(read, '/dev/fd/%d/x' % n), fails(read, '/dev/fd/999/x'), fails(read, '/dev/fd/%d/../etc/shadow' % d)", ("ENOTDIR", "ENOENT", "EACCES")),
    ("(os.chdir('/dev/fd/%d' % d), os.getcwd(), os.chdir('/'), os.chdir('/proc/self/fd/%d/' % d), os.getcwd(), fails(os.chdir, '/dev/fd/%d' % n))[1::3] ", ("/tmp", "/tmp")),
    ("(os.chmod('/dev/fd/%d' % n, 0o640), os.chmod('fd/%d' % n, 0o604, dir_fd=proc), os.stat('/tmp/x').st_mode & 0o777)[2]", 0o604),
    ("(os.utime('/dev/fd/%d' % n, (5, 6)), os.stat('/tmp/x').st_mtime, os.utime('fd/%d' % n, dir_fd=proc), os.stat('/tmp/x').st_mtime > time.time() - 60)[1::2]", (6.0, True)),
    ("(os.truncate('/proc/self/fd/%d' % n, 3), os.stat('/tmp/x').st_size, fails(os.truncate, '/dev/fd/%d' % r, 3))[1:]", (3, "EINVAL")),
    ("os.chown('/dev/fd/%d' % n, -1, os.getgid()), fails(os.chown, 'fd/%d' % n, 0, 0, dir_fd=proc)", (None, "EPERM")),
    ("os.statvfs('/dev/fd/%d' % n).f_bsize, shutil.disk_usage('/dev/fd/%d' % d).total > 0", (4096, True)),
    ("[fails(call, '/dev/fd/%d' % n) for call in (os.remove, os.mkdir, os.rmdir)], fails(os.symlink, 'x', '/proc/self/fd/%d' % n)",
     (["EBUSY", "EEXIST", "EBUSY"], "EEXIST")),
    ("[fails(os.chmod, '/dev/fd/999', 0), fails(os.utime, '/dev/fd/999'), fails(os.truncate, '/dev/fd/999', 0), fails(os.statvfs, '/dev/fd/999')]", ["ENOENT"] * 4),
    ("(os.dup2(os.open('/etc/passwd', os.O_RDONLY), n), fails(os.chmod, '/dev/fd/%d' % n, 0), os.stat('/tmp/x').st_mode & 0o777)[1:]", ("EPERM", 0o644)),
]  # fmt: skip
WAYS = {
    "main": "({})",
    "thread": "concurrent.futures.ThreadPoolExecutor(1).submit(lambda: ({})).result()",
    "asyncio": "asyncio.run(asyncio.wait_for(asyncio.to_thread(lambda: ({})), 20))",
    "coroutine": "asyncio.run(at_once(lambda: ({})))",
    "signal": "in_handler(lambda: ({}))",
}
IN_WAYS = """
import asyncio, concurrent.futures, signal
async def at_once(do): return do()
def in_handler(do):
    said = []
    signal.signal(signal.SIGUSR1, lambda *_: said.append(do()))
    signal.raise_signal(signal.SIGUSR1)
    return said[0]
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("code", "expected"), BY_FOLDER)
def test_descriptors_by_name_and_folder_in_every_way(template, code, expected, way):
    ex = template.run(BEGIN + FOLDERS + IN_WAYS + WAYS[way].format(code))
    assert ex.ok and ex.value == expected, (ex.error, ex.value)


IN_A_THREAD = [
    ("open('/dev/stdin').read()", "given"),
    ("open(0, closefd=False).read() + open('/tmp/l').read()", "given"),
    ("os.read(os.open('/proc/self/fd/0', os.O_RDONLY), 9)", b"given"),
    ("open('/dev/fd/%d' % n).read(), f.tell()", ("hello", 5)),
    ("os.stat('/dev/fd/%d' % n).st_size, os.lstat('/proc/self/fd/%d' % n).st_size, os.path.exists('/dev/fd/999')", (5, 64, False)),
    ("os.readlink('/proc/self/fd/%d' % n), os.readlink('/dev/fd/%d' % r)[:6]", ("/tmp/x", "pipe:[")),
    ("os.access('/dev/stdout', os.W_OK), os.access('/dev/fd/999', os.F_OK)", (True, False)),
    ("(open('/dev/stdout', 'w').write('one'), open('/dev/fd/1', 'a').write('two'))", (3, 3)),
    ("open('/dev/fd/999')", FileNotFoundError),
    ("os.get_inheritable(os.open('/dev/fd/%d' % r, os.O_RDONLY))", False),
    ("open('/dev/tty')", OSError),
]


@pytest.mark.parametrize(("code", "expected"), IN_A_THREAD)
def test_descriptors_by_name_in_a_thread(template, code, expected):
    begin = BEGIN + "import concurrent.futures; os.symlink('/dev/stdin', '/tmp/l')\n"
    ex = template.run(begin + f"concurrent.futures.ThreadPoolExecutor(1).submit(lambda: ({code})).result()", stdin="given")
    if isinstance(expected, type):
        assert ex.error is not None and ex.error.name == expected.__name__, ex
    else:
        assert ex.ok and ex.value == expected and ex.stdout in ("", "onetwo"), (ex.error, ex.stdout)


def test_output_goes_where_it_says(template):
    ex = template.run(
        "open('/dev/stdout', 'w').write('one\\n'); open('/dev/stderr', 'w').write('two\\n'); open('/dev/fd/1', 'w').write('three\\n')"
    )
    assert (ex.stdout, ex.stderr) == ("one\nthree\n", "two\n")


def test_the_script_is_where_it_says():
    with tempfile.TemporaryDirectory(prefix="belljar-test-") as path:
        os.chmod(path, 0o755)
        folder = pathlib.Path(path)
        (folder / "data.txt").write_text("data")
        (folder / "script.py").write_text(
            "import os, pathlib, threading\nhere = pathlib.Path(__file__)\n"
            "print(here.is_absolute(), here.read_text()[:9], (here.parent / 'data.txt').read_text())\n"
            "def fails():\n    1 / 0  # in a thread\n"
            "class Fails:\n    def __del__(self): raise ValueError('gone')  # at its end\n"
            "thread = threading.Thread(target=fails); thread.start(); thread.join(); thing = Fails(); del thing\n"
        )
        for cwd, name in ((folder, "script.py"), (folder, "./script.py"), ("/", str(folder / "script.py"))):
            done = subprocess.run([BELLJAR, "run", name], capture_output=True, text=True, cwd=cwd, timeout=60)
            assert done.stdout == "True import os data\n", done.stderr
            assert f'File "{folder}/script.py", line 5, in fails\n    1 / 0  # in a thread\n' in done.stderr
            assert "raise ValueError('gone')  # at its end\n" in done.stderr


FAILS = "import threading\ndef fails():\n    1 / 0  # in a thread\nthread = threading.Thread(target=fails, name='it'); thread.start(); thread.join()\n"
QUIET = (
    "import sys, threading\nthread = threading.Thread(target=sys.exit); thread.start(); thread.join()\n"
    "threading.excepthook = lambda args: print('own', args.exc_type.__name__)\n"
)


@pytest.mark.parametrize("preload", [[], ["threading"]], ids=["imported", "preloaded"])
def test_what_ends_a_thread_is_shown_with_its_line(preload):
    with belljar.Template(preload=preload) as template, template.sandbox() as session:
        for ex in (
            template.run(FAILS),
            session.run_code(FAILS),
            session.run_code("thread = threading.Thread(target=fails); thread.start(); thread.join()"),
        ):
            assert ex.stderr.startswith("Exception in thread") and "    1 / 0  # in a thread\n" in ex.stderr
        assert template.run(QUIET).stderr == ""
        assert template.run(QUIET + FAILS).stdout == "own ZeroDivisionError\n"
