"""`python -m belljar`: the command, wherever it is."""

from __future__ import annotations

import os
import shutil
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _program() -> str | None:
    """The C program: beside this file (a wheel), of the build that the extension module is from, or in PATH."""
    from belljar import _core

    build = os.path.dirname(os.path.abspath(_core.core.__file__))
    for folder in (_HERE, build):
        path = os.path.join(folder, "belljar")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return shutil.which("belljar")


def main() -> None:
    program = _program()
    if program is None:
        sys.exit("belljar: the command was not found: not beside the package, nor in PATH")
    # `belljar learn` is Python again, and guests get an interpreter: both are this one, unless somebody says otherwise.
    environment = {"BELLJAR_PYTHON": sys.executable, "BELLJAR_GUEST_PYTHON": sys.executable, **os.environ}
    os.execve(program, [program, *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
