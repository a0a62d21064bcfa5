"""`belljar learn`: finds by trying what a script needs. The command starts this as `python -m belljar.learn`.

Runs as the caller. What the script says of its needs is not believed: a need is what the supervisor refused and what,
granted, lets the script pass. What it gets to read meanwhile stays in the jar: there is no network, and its output is
thrown away. Writing is granted only where the user said so. `Search` is the way there; `Jar` makes its runs."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import os
import re
import stat
import sys
import tokenize
from collections.abc import Callable, Sequence
from typing import Any

from belljar._core import core
from belljar._features import BY_NAME
from belljar._shared.hints import undoes
from belljar.errors import SandboxError

__all__ = ["Jar", "Search", "Trial", "main"]

Values = dict[str, Any]
"""A policy as JSON has it: every option with its value."""

ROUNDS_MAX = 8
LANGUAGE_ROUNDS_MAX = 64
PATHS_MAX = 50  # that one round may add
REFUSED_MAX = 10000  # that one run may report
SLOW_MS = 20000  # a script that takes longer is not run again to take grants away
SOURCE_BYTES_MAX = 32 << 20

EXIT_USAGE, EXIT_BELLJAR = 2, 125

# Limits that an error's text speaks of: (text, option, factor, largest value).
TOLD_LIMITS = (
    ("(rule: threads", "threads", 4, 4096),
    ("(rule: scratch", "scratch", 4, 1 << 36),
    ("(rule: scratch", "scratch_files", 4, 1000000),
    ("No space left on device", "scratch", 4, 1 << 36),
    ("No space left on device", "scratch_files", 4, 1000000),
    ("Too many open files", "descriptors", 4, 65536),
)
# Limits that a verdict speaks of: verdict -> (option, factor, largest value, reason).
REACHED_LIMITS = {
    "timeout": ("timeout", 4, 3600, "the time limit was reached"),
    "cpu": ("cpu", 4, 3600, "the CPU time limit was reached"),
    "output": ("output", 8, 1 << 30, "it wrote more"),
    "memory": ("memory", 2, 1 << 36, "the memory limit was reached"),
}

# Recursion limits that are tried, one after the other.
RECURSIONS = (200, 1000, 5000, 20000)

# Runs in a guest with the script as a file: which modules it imports, and which of their names it uses. The script does
# not run, and its text is not parsed outside of the jar. What is found so is a guess that the trials have to confirm.
READ_IMPORTS = """
import ast, json
tree = ast.parse(open('/work/script', 'rb').read())
found, names = {}, {}
for node in ast.walk(tree):
    if isinstance(node, ast.Import):
        for alias in node.names:
            found.setdefault(alias.name, set())
            top = alias.name.partition('.')[0]
            names[alias.asname or top] = alias.name if alias.asname else top
    elif isinstance(node, ast.ImportFrom) and not node.level:
        found.setdefault(node.module, set()).update(alias.name for alias in node.names)
for node in ast.walk(tree):
    path = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if path and isinstance(node, ast.Name) and node.id in names:
        module = names[node.id]
        while len(path) > 1 and module + '.' + path[0] in found:
            module += '.' + path.pop(0)
        if module + '.' + path[0] not in found:
            found.setdefault(module, set()).add(path[0])
print(json.dumps({module: sorted(symbols) for module, symbols in found.items()}))
"""


@dataclasses.dataclass(frozen=True)
class Trial:
    """The end of one run."""

    verdict: str = "ok"
    exit: int = 0
    error: str = ""
    """`NameError: ...`, or how it exited. Written by the guest: only for people, by way of `plain`, and for search."""
    wall_ms: float = 0
    peak_bytes: int = 0
    refused: Sequence[tuple[str, str, str]] = ()
    """(call, path, answer) of the operations on paths that did not succeed; the answer says whether to write was refused."""
    wants_jit: bool = False

    @property
    def passes(self) -> bool:
        """Whether the script ended without an exception and with status 0."""
        return self.verdict == "ok" and self.exit == 0


class NotFound(Exception):
    """No policy was found; the reason has been told."""


def plain(text: str) -> str:
    """Text of a guest that a terminal may get: whatever a terminal would obey is spelt out."""
    return "".join(char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in text)


def complain(text: str) -> None:
    """One line for the user."""
    print(f"belljar: {plain(text)}", file=sys.stderr, flush=True)


FAILURES = (SandboxError, OSError, ValueError, KeyboardInterrupt)
"""Exceptions that end a command; `ended_by` tells the user and gives the status."""


def ended_by(error: BaseException) -> int:
    """The exit status of a command that one of `FAILURES` ended; the user is told."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, OSError) and not isinstance(error, SandboxError):
        complain(f"cannot read {error.filename or 'standard input'}: {error.strerror}")
    else:
        complain(str(error))
    return EXIT_BELLJAR if isinstance(error, SandboxError) else EXIT_USAGE


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class Jar:
    """Runs the script, always with the same arguments and input, under one policy or another."""

    def __init__(self, script: str, source: bytes, argv: Sequence[str], stdin: bytes) -> None:
        self.script = script
        self.source = source
        self.argv = list(argv)
        self.stdin = stdin

    def __call__(self, values: Values) -> Trial:
        refused: list[tuple[str, str, str]] = []

        def on_operation(_guest: int, call: str, path: str, answer: str, rule: str) -> None:
            if answer != "ok" and path.startswith("/") and len(refused) < REFUSED_MAX:
                refused.append((call, path, f"{answer} (write)" if rule == "write" else answer))

        policy = make_policy(values)
        result = run_once(policy, on_operation, self.source, script=True, filename=self.script, argv=self.argv,
                          path0=path0(policy, self.script), stdin_bytes=self.stdin)  # fmt: skip
        name, value, _ = result.error or ("", "", "")
        wall_ms, _, peak_bytes, _ = result.usage
        return Trial(
            verdict=result.verdict,
            exit=result.exit,
            error=f"{name}: {value}" if name not in ("", "SystemExit") else f"it exits with status {result.exit}",
            wall_ms=wall_ms,
            peak_bytes=peak_bytes,
            refused=refused,
            wants_jit=any(rule == "jit" for _, _, rule, _ in result.violations),
        )

    def imports(self) -> dict[str, list[str]]:
        """The modules that the script's text imports, each with the names of it that the text has."""
        result = run_once(core.Policy(), None, READ_IMPORTS.encode(), files=[("script", self.source)])
        try:
            found = json.loads(result.stdout)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            module: [name for name in names if isinstance(name, str)] for module, names in found.items() if isinstance(names, list)
        }


def make_policy(values: Values) -> core.Policy:
    """The core's policy with these values."""
    policy = core.Policy()
    for key, value in values.items():
        if value is not None:
            policy.set(key, json.dumps(value))
    return policy


def run_once(policy: core.Policy, on_operation: Callable[..., object] | None, code: bytes, **job: Any) -> core.Result:
    """One run in a guest of a template of its own: everything that it leaves is gone afterwards."""
    if json.loads(policy.json())["warm"] is None:
        policy.set("warm", '""')  # warming up pays for many runs, not for one
    template = core.Template(policy, 0, on_operation)
    try:
        guest = template.take()
        try:
            result = guest.run(code, **job)
            guest.complete(result)
            return result
        finally:
            guest.close()
    finally:
        template.close()


def path0(policy: core.Policy, script: str) -> str | None:
    """Where the guest sees the directory of the script, if a grant shows it: there it can import its neighbours. One among the
    guest's own places is named in any case, so that it is not made there: `belljar run` shows the host's, for reading only."""
    folder = os.path.dirname(os.path.realpath(script))
    for guest_path, host_path, _, _ in policy.mounts():
        host = os.path.realpath(host_path) if host_path.startswith("/") else "/"
        if host != "/" and is_within(folder, host):
            return guest_path + folder[len(host) :]
    return folder if any(is_within(folder, place) for place in core.SCRATCH_PLACES) else None


class Search:
    """From a policy to the least one that lets the script pass. `run` tries a policy; `say` tells what is going on."""

    def __init__(self, values: Values, run: Callable[[Values], Trial], say: Callable[[str], object], *,
                 script: str = "", grants_writes: bool = False) -> None:  # fmt: skip
        self.values = values
        self.run = run
        self.say = say
        self.script = script
        self.grants_writes = grants_writes
        self.learned: set[tuple[str, str]] = set()  # paths that were not granted by the user
        self.trial = Trial()  # the last run that counts

    # ---- Upwards: what a run was refused is granted ----

    def widen(self) -> None:
        """Runs and grants until the script passes. `NotFound` if that does not get anywhere."""
        for rounds in range(1, ROUNDS_MAX + 1):
            self.trial = self.run(self.values)
            if self.trial.passes:
                return
            self.say(f"the script fails: {self.trial.error}")
            if rounds == ROUNDS_MAX or not self.learn(self.trial):
                break
        raise NotFound("nothing more can be learned: no policy was found that lets the script pass")

    def learn(self, trial: Trial) -> bool:
        """Grants what a failed run was refused. False if there is nothing new."""
        is_new = self.learn_limits(trial)
        is_new |= self.learn_neighbours(trial.error) or self.learn_relative(trial.error)
        added = 0
        for call, path, answer in trial.refused:
            if added < PATHS_MAX and self.learn_path(call, path, answer, trial.error):
                added += 1
        return is_new or added > 0

    def note(self, key: str, value: object, reason: str) -> None:
        """Tells of a change of the policy."""
        self.say(f"now with {key} {f'{value:.12g}' if isinstance(value, float) else value}: {reason}")

    def raise_limit(self, key: str, factor: int, most: int, reason: str) -> bool:
        """Multiplies a limit. False if it has its largest value, or there is none."""
        value = self.values.get(key) or 0
        if value <= 0 or value >= most:
            return False
        self.values[key] = min(value * factor, most)
        self.note(key, self.values[key], reason)
        return True

    def learn_limits(self, trial: Trial) -> bool:
        """Limits that were reached."""
        is_new = False
        if trial.wants_jit and not self.values.get("jit"):
            self.values["jit"] = is_new = True
            self.note("jit", "true", "it wants memory that can be executed")
        if trial.verdict in REACHED_LIMITS and not (is_new and trial.verdict == "memory"):
            is_new |= self.raise_limit(*REACHED_LIMITS[trial.verdict])
        for text, key, factor, most in TOLD_LIMITS:
            if text in trial.error:
                is_new |= self.raise_limit(key, factor, most, trial.error)
        return is_new

    def learn_neighbours(self, error: str) -> bool:
        """Modules that lie beside the script."""
        match = re.search(r"No module named '([^'.]+)", error)
        folder = os.path.dirname(os.path.realpath(self.script))
        if match is None or folder == "/":
            return False
        wanted = os.path.join(folder, match[1])
        return (os.path.exists(wanted + ".py") or os.path.exists(wanted)) and self.grant(
            "read", folder, "it imports what lies beside it"
        )

    def learn_relative(self, error: str) -> bool:
        """A file by a relative name: as `belljar run` has it, that is in the caller's folder, or else beside the script."""
        match = re.search(r"No such file or directory: '([^'/][^']*)'$", error)
        if match is None or self.values.get("cwd") is not None:
            return False
        for folder in (os.getcwd(), os.path.dirname(os.path.realpath(self.script))):
            path = os.path.normpath(os.path.join(folder, match[1]))
            if folder != "/" and os.path.exists(path) and self.grant("read", path, "it opens it by a relative name"):
                self.values["cwd"] = folder
                self.note("cwd", folder, "relative names begin there")
                return True
        return False

    def learn_path(self, call: str, path: str, answer: str, error: str) -> bool:
        """A path that an operation was refused, or did not find."""
        if path.startswith(("/proc/", "/sys/", "/dev/", "/work/")) or "\0" in path:  # the jar's own
            return False
        reason = f"{call} was answered with {answer}"
        parent = os.path.dirname(path)
        opens = call in ("open", "openat")
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            mode = None
        if answer.endswith("(write)"):
            # Names are the directory's: to make, move or remove one is to write there.
            return self.grant("write", path if mode is not None and opens else parent, reason)
        if mode is not None:
            return (opens or call == "chdir" or stat.S_ISREG(mode)) and self.grant("read", path, reason)
        # A file to be made, perhaps. Once the directory is there, that will show.
        return path in error and self.grant("read", parent, reason)

    def grant(self, key: str, path: str, reason: str) -> bool:
        """Adds a path. False if it is there, or if nobody would want it granted unasked."""
        covering = self.values["write"] if key == "write" else [*self.values["read"], *self.values["write"]]
        if path in ("", "/") or any(is_within(path, folder) for folder in covering):
            return False
        try:
            mode = os.stat(path).st_mode
            path.encode()
        except (OSError, ValueError):  # a policy's text is UTF-8
            return False
        if stat.S_ISDIR(mode) and path.count("/") == 1:
            self.say(f"not granted, because it is too broad (a whole part of the machine): {path}: {reason}")
            return False
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return False
        if key == "write" and not self.grants_writes:
            self.say(f"it wants to write, which only --grant-writes or this grants: --write {path}")
            return False
        self.values[key] = [*self.values[key], path]
        self.learned.add((key, path))
        self.note(key, path, reason)
        return True

    # ---- Downwards: what the script passes without is taken away ----

    def passes_with(self, key: str, value: object) -> bool:
        """Tries another value for an option; keeps it if the script still passes."""
        trial = self.run({**self.values, key: value})
        if trial.passes:
            self.values[key] = value
            self.trial = trial
        return trial.passes

    def narrow(self) -> None:
        """Takes away, one after the other, what the script passes without."""
        for key in ("read", "write"):
            for path in list(self.values[key]):
                less = [other for other in self.values[key] if other != path]
                if (key, path) in self.learned and self.passes_with(key, less):
                    self.say(f"it can do without {key} {path}")
        self.tighten()
        if not self.values["read"] and not self.values["write"] and self.values["profile"] != "compute":
            if self.passes_with("profile", "compute"):
                self.note("profile", "compute", "it needs memory and clocks only")

    def tighten(self) -> None:
        """Limits of a multiple of what was used."""
        wall_ms, peak = self.trial.wall_ms, self.trial.peak_bytes
        seconds = float(max(5, math.ceil(wall_ms / 1000 * 4)))
        if seconds < (self.values["timeout"] or 0) and self.passes_with("timeout", seconds):
            self.note("timeout", seconds, f"it took {wall_ms / 1000:.1f} s")
        peak = max(peak, self.trial.peak_bytes)
        memory = max(64 << 20, math.ceil(peak / (8 << 20)) * 2 * (8 << 20))
        if memory < self.values["memory"] and self.passes_with("memory", memory):
            self.note("memory", memory, f"it used {peak / (1 << 20):.0f} MiB")

    # ---- A language policy, from nothing allowed upwards ----

    def find_language(self, imports: dict[str, list[str]]) -> None:
        """Adds the least language policy. `NotFound` if none lets the script pass."""
        self.values["language"] = {"enable": [], "allow": [], "allow_safe": []}
        for _ in range(LANGUAGE_ROUNDS_MAX):
            self.trial = self.run(self.values)
            if self.trial.passes or not self.learn_language(self.trial.error, imports):
                break
        if not self.trial.passes:
            raise NotFound(f"no language policy was found that lets the script pass: {self.trial.error}")
        for key in ("enable", "allow", "allow_safe"):
            for item in list(self.values["language"][key]):
                self.passes_in_language(**{key: [other for other in self.values["language"][key] if other != item]})
        for item in list(self.values["language"]["allow_safe"]):  # what does as a view is one
            language = self.values["language"]
            self.passes_in_language(
                allow=[*language["allow"], item], allow_safe=[one for one in language["allow_safe"] if one != item]
            )
        language = self.values["language"]
        self.values.update(  # options say it shorter
            feature=language["enable"], allow_module=language["allow"], allow_safe_module=language["allow_safe"] or None,
            recursion_limit=language.get("recursion_limit"), language=None,
        )  # fmt: skip
        self.warn(language)

    def passes_in_language(self, **changes: Any) -> bool:
        """Tries other lists of the language policy."""
        return self.passes_with("language", {**self.values["language"], **changes})

    def warn(self, language: dict[str, Any]) -> None:
        """Says of what is allowed that it undoes the policy, whoever wants to hear nothing."""
        for row in (*language["allow"], *language["allow_safe"]):
            module, _, symbols = row.partition(":")
            for symbol in symbols.split(","):
                if undoes(module, symbol):
                    complain(f"warning: {module}{'.' * bool(symbol)}{symbol} undoes the language policy: with it the script reaches "
                             "all of Python (the process is held all the same); do without it, or keep it out of this policy")  # fmt: skip

    def learn_language(self, error: str, imports: dict[str, list[str]]) -> bool:
        """Allows what was blocked. False if that is not known, or was allowed before."""
        for feature in re.findall(r"to permit it: the feature ([a-z]+)", error):
            if feature != "everyday" and feature in BY_NAME and self.add_language("enable", feature, error):
                return True
        if match := re.search('Import "([^\'"]{1,127})[\'"]', error):
            return self.allow(match[1], "", error, imports) or self.escalate(error)
        for pattern in ("SafeModule '(?P<module>[^'\"]{1,127})['\"].*has no attribute '(?P<symbol>[^'\"]{1,127})['\"]",
                        "cannot import name '(?P<symbol>[^'\"]{1,127})['\"].*from '(?P<module>[^'\"]{1,127})['\"]"):  # fmt: skip
            if match := re.search(pattern, error, re.DOTALL):
                return self.allow(match["module"], match["symbol"], error, imports) or self.escalate(error)
        if "recursion" in error:
            limit = self.values["language"].get("recursion_limit", 0)
            for more in RECURSIONS:
                if more > limit:
                    self.values["language"]["recursion_limit"] = more
                    self.note("recursion_limit", more, error)
                    return True
        return self.escalate(error)

    def escalate(self, error: str) -> bool:
        """Whatever a program says that has views in place of things: first the things themselves, then all that is known to work
        together. False if it had both."""
        language = self.values["language"]
        if language["allow"]:
            language["allow_safe"] += language["allow"]
            language["allow"] = []
            self.note("allow_safe", "in place of allow", error)
            return True
        return self.add_language("enable", "everyday", error)

    def add_language(self, key: str, item: str, reason: str) -> bool:
        """Adds to a list of the language policy. False if it is there."""
        if item in self.values["language"][key]:
            return False
        self.values["language"][key].append(item)
        self.note(key, item, reason)
        return True

    def allow(self, module: str, symbol: str, reason: str, imports: dict[str, list[str]]) -> bool:
        """Allows a module, with the symbols that the script's text has. Replaces a row with fewer."""
        language = self.values["language"]
        key = "allow_safe" if language["allow_safe"] else "allow"
        symbols = imports.setdefault(module, [])
        if symbol and symbol not in symbols:
            symbols.append(symbol)
        row = f"{module}:{','.join(symbols)}"
        if row in language[key]:
            return False
        language[key] = [other for other in language[key] if not other.startswith(f"{module}:")]
        return self.add_language(key, row, reason)


def read_source(script: str) -> bytes:
    """The script's text. `ValueError` or `OSError` with a sentence if Python could not decode it."""
    with open(script, "rb") as file:
        source = file.read(SOURCE_BYTES_MAX + 1)
    if len(source) > SOURCE_BYTES_MAX:
        raise ValueError(f"script {script} is larger than {SOURCE_BYTES_MAX >> 20} MiB")
    try:
        source.decode(tokenize.detect_encoding(io.BytesIO(source).readline)[0])
    except (SyntaxError, UnicodeError) as error:
        raise ValueError(f"script {script} cannot be decoded: {error}; save it as UTF-8, or name its encoding in its "
                         "first line: # -*- coding: latin-1 -*-") from None  # fmt: skip
    return source


def read_stdin() -> bytes:
    """Standard input to its end; nothing of a terminal's, or where there is none."""
    return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()


def search(search: Search, jar: Jar, wants_language: bool) -> None:
    """All of it. `NotFound` with the reason if no policy lets the script pass."""
    search.widen()
    if wants_language:
        search.find_language(jar.imports())
    if search.trial.wall_ms < SLOW_MS:
        search.narrow()


def report(jar: Jar, values: Values, say: Callable[[str], object]) -> int:
    """Tries the policy as it will be read, where what was not said is the default, and prints it. The exit status."""
    defaults = json.loads(core.Policy().json())
    found = {key: value for key, value in values.items() if value != defaults.get(key)}
    trial = jar(found)
    if trial.passes:
        say("verified: the script passes under this policy; review it before you use it")
    else:
        complain(f"the script does not pass reliably under this policy: in the last run {trial.error}")
    sys.stdout.buffer.write(json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
    sys.stdout.flush()
    return 0 if trial.passes else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar learn --help` says what it takes; only the flags of learn itself come this far."""
    parser = argparse.ArgumentParser(prog="python -m belljar.learn", description="Finds the least policy that lets a script pass.",
                                     allow_abbrev=False)  # fmt: skip
    parser.add_argument("--policy", metavar="FILE", help="start from this policy file")
    parser.add_argument("--config", action="store_true", help="find a language policy as well")
    parser.add_argument("--grant-writes", action="store_true", help="let it write wherever it tries to")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the policy")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    say = (lambda text: None) if given.quiet else complain
    try:
        policy = core.Policy()
        if given.policy is not None:
            policy.load(given.policy)
        values: Values = json.loads(policy.json())
        for key in ("language", "feature", "allow_module", "allow_safe_module", "recursion_limit"):
            if given.config and values[key] is not None:
                complain(f"--config finds a language policy: the options give one ({key})")
                return EXIT_USAGE
        jar = Jar(given.script, read_source(given.script), [given.script, *given.arguments], read_stdin())
        way = Search(values, jar, say, script=given.script, grants_writes=given.grant_writes)
        search(way, jar, given.config)
        return report(jar, way.values, say)
    except NotFound as error:
        complain(str(error))
        return 1
    except FAILURES as error:
        return ended_by(error)


if __name__ == "__main__":
    sys.exit(main())
