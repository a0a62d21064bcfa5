"""`belljar run --audit-only`: a program of one's own without the jar, with what the policy would refuse on stderr. A module of its own,
as one that the package imports is not run well."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from belljar._audit_only import WARNING, observe
from belljar._policy import Policy
from belljar.learn import EXIT_USAGE, FAILURES, complain, ended_by, read_source

__all__ = ["main"]


def _program(given: argparse.Namespace) -> dict[str, Any]:
    if given.module is not None:
        return {
            "module": given.module,
            "code": "",
            "filename": given.module,
            "argv": [given.module, *given.arguments],
            "path0": os.getcwd(),
        }
    if given.code is not None:
        return {"code": given.code, "filename": "<string>", "argv": ["-c", *given.arguments], "path0": os.getcwd()}
    script = given.arguments[0]
    if script == "-":
        return {"code": sys.stdin.read(), "filename": "<stdin>", "argv": given.arguments}
    path = os.path.abspath(script)
    return {"code": read_source(script).decode("utf-8", "surrogatepass"), "filename": path, "is_file": True, "argv": given.arguments,
            "path0": os.path.dirname(os.path.realpath(path))}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar run --help` says what it takes; only what `--audit-only` needs comes this far."""
    parser = argparse.ArgumentParser(
        prog="python -m belljar._audit_only_command", description="Runs without a jar.", allow_abbrev=False
    )
    parser.add_argument("--policy", metavar="FILE", required=True)
    parser.add_argument("--code")
    parser.add_argument("--module")
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args(arguments)
    complain(f"warning: {WARNING}")

    def tell(record: tuple[str, str, str, str]) -> None:
        op, target, rule, hint = record
        complain(f"would be refused: {op} {target} (rule {rule}): {hint}")

    try:
        policy = Policy.from_file(given.policy)
        found = observe(policy, {**_program(given), "shows_errors": True}, tell=tell, seconds=policy.options["timeout"] or None)
    except FAILURES as error:
        return ended_by(error)
    except SyntaxError as error:
        complain(str(error))
        return EXIT_USAGE
    if found.is_over_time:
        complain("the time limit was reached (--timeout)")
        return 124
    count = len(found.refused)
    complain(f"{count} operation{'s' * (count > 1)} would be refused" if count else "nothing that was seen would be refused")
    return found.status if found.status >= 0 else 128 - found.status


if __name__ == "__main__":
    sys.exit(main())
