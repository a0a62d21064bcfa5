"""Environments for guests: a folder with packages, made outside of the jar from wheels, and kept by its content.

Who names requirements is trusted, as with any `pip install`: pip runs with the caller's rights and settings, and what a wheel
brings runs in the guests and, where it is preloaded, in their zygote. Nothing of it is built here, so no setup.py runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from belljar._instead import wrong_type
from belljar._interpreter import default_interpreter
from belljar.errors import StartError

__all__ = ["Environment", "environment", "environments", "remove"]

_StrPath = str | os.PathLike[str]

RECORD = "belljar-environment.json"
_UNFINISHED = ".unfinished-"
_LINES_SHOWN = 12
_NESTED_MOST = 16
_INCLUDES = ("-r", "--requirement", "-c", "--constraint")
_OPTIONS = frozenset({
    "--constraint", "--extra-index-url", "--find-links", "--index-url", "--no-index", "--only-binary", "--pre", "--prefer-binary",
    "--require-hashes", "--requirement", "--trusted-host",
})  # fmt: skip
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_SECRET = re.compile(r"://[^/@\s]*@")
_BUILDS = ("-e", "--editable", "--no-binary", "--no-use-wheel")

# Asked of the interpreter that the environment is for: what a wheel has to fit.
_ASK = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "implementation": sys.implementation.name,
    "abi": sysconfig.get_config_var("SOABI"), "platform": sysconfig.get_platform(), "libc": os.confstr("CS_GNU_LIBC_VERSION")
    if "CS_GNU_LIBC_VERSION" in os.confstr_names else "", "base": os.path.realpath(sys._base_executable or sys.executable),
    "pip": importlib.util.find_spec("pip") is not None}))
"""


class Environment(NamedTuple):
    """One that was made: `path` is what python= takes."""

    path: pathlib.Path
    python: str
    requirements: list[str]
    is_usable: bool


def _cache(folder: _StrPath | None) -> pathlib.Path:
    """Where environments are kept, made if need be. Nobody else may write there: what lies in it runs."""
    if folder is None:
        home = os.environ.get("XDG_CACHE_HOME", "")
        if not home.startswith("/"):  # root's home is closed to the user who runs root's sandboxes
            home = "/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache")
        folder = os.path.join(home, "belljar", "environments")
    path = pathlib.Path(os.path.realpath(folder))
    for part in (*reversed(path.parents), path):  # from above: nobody can change what was looked at
        try:
            part.mkdir(0o755)
            part.chmod(0o755)
        except FileExistsError:
            pass
        except OSError as error:
            raise StartError(f"environment: environments are kept in {path}, which cannot be made: {error.strerror} ({part}); name "
                             "another folder with XDG_CACHE_HOME", "environment", error.errno or 0) from None  # fmt: skip
        if _is_others(part, may_be_sticky=part != path):
            raise StartError(f"environment: others may write in {part}, and environments are kept in {path}: make it yours alone (chmod "
                             "go-w), or name another folder with XDG_CACHE_HOME", "environment", errno.EPERM)  # fmt: skip
    return path


def _is_others(folder: pathlib.Path, may_be_sticky: bool) -> bool:
    """Whether somebody else could put another folder in the place of what is in this one. (In a container / may be nobody's.)"""
    found = folder.lstat()
    is_sticky = may_be_sticky and (found.st_mode & stat.S_ISVTX) != 0
    is_ours = found.st_uid in (0, os.geteuid(), os.stat("/").st_uid)
    return not stat.S_ISDIR(found.st_mode) or not is_ours or ((found.st_mode & 0o022) != 0 and not is_sticky)


def _logical_lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            yield line.partition(" #")[0].rstrip()


def _words(line: str) -> list[str]:
    """An option and its value; what is none is one word."""
    if not line.startswith("-"):
        return [line]
    if line.startswith("--"):
        return line.replace("=", " ", 1).split()
    return [line[:2], *line[2:].split()]


def _refuse(line: str) -> None:
    raise StartError(f"environment: {line!r} would be built from its source, which runs code of its setup: environments are made "
                     "from wheels alone; make a wheel of it (pip wheel) and name that", "environment", errno.EPERM)  # fmt: skip


def _check(line: str) -> None:
    """Refuses what pip would build whatever --only-binary says."""
    words = _words(line)
    if words[0] in _BUILDS or (words[0] == "--only-binary" and words[1:] != [":all:"]):
        _refuse(line)
    if words[0].startswith("--") and words[0] not in _OPTIONS:  # pip takes the beginnings of its options for them
        raise StartError(f"environment: {words[0]} is none of the options that a requirements file may have here: "
                         f"{', '.join(sorted(_OPTIONS))}; write them in full", "environment", errno.EPERM)  # fmt: skip
    if line.startswith("-"):
        return
    line = _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[0], line)  # as pip does
    named = line.partition(" @ ")[2].strip() or line
    named = named.partition(" ")[0].partition(";")[0].partition("#")[0].partition("?")[0]
    is_place = "://" in named or named.startswith(("git+", "hg+", "svn+", "bzr+", "file:")) or "/" in named or named.startswith(".")
    if (is_place or named.endswith((".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))) and not named.endswith(".whl"):
        _refuse(line)


def _stamp(path: str) -> list[object]:
    """What changes when a local file or folder does."""
    try:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
        found = [(name, os.stat(os.path.join(path, name))) for name in names]
    except OSError:
        return [path]
    return [os.path.abspath(path), *([name, one.st_size, one.st_mtime_ns] for name, one in found)]


def _read(path: str, depth: int = 0) -> list[object]:
    """A requirements file with those that it includes, and stamps of the local files that it names. `OSError` if one is not there."""
    if depth > _NESTED_MOST:
        raise ValueError(f"{path}: requirements include each other more than {_NESTED_MOST} deep")
    with open(path, encoding="utf-8-sig") as file:
        text = file.read()
    content: list[object] = [text]
    for line in _logical_lines(text):
        _check(line)
        words = _words(line)
        if words[0] in _INCLUDES and len(words) > 1 and "://" not in words[1]:
            content.append(_read(os.path.join(os.path.dirname(path), words[1]), depth + 1))
        elif words[0] in ("-f", "--find-links") and len(words) > 1:
            content.append(_stamp(words[1]))
        elif words[0].endswith(".whl"):
            content.append(_stamp(words[0].removeprefix("file://")))
    return content


def _run(command: Sequence[str], what: str) -> str:
    """What a command prints. `StartError` with its last lines."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PYTHON") and name not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_NO_BINARY")}  # fmt: skip
    environment["PIP_USER"] = "0"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", env=environment, umask=0o022, check=False)  # fmt: skip
    except OSError as error:
        raise StartError(f"environment: {what}: {command[0]}: {error.strerror}", "environment", error.errno or 0) from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = "\n".join("  " + line for line in lines[-_LINES_SHOWN:])
        raise StartError(
            f"environment: {what} failed (status {done.returncode}); its last lines:\n{said}", "environment", errno.ECHILD
        )
    return done.stdout


def _interpreter(python: _StrPath | None) -> tuple[str, dict[str, Any]]:
    path = os.fsdecode(python) if python is not None else default_interpreter()
    if os.path.isdir(path):
        path = os.path.join(path, "bin", "python3")
    about: dict[str, Any] = json.loads(_run([path, "-P", "-c", _ASK], f"asking {path} for its version"))
    if about["implementation"] != "cpython" or tuple(map(int, about["version"].split("."))) < (3, 11):
        raise StartError(f"environment: {path} is {about['implementation']} {about['version']}: belljar needs CPython 3.11 or later",
                         "environment", errno.ENOEXEC)  # fmt: skip
    return path, about


def _fill(folder: str, python: str, has_pip: bool, install: Sequence[str]) -> None:
    """A virtual environment in `folder`, with what pip installs there."""
    inside = f"{folder}/bin/python3"
    pip = [python, "-P", "-m", "pip"]
    if not has_pip and importlib.util.find_spec("pip") is not None and sys.executable:
        pip = [sys.executable, "-P", "-m", "pip"]
        has_pip = True
    _run([python, "-P", "-m", "venv", *(["--without-pip"] if has_pip else []), folder], f"making an environment of {python} "
         + ("" if has_pip else "(which has no pip, and gets one from its ensurepip)"))  # fmt: skip
    if not install:
        return
    pip = [*pip, "--python", inside] if has_pip else [inside, "-P", "-m", "pip"]
    _run([*pip, "install", "--no-input", "--disable-pip-version-check", "--root-user-action=ignore", "--quiet",
          "--only-binary=:all:", *install], "pip")  # fmt: skip


def _is_usable(path: pathlib.Path) -> bool:
    return (path / RECORD).is_file() and (path / "bin/python3").exists()


def _settle(made: str, final: pathlib.Path) -> None:
    """Gives a finished environment its name. Whoever was faster keeps it."""
    for script in pathlib.Path(made, "bin").iterdir():  # their first lines say where they were made
        if script.is_file() and not script.is_symlink():
            script.write_bytes(script.read_bytes().replace(os.fsencode(made), os.fsencode(final)))
    os.sync()
    for _ in range(2):
        try:
            os.rename(made, final)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _is_usable(final):
            return
        _take_away(final)
    raise StartError(f"environment: {final} is made by others and taken away again: try again", "environment", errno.EBUSY)


def _take_away(path: pathlib.Path) -> None:
    """Removes an environment: it is there as a whole, or not at all."""
    gone = tempfile.mkdtemp(prefix=_UNFINISHED, dir=path.parent)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, os.path.join(gone, "removed"))
    shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def _builder(cache: pathlib.Path) -> Iterator[str]:
    """A folder to build in. What builders left that were killed goes as soon as nobody builds."""
    with open(cache / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for left in cache.glob(_UNFINISHED + "*"):
                shutil.rmtree(left, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        folder = tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache)
        os.chmod(folder, 0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def environment(
    requirements: _StrPath | Iterable[str] = (),
    *,
    python: _StrPath | None = None,
    find_links: _StrPath | Iterable[_StrPath] = (),
    no_index: bool = False,
    cache: _StrPath | None = None,
) -> pathlib.Path:
    """The folder of an environment with these packages, for `python=`. It is made if there is none yet for these requirements, this
    interpreter and this platform, and kept in the user's cache folder.

    `requirements` is the path of a requirements file, or packages as pip names them. Only wheels are installed. `find_links`
    and `no_index` are pip's: folders with wheels, and whether PyPI is left out."""
    if isinstance(requirements, str | os.PathLike):
        path = os.fspath(requirements)
        content, install = _read(path), ["-r", os.path.abspath(path)]
        lines = [line for line in _logical_lines(str(content[0]))]
    elif isinstance(requirements, Iterable) and not isinstance(requirements, bytes):
        lines = install = list(requirements)
        for line in lines:
            if not isinstance(line, str):
                raise wrong_type("requirements", "the path of a requirements file, or a list of packages", line)
            if line.startswith("-"):
                raise ValueError(f"requirements: {line!r} is an option of pip's: write it into a requirements file")
            if line.endswith((".txt", ".in")):
                raise ValueError(
                    f"requirements: {line!r} is no package but a requirements file: name it by -r FILE, or alone in Python"
                )
            _check(line)
        content = [sorted(lines), *(_stamp(line) for line in lines if line.endswith(".whl"))]
    else:
        raise wrong_type("requirements", "the path of a requirements file, or a list of packages", requirements)
    links = [os.path.abspath(one) for one in ([find_links] if isinstance(find_links, str | os.PathLike) else find_links)]
    more = [word for one in links for word in ("--find-links", one)] + ["--no-index"] * no_index
    executable, about = _interpreter(python)
    has_pip = about.pop("pip")
    folder = _cache(cache)
    key = json.dumps([content, [_stamp(one) for one in links], no_index, about], sort_keys=True)
    final = folder / hashlib.sha256(key.encode()).hexdigest()[:32]
    if _is_usable(final):
        return final
    with _builder(folder) as place:
        made = os.path.join(place, "environment")
        _fill(made, executable, has_pip, [*more, *install] if lines else [])
        with open(os.path.join(made, RECORD), "w", encoding="utf-8") as file:
            shown = [_SECRET.sub("://", line) for line in lines]  # everybody may read it
            json.dump({"python": about["version"], "requirements": shown}, file)
        os.chmod(os.path.join(made, RECORD), 0o644)
        os.chmod(made, 0o755)
        _settle(made, final)
    return final


def environments(cache: _StrPath | None = None) -> list[Environment]:
    """Those that were made, the oldest first."""
    found = []
    for path in sorted(_cache(cache).iterdir(), key=lambda path: path.stat().st_mtime):
        try:
            record = json.loads((path / RECORD).read_text(encoding="utf-8"))
            found.append(Environment(path, str(record["python"]), [str(one) for one in record["requirements"]], _is_usable(path)))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return found


def remove(environment: _StrPath, cache: _StrPath | None = None) -> pathlib.Path:
    """Removes one, by its path or by the beginning of its name. `ValueError` if none or several are meant."""
    wanted = os.fspath(environment)
    meant = [one.path for one in environments(cache)
             if os.path.abspath(wanted) == str(one.path) or (wanted and one.path.name.startswith(wanted))]  # fmt: skip
    if len(meant) != 1:
        raise ValueError(
            f"{wanted}: {'several environments begin' if meant else 'no environment begins'} with this: see belljar env list"
        )
    _take_away(meant[0])
    return meant[0]
