"""Environments: named by their folder, made from wheels, and what is said at the start where one cannot be used."""

import contextlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile

import pytest

import belljar
import looking

pytestmark = pytest.mark.core
BELLJAR = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "belljar")
PYTHON = "/usr/bin/python3"
OURS = subprocess.run(
    [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
).stdout.strip()
OTHER = "3.99"


@pytest.fixture(scope="module")
def place():
    # not below pytest's folders: those are closed to the user who runs the sandbox when root starts it
    with tempfile.TemporaryDirectory(prefix="belljar-test-") as path:
        os.chmod(path, 0o755)
        os.umask(os.umask(0) & ~0o055)
        yield pathlib.Path(path)


@pytest.fixture(scope="module")
def empty(place):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", place / "empty"], check=True)
    return place / "empty"


@pytest.fixture
def copy(place, empty):
    """A copy of an environment that a test may break."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="copy-", dir=place))
    os.chmod(made, 0o755)
    shutil.copytree(empty, made / "env", symlinks=True)
    return made / "env"


def packages_of(folder):
    return next(folder.glob("lib/python3.*/site-packages"))


def wheel(folder, name, version="1.0", tag="py3-none-any", body="value = 42\n"):
    """A wheel, written by hand."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": body,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n")
    return folder / f"{name}-{version}-{tag}.whl"


# ---- Environments that are named ----


def test_an_environment_is_named_by_its_folder_or_its_interpreter(copy):
    (packages_of(copy) / "own.py").write_text("value = 7")
    code = "import own, sys; print(own.value, sys.prefix)"
    for named in (copy, copy / "bin/python", copy / "bin/python3", str(copy) + "/"):
        assert belljar.run(code, python=named).stdout == f"7 {copy}\n"
    with belljar.Template(python=copy) as template:
        assert template.run(code).ok
    done = subprocess.run(
        [BELLJAR, "run", "--python", "env", "-c", code], capture_output=True, text=True, cwd=copy.parent, check=True
    )
    assert done.stdout == f"7 {copy}\n"


def test_its_packages_are_read_only(copy):
    (packages_of(copy) / "own.py").write_text("value = 7")
    ex = belljar.run("import own; print(open(own.__file__).read()); open(own.__file__, 'w')", python=copy)
    assert ex.stdout == "value = 7\n" and ex.error.name == "PermissionError"
    assert (packages_of(copy) / "own.py").read_text() == "value = 7"


def set_config(key, value):
    def change(copy):
        lines = (copy / "pyvenv.cfg").read_text().splitlines()
        (copy / "pyvenv.cfg").write_text("".join(f"{key} = {value}\n" if line.startswith(key) else line + "\n" for line in lines))

    return change


def version_of_virtualenv(copy):
    lines = [line for line in (copy / "pyvenv.cfg").read_text().splitlines() if not line.startswith("version")]
    (copy / "pyvenv.cfg").write_text("\n".join([*lines, f"version_info = {OTHER}.4.final.0"]))


def link_to_nothing(copy):
    (copy / "bin/python3").unlink()
    (copy / "bin/python3").symlink_to("/nowhere/python3")


def without_interpreter(copy):
    for path in (copy / "bin").iterdir():
        path.unlink()


def of_another_version(copy):
    packages_of(copy).parent.rename(copy / "lib" / f"python{OTHER}")


def package_of(*tags):
    def change(copy):
        info = packages_of(copy) / "thing_one-2.0.dist-info"
        info.mkdir()
        (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))

    return change


OWN = "cp" + OURS.replace(".", "")
MACHINE = os.uname().machine
BROKEN = [
    (set_config("version", f"{OTHER}.1"), f"was made for Python {OTHER}, and its interpreter is Python {OURS}: make it anew"),
    (version_of_virtualenv, f"was made for Python {OTHER}"),
    (link_to_nothing, "was made from a Python that is gone (/nowhere/python3 is not there): make the environment anew"),
    (set_config("home", "/nowhere/bin"), "was made from a Python that is gone (/nowhere/bin is not there)"),
    (without_interpreter, "is a directory, and has no bin/python3: name a virtual environment or an interpreter"),
    (of_another_version, "site-packages is not there"),
    (shutil.rmtree, "No such file or directory: choose another with --python"),
    (package_of(f"cp399-cp399-manylinux2014_{MACHINE}"), f"thing_one 2.0 in ENV is a wheel for cp399-cp399-manylinux2014_{MACHINE}, and "
                                                         f"this is CPython {OURS} on linux {MACHINE}: install it again"),
    (package_of(f"{OWN}-{OWN}-macosx_11_0_arm64", f"{OWN}-{OWN}-win_amd64"), "is a wheel for"),
    (package_of(f"{OWN}-{OWN}-manylinux2014_riscv64"), "is a wheel for"),
    (package_of("cp399-abi3-manylinux2014_" + MACHINE), "is a wheel for"),
]  # fmt: skip
FINE = [
    package_of(f"{OWN}-{OWN}-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}"),
    package_of(f"cp38-abi3-manylinux2014_{MACHINE}"),
    package_of("py2.py3-none-any"),
    package_of(f"py3-none-manylinux2014_{MACHINE}"),
    package_of("cp399-cp399-win32", "py3-none-any"),
    package_of(f"{OWN}-{OWN}-linux_{MACHINE}"),
    package_of(),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_what_is_wrong_with_an_environment_is_said_at_the_start(copy, change, said):
    change(copy)
    with pytest.raises(belljar.StartError) as raised:
        belljar.run("1", python=copy)
    assert said.replace("ENV", str(copy)) in str(raised.value)


@pytest.mark.parametrize("change", FINE)
def test_wheels_that_fit_are_no_fault(copy, change):
    change(copy)
    assert belljar.run("1", python=copy).ok


# ---- Environments that belljar makes ----

HAS_PIP = (
    importlib.util.find_spec("pip") is not None or not subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode
)
needs_pip = pytest.mark.skipif(not HAS_PIP, reason="needs pip")


@pytest.fixture
def cache(place):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cache-", dir=place))
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture(scope="module")
def wheels(place):
    wheel(place / "wheels", "jarlet")
    wheel(place / "wheels", "foreign", tag="cp399-cp399-win32")
    return place / "wheels"


def names(cache):
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


@needs_pip
def test_an_environment_is_made_once_for_its_content(cache, wheels, place):
    make = {"python": PYTHON, "find_links": wheels, "no_index": True, "cache": cache}
    (place / "a.txt").write_text("-r b.txt  # more\n")
    (place / "b.txt").write_text("jarlet\n")
    made = belljar.environment(place / "a.txt", **make)
    assert names(cache) == [made.name]
    ex = belljar.run("import jarlet; print(jarlet.value); open(jarlet.__file__, 'w')", python=made)
    assert ex.stdout == "42\n" and ex.error.name == "PermissionError"
    before = (made / "bin").stat().st_ino
    assert belljar.environment(str(place / "a.txt"), **make) == made and (made / "bin").stat().st_ino == before
    (place / "b.txt").write_text("jarlet==1.0\n")
    second = belljar.environment(place / "a.txt", **make)
    assert second != made and belljar.environment(place / "a.txt", **make) == second and len(names(cache)) == 2


def test_one_whose_interpreter_is_gone_is_made_anew(cache):
    made = belljar.environment([], python=PYTHON, cache=cache)
    assert belljar.run("1", python=made).ok
    (made / "bin/python3").unlink()
    (made / "bin/python3").symlink_to("/nowhere/python3")
    (made / "old").touch()
    assert belljar.environment([], python=PYTHON, cache=cache) == made and not (made / "old").exists()
    (packages_of(made) / "new.py").touch()
    assert belljar.run("import new", python=made).ok  # and not in a guest that sees what was there before
    shutil.rmtree(made)
    with pytest.raises(belljar.StartError, match="No such file"):
        belljar.run("1", python=made)


def test_two_builders_and_what_a_killed_one_left(cache):
    (cache / ".unfinished-1/environment").mkdir(parents=True)
    made, barrier = [], threading.Barrier(2)

    def build():
        barrier.wait()
        made.append(belljar.environment([], python=PYTHON, cache=cache))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1] and names(cache) == [made[0].name]
    assert belljar.run("1", python=made[0]).ok


@needs_pip
def test_an_error_has_the_last_lines_of_pip_and_leaves_nothing(cache, wheels):
    with pytest.raises(belljar.StartError, match="pip failed") as raised:
        belljar.environment([str(wheels / "foreign-1.0-cp399-cp399-win32.whl")], python=PYTHON, no_index=True, cache=cache)
    assert "ERROR: foreign-1.0-cp399-cp399-win32.whl is not a supported wheel on this platform" in str(raised.value)
    assert names(cache) == []


SOURCES = ["-e .", "--editable=../x", "./project", "..", "git+https://host/x", "x @ git+ssh://host/x", "x @ file:///x", "x-1.0.tar.gz",
           "https://host/x-1.0.zip", "--no-binary :all:", "--no-binary=x", "-e.", "--only-binary=:none:", ".[dev]", "..[dev]", ".project",
           "${BELLJAR_TEST_PROJECT}"]  # fmt: skip
ABBREVIATED = ["--edit ./project", "--no-bin :all:", "--only-bin=:none:", "--req others.txt", "--no-binar=x"]
"""The options as which pip takes those that they are the beginnings of."""


def test_what_would_be_built_is_refused_before_pip_starts(cache, place, monkeypatch):
    monkeypatch.setenv("BELLJAR_TEST_PROJECT", "./project")
    for line in ABBREVIATED:
        (place / "sources.txt").write_text(line)
        with pytest.raises(belljar.StartError, match="write them in full"):
            belljar.environment(place / "sources.txt", python="/nowhere", cache=cache)
    for line in SOURCES:
        (place / "sources.txt").write_text(f"# wheels\n{line}\n")
        with pytest.raises(belljar.StartError, match="from wheels alone"):
            belljar.environment(place / "sources.txt", python="/nowhere", cache=cache)
    for line in ("x", "x[y]>=1 ; python_version > '3'", "x @ https://host/x-1-py3-none-any.whl#sha256=0", "./x-1-py3-none-any.whl",
                 "--index-url https://host/${NAME}", "--pre"):  # fmt: skip
        (place / "sources.txt").write_text(line)
        with pytest.raises(belljar.StartError, match="/nowhere: No such file"):
            belljar.environment(place / "sources.txt", python="/nowhere", cache=cache)
    with pytest.raises(FileNotFoundError):
        belljar.environment("not-there.txt", cache=cache)
    with pytest.raises(ValueError, match="option of pip's"):
        belljar.environment(["-r x"], cache=cache)
    assert names(cache) == []


def test_a_cache_that_others_may_write_is_refused(cache):
    os.chmod(cache, 0o777)
    with pytest.raises(belljar.StartError, match="others may write in"):
        belljar.environment([], python=PYTHON, cache=cache)
    os.chmod(cache, 0o755)
    assert belljar.run("1", python=belljar.environment([], python=PYTHON, cache=cache)).ok


def test_a_cache_whose_place_others_may_change_is_refused(cache):
    above = cache / "above"
    above.mkdir()
    for mode, is_fine in ((0o777, False), (0o1777, True), (0o755, True)):
        os.chmod(above, mode)
        if is_fine:
            assert belljar.environment([], python=PYTHON, cache=above / "own").is_dir()
            shutil.rmtree(above / "own")
        else:
            with pytest.raises(belljar.StartError, match=f"others may write in {above},"):
                belljar.environment([], python=PYTHON, cache=above / "own")
            assert not (above / "own").exists()
    if os.geteuid() == 0 and not looking.is_powerless_root():
        os.chown(above, 65534, 65534)
        with pytest.raises(belljar.StartError, match="others may write in"):
            belljar.environment([], python=PYTHON, cache=above / "own")


@needs_pip
def test_the_record_that_all_may_read_has_no_password(cache, wheels, place):
    (place / "secret.txt").write_text("--index-url https://name:word@host.invalid/simple\njarlet\n")
    made = belljar.environment(place / "secret.txt", python=PYTHON, find_links=wheels, no_index=True, cache=cache)
    record = (made / "belljar-environment.json").read_text()
    assert "word" not in record and "https://host.invalid/simple" in record


@needs_pip
def test_the_command_makes_lists_and_removes(place, wheels):
    environ = {**os.environ, "XDG_CACHE_HOME": str(place / "xdg"), "BELLJAR_PYTHON": sys.executable}

    def env(*arguments, status=0):
        done = subprocess.run([BELLJAR, "env", *arguments], capture_output=True, text=True, timeout=120, env=environ)
        assert done.returncode == status, done.stderr
        return done

    made = env("create", "--python", PYTHON, "--no-index", str(wheels / "jarlet-1.0-py3-none-any.whl")).stdout.strip()
    assert made.startswith(str(place / "xdg/belljar/environments/"))
    done = subprocess.run(
        [BELLJAR, "run", "--python", made, "-c", "import jarlet; print(jarlet.value)"], capture_output=True, text=True
    )
    assert done.stdout == "42\n", done.stderr
    assert made in env("list").stdout
    assert "no environment begins with this" in env("remove", os.path.basename(made)[:8], "abc", status=2).stderr
    assert not os.path.exists(made)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place / "xdg")


def test_the_command_shows_the_lines_of_pip(monkeypatch, capsys):
    from belljar import _environment_command

    def fails(*_arguments, **_options):
        raise belljar.StartError("environment: pip failed; its last lines:\n  ERROR: one\n  ERROR: \x1b[31mtwo")

    monkeypatch.setattr(_environment_command, "environment", fails)
    assert _environment_command.main(["create", "x"]) == 125
    assert capsys.readouterr().err == "belljar: environment: pip failed; its last lines:\n  ERROR: one\n  ERROR: \\x1b[31mtwo\n"
    assert _environment_command.main(["create"]) == 2 and "name some" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["requirements.txt", "./sets/dev.in"])
def test_a_requirements_file_among_packages_is_told_how_to_be_named(name, capsys):
    from belljar import _environment_command

    assert _environment_command.main(["create", "--no-index", name]) == 2
    assert f"{name!r} is no package but a requirements file: name it by -r FILE" in capsys.readouterr().err
