"""What a program sees of `site`, where it is run by the guest's own Python and the dear part of it later: as plain Python has it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

import belljar

PYTHON = "/usr/bin/python3"
COMMAND = pathlib.Path(os.environ["BELLJAR_BUILD"]) / "belljar"

# Files for site-packages; which of them may be put off is not said to anybody.
SITE_PACKAGES = {
    "a_path.pth": "../beside\n",
    "b_code.pth": "import sys; sys.marked_by_code = True; sys.heard = []; "
    "sys.addaudithook(lambda event, arguments: event == 'builtins.id' and sys.heard.append(event))\n",
    "c_order.pth": "import sys; sys.path.insert(1, '/nowhere/first')\n",
    "__editable__.thing.pth": "import __editable___thing_finder; __editable___thing_finder.install()\n",
    "__editable___thing_finder.py": """
import importlib.util, pathlib, sys
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "thing":
            return importlib.util.spec_from_file_location(name, pathlib.Path(__file__).parent.parent / "elsewhere/thing.py")
def install():
    sys.meta_path.append(Finder)
""",
    "../elsewhere/thing.py": "WORD = 'editable'\n",
    "../beside/module_beside.py": "WORD = 'beside'\n",
}

PROGRAM = """
import json, sys
seen = {{
    "flags": sys.flags.no_site, "isolated": sys.flags.isolated, "prefix": sys.prefix, "marked": getattr(sys, "marked_by_code", None),
    "path": [entry for entry in sys.path if entry not in ("", {own!r})],
    "builtins": [name for name in ("exit", "quit", "copyright", "credits", "license", "help") if name in dir(__builtins__)],
    "exit": str(exit),
}}
import site
seen["site"] = [site.ENABLE_USER_SITE, site.PREFIXES, site.addpackage.__module__]
seen["std"] = __import__("json").__name__
for name in {names!r}:
    try:
        module = __import__(name)
        seen[name] = [getattr(module, "WORD", None), getattr(module, "__file__", None)]
    except ImportError as error:
        seen[name] = type(error).__name__
before = len(getattr(sys, "heard", ())); id(before); seen["heard"] = len(getattr(sys, "heard", ())) - before
seen["none"] = [finder for finder in map(str, sys.meta_path) if "belljar_guest._site" in finder]
print(json.dumps(seen))
"""
NAMES = ["module_beside", "thing", "distutils", "mpl_toolkits", "no_such_module"]


@pytest.fixture(scope="module")
def environment():
    with tempfile.TemporaryDirectory(prefix="belljar-site-") as top:  # where the sandbox's user reaches it
        folder = pathlib.Path(top) / "venv"
        subprocess.run(
            [PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", folder], check=True, stdin=subprocess.DEVNULL
        )
        (packages,) = folder.glob("lib/python3*/site-packages")
        for name, text in SITE_PACKAGES.items():
            (packages / name).parent.mkdir(exist_ok=True)
            (packages / name).write_text(text)
        for path in (folder.parent, *folder.parent.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        yield folder


def plain(python, program):
    ran = subprocess.run([python, "-I", "-B", "-X", "utf8", "-W", "ignore", "-c", program], stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout)


def by_command(python, program):
    """A guest that is waited for."""
    ran = subprocess.run(
        [COMMAND, "run", "--python", python, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def by_template(python, program):
    with belljar.Template(python=str(python)) as template:
        execution = template.run(program)
        assert execution.verdict == "ok", execution.error
        return json.loads(execution.stdout)


@pytest.mark.parametrize("run", [by_command, by_template])
@pytest.mark.parametrize("which", ["Debian's", "a virtual environment"])
def test_a_program_sees_of_site_what_plain_python_shows(run, which, environment):
    python = PYTHON if which == "Debian's" else environment / "bin/python"
    program = PROGRAM.format(own="/work", names=NAMES)
    inside, outside = run(python, program), plain(python, program)
    assert inside == outside
    assert (inside["marked"] is True) == (inside["heard"] > 0) == (which != "Debian's")
    if which != "Debian's":
        assert inside["thing"][0] == "editable" and inside["module_beside"][0] == "beside"


def test_what_is_put_off_is_done_before_the_first_import_that_is_not_the_library_s(environment):
    """And not before: else nothing would be won."""
    program = """
import sys
def loaded(): return "__editable___thing_finder" in sys.modules
import json, os, string
before = loaded()
try: import no_such_module
except ImportError: pass
print(before, loaded())
"""
    ran = subprocess.run(
        [COMMAND, "run", "--python", environment / "bin/python", "-c", program],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.stdout.split() == ["False", "True"], ran.stderr


def test_interpreters_have_the_flag_where_it_is_looked_for():
    assert sys.flags[6] == sys.flags.no_site
