"""Each call on a path happens once, as plain Python does it: the tree afterwards and the error are compared with plain CPython's."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

import belljar

pytestmark = pytest.mark.core

# Runs inside and outside: BASE is an empty folder of its own. Prints, for each call, its error and what the tree is then.
PROGRAM = """
import json, os, shutil

def build(top):
    os.makedirs(top + "/a/b")
    os.mkdir(top + "/d")
    for name in ("a/f", "a/b/g", "v1..v2.txt", "a/v1..v2.txt", "d/h"):
        with open(top + "/" + name, "w") as file:
            file.write(name * 9)
    if LINKS:
        os.symlink("a", top + "/link")
        os.symlink("../d", top + "/a/up")

def tree(top):
    found = []
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(folders + files):
            path = folder + "/" + name
            if os.path.islink(path):
                found.append((path[len(top):], "->", os.readlink(path)))
            elif os.path.isdir(path):
                found.append((path[len(top):], "/"))
            else:
                with open(path) as file:
                    found.append((path[len(top):], file.read(), oct(os.stat(path).st_mode & 0o777)))
    return found

def opened(path, flags, **more):
    fd = os.open(path, flags, 0o644, **more)
    os.write(fd, b"written")
    os.close(fd)

CALLS = {
    "mkdir": lambda path, **at: os.mkdir(path, **at),
    "rmdir": lambda path, **at: os.rmdir(path, **at),
    "remove": lambda path, **at: os.remove(path, **at),
    "rename": lambda path, **at: os.rename(path, "renamed", **{"src_" + k: v for k, v in at.items()}, **{"dst_" + k: v for k, v in at.items()}),
    "rename to": lambda path, **at: os.rename("f" if not at else "a/f", path, **{"src_" + k: v for k, v in at.items()},
                                              **{"dst_" + k: v for k, v in at.items()}),
    "chmod": lambda path, **at: os.chmod(path, 0o750, **at),
    "utime": lambda path, **at: os.utime(path, (1, 1), **at),
    "make": lambda path, **at: opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, **at),
    "empty": lambda path, **at: opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, **at),
    "open": lambda path, **at: os.close(os.open(path, os.O_RDONLY, **at)),
    "stat": lambda path, **at: os.stat(path, **at).st_size and None,
}
ONLY_PATHS = {
    "truncate": lambda path: os.truncate(path, 1000),
    "cut": lambda path: os.truncate(path, 3),
    "listdir": lambda path: os.listdir(path),
    "scandir": lambda path: [entry.name for entry in os.scandir(path)],
    "rmtree": lambda path: shutil.rmtree(path),
    "copy": lambda path: shutil.copyfile("f", path),
}
if LINKS:  # neither is made in a granted folder
    CALLS["link"] = lambda path, **at: os.link("f" if not at else "a/f", path, **{"src_" + k: v for k, v in at.items()},
                                               **{"dst_" + k: v for k, v in at.items()})
    CALLS["link from"] = lambda path, **at: os.link(path, "hard", **{"src_" + k: v for k, v in at.items()},
                                                    **{"dst_" + k: v for k, v in at.items()})
    CALLS["symlink"] = lambda path, **at: os.symlink("g", path, **at)
# From the folder a; a descriptor of what is above it for the second list.
NAMES = ["../new", "b/../new", "new/", "../a/f", "f", "./f", "f/", "b", "b/", "b/.", "b/..", "..", "../..x", "../v1..v2.txt", "v1..v2.txt",
         "../d", "../d/../d/h", "none/../f", "f/../f", "b/../../a/b/g"]
LINKED = ["../link", "../link/", "../link/f", "../link/new", "../link/../new", "up", "up/", "up/h", "up/../v1..v2.txt", "up/new"]
AT = ["new", "a/../new", "a/f", "a/b/../f", "a/v1..v2.txt", "v1..v2.txt", "d/", "a/b", "a/../d/h", "../TOP/new"]

def attempt(number, call, path, absolute, at):
    top = "%s/%d" % (BASE, number)
    build(top)
    os.chdir(top + "/a")
    path = path.replace("TOP", str(number))
    more = {}
    if at:
        more["dir_fd"] = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        said = call(top + "/a/" + path if absolute else path, **more)
        said = sorted(said) if isinstance(said, list) else None
    except OSError as error:
        said = [type(error).__name__, error.errno]
    if at:
        os.close(more["dir_fd"])
    os.chdir(BASE)
    found = tree(top)
    shutil.rmtree(top)
    return said, found

number = 0
for name, call in {**CALLS, **ONLY_PATHS}.items():
    for path in NAMES + (LINKED if LINKS else []):
        for absolute in (False, True) if '..' in path else (False,):
            number += 1
            print(json.dumps([name, path, absolute, False, *attempt(number, call, path, absolute, False)]))
    for path in AT if name in CALLS else []:
        number += 1
        print(json.dumps([name, path, False, True, *attempt(number, call, path, False, True)]))
"""


def outside(links):
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        code = f"BASE, LINKS = {base + '/base'!r}, {links}\nimport os; os.umask(0o022); os.mkdir(BASE)\n" + PROGRAM
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def differences(inside, expected):
    assert len(inside) == len(expected) > 200
    pairs = ((json.loads(one), json.loads(other)) for one, other in zip(inside, expected))
    return [(one, other[4:]) for one, other in pairs if one != other]


def test_in_scratch_every_call_does_what_it_does_in_plain_python():
    policy = belljar.Policy(timeout=200, cpu=200, output="32M")
    execution = belljar.run("BASE, LINKS = '/work/base', True\nimport os; os.mkdir(BASE)\n" + PROGRAM, policy)
    assert execution.verdict == "ok", execution
    assert differences(execution.stdout.splitlines(), outside(True)) == []
    assert execution.violations == []


def test_in_a_granted_folder_every_call_does_what_it_does_in_plain_python():
    with tempfile.TemporaryDirectory(prefix="belljar-once-") as base:
        os.chmod(base, 0o777)
        policy = belljar.Policy(write=[base], timeout=200, cpu=200, output="32M")
        execution = belljar.run(f"BASE, LINKS = {base!r} + '/base', False\nimport os; os.mkdir(BASE)\n" + PROGRAM, policy)
        assert execution.verdict == "ok", execution
        assert differences(execution.stdout.splitlines(), outside(False)) == []
        assert execution.violations == []
        assert os.listdir(base + "/base") == []
