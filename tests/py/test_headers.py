"""The modules compile with the headers of every CPython after 3.11: each release includes fewer of C's own."""

import os
import pathlib
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
PYTHONS = [path for path in os.environ.get("BELLJAR_PYTHONS", "").split(":") if path]


def compiles(source, include):
    """What the compiler says against it: nothing, where all is well."""
    command = ["cc", "-fsyntax-only", "-std=gnu11", "-Wall", "-Werror", "-D_GNU_SOURCE=", "-DPy_LIMITED_API=0x030b0000",
               f"-I{TREE}", f"-I{TREE}/include", f"-I{include}", *source]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, cwd=TREE).stderr


@pytest.mark.skipif(not PYTHONS, reason="no CPython after Debian's is installed (BELLJAR_PYTHONS)")
@pytest.mark.parametrize("python", PYTHONS)
def test_every_module_compiles_with_the_headers_of(python, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    asked = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"], capture_output=True, text=True)
    include = asked.stdout.strip()
    if not pathlib.Path(include, "Python.h").exists():
        pytest.skip(f"{python} has no headers here")
    sources = [str(path) for folder in ("guest", "bindings", "language", "values") for path in sorted((TREE / folder).glob("*.c"))]
    assert len(sources) > 20 and compiles(sources, include) == ""
    (tmp_path / "lacks.c").write_text("#include <Python.h>\nvoid f(void);\nvoid f(void) { no_such_function(); }\n")
    assert "no_such_function" in compiles([str(tmp_path / "lacks.c")], include)
