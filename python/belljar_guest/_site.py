"""What `site` does at an interpreter's start, with the dear part of it put off: begin().

For a guest that somebody waits for, the interpreter is started with -S and this runs `site`, but for .pth files whose code is known to do
nothing but put importers in place: they are run before the first import that they could have a say in. All that is visible of that is
which modules are loaded at the start."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from belljar_guest import native

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# How a line of code in a .pth file begins that may be put off: setuptools' own distutils, packages in a namespace of the old kind, and
# what pip makes of an editable installation. Whatever else it may be, it is run at the start, and so is all of a file with a path in it.
LATER = (
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and ",
    b"import sys, types, os;has_mfs = sys.version_info > (3, 5);p = os.path.join(sys._getframe(1).f_locals['sitedir'], ",
    b"import __editable___",
)


def begin() -> None:
    """Does what `site` would have done if it had not been left out."""
    import site  # which does nothing by itself yet

    native.unset_no_site(sys.flags)
    real: Any = site.addpackage
    put_off: list[tuple[str, str]] = []

    def addpackage(folder: str, name: str, known: Any) -> Any:
        if not is_for_later(folder + "/" + name):
            return real(folder, name, known)
        put_off.append((folder, name))
        return known

    site.addpackage = addpackage  # type: ignore[assignment]
    try:
        site.main()
    finally:
        site.addpackage = real
    if put_off:
        sys.meta_path.insert(0, Later(real, put_off))


def is_for_later(path: str) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            lines = [line.strip() for line in os.read(file, 1 << 16).splitlines()]
        finally:
            os.close(file)
    except OSError:
        return False
    return all(line.startswith(LATER) for line in lines if line and not line.startswith(b"#"))


class Later:
    """Stands first among the importers until something is wanted that is not the standard library's (or is distutils, which
    setuptools has another of)."""

    def __init__(self, real: Any, put_off: Sequence[tuple[str, str]]) -> None:
        self.real = real
        self.put_off = put_off

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        top = name.partition(".")[0]
        finders: list[Any] = sys.meta_path
        if self not in finders or top in sys.stdlib_module_names and top != "distutils":
            return None
        finders.remove(self)
        first = finders[0] if finders else None
        for folder, file in self.put_off:
            self.real(folder, file, set())
        for finder in finders:  # what came to stand before all others has a say in this already
            if finder is first:
                break
            if (spec := finder.find_spec(name, path, target)) is not None:
                return spec
        return None
