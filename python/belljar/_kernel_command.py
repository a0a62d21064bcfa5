"""`belljar kernel`: makes Jupyter run notebooks in the jar. A module of its own, as the adapter needs what may not be installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from belljar.learn import EXIT_BELLJAR, FAILURES, complain, ended_by, plain

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar kernel --help` says what it takes; only what it is to do, with flags of its own, comes this far."""
    parser = argparse.ArgumentParser(
        prog="python -m belljar._kernel_command", description="Kernels of Jupyter.", allow_abbrev=False
    )
    parser.add_argument("--policy", metavar="FILE", help="the policy file")
    parser.add_argument("word", choices=["install", "uninstall", "list"])
    parser.add_argument("--name", default="belljar")
    for flag in ("--system", "--sys-prefix", "--rich"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args(arguments)
    try:
        from belljar.adapters import jupyter
    except ModuleNotFoundError as error:
        lacks = (
            f"this command needs {error.name}, which {sys.executable} does not have: {sys.executable} -m pip install {error.name}"
        )
        complain(lacks if error.name in ("ipykernel", "jupyter_client") else str(error))
        return EXIT_BELLJAR
    try:
        if given.word == "list":
            for name, folder in jupyter.installed().items():
                print(plain(f"{name}  {folder}"))
        elif given.word == "uninstall":
            print(plain(jupyter.uninstall(given.name)))
        else:
            prefix = sys.prefix if given.sys_prefix else None
            print(plain(jupyter.install(given.name, policy=given.policy, rich=given.rich, user=not given.system, prefix=prefix)))
    except PermissionError as error:
        complain(f"cannot write {error.filename}: {error.strerror}; without --system the kernel is yours alone")
        return EXIT_BELLJAR
    except FAILURES as error:
        return ended_by(error)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
