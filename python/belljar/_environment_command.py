"""`belljar env`: makes, lists and removes environments. A module of its own, as one that the package imports is not run well."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from belljar._environment import environment, environments, remove
from belljar.errors import StartError
from belljar.learn import EXIT_BELLJAR, FAILURES, complain, ended_by, plain

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="belljar env", description="Environments for guests.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|remove")
    create = verbs.add_parser("create", help="make one from wheels, unless it is there, and print its path", allow_abbrev=False)
    create.add_argument("-r", "--requirement", metavar="FILE", help="a requirements file of pip's")
    create.add_argument("--python", metavar="EXE", help="the interpreter that it is for")
    create.add_argument("--find-links", metavar="DIR", action="append", default=[], help="a folder with wheels")
    create.add_argument("--no-index", action="store_true", help="do not ask PyPI")
    create.add_argument("packages", metavar="PACKAGE", nargs="*")
    verbs.add_parser("list", help="print path, Python and requirements of each")
    removing = verbs.add_parser("remove", help="remove one, by its path or the beginning of its name")
    removing.add_argument("environments", metavar="ENV", nargs="+")
    return parser


def _create(given: argparse.Namespace) -> None:
    if given.requirement is not None and given.packages:
        raise ValueError("-r FILE and PACKAGE exclude each other: write the packages into the file")
    if given.requirement is None and not given.packages:
        raise ValueError("no packages: name some, or a requirements file (-r FILE)")
    made = environment(given.packages if given.requirement is None else os.fspath(given.requirement), python=given.python,
                       find_links=given.find_links, no_index=given.no_index)  # fmt: skip
    print(plain(str(made)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar env --help` says what it takes."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = _parser().parse_args(words[1:] if words[:1] == ["--"] else words)
    try:
        if given.verb == "create":
            _create(given)
        elif given.verb == "list":
            for one in environments():
                state = "" if one.is_usable else "  (its interpreter is gone)"
                print(plain(f"{one.path}  Python {one.python}{state}  {', '.join(one.requirements)}"))
        else:
            for name in given.environments:
                complain(f"removed {remove(name)}")
    except StartError as error:  # with lines of pip's
        first, *more = str(error).splitlines()
        complain(first)
        for line in more:
            print(plain(line), file=sys.stderr, flush=True)
        return EXIT_BELLJAR
    except FAILURES as error:
        return ended_by(error)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
