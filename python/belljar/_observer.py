"""The program of `audit_only`: runs in a plain interpreter, without a jar, and says what a policy would refuse of what this program
does. Started by its path, with two descriptors: settings to be read, and records to be written. It sees what the interpreter
tells of (sys.addaudithook): no machine code, no programs that are started, no look at a file that is not opened."""

from __future__ import annotations

import ast
import json
import os
import sys
import threading
import traceback
from types import ModuleType
from typing import Any

Record = tuple[str, str, str, str]  # op, target, rule, hint

RECORDS_MOST = 10000
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOOKS_IN = ("os.listdir", "os.scandir", "os.chdir", "os.walk", "glob.glob")
CHANGES = {  # event -> (operation, which of its arguments are paths)
    "os.mkdir": ("mkdir", (0,)), "os.rmdir": ("rmdir", (0,)), "os.remove": ("unlink", (0,)), "os.rename": ("rename", (0, 1)),
    "os.link": ("link", (0, 1)), "os.symlink": ("symlink", (1,)), "os.truncate": ("truncate", (0,)), "os.chmod": ("chmod", (0,)),
    "os.chown": ("chown", (0,)), "os.utime": ("utimensat", (0,)), "os.setxattr": ("setxattr", (0,)),
    "os.removexattr": ("removexattr", (0,)),
}  # fmt: skip
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn")
TALKS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
ASKS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


class Observer:
    """The policy, as far as it can be said of a path or an event; and what it would have refused."""

    def __init__(self, settings: dict[str, Any], records: int) -> None:
        self.records = records
        self.words: dict[str, list[str]] = settings["words"]  # operation -> rule and hint, as a guest under the policy was told
        self.scratch: str = settings["scratch"]
        # What the jar makes itself has no host's path: /proc/self/root leads to its own tree there, and to all files here.
        self.mounts: dict[str, str] = {os.path.realpath(host): mode for guest, host, mode in settings["mounts"] if host}
        self.mounts.update({guest: mode for guest, _, mode in settings["mounts"]})
        for folder in [
            *sys.path,
            sys.prefix + "/lib",
            sys.base_prefix + "/lib",
            os.path.dirname(os.__file__),
            sys.executable,
            __file__,
        ]:
            if folder.startswith("/"):
                self.mounts.setdefault(os.path.realpath(folder), "read")
                self.mounts.setdefault(folder, "read")
        self.mounts[os.path.realpath(self.scratch)] = "own"
        self.made: set[str] = set()  # by the program, in places that are scratch in the jar and the host's here
        self.seen: set[Record] = set()
        self.busy = threading.local()

    def mode_of(self, path: str) -> str:
        """What the policy shows there."""
        while True:
            mode = self.mounts.get(path)
            if mode is not None:
                return mode
            if path == "/":
                return "nothing"
            path = os.path.dirname(path)

    def tell(self, op: str, target: str, rule: str, hint: str) -> None:
        record = op, target, rule, hint
        if record not in self.seen and len(self.seen) < RECORDS_MOST:
            self.seen.add(record)
            os.write(self.records, json.dumps({"refused": record}).encode() + b"\n")

    def look(self, op: str, given: Any, writes: bool) -> None:
        if given is None:
            given = "."
        if isinstance(given, int) or not isinstance(given, str | bytes | os.PathLike):
            return  # a descriptor: of something that was opened
        named = os.path.abspath(os.fsdecode(given))
        path = named if op in ("unlink", "rename", "symlink") else os.path.realpath(named)
        mode = (
            self.mode_of(path) if self.mode_of(named) not in ("device", "synthetic", "link", "descriptor") else self.mode_of(named)
        )
        if mode == "own" or mode == "write" or path in self.made:
            return
        if mode == "scratch":  # where the jar has the program's own files, and this process the host's
            parent = os.path.dirname(path)
            if writes and not os.path.lexists(path) and (parent in self.made or parent in self.mounts):
                self.made.add(path)
            elif path not in self.mounts and (writes or os.path.lexists(path)):
                self.refuse_path(op, path, writes)
            return
        if writes and mode != "device":
            self.refuse_path(op, path, True)
        elif mode in ("nothing", "absent", "directory") and os.path.lexists(path):
            self.refuse_path(op, path, False)

    def refuse_path(self, op: str, path: str, writes: bool) -> None:
        if writes:
            self.tell(op, path, "write", f"--write {path} (or its folder) or Policy(write=[{path!r}])")
        else:
            self.tell(op, path, "read", f"--read {path} or Policy(read=[{path!r}])")

    def refuse_kind(self, kind: str, op: str, target: str) -> None:
        if kind in self.words:
            self.tell(op, target, *self.words[kind])

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & WRITES) if isinstance(flags, int) else any(letter in (mode or "") for letter in "wax+")
            self.look("openat", path, writes)
        elif event in LOOKS_IN:
            self.look("openat", arguments[0] if arguments else ".", False)
        elif event in CHANGES:
            op, places = CHANGES[event]
            for place in places:
                self.look(op, arguments[place], True)
        elif event in STARTS:
            self.refuse_kind("processes", "fork" if "fork" in event else "execve", self.program(arguments))
        elif event == "socket.__new__":
            self.refuse_kind("network", "socket", self.family(arguments[1]))
        elif event in TALKS:
            self.refuse_kind("network", event.partition(".")[2], str(arguments[1]))
        elif event in ASKS:
            self.refuse_kind("network", event.partition(".")[2], ":".join(str(part) for part in arguments[:2] if part))
        elif event == "os.kill" and arguments[0] != os.getpid():
            self.refuse_kind("signals", "kill", f"process {arguments[0]}")

    @staticmethod
    def family(number: int) -> str:
        try:
            return str(sys.modules["socket"].AddressFamily(number).name)
        except (LookupError, AttributeError, ValueError):
            return f"address family {number}"

    @staticmethod
    def program(arguments: tuple[Any, ...]) -> str:
        named = arguments[0] if arguments else ""
        return os.fsdecode(named) if isinstance(named, str | bytes | os.PathLike) else ""

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(self.busy, "is_on", False):
            return
        self.busy.is_on = True
        try:
            self.hear(event, arguments)
        except Exception as error:  # what the observer does not understand is no fault of the program's
            self.tell("belljar", event, "audit-only", f"the observer failed: {type(error).__name__}: {error}")
        finally:
            self.busy.is_on = False


def perform(settings: dict[str, Any], observer: Observer) -> dict[str, Any]:
    """The program, and what it came to."""
    main: Any = ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    sys.argv[:] = settings["argv"]
    sys.path[0:0] = [settings["path0"]]
    sys.addaudithook(observer.hook)
    filename = settings["filename"]
    if settings["is_file"]:
        main.__file__ = filename
    text = None
    try:
        if settings["module"]:
            import runpy

            runpy.run_module(settings["module"], run_name="__main__", alter_sys=True)
            return {}
        tree = ast.parse(settings["code"], filename)
        last = tree.body.pop() if settings["last_value"] and tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, filename, "exec"), main.__dict__)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), filename, "eval"), main.__dict__)
            text = None if value is None else repr(value)
    except SystemExit as leaving:
        code = leaving.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
        return {"exit": 0 if code is None else code & 0xFF if isinstance(code, int) else 1}
    except BaseException as error:
        within = error.__traceback__.tb_next if error.__traceback__ is not None else None
        lines = "".join(traceback.format_exception(type(error), error, within))
        return {"exit": 1, "error": [type(error).__name__, str(error), lines]}
    return {"text": text}


def main() -> None:
    given, records = int(sys.argv[1]), int(sys.argv[2])
    with open(given, encoding="utf-8") as file:
        settings = json.load(file)
    observer = Observer(settings, records)
    os.set_inheritable(records, False)
    del sys.path[0]  # where this file lies
    outcome = perform(settings, observer)
    if settings["shows_errors"] and "error" in outcome:
        sys.stderr.write(outcome["error"][2])
    os.write(records, json.dumps({"outcome": outcome}).encode() + b"\n")
    if outcome.get("exit"):
        sys.exit(outcome["exit"])


if __name__ == "__main__":
    main()
