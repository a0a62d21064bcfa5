"""`belljar packages`: lists what is installed for guests. A module of its own, as one that the package imports is not run well."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from belljar._packages import packages
from belljar._policy import Policy
from belljar.learn import FAILURES, complain, ended_by, plain

__all__ = ["main"]


def _same(name: str) -> str:
    """A package's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar packages --help` says what it takes; only the flags of packages itself come this far."""
    parser = argparse.ArgumentParser(
        prog="python -m belljar._packages_command", description="Lists what guests have.", allow_abbrev=False
    )
    parser.add_argument("--policy", metavar="FILE", help="the policy file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    try:
        found = packages(Policy.from_file(given.policy) if given.policy is not None else None)
    except FAILURES as error:
        return ended_by(error)
    wanted = {_same(name): name for name in given.names}
    shown = {name: version for name, version in found.items() if not wanted or _same(name) in wanted}
    missing = [name for same, name in wanted.items() if same not in map(_same, shown)]
    if given.json:
        print(json.dumps(shown))
    else:
        width = max(map(len, shown), default=0)
        for name, version in shown.items():
            print(plain(f"{name:{width}}  {version}"))
    for name in missing:
        complain(f"{name} is not installed for the sandbox's interpreter; packages are added by installing them there, or in a virtual "
                 "environment (--python VENV/bin/python3)")  # fmt: skip
    sys.stdout.flush()
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
