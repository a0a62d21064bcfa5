"""What the runners of tests share: a copy of the tree that every user can read, and the interpreters that there are."""

from __future__ import annotations

import os
import pathlib
import pwd
import re
import shutil

TREE = pathlib.Path(__file__).resolve().parent.parent
BUILD = TREE / "build"


def make_stage(parent: pathlib.Path) -> pathlib.Path:
    """A copy of what the tests need that every user can read: a clone may lie where nobody else reaches."""
    stage = parent / "stage"
    stage.mkdir()
    (stage / "build").mkdir()
    for path in BUILD.iterdir():
        if path.is_file() and (os.access(path, os.X_OK) or path.suffix in (".py", ".so", ".txt", ".bundle")):
            shutil.copy2(path, stage / "build")
    for link in BUILD.glob("libbelljar.so*"):
        if link.is_symlink() and not (stage / "build" / link.name).exists():
            (stage / "build" / link.name).symlink_to(os.readlink(link))
    # Some tests compile parts of the tree by themselves.
    for name in ("python", "tests", "examples", "bench", "include", "base", "wire", "policy", "lockdown", "supervisor",
                 "core", "files", "guest", "language", "values", "bindings", "cli", "docs", "fuzz", "scripts", "tools"):  # fmt: skip
        shutil.copytree(TREE / name, stage / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy2(TREE / name, stage)
    for path in (parent, stage, *stage.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return stage


def newer_pythons() -> list[str]:
    """CPython after Debian's 3.11, as pyenv lays it down: one of each minor version."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir, ".pyenv")))
    found: dict[tuple[int, int], str] = {}
    for path in sorted(root.glob("versions/3.*/bin/python3")):
        match = re.fullmatch(r"3\.(\d+)\.(\d+)", path.parents[1].name)
        if match and int(match[1]) > 11:
            found[3, int(match[1])] = str(path)
    return list(found.values())


def opened(pythons: list[str], command: list[str]) -> list[str]:
    """The command in a mount namespace of its own, in which everybody can reach those interpreters. They often lie in root's
    home, which is closed to the user that belljar becomes. Nothing outside changes."""
    homes = {pathlib.Path(*pathlib.Path(python).parts[:3]) for python in pythons}  # the home of whoever has pyenv, and its folder
    if os.geteuid() != 0 or not homes:
        return command
    home = homes.pop()
    script = """
        set -e
        mount -t tmpfs none /mnt
        mkdir /mnt/kept
        mount --bind "$1" /mnt/kept
        mount -t tmpfs -o mode=755 none "$(dirname "$1")"
        mkdir "$1"
        mount --move /mnt/kept "$1"
        umount /mnt
        shift
        exec "$@"
    """
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(home), *command]
