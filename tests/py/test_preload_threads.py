"""Modules that start threads as they are imported: no process with threads can be forked, so each guest imports them."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import pytest

import belljar

core = pytest.mark.core

IDLE = """import threading
{begin}
"""
WAITS = "def wait():\n    threading.Event().wait()\nthreading.Thread(target=wait, daemon=True, name='idler').start()"
STAYS = "threading.Thread(target=threading.Event().wait, daemon=True, name='idler').start()"
ENDS = "threading.Timer(0.1, print).start()"
RECORDS = "import os\nNUMBER = os.getpid()\n"  # of the process that imported it
LIBRARY = """#define _GNU_SOURCE
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>
static void *idle(void *unused) { (void)unused; prctl(PR_SET_NAME, "background"); for (;;) pause(); }
void begin(void) { pthread_t thread; pthread_create(&thread, 0, idle, 0); }
"""
JOBLIB = """class ThreadingBackend:
    def effective_n_jobs(self, n_jobs): return n_jobs
    def configure(self, n_jobs=1, **more): return self.effective_n_jobs(n_jobs)
BACKENDS = {"loky": None, "multiprocessing": None, "threading": ThreadingBackend}
"""
MODULES = {
    "early": RECORDS,
    "stays": RECORDS + IDLE.format(begin=WAITS),
    "bare": RECORDS + IDLE.format(begin=STAYS),
    "ends": RECORDS + IDLE.format(begin=ENDS),
    "outer": RECORDS + "import stays\n",
    "late": RECORDS,
    "place": "import os, pathlib\nfrom os import getcwd\nKEPT = os.getcwd(), os.getcwdb().decode(), str(pathlib.Path.cwd()), os.path.dirname(os.path.abspath('x'))\n",
    "reader": "import os\nTHREADS = os.environ['OMP_NUM_THREADS']\n",
    "hoards": "import mmap\nHELD = mmap.mmap(-1, 160 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n",
    "joblib/parallel": JOBLIB,
    "joblib/__init__": "from .parallel import BACKENDS\n",
    "joblib/externals/loky/backend/context": "physical_cores_cache = None\n",
    "loky/backend/context": "physical_cores_cache = 7\n",
}


@pytest.fixture(scope="module")
def environment():
    """A virtual environment with those modules."""
    if os.getuid() == 0 and os.path.realpath(sys.executable).startswith("/root/"):
        pytest.skip("this interpreter is closed to the user who runs the sandbox")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="belljar-threads-"))
    folder.chmod(0o755)
    made = folder / "env"
    done = subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip("python -m venv does not work here")
    packages = made / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name, text in MODULES.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / f"{name}.py").write_text(text)
    yield made
    shutil.rmtree(folder)


@core
def test_a_preload_that_takes_all_of_a_guests_memory_is_an_error_at_the_start(environment):
    words = r"the preloaded modules take 1[67]\d MiB of memory, and a guest may have 128: .*grant more \(--memory SIZE, memory=\), or preload"
    with pytest.raises(belljar.SandboxError, match=words):
        opened(environment, ["hoards"], belljar.Policy(memory="128M"))
    made, said = opened(environment, ["hoards"], belljar.Policy(memory="256M"))
    with made:
        ex = made.run("import hoards, mmap; len(mmap.mmap(-1, 64 << 20)), len(hoards.HELD)")
        assert (ex.value, said) == ((64 << 20, 160 << 20), [])


def opened(environment, preload, policy=belljar.Policy()):
    """A template, and what was said about it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = belljar.Template(policy, preload=preload, python=str(environment / "bin" / "python3"))
    return made, [str(warning.message) for warning in said]


WHERE = (
    "import os, sys\nprint(*['guest' if sys.modules[n].NUMBER == os.getpid() else 'zygote' for n in {names!r} if n in sys.modules])"
)


@core
def test_a_module_finds_itself_in_the_guests_folder_and_keeps_nothing_of_the_hosts(environment):
    made, _ = opened(environment, ["place"])
    with made:
        ex = made.run(
            "import os, place\nprint(set(place.KEPT))\nos.chdir('/tmp'); print(place.getcwd(), os.getcwd(), os.getcwdb())"
        )
    assert ex.stdout == "{'/work'}\n/tmp /tmp b'/tmp'\n", ex


@core
@pytest.mark.parametrize(
    ("names", "where", "left_out"),
    [
        (["early", "ends"], "zygote zygote", []),
        (["early", "stays", "late"], "zygote guest zygote", ["stays"]),
        (["outer", "stays"], "guest guest", ["outer", "stays"]),
        (["bare", "late"], "guest zygote", ["bare"]),
    ],
)
def test_what_leaves_threads_is_imported_in_each_guest_and_the_rest_is_preloaded(environment, names, where, left_out):
    made, said = opened(environment, names)
    with made:
        ended = made.run(WHERE.format(names=names))
    assert (ended.stdout.strip(), ended.verdict, ended.violations) == (where, "ok", [])
    assert [text.partition(" ")[0] for text in said] == left_out
    for text in said:
        assert (
            "is not preloaded: its import leaves the thread 'python" in text
            and f"of {'bare' if 'bare' in names else 'stays'} (idler) running" in text
        )
        assert text.endswith("each guest imports it by itself")


def test_a_thread_is_named_with_the_library_that_it_waits_in(environment, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    packages = next((environment / "lib").glob("python3*")) / "site-packages"
    (tmp_path / "idle.c").write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-pthread", "-o", packages / "libidle.so", tmp_path / "idle.c"], check=True)
    (packages / "native_idle.py").write_text(f"import ctypes\nctypes.CDLL({str(packages / 'libidle.so')!r}).begin()\n")
    made, said = opened(environment, ["native_idle"])
    made.close()
    assert len(said) == 1 and "the thread 'background' of libidle.so running" in said[0]


def test_the_command_says_it_in_a_line_and_goes_on(environment):
    command = [
        "belljar",
        "run",
        "--python",
        environment / "bin" / "python3",
        "--preload",
        "stays",
        "-c",
        "import sys; print('stays' in sys.modules)",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("True\n", 0)
    assert done.stderr.startswith("belljar: stays is not preloaded: its import leaves the thread ")


def test_guests_without_files_miss_it_and_the_warning_says_so(environment):
    made, said = opened(environment, ["early", "stays"], belljar.Policy(profile="compute"))
    with made:
        ended = made.run("import early\ntry:\n  import stays\nexcept ImportError as e:\n  print(e)")
    assert len(said) == 1 and "take the profile full" in said[0]
    assert "No module named 'stays'" in ended.stdout


def test_a_language_policy_has_its_preload_imported_in_each_guest(environment):
    made, said = opened(environment, ["early", "bare"], belljar.Policy(feature=["math"]))
    with made:
        assert made.run("import math\nmath.floor(2.5)").text == "2"
    assert len(said) == 1 and said[0].startswith("bare is not preloaded")


def test_other_threads_are_an_error_that_names_them(environment):
    packages = next((environment / "lib").glob("python3*")) / "site-packages"
    (packages / "usercustomize.pth").write_text(f"import threading; {STAYS}\n")
    try:
        with pytest.raises(belljar.SandboxError, match=r"the threads? 'python.*' of .* no guest can be forked beside it"):
            opened(environment, ["early"])
    finally:
        (packages / "usercustomize.pth").unlink()


@pytest.mark.parametrize(("env", "wanted"), [({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")])
def test_variables_of_the_policy_hold_for_what_is_preloaded(environment, env, wanted):
    made, said = opened(environment, ["reader"], belljar.Policy(env=env))
    with made:
        assert (made.run("import os, reader; print(reader.THREADS, os.environ['OMP_NUM_THREADS'])").stdout, said) == (
            f"{wanted} {wanted}\n",
            [],
        )


WORKERS = """import warnings, joblib
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    print([joblib.BACKENDS[name]().configure(n_jobs=n) for name in ("loky", "multiprocessing", "threading") for n in (2, 64)], len(said))
"""


@pytest.mark.parametrize("preload", [[], ["joblib"]], ids=["after the lockdown", "preloaded"])
def test_workers_of_joblib_are_threads_as_many_as_are_granted_and_it_is_said_once(environment, preload):
    made, _ = opened(environment, preload, belljar.Policy(threads=10))
    with made:
        assert made.run(WORKERS).stdout == "[2, 7, 2, 7, 2, 64] 1\n"


@pytest.mark.parametrize(
    "preload", [[], ["joblib.externals.loky.backend.context", "loky.backend.context"]], ids=["after", "preloaded"]
)
def test_loky_starts_no_program_to_count_cores(environment, preload):
    """A program would be refused, and be on record."""
    made, _ = opened(environment, preload)
    with made:
        ex = made.run("from joblib.externals.loky.backend import context\nfrom loky.backend import context as known\n"
                      "context.physical_cores_cache, known.physical_cores_cache")  # fmt: skip
        assert ex.value == (1, 7), ex
